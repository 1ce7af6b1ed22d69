# SPDX-License-Identifier: Apache-2.0
"""What a candidate says about every joint at every row, and what is refused in one line."""

import numpy as np
import pytest

from cosmos3_ros.execution.candidates.candidate import Candidate, CandidateReader
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot.joint_map import map_joints
from cosmos3_ros.robot.kinematics.tool_map import ToolMap
from cosmos3_ros.robot.kinematics.tool_params import ToolActionParams
from cosmos3_ros.robot.robot_file import config_folder

DROID_SIM = EMBODIMENTS["droid_sim"]
JOINTS = (*(f"panda_joint{k}" for k in range(1, 8)), "finger_joint")
ROBOT = map_joints(DROID_SIM, JOINTS, ["finger_joint"], [0.0], [0.8])
STATE = np.array([0.1, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.25], np.float32)
READER = CandidateReader(DROID_SIM, ROBOT, (-2.9,) * 7, (3.8,) * 7)
STEP = DROID_SIM.step / NS
SPAN = DROID_SIM.horizon * STEP


def candidate(names: list[str], times: list[float], *points: list[float]) -> Candidate:
    return Candidate(
        tuple(names),
        np.array(times),
        np.array(points, float).reshape(len(times), -1 if points else len(names)),
    )


def test_a_target_is_reached_in_a_line_and_what_is_not_named_rests() -> None:
    target = candidate(["panda_joint2", "finger_joint"], [0.0], [-0.2, 0.8])
    chunk = READER.chunk(target, STATE, 7)
    assert (chunk.stamp, chunk.step, chunk.names) == (7, DROID_SIM.step, DROID_SIM.action_names)
    assert chunk.discrete == DROID_SIM.discrete
    share = np.arange(1, DROID_SIM.horizon + 1) / DROID_SIM.horizon
    assert chunk.values[:, 1] == pytest.approx(-0.6 + 0.4 * share)
    assert chunk.values[:, 7] == pytest.approx(1.0), "a gripper jumps, in the policy's units"
    rest = [0, 2, 3, 4, 5, 6]
    assert np.allclose(chunk.values[:, rest], STATE[rest])
    note = target.note(JOINTS, SPAN)
    assert note.startswith("a target, reached after 1.07 s; not named, so at rest: panda_joint1")


def test_points_are_due_at_their_times_and_the_last_one_goes_on() -> None:
    names = ["panda_joint1", "finger_joint"]
    points = candidate(names, [3 * STEP, 4 * STEP], [0.4, 0.0], [0.5, 0.8])
    values = READER.chunk(points, STATE, 0).values
    assert values[:5, 0] == pytest.approx([0.2, 0.3, 0.4, 0.5, 0.5], abs=1e-6)
    assert values[[0, 2, 3, 15], 7] == pytest.approx([0.0, 0.0, 1.0, 1.0])
    note = points.note(JOINTS, SPAN)
    assert "2 points until 0.27 s; at unequal times, linear in between" in note
    assert "the last position goes on until 1.07 s" in note


def test_the_rows_of_a_chunk_come_back_as_they_were() -> None:
    rng = np.random.default_rng(0)
    values = STATE + np.cumsum(rng.normal(0, 0.01, (DROID_SIM.horizon, 8)), axis=0)
    values[:, 7] = rng.integers(0, 2, DROID_SIM.horizon)
    times = STEP * np.arange(1, DROID_SIM.horizon + 1)
    chunk = READER.chunk(Candidate(JOINTS, times, ROBOT.to_robot(values)), STATE, 0)
    assert np.abs(chunk.values - values).max() < 1e-6


def test_what_lasts_longer_than_the_clip_is_cut_and_said() -> None:
    long = candidate(["panda_joint1"], [0.0, 4 * SPAN], [0.1], [0.9])
    values = READER.chunk(long, STATE, 0).values
    assert values[-1, 0] == pytest.approx(0.3)
    assert "of which 1.07 s are imagined" in long.note(JOINTS, SPAN)


