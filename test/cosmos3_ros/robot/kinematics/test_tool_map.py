# SPDX-License-Identifier: Apache-2.0
"""Embodiments that act by poses and twists, on the joints of an arm."""

import dataclasses
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS, Embodiment
from cosmos3_ros.model.embodiment.rotations import matrix_to_rotation_vector, transform_to_pose
from cosmos3_ros.model.interface import ActionChunk
from cosmos3_ros.robot.joint_map import JointMap, map_joints
from cosmos3_ros.robot.kinematics.tool_map import ToolMap
from cosmos3_ros.robot.kinematics.tool_params import ToolActionParams

from .arms import HOME, JOINTS, PANDA, panda, way

pytest.importorskip("pinocchio")
FINGER = "finger_joint"
PARAMS = ToolActionParams(urdf=str(PANDA), tool_frame="panda_tcp")


def mapped(
    embodiment: Embodiment, units: tuple[str, ...] = (), **changes: Any
) -> tuple[JointMap, ToolMap]:
    joints = map_joints(embodiment, [*JOINTS, FINGER], [FINGER], [0.0], [0.8], units)
    return joints, ToolMap(embodiment, joints, dataclasses.replace(PARAMS, **changes))


def chunk_of(embodiment: Embodiment, values: np.ndarray) -> ActionChunk:
    names, discrete = embodiment.action_names, embodiment.discrete
    return ActionChunk(values.astype(np.float32), names, 5, embodiment.step, discrete)


END = HOME + np.array([0.3, 0.2, -0.2, 0.3, 0.1, -0.2, 0.4])


@pytest.mark.parametrize("name", ["droid_midtrain", "bridge", "umi"])
def test_poses_become_joints_whose_tool_has_them(name: str) -> None:
    embodiment, tool = EMBODIMENTS[name], panda()
    _, robot = mapped(embodiment)
    start = np.append(HOME, 0.25)
    state = robot.state(start)
    assert state.dtype == np.float32
    assert np.allclose(state[:3], tool.pose(HOME)[:3, 3], atol=1e-6)
    assert state[7] == 0.25
    embodiment.check_state(state)
    wanted = tool.poses(way(HOME, END, embodiment.horizon))
    closing = np.linspace(0, 1, len(wanted))[:, None]
    values = np.concatenate([transform_to_pose(wanted), closing], axis=1)
    # through the model's rows and back, as a policy gives them
    rows = embodiment.encode_actions(values, state)
    given = chunk_of(embodiment, embodiment.decode_actions(rows, state))
    made = robot.chunk(given, start)
    assert made.names == (*JOINTS, FINGER)
    assert made.discrete == (FINGER,)
    assert (made.stamp, made.step) == (given.stamp, given.step)
    assert np.allclose(made.values[:, 7:], closing, atol=1e-5)
    seen = tool.poses(made.values[:, :7].astype(float))
    assert np.abs(seen[:, :3, 3] - wanted[:, :3, 3]).max() < 1e-4
    assert np.abs(seen[:, :3, :3] - wanted[:, :3, :3]).max() < 1e-3
    assert robot.note == ""


def test_twists_add_up_from_where_the_tool_is() -> None:
    embodiment, tool = EMBODIMENTS["libero"], panda()
    _, robot = mapped(embodiment, twist_scale=(0.02, 0.1))
    start = np.append(HOME, 0.0)
    assert robot.state(start).shape == (0,)
    values = np.zeros((16, 7))
    values[:, 0], values[:, 5], values[8:, 6] = 0.5, -1.0, 1.0  # along x, about the base's z
    made = robot.chunk(chunk_of(embodiment, values), start)
    seen, first = tool.poses(made.values[:, :7].astype(float)), tool.pose(HOME)
    steps = np.arange(1, 17)
    assert np.allclose(seen[:, :3, 3] - first[:3, 3], steps[:, None] * [0.01, 0, 0], atol=1e-4)
    turned = matrix_to_rotation_vector(seen[:, :3, :3] @ first[:3, :3].T)
    assert np.allclose(turned, steps[:, None] * [0, 0, -0.1], atol=1e-3)
    assert made.values[:, 7].tolist() == [0.0] * 8 + [1.0] * 8


