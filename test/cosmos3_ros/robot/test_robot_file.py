# SPDX-License-Identifier: Apache-2.0
"""Every robot file that is shipped, in the nodes themselves with a checkpoint of its embodiment.

What is refused.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint, write_tiny
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.robot.robot_file import config_folder, urdf_of

pytestmark = pytest.mark.ros

FILES = sorted(config_folder().glob("*.yaml"))


def given(path: Path, node: str) -> dict[str, Any]:
    return yaml.safe_load(path.read_text())[f"/**/{node}"]["ros__parameters"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function that gives the tiny checkpoint for an embodiment."""
    written = {"droid_sim": tiny_checkpoint()}

    def find(embodiment: str) -> Path:
        if embodiment not in written:
            written[embodiment] = tmp_path_factory.mktemp(embodiment) / "checkpoint"
            write_tiny(written[embodiment], embodiment=embodiment)
        return written[embodiment]

    return find


@pytest.fixture
def configure(domain: int) -> Iterator[Callable[..., str]]:
    """Function that configures a node with a robot file and changes: why it was refused, or ""."""
    import rclpy
    from rclpy.lifecycle import TransitionCallbackReturn
    from rclpy.parameter import Parameter

    from cosmos3_ros.model.registry import Models
    from cosmos3_ros.nodes.commander_node import CommanderNode
    from cosmos3_ros.nodes.policy_node import PolicyNode

    rclpy.init(args=[])
    makers = {
        "policy": lambda **kwargs: PolicyNode(Models(reasoner=False).policy, **kwargs),
        "commander": CommanderNode,
    }

    def run(path: Path, name: str, **changes: Any) -> str:
        if urdf := urdf_of(path, given(path, name).get("urdf", "")):
            changes = {"urdf": urdf, **changes}
        overrides = [Parameter(key, value=value) for key, value in changes.items()]
        arguments = ["--ros-args", "--params-file", str(path)]
        node = makers[name](cli_args=arguments, parameter_overrides=overrides)
        try:
            done = node.trigger_configure() == TransitionCallbackReturn.SUCCESS
            assert done == (not node.failure)
            return node.failure
        finally:
            node.trigger_shutdown()
            node.destroy_node()

    yield run
    rclpy.shutdown()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_policy_and_commander_take_every_shipped_file(
    path: Path, configure: Any, checkpoint: Any
) -> None:
    wanted = given(path, "policy")  # its checkpoint, if it comes with the package
    trained = wanted.get("checkpoint") or str(checkpoint(wanted["embodiment"]))
    assert configure(path, "policy", checkpoint=trained, num_steps=1, guidance=1.0) == ""
    assert configure(path, "commander") == ""
    policy, commander = given(path, "policy"), given(path, "commander")
    if "led_joints" in policy:  # what is measured is another matter
        assert policy["led_joints"] == [*commander["joints"], commander["gripper_joint"]]
        return
    if "groups" in commander:  # joints of each arm, and its gripper behind them
        arms = [*dict.fromkeys(commander["groups"])]
        pairs = [*zip(commander["joints"], commander["groups"], strict=True)]
        expected = [
            joint
            for arm, gripper in zip(arms, commander["gripper_joints"], strict=True)
            for joint in [*(joint for joint, group in pairs if group == arm), gripper]
        ]
        of_grippers = ("gripper_joints", "grippers_open", "grippers_closed")
    else:
        expected = [*commander["joints"], commander["gripper_joint"]]
        of_grippers = ("gripper_joint", "gripper_open", "gripper_closed")
    assert policy["joints"] == expected
    for name in of_grippers:
        assert policy[name] == commander[name]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_missing_joint_is_named_with_what_was_expected(
    path: Path, configure: Any, checkpoint: Any
) -> None:
    policy, limits = given(path, "policy"), given(path, "commander")
    trained = policy.get("checkpoint") or str(checkpoint(policy["embodiment"]))
    joints = policy["joints"][1:]
    refused = configure(path, "policy", checkpoint=trained, joints=joints)
    count = len(joints)
    if EMBODIMENTS[policy["embodiment"]].kind == "joints":
        expected = f"embodiment {policy['embodiment']} has {count + 1} state columns"
        assert refused.startswith(f"parameter 'joints' has {count} names {joints}, but {expected}")
    else:
        assert f"is moved by ['{policy['joints'][0]}'] in robot description" in refused
        assert f"which 'joints' {joints[:-1]} lacks" in refused
    arm = len(limits["joints"])
    with pytest.raises(
        ValueError, match=f"expected equal lengths, got {{'joints': {arm - 1}, 'lower': {arm}"
    ):
        configure(path, "commander", joints=limits["joints"][1:])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"embodiment": "octopus"},
            "embodiment: unknown 'octopus', expected one of ['agibot', 'av', 'bridge'",
        ),
        (
            {"embodiment": "droid_joint_pos"},
            "embodiment: the checkpoint was trained for droid_sim, got droid_joint_pos",
        ),
        (
            {"embodiment": "libero"},
            "embodiment: libero is of domain 'libero', the checkpoint of 'droid_lerobot'",
        ),
        (
            {"embodiment": "droid_midtrain"},
            "embodiment droid_midtrain acts by poses: parameter 'urdf' is empty: expected a robot",
        ),
        (
            {"gripper_joint": ""},
            "parameter 'gripper_joint' is '', but the gripper of embodiment droid_sim is where",
        ),
        (
            {"gripper_joint": "panda_joint1"},
            "is 'panda_joint1', but the gripper of embodiment droid_sim is where 'joints'",
        ),
        ({"gripper_closed": 0.0}, "gripper_open and gripper_closed are both 0.0"),
    ],
)
def test_an_embodiment_that_does_not_fit_is_refused(
    configure: Any, checkpoint: Callable[[str], Path], changes: dict[str, Any], words: str
) -> None:
    trained = str(checkpoint("droid_midtrain" if "acts by poses" in words else "droid_sim"))
    refused = configure(config_folder() / "droid_sim.yaml", "policy", checkpoint=trained, **changes)
    assert words in refused
    assert len(refused.splitlines()) == 1


