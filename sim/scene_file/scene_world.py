# SPDX-License-Identifier: Apache-2.0
"""The physics of a scene file, driven and read in the units of the robot's topics."""

from __future__ import annotations

import math

import numpy as np

from ...model.embodiment.units import from_si, to_si
from ..gl import mujoco
from ..real_time_pace import TICKS_PER_SECOND
from .model_builder import build, moved_joints, servo_of
from .schema import Scene

CLOSES = 0.4  # s that a gripper takes from open to closed


class SceneWorld:
    """One compiled scene and its state. Raises ValueError for a model that does not fit."""

    def __init__(self, scene: Scene) -> None:
        self._scene, built = scene, build(scene)
        self.model, self._rest = built.model, built.rest
        self.data = mujoco.MjData(self.model)
        self._steps = round(1 / (self.model.opt.timestep * TICKS_PER_SECOND))
        self._arm = self._addresses(scene.joints)
        self._hand = self._addresses(tuple(scene.gripper.joints) if scene.gripper else ())
        ends = [*scene.gripper.joints.values()] if scene.gripper else []
        self._ends = np.array(ends, float).reshape(-1, 2)
        moved = moved_joints(scene)
        self._motors = np.array([servo_of(self.model, name) for name in moved], int)
        self._low, self._high = self._ranges(moved)
        self._closure = 0.0  # of the gripper: where its drive wants it now, 0 open to 1 closed

    def _addresses(self, joints: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """Where joints stand in qpos and in qvel."""
        found = [self.model.joint(name) for name in joints]
        return (
            np.array([joint.qposadr[0] for joint in found], int),
            np.array([joint.dofadr[0] for joint in found], int),
        )

    def _ranges(self, joints: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The positions that targets are clipped to."""
        numbers = [self.model.joint(name).id for name in joints]
        limited = self.model.jnt_limited[numbers].astype(bool)
        low, high = self.model.jnt_range[numbers].T
        return np.where(limited, low, -np.inf), np.where(limited, high, np.inf)

    def place(self, arm: np.ndarray) -> None:
        """Put everything where it rests, the arm [D] elsewhere and the gripper open; hold it."""
        mujoco.mj_resetData(self.model, self.data)
        self.data.qpos[:] = self._rest
        self._closure = 0.0
        self.data.qpos[self._arm[0]] = to_si(arm, self._scene.columns)
        self.data.qpos[self._hand[0]] = self._ends[:, 0]
        self._hold_others()
        self.drive(arm, self.opened)
        mujoco.mj_forward(self.model, self.data)

    def _hold_others(self) -> None:
        """Servos of joints that the robot does not have keep them where they rest."""
        for number in range(self.model.njnt):
            name = self.model.joint(number).name
            servo = servo_of(self.model, name) if name else None
            if servo is not None:
                self.data.ctrl[servo] = self.data.qpos[self.model.jnt_qposadr[number]]

    @property
    def opened(self) -> float:
        """What the gripper's topic says when it is open."""
        return self._scene.gripper.column.opened if self._scene.gripper else 0.0

    def drive(self, arm: np.ndarray, finger: float) -> None:
        """Set the targets of the servos for one tick: joints [D] and the gripper.

        Targets are clipped to the joints' limits.
        """
        hand = np.zeros(0)
        if self._scene.gripper:
            column = self._scene.gripper.column
            wanted = float(to_si(np.array([finger]), [column])[0])
            step = 1 / (CLOSES * TICKS_PER_SECOND)
            self._closure += min(max(wanted - self._closure, -step), step)
            hand = self._ends[:, 0] + self._closure * (self._ends[:, 1] - self._ends[:, 0])
        targets = np.concatenate([to_si(np.asarray(arm, float), self._scene.columns), hand])
        self.data.ctrl[self._motors] = np.clip(targets, self._low, self._high)

    def tick(self) -> None:
        """Advance by 1 / TICKS_PER_SECOND."""
        mujoco.mj_step(self.model, self.data, self._steps)

    def positions(self) -> np.ndarray:
        """Measured positions of `Scene.names` in the units of the topics."""
        arm = from_si(self.data.qpos[self._arm[0]], self._scene.columns)
        return (
            np.append(arm, self._said(self.data.qpos[self._hand[0]])) if self._hand[0].size else arm
        )

    def velocities(self) -> np.ndarray:
        """Measured velocities of `Scene.names` in the units of the topics, a second."""
        spans = np.array([column.span for column in self._scene.columns])
        arm = spans * self.data.qvel[self._arm[1]]
        if not self._hand[0].size or not self._scene.gripper:
            return arm
        share = self.data.qvel[self._hand[1][0]] / (self._ends[0, 1] - self._ends[0, 0])
        return np.append(arm, share * self._scene.gripper.column.span)

    def _said(self, hand: np.ndarray) -> float:
        """What the topic says of the gripper, by its first joint; it may be beyond its ends."""
        assert self._scene.gripper is not None  # of what its joints were named
        column, (opened, closed) = self._scene.gripper.column, self._ends[0]
        return float(column.opened + column.span * (hand[0] - opened) / (closed - opened))

    def intrinsics(self, view: str) -> np.ndarray:
        """The matrix K [3, 3] of a view's pinhole camera, pixels."""
        seen = self._scene.cameras[view]
        fovy = float(self.model.camera(seen.camera or view).fovy[0])
        focal = seen.height / 2 / math.tan(math.radians(fovy) / 2)
        return np.array([[focal, 0, seen.width / 2], [0, focal, seen.height / 2], [0, 0, 1.0]])
