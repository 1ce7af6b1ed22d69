# SPDX-License-Identifier: Apache-2.0
"""Keys and values of the text a prompt consists of: one cache, or one for each row of a batch."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]  # keys and values of one layer, each [B, L, kv_heads, head_dim]


@dataclasses.dataclass(slots=True)
class KVCache:
    """Keys and values of the text seen so far, after norm and rotation."""

    # One tensor per layer, [B, L, kv_heads, head_dim].
    keys: list[Tensor] = dataclasses.field(default_factory=list)
    values: list[Tensor] = dataclasses.field(default_factory=list)
    # What the generator sees instead of `keys` (Edge only, else empty).
    generator_keys: list[Tensor] = dataclasses.field(default_factory=list)
    # int64 [B]: number of real tokens of each row if rows were padded on the right, else None.
    lengths: Tensor | None = None

    @property
    def length(self) -> int:
        """Number of cached tokens, padding included."""
        return self.keys[0].shape[1] if self.keys else 0

    def append(self, layer: int, key: Tensor, value: Tensor, generator_key: Tensor | None) -> Pair:
        """Add tokens to one layer; returns all keys and values that the layer has now."""
        for store, new in (
            (self.keys, key),
            (self.values, value),
            (self.generator_keys, generator_key),
        ):
            if new is not None and layer == len(store):
                store.append(new)
            elif new is not None:
                store[layer] = torch.cat([store[layer], new], dim=1)
        return self.keys[layer], self.values[layer]

    def for_generator(self, layer: int) -> Pair:
        """Keys and values of one layer as the generator sees them."""
        return (self.generator_keys or self.keys)[layer], self.values[layer]

    def mask(self, tokens: int) -> Tensor | None:
        """Attention mask for `tokens` tokens after the cache: bool [B, 1, 1, L + tokens].

        False on the padding; None if there is no padding.
        """
        if self.lengths is None:
            return None
        index = torch.arange(self.length + tokens, device=self.lengths.device)
        return ((index < self.lengths[:, None]) | (index >= self.length))[:, None, None]


@dataclasses.dataclass(frozen=True, slots=True)
class Prompts:
    """One unpadded cache for each row of a batch, such as both branches of guidance."""

    rows: tuple[KVCache, ...]

    def for_generator(self, layer: int) -> list[Pair]:
        """Keys and values of one layer, row by row."""
        return [row.for_generator(layer) for row in self.rows]

    def mask(self, tokens: int) -> None:
        """None: there is no padding."""
