# SPDX-License-Identifier: Apache-2.0
"""Scripted experts: they know where things are, move the gripper from way-point to way-point, and try again on failure.

A plan is a generator of moves. It reads the world when it is resumed, so each move starts from what really happened.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator

import numpy as np

from .env import ACTIONS_PER_SECOND
from .gl import mujoco
from .kinematics import Kinematics, downwards, yaw_of
from .robot import closure
from .simulation import Simulation
from .tasks import find

SPEED, ACCELERATION = 0.30, 0.65  # m/s, m/s^2
TURN_SPEED, TURN_ACCELERATION = 1.2, 3.0  # rad/s, rad/s^2

_OPEN, _SHUT = 0.0, 1.0
_HIGH, _PUSH_HEIGHT = 0.16, 0.036  # of the tool over the table, m; closed fingers reach 2.8 cm below the tool
_ACROSS = math.pi / 2  # turn of the gripper at the drawer's handle, rad


@dataclasses.dataclass(frozen=True, slots=True)
class Move:
    """Go to `goal()` (m [3]) turned by `yaw`, the gripper as told, at a share of SPEED; then wait `dwell` actions."""

    goal: Callable[[], np.ndarray]
    yaw: float
    gripper: float
    speed: float = 1.0
    dwell: int = 0


Plan = Iterator[Move]
Place = np.ndarray | tuple[float, float]


def _towards(gap: np.ndarray, velocity: np.ndarray, speed: float, acceleration: float) -> np.ndarray:
    """The next velocity on the way over `gap` [3]: within speed and acceleration, and coming to rest at the end."""
    distance = float(np.linalg.norm(gap))
    pace = min(speed, math.sqrt(acceleration * distance), distance * ACTIONS_PER_SECOND)
    change = gap / max(distance, 1e-9) * pace - velocity
    most = acceleration / ACTIONS_PER_SECOND
    return velocity + change * min(1.0, most / max(float(np.linalg.norm(change)), 1e-9))


def _over(place: np.ndarray, height: float) -> np.ndarray:
    return place + np.array([0.0, 0.0, height])


def _quaternion(rotation: np.ndarray) -> np.ndarray:
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(quaternion, rotation.ravel())
    return quaternion


class Expert:
    """Solves the running episode from the state it is in now; make a new one after a reset."""

    def __init__(self, simulation: Simulation, speed: float = 1.0) -> None:
        """speed: a factor for all speeds."""
        self._simulation = simulation
        self._world, self._layout = simulation.world, simulation.layout
        self._speed = speed
        self._kinematics = Kinematics(self._world)
        self._joints = self._world.positions()[:7]
        self._point, self._velocity = self._world.tool(), np.zeros(3)
        self._yaw = yaw_of(self._world.tool_rotation())
        self._turned, self._turning = _quaternion(self._world.tool_rotation()), np.zeros(3)
        self._gripper = _OPEN
        self._plan = PLANS[simulation.task](self)
        self._move = next(self._plan, None)
        self._waited = 0

    @property
    def finished(self) -> bool:
        """Whether the plan has come to its end; `act` then repeats its last action."""
        return self._move is None

    def act(self) -> np.ndarray:
        """The next action [8]: seven joint positions (rad) and the closure of the gripper."""
        if self._move is not None:
            self._gripper, self._yaw = self._move.gripper, self._move.yaw
            arrived = self._advance(self._move)
            rotation = np.zeros(9)
            mujoco.mju_quat2Mat(rotation, self._turned)
            self._joints = self._kinematics.solve(self._joints, self._point, rotation.reshape(3, 3))
            if arrived:
                self._wait(self._move)
        return np.append(self._joints, self._gripper)

    def _advance(self, move: Move) -> bool:
        """Take one step towards the goal, starting and stopping softly; True when it has been reached."""
        gap, turn = move.goal() - self._point, np.zeros(3)
        mujoco.mju_subQuat(turn, _quaternion(downwards(move.yaw)), self._turned)
        speed = self._speed * move.speed
        self._velocity = _towards(gap, self._velocity, SPEED * speed, ACCELERATION)
        self._turning = _towards(turn, self._turning, TURN_SPEED * self._speed, TURN_ACCELERATION)
        self._point = self._point + self._velocity / ACTIONS_PER_SECOND
        mujoco.mju_quatIntegrate(self._turned, self._turning, 1 / ACTIONS_PER_SECOND)
        return bool(np.linalg.norm(gap) < 2e-3 and np.linalg.norm(turn) < 0.02)

    def _wait(self, move: Move) -> None:
        """Stay until the arm has followed, but not for ever: something may be in its way."""
        self._waited += 1
        behind = float(np.linalg.norm(self._world.tool() - self._point))
        if self._waited >= move.dwell and (behind < 0.006 or self._waited >= move.dwell + 12):
            self._waited = 0
            self._move = next(self._plan, None)

    # What plans are made of.

    def _to(self, place: Place, height: float, yaw: float, gripper: float, speed: float = 1.0, dwell: int = 0) -> Move:
        goal = np.array([place[0], place[1], height])
        return Move(lambda: goal, yaw, gripper, speed, dwell)

    def _grip(self, gripper: float, dwell: int) -> Move:
        return self._to(self._point, self._point[2], self._yaw, gripper, dwell=dwell)

    def _rise(self, gripper: float, above: np.ndarray) -> Plan:
        """Go straight up before travelling, unless the goal is close enough to go there directly."""
        if self._point[2] < 0.10 and np.hypot(*(above - self._point)[:2]) > 0.03:
            yield self._to(self._point, 0.12, self._yaw, gripper, 0.8)

    def _square_to(self, cube: str) -> float:
        """The turn of the gripper that grasps a cube by two faces with the least turning of the wrist."""
        yaw = self._world.yaw(cube)
        return yaw - round(yaw / (math.pi / 2)) * (math.pi / 2)

    def _holds(self, cube: str) -> bool:
        near = np.linalg.norm(self._world.tool() - self._world.position(cube)) < 0.03
        return bool(near) and 0.1 < closure(self._world.positions()[7]) < 0.9

    def _solved(self) -> bool:
        return find(self._simulation.task).solved(self._world, self._layout)

    def _pick(self, cube: str, height: float) -> Plan:
        """Grasp a cube and lift it to `height`, as often as it takes."""
        while True:
            yaw = self._square_to(cube)
            yield from self._rise(_OPEN, self._world.position(cube))
            yield Move(lambda: _over(self._world.position(cube), 0.10), yaw, _OPEN)
            yield Move(lambda: self._world.position(cube), self._square_to(cube), _OPEN, 0.6, 1)
            yield self._grip(_SHUT, 9)
            yield self._to(self._point, height, self._yaw, _SHUT, 0.85)
            if self._holds(cube):
                return

    # The plans.

    def reach(self) -> Plan:
        cube = self._layout.target
        yield from self._rise(_OPEN, self._world.position(cube))
        yield Move(lambda: _over(self._world.position(cube), 0.035), self._square_to(cube), _OPEN, dwell=8)

    def lift(self) -> Plan:
        yield from self._pick(self._layout.target, 0.17)
        yield self._grip(_SHUT, 6)

    def bowl(self) -> Plan:
        while not self._solved():
            yield from self._pick(self._layout.target, _HIGH)
            yield self._to(self._layout.place, _HIGH, self._yaw, _SHUT)
            if not self._holds(self._layout.target):
                continue
            yield self._to(self._layout.place, 0.075, self._yaw, _SHUT, 0.7, 2)
            yield self._grip(_OPEN, 6)
            yield self._to(self._layout.place, 0.18, self._yaw, _OPEN, 0.8, 4)

    def stack(self) -> Plan:
        cube, base = self._layout.target, self._layout.base
        while not self._solved():
            yield from self._pick(cube, _HIGH)
            yield self._to(self._world.position(base), _HIGH, self._yaw, _SHUT, 0.9, 2)
            above = self._world.position(base) - self._world.position(cube) + self._world.tool()
            yield self._to(above, 0.0625, self._yaw, _SHUT, 0.4, 4)
            yield self._grip(_OPEN, 7)
            yield self._to(above, _HIGH, self._yaw, _OPEN, 0.8, 4)

    def push(self) -> Plan:
        goal = np.array(self._layout.place)
        while not self._solved():
            cube = self._world.position(self._layout.target)[:2]
            along = (goal - cube) / np.linalg.norm(goal - cube)
            yaw = math.atan2(along[1], along[0])
            yaw -= round(yaw / math.pi) * math.pi
            start, end = cube - 0.085 * along, goal - 0.035 * along
            yield from self._rise(_SHUT, np.append(start, 0.0))
            yield self._to(start, 0.12, yaw, _SHUT)
            yield self._to(start, _PUSH_HEIGHT, yaw, _SHUT, 0.7, 1)
            yield self._to(end, _PUSH_HEIGHT, yaw, _SHUT, 0.4, 4)
            yield self._to(goal - 0.07 * along, 0.14, yaw, _SHUT, 0.8, 3)

    def drawer(self) -> Plan:
        while not self._solved():
            yield from self._rise(_OPEN, self._world.handle())
            yield Move(lambda: _over(self._world.handle(), 0.10), _ACROSS, _OPEN)
            yield Move(lambda: _over(self._world.handle(), 0.004), _ACROSS, _OPEN, 0.6, 1)
            yield self._grip(_SHUT, 8)
            x, y, z = self._world.handle()
            yield self._to((x + self._world.opening() - 0.145, y), z + 0.004, _ACROSS, _SHUT, 0.5, 2)
            yield self._grip(_OPEN, 5)
            yield Move(lambda: _over(self._world.handle(), 0.10), _ACROSS, _OPEN, 0.8, 2)

    def close_drawer(self) -> Plan:
        while not self._solved():
            x, y, z = self._world.handle()
            yield from self._rise(_SHUT, np.array([x - 0.06, y, z]))
            yield self._to((x - 0.06, y), z + 0.09, _ACROSS, _SHUT)
            yield self._to((x - 0.06, y), z, _ACROSS, _SHUT, 0.7, 1)
            yield self._to((x + self._world.opening(), y), z, _ACROSS, _SHUT, 0.5, 4)


PLANS: dict[str, Callable[[Expert], Plan]] = {
    "reach": Expert.reach,
    "lift": Expert.lift,
    "push": Expert.push,
    "bowl": Expert.bowl,
    "drawer": Expert.drawer,
    "close_drawer": Expert.close_drawer,
    "stack": Expert.stack,
}
