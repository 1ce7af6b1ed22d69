# SPDX-License-Identifier: Apache-2.0
"""What makes a loaded model fast: compiled layers, CUDA graphs, weights in fewer bits, towers that wait off the GPU."""

from __future__ import annotations

import copy
import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..loaded_model import Model
from ..network.kv_cache import KVCache
from ..network.layers import Rope
from ..network.transformer import Layer
from ..runtime.quantize import KINDS, join, quantize
from .tensor_parallel import Split, split_of

PLACEMENTS = ("both", "policy", "reasoner")


@dataclasses.dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How to run a model; by default as it was loaded.

    compiled: fuse what lies between the matrix products (the first pass takes a minute); graphs:
    record loops as CUDA graphs; generator, text: how the weights of each tower are kept, see
    `quantize.KINDS`; placement: what is on the GPU, "both" towers, or for the "policy" the
    generator alone, or for the "reasoner" the text tower alone (the text tower then visits the GPU
    layer by layer to read a new instruction); kept: folder for compiled code, so that the next
    start need not compile again ("": torch's own choice).
    """

    compiled: bool = False
    graphs: bool = False
    generator: str = "none"
    text: str = "none"
    placement: str = "both"
    kept: str = ""

    def __post_init__(self) -> None:
        for name in ("generator", "text"):
            if getattr(self, name) not in KINDS:
                raise ValueError(
                    f"speed.{name}: expected one of {sorted(KINDS)}, got {getattr(self, name)!r}"
                )
        if self.placement not in PLACEMENTS:
            raise ValueError(
                f"speed.placement: expected one of {PLACEMENTS}, got {self.placement!r}"
            )


def optimize(model: Model, speed: RuntimeOptions, device: torch.device | str | None = None) -> None:
    """Change a loaded model accordingly, in place; it cannot be trained or saved afterwards.

    device: where the layers are to run, if they were loaded into the host's memory to be rounded on
    their way.
    """
    device = torch.device(device or model.device)
    transformer = model.transformer
    if speed.kept:
        # torch has no other way to set it
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(speed.kept).expanduser())
    if speed.compiled:
        torch._dynamo.config.cache_size_limit = max(32, torch._dynamo.config.cache_size_limit)
    split = split_of(model.team)
    if hasattr(transformer, "generator"):
        _prepare(transformer.generator.layers, speed.generator, speed.compiled, device, split)
        _compile(transformer.generator.layers, speed.compiled, dynamic=False)
    _prepare(
        transformer.text.layers,
        speed.text,
        speed.compiled,
        device,
        split,
        away=speed.placement == "policy",
    )
    if speed.placement == "policy" and device.type == "cuda":
        transformer.text.layers, guest = offloaded(transformer.text.layers, device)
        _compile([guest], speed.compiled, dynamic=True)
    else:
        _compile(transformer.text.layers, speed.compiled, dynamic=True)
    fast_head = speed.compiled or speed.text != "none"
    if transformer.head is not None and fast_head and device.type == "cuda" and split is None:
        transformer.head = head(transformer.head.get_parameter("weight"), speed.text)
    if model.vae is not None and device.type == "cuda":
        model.vae.optimize(speed.compiled, speed.graphs)
    model.graphs = speed.graphs


def _prepare(
    layers: nn.ModuleList,
    kind: str,
    compiled: bool,
    device: torch.device,
    split: Split | None,
    away: bool = False,
) -> None:
    """Round and join the weights layer by layer, on the device.

    `away`: they go back to the host.
    """
    if kind == "none" and not compiled and not away:
        return
    for layer in layers:
        assert isinstance(layer, Layer)
        layer.to(device)
        if split:
            split.localize(layer)
        if kind != "none" or device.type == "cuda":
            quantize([layer], kind)
        merge(layer)
        if split:
            split.total(layer)
        if away and device.type == "cuda":
            layer.to("cpu")
            for tensor in _tensors(layer):
                tensor.data = tensor.data.pin_memory()


def head(weight: Tensor, kind: str) -> nn.Module:
    """lm_head for a tower of this kind.

    Of a rounded one in int8, because its errors go straight into the scores.
    """
    if kind == "none":
        return KINDS[kind].of(weight)
    # part by part, for want of room
    return join([KINDS["int8"].of(part) for part in weight.chunk(16)])


def merge(layer: Layer) -> None:
    """One product for query, key and value instead of three, and one for gate and up."""
    attention, mlp = layer.attention, layer.mlp
    parts = [attention.q, attention.k, attention.v]
    attention.qkv, attention.widths = (
        join(parts),
        [len(part.get_parameter("weight")) for part in parts],
    )
    del attention.q, attention.k, attention.v
    if mlp.gated:
        mlp.both = join([mlp.gate, mlp.up])
        del mlp.gate, mlp.up


def _compile(layers: Iterable[nn.Module], compiled: bool, dynamic: bool) -> None:
    """Compile what comes before and after the attention; all layers of a tower share the code."""
    for layer in layers if compiled else ():
        assert isinstance(layer, Layer)
        layer.enter = torch.compile(layer.enter, dynamic=dynamic)  # type: ignore[method-assign]
        layer.leave = torch.compile(layer.leave, dynamic=dynamic)  # type: ignore[method-assign]


class OffloadedLayer(Layer):
    """A layer of the text tower whose weights stay with the host, and visit the device whenever it reads."""

    def __init__(self, home: Layer, guest: Layer):
        nn.Module.__init__(self)
        self._pair = (home, guest)  # in a tuple, so that `to` does not move them

    def text(self, x: Tensor, rope: Rope, cache: KVCache, number: int) -> Tensor:
        home, guest = self._pair
        for mine, theirs in zip(_tensors(guest), _tensors(home), strict=True):
            mine.copy_(theirs, non_blocking=True)
        return guest.text(x, rope, cache, number)


def _tensors(layer: nn.Module) -> list[Tensor]:
    return [*layer.parameters(), *layer.buffers()]


def offloaded(layers: nn.ModuleList, device: torch.device) -> tuple[nn.ModuleList, Layer]:
    """Layers in the host's memory, as layers that run on `device` in the room of one, which comes with them."""
    guest = copy.deepcopy(layers[0]).to(device)
    assert isinstance(guest, Layer)
    return nn.ModuleList(
        OffloadedLayer(home, guest) for home in layers if isinstance(home, Layer)
    ), guest
