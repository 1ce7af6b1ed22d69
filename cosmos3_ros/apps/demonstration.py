# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 demonstrate`: a scripted expert moves the simulated robot of a scene file, over ROS.

It stands in for a person who teleoperates: what it sends to the controllers is what `record` keeps.
"""

from __future__ import annotations

import time

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from ..model.interface import NS
from ..robot.parameter_file import read_sections
from ..robot.robot_file import find_robot_file, read_remappings, scene_of
from ..ros import topics
from ..ros.messages import to_duration, to_ns
from ..ros.spin_thread import spinning
from ..sim.scene_file.motion import Motion
from ..sim.scene_file.schema import Scene, read_scene
from ..srv import ResetTask
from .topic_recorder import Recorder, wait_until

POINTS = 30.0  # of a trajectory, a second
REST = 2.0  # s that the arm stays where it arrived: longer than a chunk, or nobody learns to stay
PATIENCE = 10.0  # s that a motion may take longer than it should, on a busy computer
DISCOVERY = 1.0  # s in which whoever records has heard of the publishers


def simulated_scene(robot: str) -> Scene | None:
    """The scene file that a robot file gives the simulation; None: DROID's robot."""
    path = find_robot_file(robot)
    file = scene_of(path, read_sections(path))
    return read_scene(file) if file else None


class Demonstrator(Recorder):
    """Plays motions of a scene file on the controllers of its robot; spun by a thread."""

    def __init__(self, scene: Scene, remappings: tuple[tuple[str, str], ...]) -> None:
        super().__init__((), scene.names, False, remappings)
        self._scene = scene
        self._arm = self.create_publisher(
            JointTrajectory, topics.TRAJECTORY.name, topics.TRAJECTORY.qos
        )
        self._hand = self.create_publisher(
            Float64MultiArray, topics.GRIPPER.name, topics.GRIPPER.qos
        )

    def wait_for_robot(self) -> None:
        """TimeoutError if no simulation listens."""
        listens = self._arm.get_subscription_count
        wait_until(lambda: listens() > 0 and self.status is not None, 30.0, "a simulation's start")
        time.sleep(DISCOVERY)

    def episode(self, task: str, seed: int) -> bool:
        """Demonstrate a task once: whether it was solved."""
        reply = self.call(ResetTask, "sim/reset_task", task=task, seed=seed)
        if not reply.success:
            raise ValueError(reply.message)
        self.begin()
        self.started = to_ns(reply.stamp)
        self.instruct(reply.instruction)
        wait_until(lambda: self._elapsed() >= 0, PATIENCE, "joint states of the episode")
        motion, begun = self._scene.task(task), self._elapsed()
        self._arm.publish(self._trajectory(motion, np.array(self.measured[-1][1:])))
        for at, position in motion.grips():
            self._wait(begun + at, motion)
            self._hand.publish(Float64MultiArray(data=[position]))
        self._wait(begun + motion.seconds + REST, motion)
        status = self.status
        return bool(status and status.seed == seed and status.success)

    def _elapsed(self) -> float:
        """Seconds since the reset on the clock of the joint states; -1.0: none came since."""
        return self.measured[-1][0] if self.measured else -1.0

    def _wait(self, until: float, motion: Motion) -> None:
        wait_until(
            lambda: self._elapsed() >= until, motion.seconds + PATIENCE, f"{until:.1f} s of motion"
        )

    def _trajectory(self, motion: Motion, start: np.ndarray) -> JointTrajectory:
        """Without a stamp: it begins when it arrives."""
        arm = [column.name for column in self._scene.columns]
        points = [
            JointTrajectoryPoint(
                positions=positions.tolist(),
                velocities=velocities.tolist(),
                time_from_start=to_duration(round(at * NS)),
            )
            for at, positions, velocities in motion.points(start[: len(arm)], POINTS)
        ]
        return JointTrajectory(joint_names=arm, points=points)


def demonstrate(robot: str, task: str, episodes: int, seed: int) -> int:
    """Demonstrate tasks (with commas, "" for all) of a running simulation; the exit code.

    ValueError if the robot file has no scene, or the scene no such task.
    """
    path, scene = find_robot_file(robot), simulated_scene(robot)
    if scene is None:
        raise ValueError(
            f"robot file {path}: expected a scene file (scene of sim), whose motions are shown; "
            "DROID's robot in the simulation: cosmos3 collect"
        )
    if episodes < 1:
        raise ValueError(f"--episodes: expected 1 or more, got {episodes}")
    if seed < 0:
        raise ValueError(f"--seed: expected 0 or more, got {seed}")
    wanted = [(name, seed + k) for k in range(episodes) for name in scene.choose(task)]
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = Demonstrator(scene, read_remappings(path))
    solved = 0
    try:
        with spinning(node):
            node.wait_for_robot()
            for name, number in wanted:
                good = node.episode(name, number)
                solved += good
                print(f"{name}, seed {number}: {'' if good else 'not '}solved", flush=True)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    print(f"{solved} of {len(wanted)} solved")
    return 0 if solved == len(wanted) else 1
