# SPDX-License-Identifier: Apache-2.0
"""Where the tool of an arm may be, and how fast: checked along whole motions, and their stops.

Pure; the tool is asked where it is for joint positions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from ..model.interface import NS
from .spline_motion import SLOWEST, STEP, Limits, SplineMotion, brake

AXES = "xyz"
_STOPS = 4  # knots between two moments that are asked for their stop, and the most that are asked
_MOST_STOPS = 100
_ROUNDING = 1e-6  # m
_TRIALS = 4  # paces that are tried
_SPARE = 0.97  # share of a limit that is aimed at, for between two knots more is reached


class Tool(Protocol):
    """What is known about the arm's tool."""

    def poses(self, positions: np.ndarray) -> np.ndarray:
        """Transforms [T, 4, 4] of the tool for joint positions [T, N]."""


@dataclasses.dataclass(frozen=True, slots=True)
class Workspace:
    """The half spaces that the tool's point stays in: normal . point >= offset, in m."""

    normals: np.ndarray  # float64 [M, 3], of length 1
    offsets: np.ndarray  # float64 [M]
    names: tuple[str, ...]  # of their borders

    def margins(self, points: np.ndarray) -> np.ndarray:
        """How far points [T, 3] are inside of each half space [T, M], m; negative: outside."""
        return points @ self.normals.T - self.offsets


def workspace(
    lower: Sequence[float], upper: Sequence[float], planes: Sequence[float]
) -> Workspace | None:
    """The box from lower to upper [3], (): none, and what lies beyond planes; None: everywhere.

    planes: nx, ny, nz and d of each, one after the other: the tool stays where
    nx x + ny y + nz z >= d. ValueError says what is wrong.
    """
    for name, values in (("workspace_lower", lower), ("workspace_upper", upper)):
        if len(values) not in (0, 3):
            raise ValueError(f"parameter {name!r}: expected x, y and z, got {[*values]}")
    if lower and upper and not all(a < b for a, b in zip(lower, upper, strict=True)):
        raise ValueError(
            f"parameters 'workspace_lower' and 'workspace_upper': expected lower < upper, got "
            f"{[*lower]} and {[*upper]}"
        )
    if len(planes) % 4:
        raise ValueError(
            f"parameter 'keep_out': expected nx, ny, nz, d of each plane, got {len(planes)} numbers"
        )
    normals, offsets, names = [], [], []
    for sign, values in ((1.0, lower), (-1.0, upper)):
        for axis, value in enumerate(values):
            normals.append(sign * np.eye(3)[axis])
            offsets.append(sign * value)
            names.append(f"{AXES[axis]} {'>=' if sign > 0 else '<='} {value:g} m")
    for number in range(0, len(planes), 4):
        *normal, offset = planes[number : number + 4]
        length = math.hypot(*normal)
        if length < 1e-9:
            raise ValueError(
                f"parameter 'keep_out': expected a direction in plane {number // 4 + 1}, got "
                f"{normal}"
            )
        normals.append(np.array(normal) / length)
        offsets.append(offset / length)
        terms = " + ".join(f"{n:g} {axis}" for n, axis in zip(normal, AXES, strict=True) if n)
        names.append(f"{terms} >= {offset:g}")
    return Workspace(np.array(normals), np.array(offsets), tuple(names)) if names else None


