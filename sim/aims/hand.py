# SPDX-License-Identifier: Apache-2.0
"""What experts see and what they may want: the hand over the table, and an aim for it."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ..arm_constants import closure
from ..kinematics import yaw_of
from ..simulation import Simulation
from ..tasks import Place

OPEN, SHUT = 0.0, 1.0
HIGH = 0.16  # of the tool over the table, to carry something, m
ACROSS = math.pi / 2  # turn of the gripper that closes along world x, rad
STEEP = 5.0  # of the funnel over a place: height gained per distance from its middle
_CLOSE = 0.006  # so near is there, m
_TURNED = 1.4  # as far as the wrist may be turned, rad
_SQUARE = 0.05  # m of distance that a turn of 1 rad counts for on the way down


@dataclasses.dataclass(frozen=True, slots=True)
class Aim:
    """What the hand should do now."""

    goal: np.ndarray  # where to go, m [3]
    yaw: float  # of the gripper there, rad
    gripper: float  # closure, 0 to 1
    speed: float = 1.0  # share of the expert's speed
    # How the goal moves by itself, m/s [3], and how it turns about the vertical, rad/s.
    velocity: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(3))
    turning: float = 0.0


class Hand:
    """The hand of an expert in the running episode, as far as its aims depend on it."""

    def __init__(self, simulation: Simulation, twist: float = 0.0, number: int = 0) -> None:
        """twist: by how much the expert is wrong about how cubes are turned, rad.

        number: of the arm that it is on.
        """
        self.world, self.layout = simulation.world, simulation.layout
        self.number, self.arm = number, self.world.arms[number]
        self._simulation, self._twist = simulation, twist
        self.point = self.arm.tool()  # where the arm is commanded to have the tool, m [3]

    def other(self) -> Hand:
        """The hand of the other of two arms, as it is now."""
        return Hand(self._simulation, self._twist, 1 - self.number)

    # What it sees.

    @property
    def closed(self) -> float:
        """How far the gripper is closed, 0 to 1."""
        return closure(self.arm.positions()[7])

    def grips(self) -> bool:
        """Whether the fingers are kept apart by something."""
        return 0.15 < self.closed < 0.95 and abs(float(self.arm.velocities()[7])) < 0.15

    def around(self, thing: np.ndarray, gap: float = _CLOSE) -> bool:
        """Whether the fingers are around a thing.

        Those that are closing already may be further away.
        """
        gap = 0.02 if self.closed > 0.04 else gap
        return bool(np.linalg.norm(self.arm.tool() - thing) < gap)

    def holds(self, thing: np.ndarray) -> bool:
        """Whether a thing that is there is in the hand."""
        return self.grips() and bool(np.linalg.norm(self.arm.tool() - thing) < 0.03)

    def square_to(self, cube: str, less: float = 0.0, most: float = _TURNED) -> float:
        """The yaw that grasps a cube by two faces and is nearest to the present yaw of the gripper.

        less: nearest to a yaw that is smaller by this, rad; most: as far as the wrist may be
        turned, rad.

        If it were nearest to a fixed yaw, a learner who cannot quite tell which of two yaws that
        is would waver up to the end.
        """
        now = yaw_of(self.arm.tool_rotation()) - less
        yaw = now + math.remainder(self.world.yaw(cube) + self._twist - now, math.pi / 2)
        return yaw if abs(yaw) < most else yaw - math.copysign(math.pi / 2, yaw)

    # What it may want.

    def stay(self, height: float, yaw: float, gripper: float, speed: float = 0.85) -> Aim:
        """Straight up or down."""
        return Aim(np.array([*self.point[:2], height]), yaw, gripper, speed)

    def over(
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
        tool = self.arm.tool()
        shift = np.array(place[:2]) - (tool if carried is None else carried)[:2]
        turned = abs(math.remainder(yaw - yaw_of(self.arm.tool_rotation()), 2 * math.pi))
        off = max(0.0, float(np.hypot(*shift)) + _SQUARE * turned - _CLOSE)
        height = min(high, low + STEEP * off)
        sunk = (height - tool[2] - 0.015) / 0.04  # 1: too low to move sideways
        goal = tool[:2] + shift if carried is not None else np.array(place[:2])
        goal = self.point[:2] + (goal - self.point[:2]) * min(max(1.0 - sunk, 0.0), 1.0)
        near = height < high and tool[2] < high + 0.03
        return Aim(np.array([*goal, height]), yaw, gripper, 0.6 if near else 1.0)

    def pick(self, cube: str) -> Aim:
        """Grasp a cube."""
        place, yaw = self.world.position(cube), self.square_to(cube)
        if self.around(place):
            return Aim(place, yaw, SHUT, 0.6)
        return self.over(place, place[2], place[2] + 0.08, yaw, OPEN)
