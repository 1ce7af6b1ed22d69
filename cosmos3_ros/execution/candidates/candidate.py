# SPDX-License-Identifier: Apache-2.0
"""A candidate: joint positions over time, in the robot's names and units, checked and resampled.

Pure numpy. What is wrong with one is a ValueError of one line.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.plausibility import check_states, out_of_range
from ...model.interface import NS, ActionChunk
from ...robot.joint_map import JointMap
from ...robot.kinematics.tool_map import ToolMap

LONGEST = 30.0  # s, as the commander takes chunks
MOST_POINTS = 1000
FASTEST = 10.0  # rad/s or m/s; no joint of an arm moves faster


@dataclasses.dataclass(frozen=True, slots=True)
class Candidate:
    """Positions [N, D] of joints `times` seconds after the observation, linear in between.

    One point at 0 s is a target, see `Imagine.srv`.
    """

    names: tuple[str, ...]
    times: np.ndarray  # float64 [N], rising
    positions: np.ndarray  # float64 [N, D], in the robot's units

    def __post_init__(self) -> None:
        count, width = len(self.times), len(self.names)
        if not width or len(set(self.names)) != width or not all(self.names):
            raise ValueError(f"candidate: expected distinct joint names, got {[*self.names]}")
        if not 0 < count <= MOST_POINTS:
            raise ValueError(f"candidate: expected 1 to {MOST_POINTS} points, got {count}")
        if self.positions.shape != (count, width):
            raise ValueError(
                f"candidate: expected {width} positions in each of {count} points, got "
                f"{[*self.positions.shape]}"
            )
        for name, values in (("times", self.times), ("positions", self.positions)):
            if not np.isfinite(values).all():
                raise ValueError(f"candidate: expected finite {name}, got NaN or infinite ones")
        if self.times[0] < 0 or self.times[-1] > LONGEST or not (np.diff(self.times) > 0).all():
            raise ValueError(
                f"candidate: expected rising times from 0 to {LONGEST:g} s, got "
                f"{_shown(self.times)}"
            )

    @property
    def is_target(self) -> bool:
        """Whether it only says where to go."""
        return len(self.times) == 1 and self.times[0] == 0

    def rows(
        self, joints: Sequence[str], grippers: Sequence[str], measured: np.ndarray, due: np.ndarray
    ) -> np.ndarray:
        """Positions of `joints` at `due` (s after the observation, [H]): float64 [H, len(joints)].

        measured: where they are [len(joints)]. ValueError for a joint that is not among them.
        """
        if unknown := [name for name in self.names if name not in joints]:
            raise ValueError(f"candidate: no joint {unknown[0]!r}; there are {[*joints]}")
        times = due[-1:] if self.is_target else self.times
        rows = np.tile(np.asarray(measured, np.float64), (len(due), 1))
        for name, values in zip(self.names, self.positions.T, strict=True):
            column = joints.index(name)
            if name in grippers:  # they jump; a target is theirs at once
                last = np.searchsorted(self.times, due + 1e-9, side="right") - 1
                rows[:, column] = values[np.maximum(last, 0)]
            elif times[0] > 0:
                before, start = [0.0, *times], [measured[column], *values]
                rows[:, column] = np.interp(due, before, start)
            else:
                rows[:, column] = np.interp(due, times, values)
        return rows

    def note(self, joints: Sequence[str], seconds: float) -> str:
        """How it is read, in words; seconds: the length of the clip."""
        said = []
        if self.is_target:
            said.append(f"a target, reached after {seconds:.2f} s")
        else:
            last = self.times[-1]
            said.append(f"{len(self.times)} points until {last:.2f} s")
            steps = np.diff(self.times if self.times[0] == 0 else [0.0, *self.times])
            if np.ptp(steps) > 1e-3:
                said.append("at unequal times, linear in between")
            if last > seconds + 1e-3:
                said.append(f"of which {seconds:.2f} s are imagined")
            elif last < seconds - 1e-3:
                said.append(f"the last position goes on until {seconds:.2f} s")
        if still := [name for name in joints if name not in self.names]:
            said.append(f"not named, so at rest: {', '.join(still)}")
        return "; ".join(said)


@dataclasses.dataclass(frozen=True, slots=True)
class CandidateReader:
    """Makes chunks of an embodiment out of candidates for a robot.

    lower, upper: of the arm's joints without grippers, in the robot's units; (): not known. tool:
    that the joints move, where the embodiment acts by poses or twists of it.
    """

    embodiment: Embodiment
    robot: JointMap
    lower: tuple[float, ...] = ()
    upper: tuple[float, ...] = ()
    tool: ToolMap | None = None

    def __post_init__(self) -> None:
        for name, limits in (("lower", self.lower), ("upper", self.upper)):
            if len(limits) not in (0, len(self._arm)):
                raise ValueError(
                    f"parameter {name!r}: expected a number for each of {self._arm}, got "
                    f"{len(limits)}"
                )

    @property
    def _arm(self) -> list[str]:
        return [joint for joint in self.robot.joints if joint not in self.robot.grippers]

    def chunk(self, candidate: Candidate, state: np.ndarray, stamp: int) -> ActionChunk:
        """The candidate played after an observation; stamp: ns.

        state: of the joints then, in rad, m and 0 .. 1, [D].

        ValueError says which joint would have to be where it cannot be, or move as it cannot.
        """
        self._check_led()
        embodiment, joints = self.embodiment, self.robot.joints
        due = embodiment.step / NS * np.arange(1, embodiment.horizon + 1)
        measured = self.robot.to_robot(np.asarray(state, np.float64))
        points = candidate.rows(joints, self.robot.grippers, measured, candidate.times)
        for point in points:
            self.robot.check_grippers(point)
        self._check_range(candidate)
        rows = candidate.rows(joints, self.robot.grippers, measured, due)
        planned = self.robot.to_policy(rows)
        self._check_plausible(planned, state)
        return self._played(planned, state, stamp)

    def at_rest(self) -> tuple[np.ndarray, ActionChunk]:
        """A neutral state of the embodiment, and the chunk that stays there, at stamp 0."""
        self._check_led()
        embodiment = self.embodiment
        joints = np.zeros(len(self.robot.joints)) if self.tool else embodiment.neutral_state()
        state = self.tool.state(joints) if self.tool else joints
        rows = np.tile(joints.astype(np.float32), (embodiment.horizon, 1))
        return state.astype(np.float32), self._played(rows, joints, 0)

    def _check_led(self) -> None:
        if self.robot.led:
            raise ValueError(
                f"embodiment {self.embodiment.name} leads other joints than it measures: a "
                "candidate is of the measured ones"
            )

    def _played(self, rows: np.ndarray, state: np.ndarray, stamp: int) -> ActionChunk:
        """Rows of joints [H, D] as commands of the embodiment."""
        embodiment = self.embodiment
        values = self.tool.commands(rows, state) if self.tool else rows.astype(np.float32)
        return ActionChunk(
            values, embodiment.action_names, stamp, embodiment.step, embodiment.discrete
        )

    def _check_range(self, candidate: Candidate) -> None:
        """ValueError for a point outside of the limits of its joint."""
        arm = self._arm
        for limits, beyond, word in (
            (self.lower, np.less, "at least"),
            (self.upper, np.greater, "at most"),
        ):
            known = dict(zip(arm, limits, strict=True)) if limits else {}
            for name, values in zip(candidate.names, candidate.positions.T, strict=True):
                if name in known and (wrong := beyond(values, known[name])).any():
                    number = int(wrong.argmax())
                    raise ValueError(
                        f"candidate: {name} is at {values[number]:.3f} in point {number + 1} of "
                        f"{len(values)}, expected {word} {known[name]:.3f}"
                    )

    def _check_plausible(self, rows: np.ndarray, state: np.ndarray) -> None:
        """ValueError for rows [H, D] in rad and m that no robot of this kind can play."""
        columns = self.robot.columns if self.tool else self.embodiment.state
        try:
            check_states(rows, columns)
        except ValueError as error:
            raise ValueError(f"candidate: {error}") from None
        arm = np.array([not column.gripper for column in columns])
        speeds = np.abs(np.diff(rows, axis=0, prepend=np.asarray(state, np.float64)[None]))
        speeds = speeds / (self.embodiment.step / NS) * arm
        if speeds.max() > FASTEST:
            row, column = np.unravel_index(speeds.argmax(), speeds.shape)
            raise ValueError(
                f"candidate: {self.robot.joints[column]} moves by {speeds[row, column]:.1f} rad/s "
                f"(or m/s) in row {row + 1} of {len(rows)}, expected at most {FASTEST:g}"
            )
        seen = self.embodiment.observed
        for row in rows:
            told = self.tool.state(row) if self.tool else row
            if seen and (unlike := out_of_range(self.embodiment.state, told, seen)):
                raise ValueError(f"candidate: {unlike}")


def _shown(times: np.ndarray) -> str:
    """A few of the times, as many as fit into a line."""
    words = [f"{time:g}" for time in times[:6]]
    return ", ".join(words) + (", ..." if len(times) > len(words) else "")
