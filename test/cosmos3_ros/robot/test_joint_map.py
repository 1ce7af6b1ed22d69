# SPDX-License-Identifier: Apache-2.0
"""Joint names are put in order, grippers change their unit, and a missing joint is never zero."""

import numpy as np
import pytest

from cosmos3_ros.model.interface import ActionChunk
from cosmos3_ros.robot.joint_map import JointMap

ROBOT = JointMap(("j1", "j2", "finger"), "finger", gripper_open=0.8, gripper_closed=0.0)


def test_permuted_joints_are_put_in_order_and_extra_ones_ignored() -> None:
    state = ROBOT.state(["finger", "other", "j2", "j1"], [0.2, 9.0, 2.0, 1.0])
    assert state.dtype == np.float32
    assert state.tolist() == pytest.approx([1.0, 2.0, 0.75])


@pytest.mark.parametrize(
    ("names", "positions", "words"),
    [
        (["j1", "finger"], [0.0, 0.0], r"lacks \['j2'\]"),
        (["j1", "j2", "finger"], [0.0, 0.0], "3 names but 2 positions"),
        (["j1", "j2", "finger"], [0.0, float("nan"), 0.0], r"\['j2'\] is not finite"),
    ],
)
def test_wrong_joint_states_are_named(names: list[str], positions: list[float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        ROBOT.state(names, positions)


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
