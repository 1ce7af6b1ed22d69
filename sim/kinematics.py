# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics of the arm: damped least squares, pulled towards HOME."""

from __future__ import annotations

import math

import numpy as np

from .arm_constants import DOWN, HOME, LOWER, UPPER
from .gl import mujoco
from .world import World


def downwards(yaw: float) -> np.ndarray:
    """Rotation [3, 3] of a tool that points straight down, turned by `yaw` (rad) against DOWN."""
    c, s = math.cos(yaw), math.sin(yaw)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]) @ DOWN


def yaw_of(rotation: np.ndarray) -> float:
    """The `yaw` of a rotation that is, but for a tilt, downwards(yaw)."""
    turn = rotation @ DOWN.T
    return math.atan2(turn[1, 0], turn[0, 0])


def _rotation_error(goal: np.ndarray, now: np.ndarray) -> np.ndarray:
    """The rotation from `now` to `goal` as a vector [3].

    Right in direction at any angle, in length at small ones.
    """
    turn = goal @ now.T
    vector = 0.5 * np.array(
        [turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]]
    )
    return vector if np.trace(turn) > 0 else 2.0 * vector


class Kinematics:
    """Solves for joint positions, on a state of its own beside the world's."""

    def __init__(self, world: World, arm: int = 0) -> None:
        """arm: which one of the world's."""
        self._model, self._data = world.model, mujoco.MjData(world.model)
        self._tool = world.model.site(world.arms[arm].tcp).id
        self._q, self._v = world.arms[arm].q, world.arms[arm].v
        self._jacobian = np.zeros((6, world.model.nv))

    def _at(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Position [3], rotation [3, 3] and Jacobian [6, 7] of the tool."""
        self._data.qpos[self._q] = joints
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_comPos(self._model, self._data)
        mujoco.mj_jacSite(
            self._model, self._data, self._jacobian[:3], self._jacobian[3:], self._tool
        )
        rotation = self._data.site_xmat[self._tool].reshape(3, 3)
        return self._data.site_xpos[self._tool], rotation, self._jacobian[:, self._v]

    def pose(self, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Position [3], m, and rotation [3, 3] of the tool at joint positions [7]."""
        place, rotation, _ = self._at(joints)
        return place.copy(), rotation.copy()

    def solve(
        self, start: np.ndarray, position: np.ndarray, goal: np.ndarray, rounds: int = 20
    ) -> np.ndarray:
        """Joint positions [7] near `start` at which the tool has a pose.

        position: m [3]; goal: rotation [3, 3].
        """
        joints = start.copy()
        for _ in range(rounds):
            place, rotation, jacobian = self._at(joints)
            error = np.concatenate([position - place, _rotation_error(goal, rotation)])
            if np.linalg.norm(error[:3]) < 5e-4 and np.linalg.norm(error[3:]) < 2e-3:
                break
            inverse = jacobian.T @ np.linalg.inv(jacobian @ jacobian.T + 1e-4 * np.eye(6))
            step = inverse @ error + (np.eye(7) - inverse @ jacobian) @ (0.05 * (HOME - joints))
            joints = np.clip(joints + np.clip(step, -0.3, 0.3), LOWER, UPPER)
        return joints
