# SPDX-License-Identifier: Apache-2.0
"""Inverse kinematics along a path: joint positions, row by row, for where the tool is to be.

Levenberg-Marquardt with a damping that grows with the error (Sugihara, Solvability-unconcerned
inverse kinematics by the Levenberg-Marquardt method, 2011), so that it converges near
singularities, and ends at the nearest pose if the target is out of reach.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .tool_frame import ToolFrame

REACHED = (5e-4, math.radians(0.25))  # m and rad: a target that the tool comes this close to
_EXACT = 1e-6  # m and rad: it need not come closer
_ROUNDS = 40
_DAMPING = 1e-9  # besides the square of the error
_LARGEST = 0.3  # rad or m in one round
_STALLED = 0.999  # share of the error that is left after a round that was in vain
# A tool may leave the straight line between two rows by a share of its length, and this much, m
_SHARE, _ASIDE = 0.25, 0.01
# 1/s: how fast spare joints come towards the middle of their ranges, or to where they began
_CENTERING, _KEEPING = 0.5, 2.0


@dataclasses.dataclass(frozen=True, slots=True)
class Path:
    """Joint positions for the poses of a chunk."""

    rows: np.ndarray  # float64 [H, N], rad or m
    short: np.ndarray  # how far the tool stays from the poses, [H, 2] in m and rad

    @property
    def is_reached(self) -> bool:
        """Whether the tool gets to all poses."""
        return bool((self.short <= REACHED).all())


class InverseKinematics:
    """Solves for paths of a tool that begin near the arm; rows follow each other without jumps.

    lower, upper: position range of each joint that is kept, [N].
    """

    def __init__(self, tool: ToolFrame, lower: np.ndarray, upper: np.ndarray) -> None:
        self._tool, self._lower, self._upper = tool, lower, upper

    def path(self, poses: np.ndarray, start: np.ndarray, seconds: float) -> Path:
        """Joint positions for poses [H, 4, 4] of the tool, `seconds` apart, from `start` [N] on.

        ValueError where the tool would leave the path between two rows, as near a singularity.
        """
        begin = np.clip(start, self._lower, self._upper)
        bounded = np.isfinite(self._lower) & np.isfinite(self._upper)
        middle = begin.copy()
        middle[bounded] = (self._lower[bounded] + self._upper[bounded]) / 2
        tried: list[Path] = []
        # a posture may lead a joint into a limit where another does not
        for posture, rate in ((middle, _CENTERING), (begin, 0.0), (begin, _KEEPING)):
            tried.append(self._follow(poses, begin, posture, -math.expm1(-rate * seconds)))
            if tried[-1].is_reached:
                break
        path = min(tried, key=lambda one: float(one.short.sum()))
        self._check_between(path.rows)
        return path

    def _follow(
        self, poses: np.ndarray, start: np.ndarray, posture: np.ndarray, pull: float
    ) -> Path:
        rows, short, at = np.empty((len(poses), len(start))), np.empty((len(poses), 2)), start
        for row, pose in enumerate(poses):
            at, short[row] = self._approach(at, pose, pull * (posture - at))
            rows[row] = at
        return Path(rows, short)

    def _approach(
        self, start: np.ndarray, pose: np.ndarray, wish: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The joints nearest to a pose [4, 4], and how far that is in m and rad [2].

        wish: where the joints are to go [N] as far as the tool lets them.
        """
        tool, at, target = self._tool, start, self._tool.target(pose)
        best, least, nothing = start, math.inf, np.zeros(len(start))
        for number in range(_ROUNDS):
            jacobian = tool.jacobian(at)
            error = tool.error(target)
            size = float(np.linalg.norm(error))
            if number > _ROUNDS // 4 and size > _STALLED * least:
                break
            if number and size < least:  # the first round goes where the joints wish
                best, least = at, size
            if number and size < _EXACT:
                break
            step = self._step(jacobian, error, at, nothing if number else wish)
            share = min(1.0, _LARGEST / max(float(np.abs(step).max()), 1e-12))
            at = np.clip(at + step * share, self._lower, self._upper)
        tool.jacobian(best)
        return best, tool.distance(target)

    def _step(
        self, jacobian: np.ndarray, error: np.ndarray, at: np.ndarray, wish: np.ndarray
    ) -> np.ndarray:
        """The change of the joints [N] for an error [6]; joints at their limits stay there."""
        free, wants = np.ones(len(at), bool), bool(wish.any())
        damping = (float(error @ error) + _DAMPING) * np.eye(6)
        for _ in range(len(at)):
            moving = jacobian * free
            step = moving.T @ np.linalg.solve(moving @ moving.T + damping, error)
            if wants:
                own = wish * free
                step = step + own - np.linalg.pinv(moving, rcond=1e-3) @ (moving @ own)
            stuck = free & (((at <= self._lower) & (step < 0)) | ((at >= self._upper) & (step > 0)))
            if not stuck.any():
                break
            free &= ~stuck
        return np.where(free, step, 0.0)

    def _check_between(self, rows: np.ndarray) -> None:
        """ValueError where joints that go straight from row to row lead the tool astray."""
        if len(rows) < 2:
            return
        ends = self._tool.points(rows)
        middles = self._tool.points((rows[1:] + rows[:-1]) / 2)
        lengths = np.linalg.norm(np.diff(ends, axis=0), axis=1)
        aside = np.linalg.norm(middles - (ends[1:] + ends[:-1]) / 2, axis=1)
        wrong = aside > _ASIDE + _SHARE * lengths
        if wrong.any():
            row = int(wrong.argmax())
            turns = np.abs(rows[row + 1] - rows[row])
            joint = int(turns.argmax())
            raise ValueError(
                f"between rows {row + 1} and {row + 2} {self._tool.joints[joint]} would turn by "
                f"{turns[joint]:.2f} rad and the tool leave its path by {aside[row]:.3f} m: near a "
                "singularity, or too far for one row"
            )
