# SPDX-License-Identifier: Apache-2.0
"""Tensor parallelism: every layer of both towers split over the processes of a device mesh.

Attention heads and MLP channels are split, the outputs of attention and MLP are summed: two
all-reduces a layer. lm_head is split over the vocabulary. Norms, embedding and the small heads are
replicated.
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
from ..network.tower import Layer
from ..network.transformer import Transformer
from ..runtime.process_group import InferenceGroup
from ..runtime.quantize import QuantizedLinear

# Linear layers split by outputs, and those split by inputs, whose outputs are summed.
_COLUMNWISE = ("attention.q", "attention.k", "attention.v", "mlp.gate", "mlp.up")
_ROWWISE = ("attention.out", "mlp.down")


class TensorParallelSplit:
    """This process' share of a transformer, in a device mesh of one dimension."""

    def __init__(self, mesh: DeviceMesh):
        self.mesh, self.ranks = mesh, mesh.size()

    def apply(self, transformer: Transformer) -> None:
        """Split a transformer on the meta device, before it has weights.

        ValueError if a size is not a multiple of the number of processes.
        """
        check_sizes(transformer.config, self.ranks)
        for tower in (transformer.text, getattr(transformer, "generator", None)):
            for layer in tower.layers if tower else ():
                plan: dict[str, ParallelStyle] = {
                    name: ColwiseParallel() for name in _parts(layer, _COLUMNWISE)
                }
                parallelize_module(
                    layer, self.mesh, plan | {name: RowwiseParallel() for name in _ROWWISE}
                )
        if transformer.head is not None:
            parallelize_module(
                transformer.head, self.mesh, ColwiseParallel(output_layouts=Replicate())
            )

    def read_share(self, stored: Any, parameter: Tensor) -> Tensor:
        """This process' share of `stored`, a slice of a safetensors file, for `parameter`."""
        if not isinstance(parameter, DTensor):
            return stored[:]
        index = [slice(None)] * parameter.dim()
        for placement in parameter.placements:
            assert isinstance(placement, Shard)  # see `apply`
            size = parameter.shape[placement.dim] // self.ranks
            first = size * self.mesh.get_local_rank()
            index[placement.dim] = slice(first, first + size)
        return stored[tuple(index)]

    def to_distributed(self, share: Tensor, parameter: Tensor) -> Tensor:
        """The share as a DTensor placed like `parameter`, or as it is if that is replicated."""
        if not isinstance(parameter, DTensor):
            return share
        return DTensor.from_local(
            share.contiguous(), self.mesh, parameter.placements, run_check=False
        )

    def to_local(self, layer: Layer) -> None:
        """Replace split layers by ones of this process' weights, which can be quantized and joined.

        `all_reduce_outputs` must follow.
        """
        for name in _parts(layer, (*_COLUMNWISE, *_ROWWISE)):
            weight = layer.get_parameter(f"{name}.weight")
            assert isinstance(weight, DTensor)  # see `apply`
            layer.set_submodule(name, QuantizedLinear(weight.to_local()))

    def all_reduce_outputs(self, layer: Layer) -> None:
        """Sum the outputs of the row-wise split layers over the processes, after `to_local`."""
        style = PrepareModuleOutput(output_layouts=Partial(), desired_output_layouts=Replicate())
        parallelize_module(layer, self.mesh, dict.fromkeys(_ROWWISE, style))


def split_of(group: InferenceGroup | None) -> TensorParallelSplit | None:
    """This process' share of the layers, where the processes of a group split them."""
    return TensorParallelSplit(group.mesh) if group and group.mesh else None


def check_sizes(config: ModelConfig, ranks: int) -> None:
    """ValueError unless a network can be split over so many processes."""
    for name in ("kv_heads", "mlp", "vocab"):
        if getattr(config, name) % ranks:
            raise ValueError(
                f"tensor parallelism: {name} {getattr(config, name)} cannot be divided by {ranks}"
            )


def _parts(layer: nn.Module, names: tuple[str, ...]) -> list[str]:
    """The names that the layer has: Edge has no gate."""
    known = {name for name, _ in layer.named_modules()}
    return [name for name in names if name in known]
