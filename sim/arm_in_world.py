# SPDX-License-Identifier: Apache-2.0
"""One arm of a scene: its joints, its servos, its gripper's drive and its tool."""

from __future__ import annotations

import numpy as np

from .arm_constants import FINGER_CLOSED, FINGER_SPEED, LOWER, UPPER, Mount
from .gl import mujoco
from .real_time_pace import TICKS_PER_SECOND


class ArmInWorld:
    """Reads and drives the arm of a mount in a compiled scene."""

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, mount: Mount) -> None:
        self.model, self._data, self.mount = model, data, mount
        joints = [model.joint(name) for name in mount.joints]
        self.q = np.array([joint.qposadr[0] for joint in joints])
        self.v = np.array([joint.dofadr[0] for joint in joints])
        driver = model.joint(mount.prefix + "right_driver_joint")
        self._finger_q, self._finger_v = int(driver.qposadr[0]), int(driver.dofadr[0])
        self._motors = np.array([model.actuator(name).id for name in mount.joints])
        self._finger_motor = model.actuator(mount.prefix + "fingers_actuator").id
        self.finger = 0.0  # where the gripper's own drive wants its joint now, rad
        self.tcp = mount.prefix + "tcp"  # site between the finger tips

    def place(self, joints: np.ndarray) -> None:
        """Be there, with the gripper open, and stay."""
        self._data.qpos[self.q] = joints
        self.finger = 0.0
        self.drive(joints, 0.0)

    def drive(self, joints: np.ndarray, finger: float) -> None:
        """Set the targets of the servos for one tick: joints [7] and finger joint, rad.

        Targets are clipped to the joints' limits.
        """
        self._data.ctrl[self._motors] = np.clip(joints, LOWER, UPPER)
        step = FINGER_SPEED / TICKS_PER_SECOND
        self.finger = min(max(finger, self.finger - step, 0.0), self.finger + step, FINGER_CLOSED)
        self._data.ctrl[self._finger_motor] = 255.0 * self.finger / FINGER_CLOSED

    def targets(self) -> np.ndarray:
        """What the servos of the joints are told, rad [7]."""
        return self._data.ctrl[self._motors]

    def positions(self) -> np.ndarray:
        """Measured positions of the joints and of the finger joint, rad [8]."""
        return np.append(self._data.qpos[self.q], self._data.qpos[self._finger_q])

    def velocities(self) -> np.ndarray:
        """Measured velocities of them, rad/s [8]."""
        return np.append(self._data.qvel[self.v], self._data.qvel[self._finger_v])

    def tool(self) -> np.ndarray:
        """Position of the point between the finger tips, m [3]."""
        return self._data.site(self.tcp).xpos.copy()

    def tool_velocity(self) -> tuple[np.ndarray, np.ndarray]:
        """How fast that point moves, m/s [3], and the gripper turns, in its frame, rad/s [3]."""
        found, turning = np.zeros(6), np.zeros(6)
        kind, site = mujoco.mjtObj.mjOBJ_SITE, self.model.site(self.tcp).id
        mujoco.mj_objectVelocity(self.model, self._data, kind, site, found, 0)
        mujoco.mj_objectVelocity(self.model, self._data, kind, site, turning, 1)
        return found[3:], turning[:3]

    def tool_rotation(self) -> np.ndarray:
        """Rotation of the gripper [3, 3]."""
        return self._data.site(self.tcp).xmat.reshape(3, 3).copy()
