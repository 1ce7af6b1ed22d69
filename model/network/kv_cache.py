# SPDX-License-Identifier: Apache-2.0
"""Keys and values of text that was read: one cache that grows, or one for each row of a batch."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

Pair = tuple[Tensor, Tensor]  # keys and values of one layer, each [B, L, kv_heads, head_dim]


@dataclasses.dataclass(slots=True)
class KVCache:
    """Keys and values of the text seen so far, per layer [B, L, kv_heads, head_dim], after norm and rotation.

    generator_keys: what the generator sees instead of `keys` (Edge only, else empty). lengths:
    int64 [B], the number of real tokens of each row if rows were padded on the right, else None.
    """

    keys: list[Tensor] = dataclasses.field(default_factory=list)
    values: list[Tensor] = dataclasses.field(default_factory=list)
    generator_keys: list[Tensor] = dataclasses.field(default_factory=list)
    lengths: Tensor | None = None

    @property
    def length(self) -> int:
        """Number of cached places, padding included."""
        return self.keys[0].shape[1] if self.keys else 0

    def append(self, layer: int, key: Tensor, value: Tensor, generator_key: Tensor | None) -> Pair:
        """Add places to one layer; returns everything the layer has now."""
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
        """bool [B, 1, 1, L + tokens], False on the padding, for `tokens` more places.

        None if there is no padding.
        """
        if self.lengths is None:
            return None
        place = torch.arange(self.length + tokens, device=self.lengths.device)
        return ((place < self.lengths[:, None]) | (place >= self.length))[:, None, None]


@dataclasses.dataclass(frozen=True, slots=True)
class Prompts:
    """One cache of one prompt for each row of a batch, such as the two branches of guidance.

    Nothing is padded.
    """

    rows: tuple[KVCache, ...]

    def for_generator(self, layer: int) -> list[Pair]:
        """Keys and values of one layer, row by row."""
        return [row.for_generator(layer) for row in self.rows]

    def mask(self, tokens: int) -> None:
        """There is nothing to hide."""
