# SPDX-License-Identifier: Apache-2.0
"""Many pictures of one size through the reasoner's vision encoder at once.

transformers' own pass takes pictures of any sizes, attends to one after the other and asks the
device for their sizes; here they are a batch, which torch.compile sees in one shape. The weights
and the results are the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from ...model.language.vision_encoder import VisionEncoder, cut
from ...model.network.layers import Rope, rotate


def encode_pictures(vision_encoder: VisionEncoder, pictures: Tensor) -> list[Tensor]:
    """Tokens and deepstack features, each [N, tokens, hidden], of pictures uint8 [N, H, W, 3].

    H and W: multiples of the side of a token. ValueError for the vision encoder of Edge.
    """
    if vision_encoder.projector is not None:
        raise ValueError(
            "reasoner: expected a Qwen3-VL vision encoder to train, got that of Cosmos 3 Edge"
        )
    visual: Any = vision_encoder.visual
    pixels, count = vision_encoder.pixels, len(pictures)
    rows, columns = pictures.shape[1] // pixels.patch, pictures.shape[2] // pixels.patch
    patches = cut(pictures, dataclasses.replace(pixels, temporal=1))
    proj = visual.patch_embed.proj  # a picture stands for equal frames: their weights can be added
    x = functional.linear(patches, proj.weight.sum(2).flatten(1), proj.bias).unflatten(
        0, (count, -1)
    )
    x = x + _in_blocks(_resampled(visual, rows, columns), pixels.merge)
    position = torch.stack(
        torch.meshgrid(*(torch.arange(n, device=x.device) for n in (rows, columns)), indexing="ij"),
        dim=-1,
    )
    rope = visual.rotary_pos_emb(x, _in_blocks(position, pixels.merge))
    deep = []
    for number, block in enumerate(visual.blocks):
        x = x + _attend(block.attn, block.norm1(x), rope)
        x = x + block.mlp(block.norm2(x))
        if number in visual.deepstack_visual_indexes:
            deep.append(
                visual.deepstack_merger_list[visual.deepstack_visual_indexes.index(number)](x)
            )
    return [tokens.unflatten(0, (count, -1)) for tokens in (visual.merger(x), *deep)]


def _resampled(visual: Any, rows: int, columns: int) -> Tensor:
    """The learned position embeddings, resampled to the patches: [rows, columns, width]."""
    square = visual.pos_embed.weight.unflatten(0, (visual.num_grid_per_side, -1)).permute(2, 0, 1)[
        None
    ]
    mode, corners = visual.interpolation_mode, visual.interpolation_align_corners
    return functional.interpolate(square, (rows, columns), mode=mode, align_corners=corners)[
        0
    ].permute(1, 2, 0)


def _in_blocks(x: Tensor, merge: int) -> Tensor:
    """[rows, columns, n] -> [rows * columns, n], patches of one token next to each other."""
    return x.unflatten(1, (-1, merge)).unflatten(0, (-1, merge)).transpose(1, 2).flatten(0, 3)


def _attend(attention: Any, x: Tensor, rope: Rope) -> Tensor:
    """Self-attention over the patches of each picture: x [N, P, width] -> the same shape.

    rope: cosines and sines [P, head_dim].
    """
    query, key, value = (
        attention.qkv(x).unflatten(-1, (3, attention.num_heads, -1)).permute(2, 0, 1, 3, 4)
    )
    turns = (rope[0][None], rope[1][None])
    query, key = (rotate(part.float(), turns).to(value.dtype) for part in (query, key))
    query, key, value = (part.transpose(1, 2) for part in (query, key, value))
    return attention.proj(
        functional.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
    )
