# SPDX-License-Identifier: Apache-2.0
"""Several robots at once: one pass of the network per denoising step for all observations."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .diffusion.conditioning import DenoiserInput
from .interface import ActionChunk, Observation, Prediction, committed_rows
from .policy import Cosmos3Policy


def infer_batch(policy: Cosmos3Policy, observations: Sequence[Observation]) -> list[Prediction]:
    """What `policy.infer` answers to each observation in turn, for the cost of one batch.

    ValueError names a missing view or a wrong state, before anything is computed; so does an empty
    batch.
    """
    if not observations:
        raise ValueError("observations: expected at least one, got none")
    if policy.model.team:
        raise ValueError(
            "observations: a model that several processes share answers one after the other"
        )
    if policy.options.future_steps:
        raise ValueError(
            "observations: expected a policy with future_steps 0, futures are drawn with the rows "
            "here"
        )
    for observation in observations:
        policy.embodiment.check_state(observation.state)
    denoiser = policy.denoiser
    with policy.model.lock, policy.stream:
        clock = policy.stream.clock()
        texts = [denoiser.read(policy.caption(each.instruction)) for each in observations]
        clock.lap("text")
        whole = [_input(policy, each) for each in observations]
        inputs = [policy.shortened(each) for each in whole]
        clock.lap("encode")
        latents, actions = denoiser.run_batch(
            inputs,
            texts,
            denoiser.read(""),
            policy.schedule,
            policy.guidance,
            policy.options.full_steps,
        )
        rows = actions.cpu().numpy()
        clock.lap("denoise")
    seconds = clock.seconds()
    chunks = [policy.chunk(row, each) for row, each in zip(rows, observations, strict=True)]
    each = zip(whole, latents.split(1), actions.split(1), texts, strict=True)
    futures = [policy.future(*parts) for parts in each]
    return [
        Prediction(chunk, seconds, future) for chunk, future in zip(chunks, futures, strict=True)
    ]


def infer_samples(
    policy: Cosmos3Policy, observation: Observation, committed: ActionChunk | None, count: int
) -> list[Prediction]:
    """`count` chunks for one observation, for the cost of one batch.

    The first has the noise that `policy.infer` would have drawn; that of the others follows from
    its seed, so that the next chunk's stays what it would be. ValueError as of `policy.infer`.
    """
    policy.embodiment.check_state(observation.state)
    kept = committed_rows(committed, policy.embodiment, observation.stamp)
    denoiser = policy.denoiser
    with policy.model.lock, policy.stream:
        clock = policy.stream.clock()
        caption = denoiser.checked(policy.caption(observation.instruction))
        canvas = policy.compose(observation)
        clock.lap("compose")
        seen = policy.encode(canvas)
        seed, *first = policy.next_noise()
        seeds = np.random.SeedSequence(seed).generate_state(count - 1)
        noises = [(first[0], first[1]), *(policy.noise_of(int(one)) for one in seeds)]
        whole = [
            policy.denoiser_input(seen, observation.state, noise, rows, kept=kept)
            for noise, rows in noises
        ]
        clock.lap("encode")
        text, negative = denoiser.read(caption), denoiser.read("")
        clock.lap("text")
        latents, actions = denoiser.run_batch(
            [policy.shortened(each) for each in whole],
            [text] * count,
            negative,
            policy.schedule,
            policy.guidance,
            policy.options.full_steps,
        )
        rows = actions.cpu().numpy()
        clock.lap("denoise")
    seconds = clock.seconds()
    found = []
    for row, inputs, each, action in zip(
        rows, whole, latents.split(1), actions.split(1), strict=True
    ):
        chunk = policy.chunk(row, observation)
        policy.keep(chunk, kept)
        found.append(Prediction(chunk, seconds, policy.future(inputs, each, action, text)))
    return found


def _input(policy: Cosmos3Policy, observation: Observation) -> DenoiserInput:
    seen = policy.encode(policy.compose(observation))
    _, noise, row_noise = policy.draw_noise()
    return policy.denoiser_input(seen, observation.state, noise, row_noise)