@pytest.mark.parametrize(
    "path", sorted(config_folder().glob("controllers/*.yaml")), ids=lambda path: path.stem
)
def test_controllers_are_those_that_the_commander_talks_to(path: Path) -> None:
    """Same joints, the remapped names, and the flags that keep replanned motions smooth."""
    robot = path.parent.parent / path.name
    controllers, commander = yaml.safe_load(path.read_text()), given(robot, "commander")
    names = yaml.safe_load(robot.read_text())["remappings"]["ros__parameters"]
    own = ("arm_controller/joint_trajectory", "gripper_controller/commands")
    arm, gripper = (names.get(name, name).strip("/").split("/")[0] for name in own)
    kinds = controllers["controller_manager"]["ros__parameters"]
    assert kinds[arm]["type"] == "joint_trajectory_controller/JointTrajectoryController"
    assert kinds[gripper]["type"] == "forward_command_controller/ForwardCommandController"
    assert "joint_state_broadcaster" in kinds
    trajectory = controllers[arm]["ros__parameters"]
    assert trajectory["joints"] == commander["joints"]
    assert trajectory["interpolate_from_desired_state"] is True
    assert trajectory["constraints"]["goal_time"] == 0.0
    assert set(trajectory.get("gains", commander["joints"])) == set(commander["joints"])
    assert controllers[gripper]["ros__parameters"]["joints"] == [commander["gripper_joint"]]


def test_the_franka_limits_keep_within_what_its_makers_allow() -> None:
    """FR3: the allowed speed falls near the end of the range (Franka's specifications)."""
    limits = given(config_folder() / "franka_robotiq.yaml", "commander")
    #          most  offset  slope  end up   end down
    table = [
        (2.62, 0.30, 12.0, 2.75010, -2.75010),
        (2.62, 0.20, 5.17, 1.79180, -1.79180),
        (2.62, 0.20, 7.00, 2.90650, -2.90650),
        (2.62, 0.30, 8.00, -0.1458, -3.0481),
        (5.26, 0.35, 34.0, 2.81010, -2.81010),
        (4.18, 0.35, 11.0, 4.52050, 0.54092),
        (5.26, 0.35, 34.0, 3.01960, -3.01960),
    ]
    for joint, (most, offset, slope, up, down) in enumerate(table):
        room = min(up - limits["upper"][joint], limits["lower"][joint] - down)
        allowed = min(most, (slope * room) ** 0.5 - offset)
        assert 1.04 * limits["velocity"][joint] < allowed
