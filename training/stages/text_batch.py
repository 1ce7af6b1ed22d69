# SPDX-License-Identifier: Apache-2.0
"""Prompts of a batch: padded tokens, and the keys, values and rotations that each sample needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from ...model.embodiment import Embodiment
from ...model.network.kv_cache import KVCache
from ...model.network.layers import Rope, rope_table
from ...model.network.positions import generator_positions
from ...model.network.transformer import Transformer

# Tokens [P, L], their lengths [P], rotations of the generator's tokens for each prompt.
TextBatch = tuple[Tensor, Tensor, Rope]


def pad_prompts(
    transformer: Transformer,
    embodiment: Embodiment,
    prompts: list[list[int]],
    shape: Sequence[int],
    rows: int,
) -> TextBatch:
    """Padded tokens of the prompts, and the rotations of the generator's tokens after each prompt.

    P and L are rounded up, so that a few more prompts do not change the shapes. shape: of the
    latents (frames, rows, columns); rows: number of action rows.
    """
    config, device = transformer.config, transformer.device
    prompts = prompts + prompts[:1] * (-len(prompts) % 16)
    lengths = [len(prompt) for prompt in prompts]
    longest = -(-max(lengths) // 16) * 16
    padded = [prompt + [0] * (longest - len(prompt)) for prompt in prompts]
    first_row = 1 - int(embodiment.state_row)
    positions = [
        generator_positions(config, length, shape, embodiment.fps, rows, first_row)
        for length in lengths
    ]
    rope = rope_table(torch.stack(positions).to(device), config, transformer.dtype)
    return torch.tensor(padded, device=device), torch.tensor(lengths, device=device), rope


def prefill_prompts(
    transformer: Transformer, text: TextBatch, index: Tensor
) -> tuple[KVCache, Rope]:
    """Run the text tower; keys, values and rotations of prompt `index` [B] for each sample.

    The tower runs once over every prompt, or over the drawn prompts if there are fewer of them.
    """
    tokens, lengths, rope = text
    drawn = (rope[0][index], rope[1][index])
    if len(tokens) > len(index):
        return dataclasses.replace(
            transformer.prefill(tokens[index])[1], lengths=lengths[index]
        ), drawn
    _, cache = transformer.prefill(tokens)
    layers = (cache.keys, cache.values, cache.generator_keys)
    keys, values, others = ([x.index_select(0, index) for x in kind] for kind in layers)
    return KVCache(keys, values, others, lengths[index]), drawn
