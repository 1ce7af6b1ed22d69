# SPDX-License-Identifier: Apache-2.0
"""Joint names are put in order and grippers change their unit."""

import numpy as np
import pytest

from cosmos3_ros.model.interface import ActionChunk
from cosmos3_ros.robot.joint_map import JointMap

ROBOT = JointMap(("j1", "j2", "finger"), "finger", gripper_open=0.8, gripper_closed=0.0)


def test_states_come_out_in_the_policys_units() -> None:
    state = ROBOT.to_policy(np.array([[1.0, 2.0, 0.2], [1.0, np.nan, 0.9]]))
    assert state[0].tolist() == pytest.approx([1.0, 2.0, 0.75])
    assert np.isnan(state[1, 1]), "what is not known stays unknown"
    assert state[1, 2] == 0.0, "clipped"


def test_a_chunk_comes_out_in_the_robots_names_and_units() -> None:
    chunk = ActionChunk(
        np.array([[0.1, 0.2, 0.0], [0.3, 0.4, 1.5]], np.float32),
        ("a", "b", "gripper"),
        5,
        7,
        ("gripper",),
    )
    out = ROBOT.chunk(chunk)
    assert out.names == ("j1", "j2", "finger")
    assert out.discrete == ("finger",)
    assert out.values[:, 2].tolist() == pytest.approx([0.8, 0.0]), "clipped to 0..1, then scaled"
    assert np.array_equal(out.values[:, :2], chunk.values[:, :2])
    assert (out.stamp, out.step) == (5, 7)


def test_a_map_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="gripper_joint 'x'"):
        JointMap(("a",), "x")
    with pytest.raises(ValueError, match="distinct"):
        JointMap(("a", "a"))
    with pytest.raises(ValueError, match="both"):
        JointMap(("a",), "a", 0.5, 0.5)
