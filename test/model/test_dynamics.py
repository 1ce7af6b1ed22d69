# SPDX-License-Identifier: Apache-2.0
"""One window of the world model: what it depends on, and what it is equal to."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.interface import ActionChunk, Observation
from cosmos3_ros.model.network.config import TINY, ModelConfig
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy


@pytest.fixture(scope="module")
def dynamics(write: Callable[[ModelConfig], Path]) -> Dynamics:
    policy = load_policy(write(TINY), guidance=1.0, num_steps=1, deterministic=True)
    return Dynamics(policy)


@pytest.fixture(scope="module")
def frames(dynamics: Dynamics) -> np.ndarray:
    size = (17, *dynamics.embodiment.canvas.size, 3)
    return np.random.default_rng(0).integers(0, 256, size, dtype=np.uint8)


def observed(dynamics: Dynamics) -> Observation:
    return Observation({}, dynamics.embodiment.neutral_state(), "lift the cube", 7)


def test_actions_depend_on_every_frame_and_short_windows_are_cut(
    dynamics: Dynamics, frames: np.ndarray
) -> None:
    chunk = dynamics.infer_actions(frames, observed(dynamics))
    assert chunk.values.shape == (16, 8)
    assert (chunk.stamp, chunk.step) == (7, dynamics.embodiment.step)
    other = frames.copy()
    other[16] = 0
    assert not np.array_equal(
        chunk.values, dynamics.infer_actions(other, observed(dynamics)).values
    )
    short = dynamics.infer_actions(frames[:6], observed(dynamics))
    held = np.concatenate([frames[:6], np.repeat(frames[5:6], 11, axis=0)])
    assert np.array_equal(short.values, dynamics.infer_actions(held, observed(dynamics)).values[:5])


def test_frames_are_those_of_a_chunk_that_is_committed_whole(
    dynamics: Dynamics, frames: np.ndarray
) -> None:
    """The policy's own futures for rows that are all known, from the mean of the noise."""
    embodiment = dynamics.embodiment
    values = np.random.default_rng(1).normal(0, 0.1, (16, 8)).astype(np.float32)
    seen = embodiment.canvas.cut(frames[0])
    first = embodiment.compose(seen)
    predicted = dynamics.predict_frames(first, values, observed(dynamics))
    policy = Cosmos3Policy(
        dynamics.policy.model, guidance=1.0, num_steps=1, future_steps=1, deterministic=True
    )
    full = dataclasses.replace(observed(dynamics), images=seen)
    chunk = ActionChunk(values, embodiment.action_names, 7, embodiment.step, embodiment.discrete)
    wanted = policy.decode(policy.infer(full, committed=chunk)).frames
    assert np.array_equal(predicted, wanted)
    drawn = dynamics.predict_frames(first, values, observed(dynamics), drawn=True)
    assert not np.array_equal(drawn, predicted)
    held = np.concatenate([values[:3], np.repeat(values[2:3], 13, axis=0)])
    few = dynamics.predict_frames(first, values[:3], observed(dynamics))
    assert np.array_equal(few, dynamics.predict_frames(first, held, observed(dynamics))[:4])


def test_what_does_not_fit_into_a_window_is_refused(dynamics: Dynamics, frames: np.ndarray) -> None:
    wrong = np.zeros((17, 8), np.float32)
    for rows in (wrong, wrong[:0]):
        with pytest.raises(ValueError, match="expected 1 to 16 rows in a window, got"):
            dynamics.predict_frames(frames[0], rows, observed(dynamics))
    with pytest.raises(ValueError, match="expected 1 to 16 rows in a window, got 0"):
        dynamics.infer_actions(frames[:1], observed(dynamics))
    lost = dataclasses.replace(observed(dynamics), state=np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="state of droid_sim: expected 8 values"):
        dynamics.infer_actions(frames, lost)


def test_padding_may_be_left_out(tmp_path: Path) -> None:
    size = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)
    write_tiny(tmp_path / "bridge", config=size, embodiment="bridge")
    dynamics = Dynamics(load_policy(tmp_path / "bridge", guidance=1.0, num_steps=1))
    canvas = dynamics.embodiment.canvas
    assert canvas.content != canvas.size
    view = np.random.default_rng(0).integers(0, 256, (90, 160, 3), dtype=np.uint8)
    whole = dynamics.embodiment.compose({canvas.views[0]: view})
    height, width = canvas.content
    assert (dynamics.encode(whole[None]) == dynamics.encode(whole[None, :height, :width])).all()
