# SPDX-License-Identifier: Apache-2.0
"""Training of a large transformer: float32 weights, recomputed activations, FSDP shards."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard, register_fsdp_forward_method
from torch.distributed.tensor import DTensor
from torch.utils.checkpoint import checkpoint

from ...model.network.transformer import Transformer
from ...model.runtime.process_group import make_mesh
from .process_group import TrainingGroup


def widen(module: nn.Module) -> None:
    """Make what learns float32: in bfloat16 small steps would be lost."""
    for parameter in module.parameters():
        if parameter.requires_grad and parameter.dtype != torch.float32:
            parameter.data = parameter.data.float()


def recompute(transformer: Transformer) -> None:
    """Keep only the inputs of the generator's layers for the backward pass."""
    for layer in transformer.generator.layers:
        layer.forward = functools.partial(checkpoint, layer.forward, use_reentrant=False)


def shard(transformer: Transformer, group: TrainingGroup) -> None:
    """Shard the weights over the processes, each on its own device.

    A layer is gathered when it is computed.

    The text tower must be frozen: its keys and values take a way to the generator that FSDP does
    not see. Weights may still be in the files they were loaded from: no more than one layer at a
    time is whole.
    """
    # Its velocities are views, which must not be changed in place. They are not.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    for layer in (*transformer.text.layers, *transformer.generator.layers):
        shard_part(layer, group)
        register_fsdp_forward_method(layer, "text")
    for part in (transformer.embed, transformer.head):
        if part is not None:
            shard_part(part, group)
    shard_part(transformer.time, group, whole=True)
    shard_part(transformer, group)
    for method in ("prefill", "velocity"):
        register_fsdp_forward_method(transformer, method)


def shard_part(module: nn.Module, group: TrainingGroup, whole: bool = False) -> None:
    """Shard a module whose forward is called, except for its parts that are sharded already.

    whole: it computes in float32.
    """
    widen(module)
    narrow = torch.bfloat16 if group.device.type == "cuda" and not whole else None
    policy = MixedPrecisionPolicy(narrow, reduce_dtype=torch.float32, cast_forward_inputs=False)
    fully_shard(module, mesh=make_mesh(group.device.type, (group.size,)), mp_policy=policy)


def gather(tensors: Mapping[str, Tensor], group: TrainingGroup) -> dict[str, Tensor]:
    """Tensors in one piece, in the first process; the others take part and get none.

    Shards come together one tensor at a time and go to the host's memory.
    """
    kept = {}
    for name, tensor in tensors.items():
        full = tensor.detach()
        if isinstance(full, DTensor):
            full = full.full_tensor().cpu() if group.leads else full.full_tensor()
        if group.leads:
            kept[name] = full
    return kept