def test_without_a_state_poses_count_from_the_tool() -> None:
    embodiment = dataclasses.replace(EMBODIMENTS["droid_midtrain"], state=(), state_row=False)
    _, robot = mapped(embodiment)
    values = np.tile([0.0, 0, 0, 0, 0, 0, 1, 0], (4, 1))
    values[:, 2] = [-0.01, -0.02, -0.03, -0.04]  # back along the tool, which points down
    made = robot.chunk(chunk_of(embodiment, values), np.append(HOME, 0.0))
    seen, first = panda().poses(made.values[:, :7].astype(float)), panda().pose(HOME)
    assert np.allclose(seen[:, 2, 3] - first[2, 3], [0.01, 0.02, 0.03, 0.04], atol=1e-3)


def test_a_robot_that_counts_in_degrees_gets_degrees() -> None:
    embodiment, tool = EMBODIMENTS["droid_midtrain"], panda()
    joints, robot = mapped(embodiment, units=("deg",) * 7 + ("rad",))
    said = np.append(np.degrees(HOME), 0.4)
    at = joints.to_policy(said)
    pose = np.append(transform_to_pose(tool.pose(HOME)), 1.0)
    made = joints.chunk(robot.chunk(chunk_of(embodiment, pose[None]), at))
    assert np.allclose(made.values[0, :7], said[:7], atol=2.0)
    seen = tool.pose(np.radians(made.values[0, :7].astype(float)))
    assert np.abs(seen - tool.pose(HOME)).max() < 1e-4
    assert made.values[0, 7] == np.float32(0.8)


def test_what_is_out_of_reach_is_said_and_far_out_of_reach_refused() -> None:
    embodiment = EMBODIMENTS["droid_midtrain"]
    _, robot = mapped(embodiment, tool_clip=(0.05, 0.5))
    start, pose = np.append(HOME, 0.0), np.append(transform_to_pose(panda().pose(HOME)), 0.0)
    values = np.tile(pose, (16, 1))
    values[:, 0] += np.linspace(0, 0.43, 16)
    robot.chunk(chunk_of(embodiment, values), start)
    assert robot.note.startswith("row 16 of 16, the tool at (0.")
    assert "out of reach by 0.0" in robot.note
    values[:, 0] += np.linspace(0, 0.3, 16)
    with pytest.raises(
        ValueError, match=r"row 16 .* out of reach by 0\.\d+ m .*, limit 0\.050 m and 28\.6 degrees"
    ):
        robot.chunk(chunk_of(embodiment, values), start)


def test_the_commanders_limits_slow_down_a_path_beside_a_singularity() -> None:
    """The tool goes straight over the first axis, past it by 2 mm, at 0.3 m/s."""
    from cosmos3_ros.execution.chunk_player import ChunkPlayer
    from cosmos3_ros.training.evaluation.closed_loop import commander_settings

    embodiment = EMBODIMENTS["droid_midtrain"]
    _, robot = mapped(embodiment)
    poses, start = np.tile(panda().pose(HOME), (32, 1, 1)), HOME
    for part in (0, 1):  # first to above the table beside the axis, then over it
        way = np.linspace(0, 1, 33)[1:]
        poses[:, 0, 3] = 0.3 - 0.6 * way if part else 0.36 - 0.06 * way
        poses[:, 1, 3] = 0.002 if part else 0.002 * way
        poses[:, 2, 3] = 0.7 if part else 0.49 + 0.21 * way
        values = np.concatenate([transform_to_pose(poses), np.zeros((32, 1))], axis=1)
        made = robot.chunk(chunk_of(embodiment, values), np.append(start, 0.0))
        begin, start = start, made.values[-1, :7].astype(float)
    assert np.abs(np.diff(made.values, axis=0)).max() > 0.2  # 3 rad/s at the singularity
    limits, _ = commander_settings()
    player = ChunkPlayer(JOINTS, limits, (FINGER,))
    player.start_at(made.stamp, begin)
    played = player.load(made.stamp, made, 1, measured=begin)
    assert played, player.last_rejection
    assert player.motion is not None
    assert 0.1 <= player.motion.pace < 0.8
    assert "of its speed" in player.last_limit


