# SPDX-License-Identifier: Apache-2.0
"""Names and numbers of the DROID robot: a Franka Panda with a Robotiq 2F-85 gripper."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np

MODEL = Path(__file__).parent / "assets" / "droid_robot" / "droid.xml"
# Put before every name of the model when it joins a scene, which gives the arm joints the names
# they have in ROS.
PREFIX = "panda_"

ARM = tuple(f"{PREFIX}joint{i}" for i in range(1, 8))
FINGER = "finger_joint"
JOINTS = (*ARM, FINGER)


@dataclasses.dataclass(frozen=True, slots=True)
class Mount:
    """Where an arm stands, and what is its own: names of its joints, of its group of topics."""

    group: str  # "": the only arm
    prefix: str  # put before every name of the model
    finger: str  # its gripper's joint in ROS
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)  # of its base, m
    yaw: float = 0.0  # rad

    @property
    def joints(self) -> tuple[str, ...]:
        """The arm's joints, without the finger."""
        return tuple(f"{self.prefix}joint{number}" for number in range(1, 8))


ALONE = (Mount("", PREFIX, FINGER),)
# Two that face each other: what lies between them both reach as an arm that is alone does.
FACING = (
    Mount("left", "left_", "left_finger_joint"),
    Mount("right", "right_", "right_finger_joint", (1.0, 0.0, 0.0), math.pi),
)

# finger_joint, rad: 0 is open, this is closed with nothing between the pads.
FINGER_CLOSED = 0.8
# How fast the gripper can move, rad/s: it closes in 0.4 s.
FINGER_SPEED = 2.0

# DROID's start pose, rad.
HOME = np.array([0.0, -math.pi / 5, 0.0, -4 * math.pi / 5, 0.0, 3 * math.pi / 5, 0.0])
LOWER = np.array([-2.8973, -1.7628, -2.8973, -3.0718, -2.8973, -0.0175, -2.8973])
UPPER = np.array([2.8973, 1.7628, 2.8973, -0.0698, 2.8973, 3.7525, 2.8973])

# Rotation of the tool center point with the gripper pointing straight down and its fingers closing
# along world y.
DOWN = np.array([[0.0, -1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])


def closure(finger: float) -> float:
    """How far the gripper is closed, 0 open to 1 closed, from finger_joint in rad."""
    return min(max(finger / FINGER_CLOSED, 0.0), 1.0)
