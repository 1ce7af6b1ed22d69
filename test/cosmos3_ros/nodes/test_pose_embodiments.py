# SPDX-License-Identifier: Apache-2.0
"""Embodiments that act by poses and twists in closed loop: nodes, kinematics, simulation."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.slow]

ARM = [f"panda_joint{number}" for number in range(1, 8)]
CAMERAS = {
    "droid_midtrain": {},
    "bridge": {"image": "exterior_1"},
    "umi": {},
    "libero": {"agentview": "exterior_1"},
}


class Hand:
    """Where the hand is, from the joint states, and what the commander reports."""

    def __init__(self, node: Any) -> None:
        from sensor_msgs.msg import JointState
        from std_msgs.msg import String
        from std_srvs.srv import SetBool

        from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings
        from cosmos3_ros.robot.robot_file import config_folder
        from cosmos3_ros.ros import topics

        urdf = str(config_folder() / "urdf" / "droid_sim.urdf")
        self._tool = ToolFrame(ToolSettings(urdf, "panda_link8"), ARM)
        self.joints: np.ndarray | None = None
        self.status: Any = None
        self.chunks: list[Any] = []
        node.create_subscription(JointState, "joint_states", self._on_joints, 5)
        for topic, keep in (
            (topics.COMMANDER_STATUS, lambda message: setattr(self, "status", message)),
            (topics.ACTION_CHUNK, self.chunks.append),
        ):
            node.create_subscription(topic.type, topic.name, keep, topic.qos)
        self._arm = node.create_client(SetBool, "commander/arm")
        self._words, self._text = node.create_publisher(String, "cosmos3/instruction", 5), String

    def _on_joints(self, message: Any) -> None:
        known = dict(zip(message.name, message.position, strict=True))
        self.joints = np.array([known[joint] for joint in ARM])

    @property
    def pose(self) -> np.ndarray:
        assert self.joints is not None
        return self._tool.pose(self.joints)

    def arm(self) -> bool:
        if not self._arm.wait_for_service(0.1):
            return False
        from std_srvs.srv import SetBool

        return self._arm.call(SetBool.Request(data=True)).success

    def instruct(self) -> None:
        self._words.publish(self._text(data="go"))


def test_the_hand_goes_where_the_embodiment_says(start: Any, watcher: Any, wait_until: Any) -> None:
    """One embodiment after the other, each from where the one before has left the arm."""
    from cosmos3_ros.robot.robot_file import config_folder, find_robot_file

    pytest.importorskip("pinocchio")
    hand = Hand(watcher)
    file = find_robot_file("droid_sim_poses")
    robot = ("--ros-args", "--params-file", file)
    urdf = ("-p", f"urdf:={config_folder() / 'urdf' / 'droid_sim.urdf'}")
    small = ("-p", "image_height:=90", "-p", "image_width:=160")
    start("sim", *robot, *small)
    start("commander", *robot)
    wait_until(lambda: hand.joints is not None and hand.arm(), "an armed commander")
    for number, (name, cameras) in enumerate(CAMERAS.items()):
        first = hand.pose
        way = np.array([0.03, 0.04, 0.05]) * (-1) ** number
        goal = 0.1 * way / np.linalg.norm(way) if name == "libero" else first[:3, 3] + way
        renamed = [
            word
            for view, real in cameras.items()
            for word in ("-r", f"camera/{view}/image_raw:=camera/{real}/image_raw")
        ]
        hand.chunks.clear()
        policy = start(
            sys.executable,
            Path(__file__).parent / "pose_policy.py",
            ",".join([name, *map(str, goal)]),
            *robot, "-p", "instruction:=go", "-p", f"embodiment:={name}", *urdf, *renamed,
        )  # fmt: skip
        policy.wait_for(f"{name} ready")

        def there(first: np.ndarray = first, way: np.ndarray = way, name: str = name) -> bool:
            moved = hand.pose[:3, 3] - first[:3, 3]
            if name == "libero":  # it never ends
                return float(moved @ way) > 0.05 * float(np.linalg.norm(way))
            return float(np.linalg.norm(moved - way)) < 0.003

        wait_until(there, f"{name}: the hand at its goal; {hand.status}", 30.0)
        assert hand.status.rejected == 0, hand.status.last_rejection
        wait_until(lambda: hand.chunks, "a chunk, if the first ones came before it was heard")
        assert set(hand.chunks[0].joint_names) == {*ARM, "finger_joint"}
        aside = hand.pose[:3, 3] - first[:3, 3]
        aside -= (aside @ way) / (way @ way) * way
        assert np.linalg.norm(aside) < 0.01
        turned = hand.pose[:3, :3] @ first[:3, :3].T
        assert np.degrees(np.arccos(np.clip((np.trace(turned) - 1) / 2, -1, 1))) < 2
        policy.kill()
        wait_until(lambda: hand.status.mode != "playing", "the end of the motion")
