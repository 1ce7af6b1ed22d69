# SPDX-License-Identifier: Apache-2.0
"""Forward dynamics: futures that a trained generator predicts for recorded action rows."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from ...model.diffusion.sampler import denoise, flow_schedule
from ...model.language.captions import tokenize
from ...model.policy import Cosmos3Policy
from .latent_encoder import Encoder
from .text_batch import pad_prompts, prefill_prompts


class ForwardDynamics:
    """Predicts latents of many windows at once, as the policy of a checkpoint would.

    Without guidance, and from zeros, the mean of the noise.
    """

    def __init__(self, policy: Cosmos3Policy):
        assert policy.model.vae is not None  # a policy has one
        self._embodiment, self._transformer = policy.embodiment, policy.model.transformer
        self._shape = Encoder(policy.model.vae, policy.embodiment).shape
        self._prompt = functools.cache(
            lambda way: tokenize(policy.model.tokenizer, policy.caption(way))
        )
        steps = policy.options.future_steps or policy.options.num_steps
        self._schedule = flow_schedule(steps, policy.options.shift)

    @torch.no_grad()
    def __call__(self, latents: Tensor, rows: Tensor, instructions: Sequence[str]) -> Tensor:
        """Latents float32 [B, C, F, h, w]: frame 0 as observed, later frames predicted.

        Padding stays. latents: of the recorded videos, normalized; rows: float32 [B, R,
        channels] as in Clip.
        """
        transformer, embodiment = self._transformer, self._embodiment
        _, height, width = self._shape
        whole, latents = latents.clone(), latents[..., :height, :width]
        ways = sorted(set(instructions))
        text = pad_prompts(
            transformer, embodiment, [self._prompt(way) for way in ways], self._shape, rows.shape[1]
        )
        index = torch.tensor([ways.index(way) for way in instructions], device=latents.device)
        cache, rope = prefill_prompts(transformer, text, index)
        noisy_frames = torch.arange(latents.shape[2], device=latents.device) > 0
        noisy_rows = torch.zeros(rows.shape[1], dtype=torch.bool, device=latents.device)
        actions = torch.nn.functional.pad(
            rows, (0, transformer.config.action_width - rows.shape[2])
        )
        domain = torch.full((len(rows),), embodiment.domain_id, device=latents.device)

        def velocity(sample: Tensor, time: float) -> Tensor:
            times = torch.full((len(sample),), time, device=sample.device)
            parts = (sample, times, cache, rope, noisy_frames, actions, noisy_rows, domain)
            return transformer.velocity(*parts)[0].float()

        seen = ~noisy_frames[:, None, None].expand_as(latents)
        start = torch.where(seen, latents, 0)
        whole[..., :height, :width] = denoise(start, velocity, self._schedule, seen)
        return whole
