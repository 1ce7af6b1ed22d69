# SPDX-License-Identifier: Apache-2.0
"""Several robots at once: one pass of the network per denoising step for all observations."""

from __future__ import annotations

from collections.abc import Sequence

from .diffusion.conditioning import DenoiserInput
from .interface import Observation, Prediction
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


def _input(policy: Cosmos3Policy, observation: Observation) -> DenoiserInput:
    seen = policy.encode(policy.compose(observation))
    _, noise, row_noise = policy.draw_noise()
    return policy.denoiser_input(seen, observation.state, noise, row_noise)