@pytest.mark.parametrize(
    ("names", "times", "points", "words"),
    [
        ([], [0.0], [[]], r"expected distinct joint names, got \[\]"),
        (["a", "a"], [0.0], [[1, 1]], "expected distinct joint names, got \\['a', 'a'\\]"),
        (["a", ""], [0.0], [[1, 1]], "expected distinct joint names"),
        (["a"], [], [], "expected 1 to 1000 points, got 0"),
        (["a"], list(range(1001)), [[0]] * 1001, "expected 1 to 1000 points, got 1001"),
        (["a", "b"], [0.0], [[1]], "expected 2 positions in each of 1 points, got"),
        (["a"], [0.0], [[np.nan]], "expected finite positions"),
        (["a"], [np.inf], [[1]], "expected finite times"),
        (["a"], [-0.1, 1.0], [[1], [1]], "expected rising times from 0 to 30 s, got -0.1, 1"),
        (["a"], [0.5, 0.5], [[1], [1]], "expected rising times"),
        (["a"], [31.0], [[1]], "expected rising times from 0 to 30 s, got 31"),
    ],
)
def test_what_is_no_candidate(names: list, times: list, points: list, words: str) -> None:
    with pytest.raises(ValueError, match=f"^candidate: {words}") as error:
        candidate(names, times, *points)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("names", "times", "points", "words"),
    [
        (["elbow"], [0.0], [[0]], "no joint 'elbow'; there are \\['panda_joint1'"),
        (["panda_joint1"], [0.5, 2.0], [[0], [3.9]], "is at 3.900 in point 2 of 2, .* most 3.800"),
        (["panda_joint4"], [0.0], [[-3.0]], "is at -3.000 in point 1 of 1, expected at least -2.9"),
        (["finger_joint"], [0.0], [[45.0]], "finger_joint is at 45.000, expected from 0.0 .open"),
        (["panda_joint1"], [0.1], [[2.0]], "panda_joint1 moves by 19.0 rad/s"),
        (["panda_joint1"], [0.0, 1.0], [[2.0], [2.0]], "panda_joint1 moves by 28.5 rad/s"),
    ],
)
def test_what_this_robot_cannot_play(names: list, times: list, points: list, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        READER.chunk(candidate(names, times, *points), STATE, 0)


def test_limits_are_those_of_the_arm_and_bind_what_is_asked_for() -> None:
    with pytest.raises(
        ValueError, match=r"parameter 'upper': expected a number for each of .'panda"
    ):
        CandidateReader(DROID_SIM, ROBOT, (-2.9,) * 7, (3.8,) * 8)
    outside = STATE.copy()
    outside[0] = 3.85  # where it is, not where it is to be
    READER.chunk(candidate(["panda_joint2"], [0.0], [-0.5]), outside, 0)


def test_degrees_are_noticed_where_no_limits_are_known() -> None:
    reader = CandidateReader(DROID_SIM, ROBOT)
    with pytest.raises(ValueError, match=r"candidate: panda_joint1 is at 48.1 rad, .*degrees"):
        reader.chunk(candidate(["panda_joint1"], [20.0], [900.0]), STATE, 0)


def test_for_a_tool_a_candidate_of_joints_is_told_in_commands_of_the_tool() -> None:
    """A robot that acts by poses is asked about its joints all the same, and checked by them."""
    pytest.importorskip("pinocchio")
    body = EMBODIMENTS["droid_midtrain"]
    joints = map_joints(body, JOINTS, ["finger_joint"], [0.0], [0.8])
    urdf = config_folder() / "urdf" / "droid_sim.urdf"
    params = ToolActionParams(urdf=str(urdf), tool_frame="panda_link8")
    tool = ToolMap(body, joints, params)
    reader = CandidateReader(body, joints, (-2.9,) * 7, (3.8,) * 7, tool)
    there = candidate(["panda_joint1", "finger_joint"], [0.0], [0.3, 0.8])
    chunk = reader.chunk(there, STATE, 7)
    assert (chunk.names, len(chunk.values)) == (body.action_names, body.horizon)
    last = STATE.copy()
    last[[0, 7]] = 0.3, 1.0
    assert chunk.values[-1] == pytest.approx(tool.commands(last[None], STATE)[0], abs=1e-5)
    with pytest.raises(ValueError, match=r"panda_joint2 is at 3\.900 in point 1 of 1"):
        reader.chunk(candidate(["panda_joint2"], [0.0], [3.9]), STATE, 0)
    with pytest.raises(ValueError, match=r"panda_joint1 moves by .* rad/s"):
        reader.chunk(candidate(["panda_joint1"], [0.01], [3.0]), STATE, 0)
    state, rest = reader.at_rest()
    assert state == pytest.approx(tool.state(np.zeros(8)))
    assert np.ptp(rest.values, axis=0).max() < 1e-6
