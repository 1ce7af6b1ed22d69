# SPDX-License-Identifier: Apache-2.0
"""A tower of transformer layers, which attend causally (text) or to everything (generator)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .kv_cache import KVCache, Pair
from .layers import MLP, RMSNorm, Rope, attention, rotate


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

    def project(self, x: Tensor, rope: Rope) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """x [B, N, hidden] -> query, key, value and, if it differs, the generator's key.

        Each is [B, N, heads, head_dim], the keys and values with kv_heads.
        """
        if self.qkv is None:
            return self.rotated((self.q(x), self.k(x), self.v(x)), rope)
        return self.rotated(self.qkv(x).split(self.widths, -1), rope)

    def rotated(
        self, parts: Sequence[Tensor], rope: Rope
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """`project` from the three products on: normed by head, and rotated."""
        query, key, value = (part.unflatten(-1, (-1, self.head_dim)) for part in parts)
        norm = self.generator_k_norm
        generator_key = None if norm is None else rotate(norm(key), rope)
        if self.q_norm is not None and self.k_norm is not None:
            query, key = self.q_norm(query), self.k_norm(key)
        return rotate(query, rope), rotate(key, rope), value, generator_key


class Layer(nn.Module):
    """A pre-norm transformer block in two parts, before and after the product of the attention."""

    def __init__(self, config: ModelConfig, qk_norm: bool, generator_norm: bool):
        super().__init__()
        round_last = config.activation == "relu2"
        self.attention_norm = RMSNorm(config.hidden, config.norm_eps, round_last)
        self.attention = Attention(config, qk_norm, generator_norm)
        self.mlp_norm = RMSNorm(config.hidden, config.norm_eps, round_last)
        self.mlp = MLP(config)
        # the product of the attention in `generate`; `optimize` may put a faster one here
        self.attend: Callable[..., Tensor] = attention
        # whether FP8 products read what was rounded where it was made, see `optimize.fuse_rounding`
        self.fused = False

    def before_attention(
        self, x: Tensor, rope: Rope
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """Norm and `Attention.project`."""
        if not self.fused:
            return self.attention.project(self.attention_norm(x), rope)
        qkv: Any = self.attention.qkv
        product, _ = qkv.normed_matmul(x, self.attention_norm)
        query, key, value, other = self.attention.rotated(
            product.split(self.attention.widths, -1), rope
        )
        return query, key, value.contiguous(), other  # joined to the text's four times as fast

    def after_attention(self, x: Tensor, *attended: Tensor) -> Tensor:
        """Output projection and MLP; `attended` is one tensor, or one for each row of the batch."""
        if not self.fused:
            x = x + self.attention.out(torch.cat(attended) if len(attended) > 1 else attended[0])
            return x + self.mlp(self.mlp_norm(x))
        out, gate_up, down = self._products()
        both, x = gate_up.normed_matmul(out.joined_matmul(attended), self.mlp_norm, x)
        return x + down.gated_matmul(both)

    def _products(self) -> Any:
        """Those after the attention."""
        return self.attention.out, self.mlp.gate_up, self.mlp.down

    def text(self, x: Tensor, rope: Rope, cache: KVCache, number: int) -> Tensor:
        """Causal attention over the cache and x; the new keys and values join the cache."""
        query, key, value, generator_key = self.before_attention(x, rope)
        keys, values = cache.append(number, key, value, generator_key)
        return self.after_attention(x, attention(query, keys, values, causal=True))

    def generate(
        self,
        x: Tensor,
        rope: Rope,
        text: Pair | list[Pair],
        mask: Tensor | None,
        hidden: int = 0,
        kept: list[list[Pair]] | None = None,
    ) -> Tensor:
        """Every token of x attends to the text's keys and values and to all of x.

        text: keys and values for all rows, or a list with those of each row. hidden: so many tokens
        at the end of x are not attended to by those before them. kept: with a list of texts, gets
        for each row what was attended to: keys and values of its text, then of x.
        """
        query, key, value, _ = self.before_attention(x, rope)
        if not isinstance(text, list):
            seen = _join(text, key, value)
            return self.after_attention(x, self._attend(query, seen, hidden, mask))
        rows = zip(text, key.split(1), value.split(1), strict=True)
        joined = [_join(pair, k, v) for pair, k, v in rows]
        if kept is not None:
            kept.append(joined)
        each = zip(query.split(1), joined, strict=True)
        return self.after_attention(x, *(self._attend(q, pair, hidden) for q, pair in each))

    forward = generate  # what torch.compile and checkpointing wrap

    def generate_last(self, x: Tensor, rope: Rope, kept: list[Pair]) -> Tensor:
        """The last tokens alone, beside keys and values that `generate` kept, one pair per row.

        Their own keys and values take the place of those kept for them.
        """
        query, key, value, _ = self.before_attention(x, rope)
        count, attended = x.shape[1], []
        rows = zip(kept, query.split(1), key.split(1), value.split(1), strict=True)
        for (keys, values), q, k, v in rows:
            keys[:, -count:] = k
            values[:, -count:] = v
            attended.append(self.attend(q, keys, values))
        return self.after_attention(x, *attended)

    def _attend(self, query: Tensor, seen: Pair, hidden: int, mask: Tensor | None = None) -> Tensor:
        """To keys and values, the last `hidden` of which only the last queries attend to."""
        if not hidden:
            return self.attend(query, *seen, mask=mask)
        less = None if mask is None else mask[..., :-hidden]
        before = [part[:, :-hidden] for part in (query, *seen)]
        last = self.attend(query[:, -hidden:], *seen, mask=mask)
        return torch.cat([self.attend(*before, mask=less), last], dim=1)


def _join(text: Pair, key: Tensor, value: Tensor) -> Pair:
    """Keys and values of the text, followed by those of the generator's tokens."""
    rows = (key.shape[0], -1, -1, -1)
    return torch.cat([text[0].expand(rows), key], dim=1), torch.cat(
        [text[1].expand(rows), value], dim=1
    )


class Tower(nn.Module):
    """A stack of layers and the final norm."""

    def __init__(self, config: ModelConfig, qk_norm: bool, generator_norm: bool = False):
        super().__init__()
        self.layers = nn.ModuleList(
            Layer(config, qk_norm, generator_norm) for _ in range(config.layers)
        )
        self.norm = RMSNorm(config.hidden, config.norm_eps, config.activation == "relu2")