def test_limits_of_the_robot_file_are_kept_if_they_are_tighter() -> None:
    embodiment, high = EMBODIMENTS["droid_midtrain"], [2.0, -0.5, 2, -1, 2, 3, 2]
    _, robot = mapped(embodiment, upper=high)
    wanted = transform_to_pose(panda().poses(way(HOME, HOME + 0.3 * np.eye(7)[1], 16)))
    values = np.concatenate([wanted, np.zeros((16, 1))], axis=1)
    made = robot.chunk(chunk_of(embodiment, values), np.append(HOME, 0.0))
    assert (made.values[:, :7] <= np.array(high) + 1e-6).all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"urdf": ""}, "droid_midtrain acts by poses: parameter 'urdf' is empty"),
        ({"tool_frame": ""}, "acts by poses: parameter 'tool_frame' is empty"),
        ({"tool_frame": "hand"}, "acts by poses: parameter 'tool_frame' is 'hand', but robot"),
        ({"lower": [0.0]}, "parameter 'lower': expected a number for each of"),
        ({"lower": [3.0] * 7}, "limits of 'panda_joint1' leave no range: .* 3.000 to 2.897"),
    ],
)
def test_parameters_that_do_not_fit_are_said(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        mapped(EMBODIMENTS["droid_midtrain"], **changes)


def test_the_gripper_is_asked_for_if_the_embodiment_has_one() -> None:
    with pytest.raises(ValueError, match=r"'gripper_joint' is '' of 'joints' .* the grippers"):
        map_joints(EMBODIMENTS["umi"], JOINTS, [])
    with pytest.raises(ValueError, match="'gripper_joint' is 'thumb' of 'joints'"):
        map_joints(EMBODIMENTS["umi"], JOINTS, ["thumb"])


def test_other_embodiments_are_refused() -> None:
    joints = map_joints(EMBODIMENTS["droid_sim"], [*JOINTS, FINGER], [FINGER], [0.0], [0.8])
    with pytest.raises(ValueError, match="droid_sim acts by joints"):
        ToolMap(EMBODIMENTS["droid_sim"], joints, PARAMS)
    told = dataclasses.replace(EMBODIMENTS["libero"], state=EMBODIMENTS["droid_sim"].state)
    with pytest.raises(ValueError, match="expected no state, or the tool's x, y, z"):
        mapped(told)


@pytest.mark.parametrize("name", ["droid_midtrain", "bridge", "umi", "libero"])
def test_rows_of_joints_become_commands_that_lead_the_tool_there(name: str) -> None:
    embodiment, tool = EMBODIMENTS[name], panda()
    _, robot = mapped(embodiment)
    start, end = np.append(HOME, 0.25), HOME + 0.3 * (END - HOME)
    arm = way(HOME, end, embodiment.horizon)
    rows = np.concatenate([arm, np.linspace(0.3, 1, len(arm))[:, None]], axis=1)
    values = robot.commands(rows, start)
    assert values.shape == (embodiment.horizon, len(embodiment.action))
    assert values.dtype == np.float32
    made = robot.chunk(chunk_of(embodiment, values), start)
    assert np.allclose(tool.poses(made.values[:, :7].astype(float)), tool.poses(arm), atol=2e-3)
    assert np.allclose(made.values[:, 7], rows[:, 7])
