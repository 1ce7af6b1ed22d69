# SPDX-License-Identifier: Apache-2.0
"""Whether numbers and pictures can be of an embodiment: units, order, signs, cameras. numpy only.

What cannot be is a ValueError of one line; what is only unlike the demonstrations is returned in
words. Numbers are in rad, m and 0 .. 1 of grippers.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from .observed import Observed, sketch
from .spec import Embodiment
from .units import ANGLE, COUNT, LENGTH, QUATERNION, Column

TURNS = 4 * math.pi  # rad; no joint of an arm is turned further
REACH = 10.0  # m; no arm reaches further
NEAR = 0.25  # share of a range (and NEAR_LEAST of rad or m) that a state may be outside of it
NEAR_LEAST = 0.25
BEYOND = 0.3  # share of its way that a gripper may be beyond open or closed
ALIKE = 0.6  # by how much two cameras have to look more like each other's pictures
_OTHERWISE: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "these look like degrees where rad are expected": np.deg2rad,
    "these look like rad where degrees are expected": np.rad2deg,
    "these look like mm where m are expected": lambda values: values / 1000,
}


def check_states(states: np.ndarray, columns: Sequence[Column]) -> None:
    """ValueError if states [T, D] or one [D] hold numbers that no robot of these columns can have.

    Degrees in place of rad, mm in place of m, quaternions that are none.
    """
    rows = np.atleast_2d(states)
    if not len(rows) or not columns:
        return
    most = np.abs(rows).max(axis=0)
    for column, value in zip(columns, most, strict=True):
        if column.gripper:
            continue
        if column.quantity in (ANGLE, COUNT) and value > TURNS:
            raise ValueError(
                f"{column.name} is at {value:.1f} rad, expected at most {TURNS:.1f}: are these "
                f"degrees? (the embodiment has it in {column.unit})"
            )
        if column.quantity == LENGTH and value > REACH:
            raise ValueError(
                f"{column.name} is at {value:.1f} m, expected at most {REACH:.0f}: are these mm? "
                f"(the embodiment has it in {column.unit})"
            )
    turn = [column.quantity == QUATERNION for column in columns]
    lengths = np.linalg.norm(rows[:, turn], axis=1) if any(turn) else np.ones(1)
    if (wrong := np.abs(lengths - 1) > 0.05).any():
        names = [column.name for column, is_ in zip(columns, turn, strict=True) if is_]
        raise ValueError(
            f"{', '.join(names)}: expected a unit quaternion, got one of length "
            f"{lengths[wrong][0]:.3f}"
        )


def check_gripper(name: str, position: float, opened: float, closed: float) -> None:
    """ValueError if a gripper is far beyond what it says when open and closed."""
    share = (position - opened) / (closed - opened)  # NaN: not known
    if np.isfinite(share) and not -BEYOND <= share <= 1 + BEYOND:
        raise ValueError(
            f"{name} is at {position:.3f}, expected from {opened} (open) to {closed} (closed)"
        )


def check_pictures(images: Mapping[str, np.ndarray]) -> None:
    """ValueError if two cameras show the same picture, uint8 [H, W, 3] each."""
    for one, other in itertools.combinations(images, 2):
        first, second = images[one], images[other]
        if first.min() != first.max() and np.array_equal(first, second):
            raise ValueError(
                f"cameras {one} and {other} show the same picture: is one topic remapped to both?"
            )


def doubts(embodiment: Embodiment, state: np.ndarray, images: Mapping[str, np.ndarray]) -> str:
    """How a first observation is unlike the demonstrations, in words; empty if it is not.

    state: [D]; images: uint8 [H, W, 3] by view.
    """
    seen = embodiment.observed
    if seen is None:
        return ""
    found = (
        out_of_range(embodiment.state, state, seen),
        _turned_grippers(embodiment.state, state, seen),
        _swapped_cameras(images, seen),
    )
    return "; ".join(text for text in found if text)


def out_of_range(columns: Sequence[Column], state: np.ndarray, seen: Observed) -> str:
    """Which joint of a state [D] is far from all demonstrations, in words; empty if none is."""
    low, high = np.array(seen.low), np.array(seen.high)
    arm = np.array([not column.gripper for column in columns])
    if not len(low) or not arm.any():
        return ""
    near = np.maximum(NEAR * (high - low), NEAR_LEAST)

    def outside(values: np.ndarray) -> np.ndarray:
        return arm & ((values < low - near) | (values > high + near))

    wrong = outside(state)
    if not wrong.any():
        return ""
    column = int(wrong.argmax())
    text = (
        f"{columns[column].name} is at {state[column]:.3f}, in the demonstrations from "
        f"{low[column]:.3f} to {high[column]:.3f}"
    )
    for why, change in _OTHERWISE.items():
        if not outside(change(state)).any():
            return f"{text}: {why}"
    turned = not outside(np.where(wrong, -state, state)).any()
    return f"{text}: its sign looks turned round" if turned else text


def _turned_grippers(columns: Sequence[Column], state: np.ndarray, seen: Observed) -> str:
    """Grippers that begin where those of all demonstrations did not, but turned round would."""
    if not seen.first_low:
        return ""
    for column, value, low, high in zip(
        columns, state, seen.first_low, seen.first_high, strict=True
    ):
        around = low - NEAR <= 1 - value <= high + NEAR
        if column.gripper and not low - NEAR <= value <= high + NEAR and around:
            return (
                f"{column.name} is {value:.2f} closed, demonstrations begin from {low:.2f} to "
                f"{high:.2f}: are open and closed exchanged?"
            )
    return ""


def _swapped_cameras(images: Mapping[str, np.ndarray], seen: Observed) -> str:
    known = {view: _contrast(np.array(gray, float)) for view, gray in seen.sketches}
    now = {view: _contrast(sketch(images[view])) for view in known if view in images}
    for one, other in itertools.combinations(now, 2):
        straight = now[one] @ known[one] + now[other] @ known[other]
        crossed = now[one] @ known[other] + now[other] @ known[one]
        if crossed > straight + ALIKE:
            return f"cameras {one} and {other} look exchanged, by the demonstrations' pictures"
    return ""


def _contrast(gray: np.ndarray) -> np.ndarray:
    """Without its mean, of length 1; a picture of one gray is of length 0."""
    centered = gray - gray.mean()
    length = float(np.linalg.norm(centered))
    return centered / length if length > 1e-6 else np.zeros_like(centered)
