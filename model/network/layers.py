# SPDX-License-Identifier: Apache-2.0
"""The modules both towers are made of: norm, MLP, m-RoPE, attention, the small heads."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel

from .config import ModelConfig
from .kv_cache import Pair

# Attention kernels for the generator on a GPU, fastest first; each is used where it can be.
BACKENDS = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
# The same for at most FEW_QUERIES queries: with 33 of them cuDNN takes 1.9 times as long as flash.
FEW_QUERIES = 64
FEW_BACKENDS = [
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]
Rope = tuple[Tensor, Tensor]  # cosines and sines, each [B or 1, N, head_dim]


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last axis, in float32.

    round_last (Edge): round to the dtype of x after the product with the weight, not before.
    """

    def __init__(self, width: int, eps: float, round_last: bool):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps
        self.round_last = round_last

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.eps)
        if self.round_last:
            return (self.weight.float() * wide).to(x.dtype)
        return wide.to(x.dtype) * self.weight


class MLP(nn.Module):
    """down(silu(gate(x)) * up(x)), or for Edge down(relu(up(x))^2)."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        self.gated = config.activation == "silu"
        if self.gated:
            self.gate = nn.Linear(config.hidden, config.mlp, bias=False)
        self.up = nn.Linear(config.hidden, config.mlp, bias=False)
        self.down = nn.Linear(config.mlp, config.hidden, bias=False)
        # gate and up as one product, after `optimize.join_projections`
        self.gate_up: nn.Module | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.gated:
            if self.gate_up is None:
                gate, up = self.gate(x), self.up(x)
            else:
                gate, up = self.gate_up(x).chunk(2, -1)
            return self.down(functional.silu(gate) * up)
        return self.down(functional.relu(self.up(x)).square())


class DomainLinear(nn.Module):
    """x @ W[d] + b[d] with one weight and bias per embodiment domain d.

    W is stored flat, [domains, in * out].
    """

    def __init__(self, width_in: int, width_out: int, domains: int):
        super().__init__()
        self.shape = (width_in, width_out)
        self.weight = nn.Parameter(torch.zeros(domains, width_in * width_out))
        self.bias = nn.Parameter(torch.zeros(domains, width_out))

    def forward(self, x: Tensor, domain: Tensor) -> Tensor:
        """x [B, N, in], domain int64 [B] -> [B, N, out]."""
        weight = self.weight[domain].view(-1, *self.shape)
        return torch.bmm(x, weight.expand(x.shape[0], -1, -1)) + self.bias[domain].unsqueeze(1)


class TimeEmbedding(nn.Module):
    """Sinusoidal embedding of the noise time (0..1000, scaled), and an MLP: [B] -> [B, hidden].

    Kept in float32 whatever the dtype of the network is.
    """

    FREQUENCIES = 128

    def __init__(self, hidden: int, scale: float):
        super().__init__()
        self.scale = scale
        self.first = nn.Linear(2 * self.FREQUENCIES, hidden)
        self.second = nn.Linear(hidden, hidden)

    def forward(self, time: Tensor) -> Tensor:
        """time [B] -> float32 [B, hidden]; the cosines come first."""
        index = torch.arange(self.FREQUENCIES, dtype=torch.float32, device=time.device)
        angle = (time.float() * self.scale).unsqueeze(-1) * torch.exp(
            index * (-math.log(10000.0) / self.FREQUENCIES)
        )
        waves = torch.cat([angle.cos(), angle.sin()], dim=-1)
        return self.second(functional.silu(self.first(waves.to(self.first.weight.dtype))))


def rope_table(positions: Tensor, config: ModelConfig, dtype: torch.dtype) -> Rope:
    """m-RoPE: cosines and sines for positions [B, 3, N] or [3, N] (time, row, column).

    Multimodal rotary position embedding, Qwen2-VL, arXiv 2409.12191. The frequencies are given to
    the axes interleaved, t h w t h w ..., as in Qwen3-VL; the last ones belong to time.
    """
    if positions.dim() == 2:
        positions = positions.unsqueeze(0)
    half = config.head_dim // 2
    exponent = (
        torch.arange(0, config.head_dim, 2, dtype=torch.float32, device=positions.device)
        / config.head_dim
    )
    frequency = 1.0 / config.rope_theta**exponent
    axis = torch.zeros(half, dtype=torch.long, device=positions.device)
    for index in (1, 2):
        axis[index : 3 * config.rope_sections[index] : 3] = index
    angle = positions.float().transpose(1, 2)[..., axis] * frequency  # [B, N, half]
    angle = torch.cat([angle, angle], dim=-1)
    return angle.cos().to(dtype), angle.sin().to(dtype)


def rotate(x: Tensor, rope: Rope) -> Tensor:
    """Rotate x [B, N, heads, head_dim] by m-RoPE; dimension i pairs with i + head_dim / 2."""
    cosine, sine = rope[0].unsqueeze(2), rope[1].unsqueeze(2)
    first, second = x.chunk(2, dim=-1)
    return x * cosine + torch.cat([-second, first], dim=-1) * sine


def attention(
    query: Tensor, key: Tensor, value: Tensor, causal: bool = False, mask: Tensor | None = None
) -> Tensor:
    """Scaled dot-product attention with grouped heads: the only call into an attention kernel.

    query [B, Q, heads, d]; key, value [B, K, kv_heads, d], K >= Q; causal: the queries are the last
    Q of the K positions; mask: bool [B, 1, 1 or Q, K], True where a query attends to a key. Returns
    [B, Q, heads * d].
    """
    queries, keys = query.shape[1], key.shape[1]
    if causal and 1 < queries < keys:
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril(keys - queries)
    plain = query.is_cuda and mask is None and not causal and not torch.is_grad_enabled()
    order = FEW_BACKENDS if queries <= FEW_QUERIES else BACKENDS
    with sdpa_kernel(order, set_priority=True) if plain else contextlib.nullcontext():
        out = functional.scaled_dot_product_attention(
            query.transpose(1, 2),
            key.transpose(1, 2),
            value.transpose(1, 2),
            attn_mask=mask,
            is_causal=causal and queries == keys and mask is None,
            enable_gqa=query.shape[2] != key.shape[2],
        )
    return out.transpose(1, 2).flatten(2)


def joined(pairs: Sequence[Pair]) -> Pair:
    """Keys and values [B, K, kv_heads, d] one after the other."""
    if len(pairs) == 1:
        return pairs[0]
    keys, values = zip(*pairs, strict=True)
    return torch.cat(keys, dim=1), torch.cat(values, dim=1)


def attend_to(query: Tensor, pairs: Sequence[Pair], mask: Tensor | None = None) -> Tensor:
    """`attention` to the keys and values of all pairs."""
    return attention(query, *joined(pairs), mask=mask)


def attend_beside(query: Tensor, key: Tensor, value: Tensor, kept: Sequence[Pair]) -> Tensor:
    """`attention` of few queries to what was kept of all tokens, one pair for each row, whose last
    keys and values are replaced by `key` and `value`, those of the queries' own tokens.

    query [B, Q, heads, d]; key, value [B, Q, kv_heads, d]; kept: B pairs [1, K, kv_heads, d], which
    may be changed. Returns [B, Q, heads * d].
    """
    count, found = query.shape[1], []
    rows = zip(kept, query.split(1), key.split(1), value.split(1), strict=True)
    for (keys, values), q, k, v in rows:
        keys[:, -count:] = k
        values[:, -count:] = v
        found.append(attention(q, keys, values))
    return torch.cat(found)


def patchify(latents: Tensor, patch: int) -> Tensor:
    """[B, C, T, H, W] -> [B, T * rows * columns, patch * patch * C].

    Odd sides are zero-padded below and right.
    """
    latents = functional.pad(latents, (0, -latents.shape[4] % patch, 0, -latents.shape[3] % patch))
    batch, channels, frames, height, width = latents.shape
    tiles = latents.reshape(batch, channels, frames, height // patch, patch, width // patch, patch)
    return tiles.permute(0, 2, 3, 5, 4, 6, 1).reshape(batch, -1, patch * patch * channels)


def unpatchify(tokens: Tensor, shape: tuple[int, ...], patch: int) -> Tensor:
    """The inverse of `patchify`: tokens -> [B, C, T, H, W] = shape, padding cropped."""
    _, channels, frames, height, width = shape
    rows, columns = -(-height // patch), -(-width // patch)
    tiles = tokens.reshape(tokens.shape[0], frames, rows, columns, patch, patch, channels)
    image = tiles.permute(0, 6, 1, 2, 4, 3, 5).reshape(
        tokens.shape[0], channels, frames, rows * patch, columns * patch
    )
    return image[..., :height, :width]
