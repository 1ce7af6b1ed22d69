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
# Unit: what it measures, and how much of rad or m one of it is. Of a count (an encoder's ticks, a
# share of a joint's range) the column has to say it.
UNITS = {
    "rad": (ANGLE, 1.0),
    "deg": (ANGLE, math.pi / 180),
    "m": (LENGTH, 1.0),
    "mm": (LENGTH, 1e-3),
    "quaternion": (QUATERNION, 1.0),
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
    def factor(self) -> float:
        """What the package counts for one unit more."""
        if self.gripper:
            return 1.0 / (self.closed - self.opened)
        return self.scale * UNITS[self.unit][1]


def to_si(values: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """Numbers of a robot or a dataset [..., D] -> the package's; grippers end at 0 and 1."""
    if not columns:
        return values
    origin, factor = _linear(columns)
    inside = values if _plain(origin, factor) else (values - origin) * factor
    return _between_open_and_closed(inside, columns).astype(values.dtype, copy=False)


def from_si(values: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    """The package's numbers [..., D] -> those of a robot or a dataset; the inverse of `to_si`."""
    if not columns:
        return values
    origin, factor = _linear(columns)
    inside = _between_open_and_closed(values, columns)
    outside = inside if _plain(origin, factor) else inside / factor + origin
    return outside.astype(values.dtype, copy=False)


def _linear(columns: Sequence[Column]) -> tuple[np.ndarray, np.ndarray]:
    return (
        np.array([column.origin for column in columns]),
        np.array([column.factor for column in columns]),
    )


def _plain(origin: np.ndarray, factor: np.ndarray) -> bool:
    """Whether the numbers stay what they are, to the last bit."""
    return not origin.any() and bool((factor == 1.0).all())


def _between_open_and_closed(values: np.ndarray, columns: Sequence[Column]) -> np.ndarray:
    grippers = [column.gripper for column in columns]
    return np.where(grippers, np.clip(values, 0.0, 1.0), values) if any(grippers) else values
