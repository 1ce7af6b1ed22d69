# SPDX-License-Identifier: Apache-2.0
"""Cosmos 3: a text tower and a generator tower of the same shape, tied by one key/value cache.

Text tokens attend causally to text only, so the text tower is an ordinary language model (the
reasoner) and its keys and values are computed once per prompt. Generator tokens attend to that
cache and to each other: in every denoising step the generator tower runs alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .config import ModelConfig
from .kv_cache import KVCache, Pair, Prompts
from .layers import DomainLinear, Rope, TimeEmbedding, patchify, rope_table, unpatchify
from .tower import Layer, Tower, summed


class Transformer(nn.Module):
    """Both towers and their heads.

    reasoner=False leaves out lm_head, generator=False the generator tower with its heads.
    """

    head: nn.Module | None

    def __init__(self, config: ModelConfig, reasoner: bool = True, generator: bool = True):
        super().__init__()
        self.config = config
        self.embed = nn.Embedding(config.vocab, config.hidden)
        self.text = Tower(
            config, config.text_qk_norm, config.text_key_norm_for_generator and generator
        )
        self.head = nn.Linear(config.hidden, config.vocab, bias=False) if reasoner else None
        if generator:
            self.generator = Tower(config, qk_norm=True)
            self.vision_in = nn.Linear(config.patch_width, config.hidden)
            self.vision_out = nn.Linear(config.hidden, config.patch_width)
            self.time = TimeEmbedding(config.hidden, config.timestep_scale)
            if config.action_width:
                self.action_in = DomainLinear(config.action_width, config.hidden, config.domains)
                self.action_out = DomainLinear(config.hidden, config.action_width, config.domains)
                self.action_embed = nn.Parameter(torch.zeros(config.hidden))

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the activations."""
        return self.embed.weight.dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.embed.weight.device

    def prefill(
        self,
        tokens: Tensor | None = None,
        *,
        embeds: Tensor | None = None,
        positions: Tensor | None = None,
        deepstack: Sequence[Tensor] = (),
        cache: KVCache | None = None,
    ) -> tuple[Tensor, KVCache]:
        """Run the text tower over new tokens, after those of `cache`, which is extended in place.

        tokens int64 [B, N] or embeds [B, N, hidden]; positions [3, N] or [B, 3, N], by default
        counting on from the cache; deepstack: features [B, N, hidden] added after layers 0, 1, ...
        Returns the final hidden states [B, N, hidden] (after the norm; see `logits`) and the cache.
        Decoding one token is the same call with N = 1.
        """
        cache = KVCache() if cache is None else cache
        x = self.embed(tokens) if embeds is None else embeds
        if positions is None:
            positions = torch.arange(
                cache.length, cache.length + x.shape[1], device=x.device
            ).expand(3, -1)
        rope = rope_table(positions, self.config, x.dtype)
        for number, layer in enumerate(self.text.layers):
            assert isinstance(layer, Layer)
            x = layer.text(x, rope, cache, number)
            if number < len(deepstack):
                x = x + deepstack[number]
        return self.text.norm(x), cache

    def logits(self, hidden: Tensor) -> Tensor:
        """Scores of the next token: [..., hidden] -> [..., vocab]."""
        if self.head is None:
            raise ValueError("this transformer was loaded without its lm_head (reasoner=False)")
        return self.head(hidden)

    def velocity(
        self,
        latents: Tensor,
        time: Tensor,
        text: KVCache | Prompts,
        rope: Rope,
        noisy_frames: Tensor,
        actions: Tensor | None = None,
        noisy_rows: Tensor | None = None,
        domain: Tensor | None = None,
        row_time: Tensor | None = None,
        hide_rows: bool | Tensor = False,
        hide_future: Tensor | None = None,
        kept: list[list[Pair]] | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """One pass of the generator: the velocity d(sample)/d(noise level), zero for clean tokens.

        latents [B, C, T, H, W]; time [B], 0..1000; rope: `rope_table` of `generator_positions`;
        noisy_frames bool [T] or [B, T]; actions [B, rows, action_width]; noisy_rows bool [rows] or
        [B, rows]; domain int64 [B]. `text` may have one row for the whole batch. Returns the
        velocities of latents and of actions.

        row_time [B]: of the rows, if not that of the video. hide_rows: the video's tokens do not
        attend to the rows; bool [B], with a `KVCache` only: in these samples. hide_future bool [B],
        the same: nothing attends to the video's frames after the first. kept, with `Prompts` only:
        gets the keys and values of each layer, for `row_velocity`.
        """
        tokens = self.vision_in(patchify(latents.to(self.dtype), self.config.patch))
        visual = tokens.shape[1]
        noisy = noisy_frames.expand(latents.shape[0], -1).repeat_interleave(
            visual // latents.shape[2], dim=1
        )
        time_embedding = self._embed_time(time)
        x = tokens + time_embedding * noisy.unsqueeze(-1)
        count = 0
        if actions is not None and noisy_rows is not None:
            count = actions.shape[1]
            late = time_embedding if row_time is None else self._embed_time(row_time)
            x = torch.cat([x, self._embed_rows(actions, late, noisy_rows, domain)], dim=1)
        mask, length = text.mask(x.shape[1]), x.shape[1]
        first = visual // latents.shape[2]
        for samples, query, key in (
            (hide_rows, slice(visual), slice(visual, length)),
            (hide_future, slice(length), slice(first, visual)),
        ):
            if isinstance(samples, Tensor):
                assert isinstance(text, KVCache)  # see above
                mask = _hide(mask, text.length, length, samples, query, key)
        hidden = count if hide_rows is True else 0
        for number, layer in enumerate(self.generator.layers):
            x = layer(x, rope, text.for_generator(number), mask, hidden, kept)
        x = self.generator.norm(summed(x))
        velocity = self.vision_out(x[:, :visual]) * noisy[:, :, None]
        vision = unpatchify(velocity, latents.shape, self.config.patch)
        if actions is None or noisy_rows is None:
            return vision, None
        return vision, self._read_rows(x[:, visual:], noisy_rows, domain)

    def row_velocity(
        self,
        actions: Tensor,
        time: Tensor,
        rope: Rope,
        noisy_rows: Tensor,
        domain: Tensor,
        kept: list[list[Pair]],
    ) -> Tensor:
        """The velocity of the action rows alone, beside what an earlier pass kept.

        rope: of the rows alone; kept: of each layer, for each row of the batch; the keys and values
        of the action rows in it are replaced. The rest as in `velocity`.
        """
        x = self._embed_rows(actions, self._embed_time(time), noisy_rows, domain)
        for layer, pairs in zip(self.generator.layers, kept, strict=True):
            assert isinstance(layer, Layer)
            x = layer.generate_last(x, rope, pairs)
        return self._read_rows(self.generator.norm(summed(x)), noisy_rows, domain)

    def _embed_time(self, time: Tensor) -> Tensor:
        """[B] -> [B, 1, hidden]."""
        return self.time(time).to(self.dtype).unsqueeze(1)

    def _embed_rows(
        self, actions: Tensor, time_embedding: Tensor, noisy_rows: Tensor, domain: Tensor | None
    ) -> Tensor:
        noisy = noisy_rows.expand(actions.shape[0], -1).unsqueeze(-1)
        tokens = self.action_in(actions.to(self.dtype), domain) + self.action_embed
        return tokens + time_embedding * noisy

    def _read_rows(self, x: Tensor, noisy_rows: Tensor, domain: Tensor | None) -> Tensor:
        return self.action_out(x, domain) * noisy_rows.expand(x.shape[0], -1).unsqueeze(-1)


def _hide(
    mask: Tensor | None, text: int, tokens: int, samples: Tensor, query: slice, key: slice
) -> Tensor:
    """An attention mask where in some samples (bool [B]) tokens `query` do not see tokens `key`.

    bool [B, 1, tokens, text + tokens], from `mask`, see `KVCache.mask`, or an earlier one of these.
    """
    hidden = torch.zeros(tokens, text + tokens, dtype=torch.bool, device=samples.device)
    hidden[query, text + key.start : text + key.stop] = True
    seen = ~(hidden & samples[:, None, None, None])
    return seen if mask is None else seen & mask
