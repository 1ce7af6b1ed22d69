# SPDX-License-Identifier: Apache-2.0
"""Tensor parallelism with torch's own means: every layer of both towers split over the processes of a mesh.

Heads of the attention and channels of the MLP are dealt out, and what leaves either is summed: two
all-reduces a layer. lm_head is split over the vocabulary. Norms, embedding and the small heads are
in every process.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    ParallelStyle,
    PrepareModuleOutput,
    RowwiseParallel,
    parallelize_module,
)

from ..network.config import ModelConfig
from ..network.transformer import Layer, Transformer
from ..runtime.process_group import InferenceGroup
from ..runtime.quantize import QuantizedLinear

_DEALT = ("attention.q", "attention.k", "attention.v", "mlp.gate", "mlp.up")  # by their outputs
_SUMMED = ("attention.out", "mlp.down")  # by their inputs


class Split:
    """This process' share of a transformer, among the processes of a mesh of one dimension."""

    def __init__(self, mesh: DeviceMesh):
        self.mesh, self.ranks = mesh, mesh.size()

    def apply(self, transformer: Transformer) -> None:
        """Split a transformer on the meta device, before it has weights.

        ValueError if a size cannot be divided.
        """
        check_sizes(transformer.config, self.ranks)
        for tower in (transformer.text, getattr(transformer, "generator", None)):
            for layer in tower.layers if tower else ():
                plan: dict[str, ParallelStyle] = {
                    name: ColwiseParallel() for name in _parts(layer, _DEALT)
                }
                parallelize_module(
                    layer, self.mesh, plan | {name: RowwiseParallel() for name in _SUMMED}
                )
        if transformer.head is not None:
            parallelize_module(
                transformer.head, self.mesh, ColwiseParallel(output_layouts=Replicate())
            )

    def share(self, stored: Any, whole: Tensor) -> Tensor:
        """Of what is stored for the parameter `whole`, read what is this process' (a slice of a safetensors file)."""
        if not isinstance(whole, DTensor):
            return stored[:]
        index = [slice(None)] * whole.dim()
        for placement in whole.placements:
            assert isinstance(placement, Shard)  # see `apply`
            size = whole.shape[placement.dim] // self.ranks
            first = size * self.mesh.get_local_rank()
            index[placement.dim] = slice(first, first + size)
        return stored[tuple(index)]

    def distributed(self, share: Tensor, whole: Tensor) -> Tensor:
        """The share as the parameter `whole` has it."""
        if not isinstance(whole, DTensor):
            return share
        return DTensor.from_local(share.contiguous(), self.mesh, whole.placements, run_check=False)

    def localize(self, layer: Layer) -> None:
        """Products of this process' own weights instead, which can be rounded and joined.

        `total` must follow.
        """
        for name in _parts(layer, (*_DEALT, *_SUMMED)):
            weight = layer.get_parameter(f"{name}.weight")
            assert isinstance(weight, DTensor)  # see `apply`
            layer.set_submodule(name, QuantizedLinear(weight.to_local()))

    def total(self, layer: Layer) -> None:
        """Sum over the processes what such products of shares of the inputs give."""
        style = PrepareModuleOutput(output_layouts=Partial(), desired_output_layouts=Replicate())
        parallelize_module(layer, self.mesh, dict.fromkeys(_SUMMED, style))


def split_of(group: InferenceGroup | None) -> Split | None:
    """This process' share of the layers, where the processes of a group split them."""
    return Split(group.mesh) if group and group.mesh else None


def check_sizes(config: ModelConfig, ranks: int) -> None:
    """ValueError unless a network can be dealt out to so many processes."""
    for name in ("kv_heads", "mlp", "vocab"):
        if getattr(config, name) % ranks:
            raise ValueError(
                f"tensor parallelism: {name} {getattr(config, name)} cannot be divided by {ranks}"
            )


def _parts(layer: nn.Module, names: tuple[str, ...]) -> list[str]:
    """Those that the layer has: Edge has no gate."""
    known = {name for name, _ in layer.named_modules()}
    return [name for name in names if name in known]
