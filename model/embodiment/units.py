# SPDX-License-Identifier: Apache-2.0
"""Units of columns: the one place where the numbers of robots and datasets become rad and m.

Within the package every number is in rad, in m or of a unit quaternion (x, y, z, w), and a gripper
is 0 = open to 1 = closed. What drivers and datasets say instead is described by `Column`. numpy
only.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

ANGLE, LENGTH, QUATERNION, CONTROLLER, COUNT = "angle", "length", "quaternion", "twist", "count"
SPEED, TURN_RATE = "speed", "turn rate"  # of a mobile base
# Unit: what it measures, and how much of rad or m one of it is. Of a count (an encoder's ticks, a
# share of a joint's range) the column has to say it.
UNITS = {
    "rad": (ANGLE, 1.0),
    "deg": (ANGLE, math.pi / 180),
    "m": (LENGTH, 1.0),
    "mm": (LENGTH, 1e-3),
    "quaternion": (QUATERNION, 1.0),
    "m/s": (SPEED, 1.0),
    "rad/s": (TURN_RATE, 1.0),
    "controller": (CONTROLLER, 1.0),  # a number that the robot's own controller scales
    "fraction": (COUNT, 1.0),
    "ticks": (COUNT, 1.0),
    "percent": (COUNT, 1.0),
}


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One number of a state or a command, and what it says outside of the package.

    scale: rad or m of one unit more (of "deg" and "mm": of one deg or mm, -1.0 is a joint that
    counts the other way); offset: what it says at 0 rad or 0 m, in its unit. Grippers have `opened`
    and `closed` instead, what they say in these positions, and jump.
    """

    name: str
    unit: str
    gripper: bool = False
    scale: float = 1.0
    offset: float = 0.0
    opened: float = 0.0
    closed: float = 1.0

    @property
    def quantity(self) -> str:
        """What it measures: "angle", "length" and so on."""
        return UNITS[self.unit][0]

    @property
    def origin(self) -> float:
        """What it says where the package says 0."""
        return self.opened if self.gripper else self.offset

    @property
    def span(self) -> float:
        """What it says more for 1 rad or 1 m, or when a gripper closes."""
        if self.gripper:
            return self.closed - self.opened
        return 1.0 / (self.scale * UNITS[self.unit][1])


def in_unit(column: Column, unit: str) -> Column:
    """A column that somebody else counts in another unit; ValueError has both sides.

    A gripper keeps what it says when open and closed, unless that is a fraction.
    """
    if unit == column.unit:
        return column
    if column.gripper and unit in UNITS:
        if unit == "fraction":
            return Column(column.name, unit, gripper=True)
        return dataclasses.replace(column, unit=unit)
    like = [name for name, (what, _) in UNITS.items() if what in (column.quantity, ANGLE, LENGTH)]
    if column.quantity != COUNT:
        like = [name for name in like if UNITS[name][0] == column.quantity]
    if unit not in like or UNITS[unit][0] == COUNT:
        raise ValueError(
            f"{column.name}: expected a unit that {column.unit} can be converted to, one of "
            f"{[name for name in like if UNITS[name][0] != COUNT]}, got {unit!r}"
        )
    return Column(column.name, unit)


def to_si(values: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """Numbers of a robot or a dataset [..., D] -> the package's; grippers end at 0 and 1."""
    if all(map(_is_plain, columns)):
        return values
    origin, span = _linear(columns)
    return _limited((values - origin) / span, columns).astype(values.dtype, copy=False)


def from_si(values: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """The package's numbers [..., D] -> those of a robot or a dataset; the inverse of `to_si`."""
    if all(map(_is_plain, columns)):
        return values
    origin, span = _linear(columns)
    return (origin + span * _limited(values, columns)).astype(values.dtype, copy=False)


def _is_plain(column: Column) -> bool:
    """Whether it says the same outside and inside; a gripper is limited on the way."""
    return not column.gripper and (column.origin, column.span) == (0.0, 1.0)


def _linear(columns: Sequence[Column]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([column.origin for column in columns]),
        np.array([column.span for column in columns]),
    )


def _limited(values: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    grippers = [column.gripper for column in columns]
    return np.where(grippers, np.clip(values, 0.0, 1.0), values)
