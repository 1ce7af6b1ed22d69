# SPDX-License-Identifier: Apache-2.0
"""Several robots at once: one pass of the network per denoising step for all their observations."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from .diffusion.denoiser import Start
from .diffusion.sampler import denoise
from .interface import ActionChunk, Observation, Prediction
from .network.kv_cache import KVCache, Prompts
from .policy import Cosmos3Policy


@torch.no_grad()
def infer_batch(policy: Cosmos3Policy, observations: Sequence[Observation]) -> list[Prediction]:
    """What `policy.infer` says to each observation, as if asked one after the other, for the cost of one batch.

    ValueError names a missing view or a wrong state, before anything is computed; so does an empty
    batch.
    """
    body = policy.embodiment
    if not observations:
        raise ValueError("observations: expected at least one, got none")
    if policy.model.team:
        raise ValueError(
            "observations: a model that several processes share answers one after the other"
        )
    if policy.options.future_steps:
        raise ValueError(
            "observations: expected a policy with future_steps 0, futures are drawn with the rows here"
        )
    for observation in observations:
        body.check_state(observation.state)
    with policy.model.turn, policy._lane:
        clock = policy._lane.clock()
        texts = [
            policy._denoiser.read(policy.caption(observation.instruction))
            for observation in observations
        ]
        clock.lap("text")
        starts = [_start(policy, observation) for observation in observations]
        clock.lap("encode")
        latents, actions = _denoise(policy, starts, texts)
        rows = actions.cpu().numpy()
        clock.lap("denoise")
    seconds = clock.seconds()
    values = [
        body.decode_actions(row[int(body.state_row) :, : body.width], o.state)
        for row, o in zip(rows, observations, strict=True)
    ]
    if not np.isfinite(values).all():
        raise ValueError(
            "policy: the network returned values that are not finite; its weights may be damaged"
        )
    chunks = [
        ActionChunk(value, body.action_names, observation.stamp, body.step, body.discrete)
        for value, observation in zip(values, observations, strict=True)
    ]
    return [
        Prediction(chunk, seconds, latents[place : place + 1]) for place, chunk in enumerate(chunks)
    ]


def _start(policy: Cosmos3Policy, observation: Observation) -> Start:
    seen = policy._encode(policy._compose(observation))
    _, *noise = policy._draw()
    return policy._start(seen, observation.state, {}, *noise)


def _denoise(
    policy: Cosmos3Policy, starts: Sequence[Start], texts: Sequence[KVCache]
) -> tuple[Tensor, Tensor]:
    """Latents [B, C, T, h, w] and actions [B, rows, action_width]."""
    one, guidance, denoiser = starts[0], policy._guidance, policy._denoiser
    many = _joined(starts)
    clean = _joined([_filled(one, one.clean())] * len(starts))
    prompts = Prompts(tuple(texts))
    negative = Prompts((denoiser.read(""),) * len(starts))

    def speed(flat: Tensor, time: float, rows: Prompts) -> Tensor:
        found = denoiser._velocity(many, flat, time, rows)  # [B, numbers of one]
        latents, actions = found.split(
            [one.latents.numel(), found.shape[1] - one.latents.numel()], dim=1
        )
        return torch.cat([latents.flatten(), actions.flatten()])

    def velocity(flat: Tensor, time: float) -> Tensor:
        told = speed(flat, time, prompts)
        if not guidance.applies(time):
            return told
        other = speed(flat, time, negative)
        return other + guidance.scale * (told - other)

    latents, actions = many.split(denoise(many.flat(), velocity, policy._schedule, clean.flat()))
    assert actions is not None  # every start has actions
    return latents, actions


def _joined(starts: Sequence[Start]) -> Start:
    """One start with a row for each of several of the same shape."""
    actions = [start.actions for start in starts if start.actions is not None]
    return dataclasses.replace(
        starts[0],
        latents=torch.cat([start.latents for start in starts]),
        actions=torch.cat(actions),
    )


def _filled(start: Start, flat: Tensor) -> Start:
    """The same shapes with the numbers of `flat`."""
    latents, actions = start.split(flat)
    return dataclasses.replace(start, latents=latents, actions=actions)