@dataclasses.dataclass(frozen=True, slots=True)
class ToolLimits:
    """What the tool keeps to: a workspace, and speeds in m/s and rad/s; infinite: no limit."""

    tool: Tool
    limits: Limits  # of the joints, by which a stop brakes
    workspace: Workspace | None = None
    velocity: tuple[float, float] = (math.inf, math.inf)
    acceleration: tuple[float, float] = (math.inf, math.inf)

    def kept(
        self, motion: SplineMotion, now: int, again: Callable[[float], SplineMotion]
    ) -> SplineMotion:
        """The motion from `now` (ns) on, slower if the tool would be too fast.

        again: the same motion at a share of its speed. ValueError says where it would leave the
        workspace, or a stop on the way, or that it cannot be slow enough.
        """
        slower = 1.0
        for _ in range(_TRIALS):
            positions, velocities = motion.at(_times(motion, now))
            poses = self.tool.poses(positions)
            share, words = self._share(poses)
            if share >= 1:
                break
            slower *= share * _SPARE
            if slower * motion.pace < SLOWEST:
                raise ValueError(f"{words}, even {1 / SLOWEST:.0f} times slower")
            motion = again(slower)
        else:
            raise ValueError(words)
        if self.workspace:
            points = poses[:, :3, 3]
            self._check_places(self.workspace, motion, now, points, self._reach(points, velocities))
        return motion

    def _reach(self, points: np.ndarray, velocities: np.ndarray) -> np.ndarray:
        """How far the tool may go in a stop from each of its places [T, 3], about: [T] in m."""
        speed = np.linalg.norm(np.gradient(points, axis=0), axis=1) * NS / STEP
        ramp = np.maximum(
            1.5 * np.abs(velocities) / self.limits.acceleration,
            np.sqrt(6 * np.abs(velocities) / self.limits.jerk),
        )
        return speed * ramp.max(axis=1)

    def _share(self, poses: np.ndarray) -> tuple[float, str]:
        """The share of its speed at which the tool keeps its limits, and which it does not."""
        seconds = STEP / NS
        moves = np.diff(poses[:, :3, 3], axis=0) / seconds
        turns = _turns(poses[:, :3, :3]) / seconds
        share, words = math.inf, ""
        for rates, at, unit in ((moves, 0, "m"), (turns, 1, "rad")):
            change = np.diff(rates, axis=0) / seconds
            for values, most, order, per in (
                (rates, self.velocity[at], 1, "s"),
                (change, self.acceleration[at], 2, "s^2"),
            ):
                found = float(np.linalg.norm(values, axis=1).max(initial=0.0))
                if found > most and (most / found) ** (1 / order) < share:
                    share = (most / found) ** (1 / order)
                    words = f"the tool would have {found:.3f} {unit}/{per}, limit {most:.3f}"
        return share, words

    def _check_places(
        self,
        space: Workspace,
        motion: SplineMotion,
        now: int,
        points: np.ndarray,
        reach: np.ndarray,
    ) -> None:
        margins = space.margins(points)
        # a tool that is outside may come back, but go no further
        least = np.minimum(margins[0], 0.0) - _ROUNDING
        _check(space, margins - least, least, points, "")
        for knot in range(0, len(points), max(_STOPS, len(points) // _MOST_STOPS)):
            if margins[knot].min() > reach[knot]:
                continue
            at = now + knot * STEP
            braking = brake(motion, at, self.limits)
            stop = self.tool.poses(braking.at(_times(braking, at))[0])[:, :3, 3]
            words = f" in a stop after {(at - now) / NS:.1f} s"
            _check(space, space.margins(stop) - least, least, stop, words)


def _check(
    space: Workspace, inside: np.ndarray, least: np.ndarray, points: np.ndarray, when: str
) -> None:
    """ValueError if `inside` [T, M] is negative anywhere: the tool is further out than `least`."""
    if inside.min() >= 0:
        return
    row, plane = np.unravel_index(int(inside.argmin()), inside.shape)
    place = ", ".join(f"{number:.3f}" for number in points[row])
    beyond = -float(inside[row, plane] + least[plane])
    raise ValueError(
        f"the tool would leave its workspace{when}: ({place}) is {beyond:.3f} m beyond "
        f"{space.names[plane]}"
    )


def _times(motion: SplineMotion, now: int) -> np.ndarray:
    """Every STEP from `now` to the end of the motion, two at least: int64 [T], ns."""
    count = max(1, -(-(motion.end - now) // STEP)) + 1
    return now + STEP * np.arange(count, dtype=np.int64)


def _turns(rotations: np.ndarray) -> np.ndarray:
    """From each rotation [T, 3, 3] to the next, as a vector [T - 1, 3] in rad; small ones."""
    steps = np.swapaxes(rotations[:-1], 1, 2) @ rotations[1:]
    skew = (steps - np.swapaxes(steps, 1, 2)) / 2
    vectors = np.stack([skew[:, 2, 1], skew[:, 0, 2], skew[:, 1, 0]], axis=1)
    sine = np.linalg.norm(vectors, axis=1, keepdims=True)
    angle = np.arctan2(sine[:, 0], (np.trace(steps, axis1=1, axis2=2) - 1) / 2)[:, None]
    return vectors * np.where(sine > 1e-9, angle / np.maximum(sine, 1e-9), 1.0)
