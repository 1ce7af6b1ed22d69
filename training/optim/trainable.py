# SPDX-License-Identifier: Apache-2.0
"""Which weights of a transformer learn, and where they lie: adapters, recomputation, shards."""

from __future__ import annotations

from collections.abc import Sequence

from ...model.network.transformer import Transformer
from ..options import LoraOptions, PolicyTrainingOptions
from .fsdp import recompute, shard, widen
from .lora import adapt
from .process_group import TrainingGroup


def prepare_generator(
    transformer: Transformer,
    options: PolicyTrainingOptions,
    lora: LoraOptions | None,
    group: TrainingGroup,
    frozen: Sequence[str] = (),
) -> None:
    """Let the generator learn, and the text tower if the options say so; in place.

    frozen: beginnings of the names of further parameters that stay. With LoRA only adapters learn,
    and what it names.
    """
    transformer.train()
    stays = ("head.", *frozen, *(() if options.text else ("text.", "embed.")))
    if lora is not None:
        adapt(transformer, lora)
    for name, parameter in transformer.named_parameters() if lora is None else ():
        parameter.requires_grad_(not name.startswith(stays))
    if lora is None:  # else they are read from `start` each time
        round_frozen(transformer)
    if options.recompute:
        recompute(transformer)
    # initialized at random, by each process in its own way
    group.spread([p.detach() for name, p in transformer.named_parameters() if "lora_" in name])
    if options.shard:
        shard(transformer, group)
    widen(transformer)


def round_frozen(transformer: Transformer) -> None:
    """Round what does not learn as the checkpoint holds it: a resumed training has no other."""
    for name, parameter in transformer.named_parameters():
        if not (parameter.requires_grad or name.startswith("time.")):
            parameter.data = parameter.data.bfloat16().to(parameter.dtype)
