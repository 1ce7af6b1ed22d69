# SPDX-License-Identifier: Apache-2.0
"""Scripted experts: they know where things are, and decide at every step anew what to do.

What they want depends on where things are and on nothing else: not on how long they have waited nor
on what they did before. Whoever learns from them sees single moments, so a pause or a detour that
only its own past explains would be learned as hesitation (an expert that stopped over the cube
before going down taught a policy to hover there).
"""

from __future__ import annotations

import math

import numpy as np

from .aims import AIMS, Hand
from .env import ACTIONS_PER_SECOND
from .gl import mujoco
from .kinematics import Kinematics, downwards
from .simulation import Simulation
from .tasks import find

SPEED, ACCELERATION = 0.30, 0.65  # m/s, m/s^2
TURN_SPEED, TURN_ACCELERATION = 1.2, 3.0  # rad/s, rad/s^2


def _towards(
    gap: np.ndarray, velocity: np.ndarray, speed: float, acceleration: float
) -> np.ndarray:
    """The next velocity towards rest at distance `gap` [3], within speed and acceleration."""
    distance = float(np.linalg.norm(gap))
    pace = min(speed, math.sqrt(acceleration * distance), distance * ACTIONS_PER_SECOND)
    change = gap / max(distance, 1e-9) * pace - velocity
    most = acceleration / ACTIONS_PER_SECOND
    return velocity + change * min(1.0, most / max(float(np.linalg.norm(change)), 1e-9))


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    return quaternion


class _Mover:
    """Moves one hand of an expert towards its aims, within speed and acceleration."""

    def __init__(
        self, simulation: Simulation, speed: float, twist: float, number: int, moving: bool
    ) -> None:
        self.hand, self._speed = Hand(simulation, twist, number), speed
        self._kinematics = Kinematics(simulation.world, number)
        self._joints = self.hand.arm.positions()[:7]
        self._velocity, self._turning = np.zeros(3), np.zeros(3)
        rotation = self.hand.arm.tool_rotation()
        if moving:
            self._joints = self.hand.arm.targets()
            self._velocity, self._turning = self.hand.arm.tool_velocity()
            self.hand.point, rotation = self._kinematics.pose(self._joints)
        self._turned = _quaternion(rotation)
        self._aim = AIMS[simulation.task]

    @property
    def is_still(self) -> bool:
        """Whether the hand rests where it should be."""
        behind = float(np.linalg.norm(self.hand.arm.tool() - self.hand.point))
        return float(np.linalg.norm(self._velocity)) < 0.005 and behind < 0.006

    def act(self) -> np.ndarray:
        """Seven joint positions (rad) and the closure of the gripper [8]."""
        hand, aim, turn = self.hand, self._aim(self.hand), np.zeros(3)
        mujoco.mju_subQuat(turn, _quaternion(downwards(aim.yaw)), self._turned)
        self._velocity = aim.velocity + _towards(
            aim.goal - hand.point,
            self._velocity - aim.velocity,
            SPEED * self._speed * aim.speed,
            ACCELERATION,
        )
        spin = np.array([0.0, 0.0, aim.turning]) @ downwards(aim.yaw)  # in the hand's frame
        self._turning = spin + _towards(
            turn, self._turning - spin, TURN_SPEED * self._speed, TURN_ACCELERATION
        )
        hand.point = hand.point + self._velocity / ACTIONS_PER_SECOND
        mujoco.mju_quatIntegrate(self._turned, self._turning, 1 / ACTIONS_PER_SECOND)
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, self._turned)
        self._joints = self._kinematics.solve(self._joints, hand.point, rotation.reshape(3, 3))
        return np.append(self._joints, aim.gripper)


class Expert:
    """Solves the running episode from the state it is in now; make a new one after a reset."""

    def __init__(
        self,
        simulation: Simulation,
        speed: float = 1.0,
        twist: float = 0.0,
        moving: bool = False,
    ) -> None:
        """speed: a factor for all speeds.

        twist: by how much it is wrong about how cubes are turned, rad. moving: it goes on with
        the motion that is commanded, else it begins at rest where the hands are.
        """
        self._simulation, self._world = simulation, simulation.world
        arms = range(len(self._world.arms))
        self._movers = [_Mover(simulation, speed, twist, number, moving) for number in arms]

    @property
    def finished(self) -> bool:
        """Whether the task is solved and every hand rests where it should then be."""
        solved = find(self._simulation.task).solved
        still = all(mover.is_still for mover in self._movers)
        return still and solved(self._world, self._simulation.layout)

    def act(self) -> np.ndarray:
        """The next action [8 for each arm]: joint positions (rad), closure of the gripper."""
        return np.concatenate([mover.act() for mover in self._movers])
