# SPDX-License-Identifier: Apache-2.0
"""Scripted experts: they know where things are, and decide at every step anew what to do.

What they want depends on where things are and on nothing else: not on how long they have waited nor
on what they did before. Whoever learns from them sees single moments, so a pause or a detour that
only its own past explains would be learned as hesitation (an expert that stopped over the cube
before going down taught a policy to hover there).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import numpy as np

from .arm_constants import closure
from .env import ACTIONS_PER_SECOND
from .gl import mujoco
from .kinematics import Kinematics, downwards, yaw_of
from .simulation import Simulation
from .tasks import Place, apart, find

SPEED, ACCELERATION = 0.30, 0.65  # m/s, m/s^2
TURN_SPEED, TURN_ACCELERATION = 1.2, 3.0  # rad/s, rad/s^2

_OPEN, _SHUT = 0.0, 1.0
# of the tool over the table, m; closed fingers reach 1.7 cm below the tool
_HIGH, _PUSH_HEIGHT = 0.16, 0.036
_ACROSS = math.pi / 2  # turn of the gripper at the drawer's handle, rad
_STEEP = 5.0  # of the funnel over a place: height gained per distance from its middle
_CLOSE = 0.006  # so near is there, m
_TURNED = 1.4  # as far as the wrist may be turned, rad
_SQUARE = 0.05  # m of distance that a turn of 1 rad counts for on the way down


@dataclasses.dataclass(frozen=True, slots=True)
class Aim:
    """What the hand should do now."""

    goal: np.ndarray  # where to go, m [3]
    yaw: float  # of the gripper there, rad
    gripper: float  # closure, 0 to 1
    speed: float = 1.0  # share of SPEED


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


class Expert:
    """Solves the running episode from the state it is in now; make a new one after a reset."""

    def __init__(self, simulation: Simulation, speed: float = 1.0, twist: float = 0.0) -> None:
        """speed: a factor for all speeds.

        twist: by how much it is wrong about how cubes are turned, rad.
        """
        self._simulation = simulation
        self._world, self._layout = simulation.world, simulation.layout
        self._speed, self._twist = speed, twist
        self._kinematics = Kinematics(self._world)
        self._joints = self._world.positions()[:7]
        self._point, self._velocity = self._world.tool(), np.zeros(3)
        self._turned, self._turning = _quaternion(self._world.tool_rotation()), np.zeros(3)
        self._aim = AIMS[simulation.task]

    @property
    def finished(self) -> bool:
        """Whether the task is solved and the hand rests where it should then be."""
        behind = float(np.linalg.norm(self._world.tool() - self._point))
        still = float(np.linalg.norm(self._velocity)) < 0.005 and behind < 0.006
        return still and find(self._simulation.task).solved(self._world, self._layout)

    def act(self) -> np.ndarray:
        """The next action [8]: seven joint positions (rad) and the closure of the gripper."""
        aim, turn = self._aim(self), np.zeros(3)
        mujoco.mju_subQuat(turn, _quaternion(downwards(aim.yaw)), self._turned)
        self._velocity = _towards(
            aim.goal - self._point, self._velocity, SPEED * self._speed * aim.speed, ACCELERATION
        )
        self._turning = _towards(turn, self._turning, TURN_SPEED * self._speed, TURN_ACCELERATION)
        self._point = self._point + self._velocity / ACTIONS_PER_SECOND
        mujoco.mju_quatIntegrate(self._turned, self._turning, 1 / ACTIONS_PER_SECOND)
        rotation = np.zeros(9)
        mujoco.mju_quat2Mat(rotation, self._turned)
        self._joints = self._kinematics.solve(self._joints, self._point, rotation.reshape(3, 3))
        return np.append(self._joints, aim.gripper)

    # What it sees.

    @property
    def _closed(self) -> float:
        return closure(self._world.positions()[7])

    def _grips(self) -> bool:
        """Whether the fingers are kept apart by something."""
        return 0.15 < self._closed < 0.95 and abs(float(self._world.velocities()[7])) < 0.15

    def _at(self, thing: np.ndarray, gap: float = _CLOSE) -> bool:
        """Whether the fingers are around a thing.

        Those that are closing already may be further away.
        """
        gap = 0.02 if self._closed > 0.04 else gap
        return bool(np.linalg.norm(self._world.tool() - thing) < gap)

    def _holds(self, thing: np.ndarray) -> bool:
        return self._grips() and bool(np.linalg.norm(self._world.tool() - thing) < 0.03)

    def _square_to(self, cube: str) -> float:
        """The yaw that grasps a cube by two faces and is nearest to the present yaw of the gripper.

        If it were nearest to a fixed yaw, a learner who cannot quite tell which of two yaws that
        is would waver up to the end.
        """
        now = yaw_of(self._world.tool_rotation())
        yaw = now + math.remainder(self._world.yaw(cube) + self._twist - now, math.pi / 2)
        return yaw if abs(yaw) < _TURNED else yaw - math.copysign(math.pi / 2, yaw)

    # What it may want.

    def _stay(self, height: float, yaw: float, gripper: float, speed: float = 0.85) -> Aim:
        """Straight up or down."""
        return Aim(np.array([*self._point[:2], height]), yaw, gripper, speed)

    def _over(
        self,
        place: Place,
        low: float,
        high: float,
        yaw: float,
        gripper: float,
        carried: np.ndarray | None = None,
    ) -> Aim:
        """Down a funnel to `low` over a place, whose rim is at `high`.

        From below the rim first up, then there.

        carried: what is to come over the place, by default the tool.
        """
        tool = self._world.tool()
        shift = np.array(place[:2]) - (tool if carried is None else carried)[:2]
        turned = abs(math.remainder(yaw - yaw_of(self._world.tool_rotation()), 2 * math.pi))
        off = max(0.0, float(np.hypot(*shift)) + _SQUARE * turned - _CLOSE)
        height = min(high, low + _STEEP * off)
        sunk = (height - tool[2] - 0.015) / 0.04  # 1: too low to move sideways
        goal = tool[:2] + shift if carried is not None else np.array(place[:2])
        goal = self._point[:2] + (goal - self._point[:2]) * min(max(1.0 - sunk, 0.0), 1.0)
        near = height < high and tool[2] < high + 0.03
        return Aim(np.array([*goal, height]), yaw, gripper, 0.6 if near else 1.0)

    def _pick(self, cube: str) -> Aim:
        """Grasp a cube."""
        place, yaw = self._world.position(cube), self._square_to(cube)
        if self._at(place):
            return Aim(place, yaw, _SHUT, 0.6)
        return self._over(place, place[2], place[2] + 0.08, yaw, _OPEN)

    # The tasks.

    def reach(self) -> Aim:
        cube = self._world.position(self._layout.target)
        return self._over(
            cube, cube[2] + 0.035, cube[2] + 0.08, self._square_to(self._layout.target), _OPEN
        )

    def lift(self) -> Aim:
        cube = self._layout.target
        if self._holds(self._world.position(cube)):
            return self._stay(0.17, self._square_to(cube), _SHUT)
        return self._pick(cube)

    def bowl(self) -> Aim:
        cube, place = self._world.position(self._layout.target), self._layout.place
        yaw = yaw_of(self._world.tool_rotation())
        if apart(cube, place) < 0.05 and cube[2] < 0.045:
            return self._stay(0.18, yaw, _OPEN)
        held = bool(np.linalg.norm(self._world.tool() - cube) < 0.03) and self._closed > 0.1
        if held and apart(cube, place) < 0.02 and cube[2] < 0.085:
            return self._stay(self._point[2], yaw, _OPEN)
        if self._holds(cube):
            return self._over(place, 0.075, _HIGH, yaw, _SHUT, cube)
        return self._pick(self._layout.target)

    def stack(self) -> Aim:
        cube, base = (
            self._world.position(self._layout.target),
            self._world.position(self._layout.base),
        )
        yaw = yaw_of(self._world.tool_rotation())
        above = cube[2] - base[2]
        if apart(cube, base) < 0.02 and 0.035 < above < 0.046:
            on = self._closed < 0.5 or above < 0.0415
            return self._stay(
                self._point[2] if self._closed > 0.3 else _HIGH, yaw, _OPEN if on else _SHUT, 0.5
            )
        if self._holds(cube):
            return self._over(base, 0.0615, _HIGH, yaw, _SHUT, cube)
        return self._pick(self._layout.target)

    def push(self) -> Aim:
        """Down into the lane behind the cube wherever it is nearest, and forward.

        Back within it while off its middle.

        Low behind the cube it changes gradually with where the hand is, so that a learner who is
        wrong by a centimeter still does much the same. Up again, to the one point to start from,
        made it swing to and fro behind the cube.
        """
        cube, goal, tool = (
            self._world.position(self._layout.target),
            np.array(self._layout.place),
            self._world.tool(),
        )
        along = (goal - cube[:2]) / max(apart(goal, cube), 1e-6)
        yaw = math.atan2(along[1], along[0])
        yaw -= round(yaw / math.pi) * math.pi
        gap = cube[:2] - tool[:2]
        ahead = float(gap @ along)
        across = gap - ahead * along
        aside, left = float(np.linalg.norm(across)), apart(cube, goal)
        if left < 0.012 or (left < 0.038 and tool[2] > 0.07):
            return self._stay(0.14, yaw_of(self._world.tool_rotation()), _SHUT, 0.8)
        high = tool[2] - _PUSH_HEIGHT
        if high < 0.021 and 0.015 < ahead < 0.2 and aside < (0.08 if ahead > 0.06 else 0.03):
            off = max(0.0, aside - 0.01) + max(0.0, high - 0.004)
            back = min(0.03 - min(left, 0.07) + _STEEP * off, 0.085)
            return Aim(np.array([*(cube[:2] - back * along), _PUSH_HEIGHT]), yaw, _SHUT, 0.4)
        lane = (
            cube[:2]
            - min(max(ahead, 0.062), 0.12) * along
            - across * min(1.0, 0.02 / max(aside, 1e-6))
        )
        return self._over(lane, _PUSH_HEIGHT, 0.12, yaw, _SHUT)

    def drawer(self) -> Aim:
        handle, opening = self._world.handle(), self._world.opening()
        grasp = handle + np.array([0.0, 0.0, 0.004])
        if opening > 0.13:
            return self._stay(handle[2] + 0.10, _ACROSS, _OPEN)
        if self._at(grasp, 0.008):
            pull = self._grips()
            goal = grasp + np.array([opening - 0.145, 0.0, 0.0]) if pull else grasp
            return Aim(goal, _ACROSS, _SHUT, 0.5)
        return self._over(grasp, grasp[2], grasp[2] + 0.09, _ACROSS, _OPEN)

    def close_drawer(self) -> Aim:
        handle, opening = self._world.handle(), self._world.opening()
        gap = handle - self._world.tool()
        if opening < 0.01:
            return self._stay(handle[2] + 0.09, _ACROSS, _SHUT, 0.5)
        if 0.0 < gap[0] < 0.09 and abs(gap[1]) < 0.02 and abs(gap[2]) < 0.015:
            return Aim(handle + np.array([opening, 0.0, 0.0]), _ACROSS, _SHUT, 0.5)
        return self._over(
            handle - np.array([0.06, 0.0, 0.0]), handle[2], handle[2] + 0.09, _ACROSS, _SHUT
        )


AIMS: dict[str, Callable[[Expert], Aim]] = {
    "reach": Expert.reach,
    "lift": Expert.lift,
    "push": Expert.push,
    "bowl": Expert.bowl,
    "drawer": Expert.drawer,
    "close_drawer": Expert.close_drawer,
    "stack": Expert.stack,
}
