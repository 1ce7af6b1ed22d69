# SPDX-License-Identifier: Apache-2.0
"""Layers whose weights stay in the host's memory and are copied to the device when they run."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from ..network.kv_cache import KVCache
from ..network.layers import Rope
from ..network.tower import Layer
from ..runtime.unregistered import Unregistered


class OffloadedLayer(Layer):
    """A layer of the text tower whose weights are copied into `buffer`, on the device, per call."""

    def __init__(self, host: Layer, buffer: Layer):
        nn.Module.__init__(self)
        # so that `to` moves neither
        self._host, self._buffer = Unregistered(host), Unregistered(buffer)

    def text(self, x: Tensor, rope: Rope, cache: KVCache, number: int) -> Tensor:
        buffer = self._buffer.module
        for target, source in zip(tensors(buffer), tensors(self._host.module), strict=True):
            target.copy_(source, non_blocking=True)
        return buffer.text(x, rope, cache, number)


def tensors(layer: nn.Module) -> list[Tensor]:
    """Parameters and buffers of a layer, in a fixed order."""
    return [*layer.parameters(), *layer.buffers()]


def offloaded(layers: nn.ModuleList, device: torch.device) -> tuple[nn.ModuleList, Layer]:
    """Layers in the host's memory -> layers that run on `device`, and the one they share there.

    The shared layer is the memory of a single layer that each one's weights are copied into.
    """
    buffer = copy.deepcopy(layers[0]).to(device)
    assert isinstance(buffer, Layer)
    return nn.ModuleList(
        OffloadedLayer(host, buffer) for host in layers if isinstance(host, Layer)
    ), buffer
