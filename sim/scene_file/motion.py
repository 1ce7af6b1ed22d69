# SPDX-License-Identifier: Apache-2.0
"""What a scripted expert does: waypoints in joint space, reached one after another. Pure numpy.

Between two waypoints the arm moves with the least jerk (Flash and Hogan 1985): a quintic that
begins and ends at rest.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np


@dataclasses.dataclass(frozen=True, slots=True)
class Waypoint:
    """joints: targets [D], empty: stay; gripper: None: as it is. In units of the topics."""

    joints: np.ndarray
    gripper: float | None
    seconds: float


@dataclasses.dataclass(frozen=True, slots=True)
class Motion:
    """A task: where an episode begins, the way, and when it counts as solved.

    scatter: uniform around home, of each joint [D]; tolerance: around the last joints [D].
    """

    instruction: str
    scatter: np.ndarray
    tolerance: np.ndarray
    waypoints: tuple[Waypoint, ...]

    @property
    def seconds(self) -> float:
        """How long the expert takes."""
        return sum(waypoint.seconds for waypoint in self.waypoints)

    @property
    def goal(self) -> np.ndarray:
        """Where the arm ends [D]."""
        return next(point.joints for point in reversed(self.waypoints) if len(point.joints))

    @property
    def gripper(self) -> float | None:
        """What the gripper is told last; None: nothing."""
        told = (point.gripper for point in reversed(self.waypoints) if point.gripper is not None)
        return next(told, None)

    def begin(self, home: np.ndarray, seed: int) -> np.ndarray:
        """Where the arm is when an episode begins [D]."""
        draw = np.random.default_rng(seed).uniform(-1.0, 1.0, len(home))
        return np.asarray(home + self.scatter * draw)

    def points(
        self, start: np.ndarray, rate: float
    ) -> Iterator[tuple[float, np.ndarray, np.ndarray]]:
        """The way from `start`: seconds, positions [D], velocities [D], `rate` times a second."""
        since, here = 0.0, start
        for waypoint in self.waypoints:
            way = waypoint.joints - here if len(waypoint.joints) else np.zeros_like(here)
            count = max(1, round(waypoint.seconds * rate))
            for share in np.arange(1, count + 1) / count:
                part = share**3 * (10 - 15 * share + 6 * share**2)
                speed = 30 * (share * (1 - share)) ** 2 / waypoint.seconds
                yield since + share * waypoint.seconds, here + part * way, speed * way
            since, here = since + waypoint.seconds, here + way

    def grips(self) -> Iterator[tuple[float, float]]:
        """When the gripper is told something (seconds), and what."""
        since = 0.0
        for waypoint in self.waypoints:
            if waypoint.gripper is not None:
                yield since, waypoint.gripper
            since += waypoint.seconds
