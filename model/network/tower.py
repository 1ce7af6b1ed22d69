# SPDX-License-Identifier: Apache-2.0
"""A tower of transformer layers, which attend causally (text) or to everything (generator)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .kv_cache import KVCache, Pair
from .layers import MLP, RMSNorm, Rope, attend_beside, attend_to, attention, joined, rotate

# A residual that a layer gives to the next one: the tensor, or in FP8 on a GPU two summands, the
# second a `rounding_kernels.Product`, that the next norm adds.
Residual = Any
# Query, key, value and, if it differs, the generator's key, each [B, N, heads, head_dim].
HeadParts = tuple[Tensor, Tensor, Tensor, Tensor | None]


class Attention(nn.Module):
    """Projections and per-head norms of one attention; the product itself is `layers.attention`."""

    def __init__(self, config: ModelConfig, qk_norm: bool, generator_norm: bool):
        super().__init__()
        round_last = config.activation == "relu2"
        self.head_dim = config.head_dim
        self.q = nn.Linear(config.hidden, config.heads * config.head_dim, bias=False)
        self.k = nn.Linear(config.hidden, config.kv_heads * config.head_dim, bias=False)
        self.v = nn.Linear(config.hidden, config.kv_heads * config.head_dim, bias=False)
        self.out = nn.Linear(config.heads * config.head_dim, config.hidden, bias=False)
        # q, k and v as one product, and their widths in it, after `optimize.join_projections`
        self.qkv: nn.Module | None = None
        self.widths: list[int] = []
        self.q_norm = RMSNorm(config.head_dim, config.norm_eps, round_last) if qk_norm else None
        self.k_norm = RMSNorm(config.head_dim, config.norm_eps, round_last) if qk_norm else None
        self.generator_k_norm = (
            RMSNorm(config.head_dim, config.norm_eps, round_last) if generator_norm else None
        )

    def project(self, x: Tensor, rope: Rope) -> HeadParts:
        """x [B, N, hidden] -> its parts; keys and values have kv_heads."""
        if self.qkv is None:
            return self.rotated((self.q(x), self.k(x), self.v(x)), rope)
        return self.rotated(self.qkv(x).split(self.widths, -1), rope)

    def rotated(self, parts: Sequence[Tensor], rope: Rope) -> HeadParts:
        """`project` from the three products on: normed by head, and rotated."""
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)) for part in parts)
        norm = self.generator_k_norm
        generator_key = None if norm is None else rotate(norm(key), rope)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        # contiguous values are joined to others four times as fast
        return rotate(query, rope), rotate(key, rope), value.contiguous(), generator_key


class Layer(nn.Module):
    """A pre-norm transformer block in two parts, before and after the product of the attention."""

    def __init__(self, config: ModelConfig, qk_norm: bool, generator_norm: bool):
        super().__init__()
        round_last = config.activation == "relu2"
        self.attention_norm = RMSNorm(config.hidden, config.norm_eps, round_last)
        self.attention = Attention(config, qk_norm, generator_norm)
        self.mlp_norm = RMSNorm(config.hidden, config.norm_eps, round_last)
        self.mlp = MLP(config)
        # the products of the attention in `generate` and `generate_last`; `optimize` may put faster
        # ones here
        self.attend: Callable[..., Tensor] = attend_to
        self.attend_beside: Callable[..., Tensor] = attend_beside
        # whether FP8 products read what was rounded where it was made, see `optimize.fuse_rounding`
        self.fused = False

    def before_attention(
        self, x: Residual, rope: Rope
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None]:
        """The residual as one tensor; norm and `Attention.project`."""
        if not self.fused:
            return x, *self.attention.project(self.attention_norm(x), rope)
        qkv: Any = self.attention.qkv
        product, x = qkv.normed_matmul(x, self.attention_norm)
        return x, *product.heads(self.attention, x, rope)

    def after_attention(self, x: Tensor, *attended: Tensor) -> Residual:
        """Output projection and MLP; `attended` is one tensor, or one for each row of the batch."""
        if not self.fused:
            x = x + self.attention.out(torch.cat(attended) if len(attended) > 1 else attended[0])
            return x + self.mlp(self.mlp_norm(x))
        out, gate_up, down = self._products()
        both, x = gate_up.normed_matmul((x, out.joined_matmul(attended)), self.mlp_norm)
        return x, down.gated_matmul(both)

    def _products(self) -> Any:
        """Those after the attention."""
        return self.attention.out, self.mlp.gate_up, self.mlp.down

    def text(self, x: Tensor, rope: Rope, cache: KVCache, number: int) -> Tensor:
        """Causal attention over the cache and x; the new keys and values join the cache."""
        x, query, key, value, generator_key = self.before_attention(x, rope)
        keys, values = cache.append(number, key, value, generator_key)
        return self.after_attention(x, attention(query, keys, values, causal=True))

    def generate(
        self,
        x: Residual,
        rope: Rope,
        text: Pair | list[Pair],
        mask: Tensor | None,
        hidden: int = 0,
        kept: list[list[Pair]] | None = None,
    ) -> Residual:
        """Every token of x attends to the text's keys and values and to all of x.

        text: keys and values for all rows, or a list with those of each row. hidden: so many tokens
        at the end of x are not attended to by those before them. kept: with a list of texts, gets
        for each row what was attended to: keys and values of its text, then of x.
        """
        x, query, key, value, _ = self.before_attention(x, rope)
        if not isinstance(text, list):
            pairs = [_expanded(text, len(key)), (key, value)]
            return self.after_attention(x, self._attend(query, pairs, hidden, mask))
        rows = zip(text, key.split(1), value.split(1), strict=True)
        seen = [[pair, (k, v)] for pair, k, v in rows]
        if kept is not None:
            seen = [[joined(pairs)] for pairs in seen]
            kept.append([pairs[0] for pairs in seen])
        each = zip(query.split(1), seen, strict=True)
        return self.after_attention(x, *(self._attend(q, pairs, hidden) for q, pairs in each))

    forward = generate  # what torch.compile and checkpointing wrap

    def generate_last(self, x: Residual, rope: Rope, kept: list[Pair]) -> Residual:
        """The last tokens alone, beside keys and values that `generate` kept, one pair per row.

        Their own keys and values take the place of those kept for them.
        """
        x, query, key, value, _ = self.before_attention(x, rope)
        return self.after_attention(x, self.attend_beside(query, key, value, kept))

    def _attend(
        self, query: Tensor, pairs: list[Pair], hidden: int, mask: Tensor | None = None
    ) -> Tensor:
        """To keys and values, the last `hidden` of which only the last queries attend to."""
        if not hidden:
            return self.attend(query, pairs, mask=mask)
        less = None if mask is None else mask[..., :-hidden]
        keys, values = pairs[-1]
        before = [*pairs[:-1], (keys[:, :-hidden], values[:, :-hidden])]
        last = self.attend(query[:, -hidden:], pairs, mask=mask)
        return torch.cat([self.attend(query[:, :-hidden], before, mask=less), last], dim=1)


def summed(x: Residual) -> Tensor:
    """What a layer gave, as one tensor."""
    return x if isinstance(x, Tensor) else x[0] + x[1].tensor().view(x[0].shape)


def _expanded(pair: Pair, rows: int) -> Pair:
    """Keys and values for so many rows."""
    shape = (rows, -1, -1, -1)
    return pair[0].expand(shape), pair[1].expand(shape)


class Tower(nn.Module):
    """A stack of layers and the final norm."""

    def __init__(self, config: ModelConfig, qk_norm: bool, generator_norm: bool = False):
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(config, qk_norm, generator_norm) for _ in range(config.layers)
        )
        self.norm = RMSNorm(config.hidden, config.norm_eps, config.activation == "relu2")
