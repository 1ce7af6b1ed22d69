# SPDX-License-Identifier: Apache-2.0
"""Videos that begin with an observation, made step by step: what they are, and what is refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.generation.live_video import LiveVideo
from cosmos3_ros.model.generator import Generator, Request
from cosmos3_ros.model.interface import Observation, gray_observation
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy


@pytest.fixture(scope="module")
def policy(smallest: Path) -> Cosmos3Policy:
    return load_policy(smallest)


@pytest.fixture(scope="module")
def live(policy: Cosmos3Policy) -> LiveVideo:
    return LiveVideo(policy, 9)


def seen(policy: Cosmos3Policy) -> Observation:
    gray, random = gray_observation(policy.embodiment, "go"), np.random.default_rng(0)
    images = {
        view: random.integers(0, 256, image.shape, dtype=np.uint8)
        for view, image in gray.images.items()
    }
    return dataclasses.replace(gray, images=images, stamp=7)


def test_it_is_the_generators_video_and_the_model_is_free_between_steps(
    policy: Cosmos3Policy, live: LiveVideo
) -> None:
    observation, told = seen(policy), []

    def pause(done: int, steps: int) -> None:
        told.append((done, steps))
        assert not policy.model.lock.locked()
        policy.infer(observation)  # a chunk in between changes nothing

    request = live.complete("lift the cube", 5, seed=3, steps=3)
    made = live.generate(request, observation, pause)
    assert told == [(1, 3), (2, 3)]
    assert not policy.model.lock.locked()
    future = live.decode(made, observation.stamp)
    height, width = policy.embodiment.canvas.content
    assert future.frames.shape == (5, height, width, 3)
    assert (future.stamp, future.step) == (7, policy.embodiment.step)
    wanted = Request(
        "lift the cube",
        frames=5,
        size=policy.embodiment.canvas.size,
        fps=policy.embodiment.fps,
        image=policy.embodiment.compose(observation.images),
        steps=3,
        guidance=Guidance(request.guidance),
        shift=request.shift,
        seed=3,
    )
    generator = Generator(policy.model)
    frames = generator.decode(generator.generate(wanted))[:, :height, :width]
    assert np.array_equal(future.frames, frames)


def test_who_gives_up_between_steps_leaves_the_model_free(
    policy: Cosmos3Policy, live: LiveVideo
) -> None:
    def pause(done: int, steps: int) -> None:
        raise KeyError(done)

    with pytest.raises(KeyError):
        live.generate(live.brief(), seen(policy), pause)
    assert not policy.model.lock.locked()


def test_what_is_left_out_is_the_checkpoints(live: LiveVideo) -> None:
    request = live.complete("go")
    assert (request.frames, request.steps, request.guidance, request.shift) == (9, 4, 3.0, 5.0)
    assert live.brief().steps == 2
    structured = json.loads(live.complete('{"temporal_caption": "go"}', 5).prompt)
    assert structured["temporal_caption"] == "go"
    assert "duration" in structured, "of what is generated, as in the model's own captions"


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"frames": 13}, "frames: expected 0, or 5 to 9, got 13"),
        ({"frames": 1}, "frames: expected 0, or 5 to 9, got 1"),
        ({"frames": 7}, r"frames: expected 4 k \+ 1"),
        ({"steps": 100_000}, "steps: expected 1 to 1000, got 100000"),
        ({"guidance": float("nan")}, "guidance: expected a finite number, got nan"),
        ({"guidance": 1e9}, "guidance: expected -100 to 100, got 1000000000"),
        ({"shift": -1.0}, "shift: expected 0, or 0.001 to 1000, got -1.0"),
        ({"seed": -1}, "seed: expected 0 or more, got -1"),
        ({"prompt": " "}, "prompt, prompt_file: expected one of them, got none"),
        ({"prompt": "go " * 5000}, "token"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_computed(
    live: LiveVideo, asked: dict, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        live.complete(**{"prompt": "go", **asked})


@pytest.mark.parametrize("frames", [1, 4, 6, -3])
def test_frames_are_four_k_plus_one(policy: Cosmos3Policy, frames: int) -> None:
    with pytest.raises(ValueError, match=r"generate_frames: expected 0, or 4 k \+ 1"):
        LiveVideo(policy, frames)
