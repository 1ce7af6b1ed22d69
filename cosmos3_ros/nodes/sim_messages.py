# SPDX-License-Identifier: Apache-2.0
"""ROS messages to and from what the simulation works with."""

from __future__ import annotations

import array
from collections.abc import Sequence

import numpy as np
from sensor_msgs.msg import CameraInfo, JointState
from std_msgs.msg import Header
from trajectory_msgs.msg import JointTrajectory

from ..ros.messages import header, to_ns
from ..sim.emulated_controllers import Point, Trajectory


def trajectory(message: JointTrajectory) -> Trajectory:
    """The trajectory in a message, unchecked."""
    points = [
        Point(to_ns(p.time_from_start), p.positions, p.velocities, p.accelerations, p.effort)
        for p in message.points
    ]
    return Trajectory(message.joint_names, points, to_ns(message.header.stamp))


def joint_state(
    names: Sequence[str], positions: np.ndarray, velocities: np.ndarray, stamp: int
) -> JointState:
    """What the joints measure now."""
    message = JointState(header=header(stamp), name=list(names))
    message.position = array.array("d", positions)
    message.velocity = array.array("d", velocities)
    return message


def camera_info(head: Header, k: np.ndarray, height: int, width: int) -> CameraInfo:
    """A pinhole camera without distortion; k: [3, 3], pixels."""
    message = CameraInfo(header=head, height=height, width=width, distortion_model="plumb_bob")
    message.d, message.k, message.r = [0.0] * 5, k.ravel(), np.eye(3).ravel()
    message.p = np.hstack([k, np.zeros((3, 1))]).ravel()
    return message
