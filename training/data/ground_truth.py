# SPDX-License-Identifier: Apache-2.0
"""What is known of where things are: the own simulation's columns, and those of a dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...model.embodiment.table import Table
from ..options import GroundTruthOptions

TRUTH_FEATURE = "simulation.truth"  # of the datasets that this package writes
GROUND_TRUTH = "ground_truth"  # in the `info` of that feature: what is asked for, and its scale


class GroundTruth:
    """The own simulation's: slices of a row float32 [WIDTH]; NaN where a thing is not there.

    Positions are x, y, z in m, in the robot's frame.
    """

    TARGET = slice(0, 3)  # position of what the instruction names
    GOAL = slice(3, 6)  # position of where it is to go
    CUBES = slice(6, 15)  # position of each cube, in the order of sim.layout.COLORS
    # how the named cube lies: TURN_RADIUS * (cos, sin) of four times its yaw, because a cube looks
    # the same after a quarter of a turn
    TURN = slice(15, 17)
    WIDTH = 17


TURN_RADIUS = 0.1  # makes an error in TURN count about as much as one in a position


def cube(number: int) -> slice:
    """The position of the cube of color `number` in sim.layout.COLORS."""
    first = GroundTruth.CUBES.start + 3 * number
    return slice(first, first + 3)


def columns(*parts: slice) -> tuple[int, ...]:
    """The columns of several parts, one after the other."""
    return tuple(column for part in parts for column in range(part.start, part.stop))


_OVER_TABLE, _SPREAD = (0.5, 0.0, 0.05), 0.1  # m: of cubes, bowl and drawer
_ASKED = columns(GroundTruth.TARGET, GroundTruth.GOAL, GroundTruth.TURN)
_AROUND = columns(GroundTruth.CUBES)
SIMULATED = GroundTruthOptions(  # what the own simulation's rows hold
    TRUTH_FEATURE,
    _ASKED,
    _AROUND,
    (*2 * _OVER_TABLE, 0.0, 0.0, *3 * _OVER_TABLE),
    (_SPREAD,) * GroundTruth.WIDTH,
)


def to_info(known: GroundTruthOptions) -> dict[str, Any]:
    """The `info` of the feature that holds it in a dataset."""
    names = ("asked", "around", "center", "spread")
    return {GROUND_TRUTH: {name: [*getattr(known, name)] for name in names}}


def known_of(features: Mapping[str, Any], where: str) -> GroundTruthOptions | None:
    """What a dataset with these features (of info.json) says of where things are.

    None if it says nothing. ValueError of one line if what it says cannot be.
    """
    if TRUTH_FEATURE not in features:
        return None
    feature, place = features[TRUTH_FEATURE], f"{where}: {TRUTH_FEATURE}"
    said = (feature.get("info") or {}).get(GROUND_TRUTH)
    if said is None:  # of before datasets said it; or somebody else's, of which nobody knows
        return SIMULATED if [*feature["shape"]] == [GroundTruth.WIDTH] else None
    table = Table(f"{place}: {GROUND_TRUTH}", said, ("asked", "around", "center", "spread"))
    asked, around = (
        table.integers(name, len(value) if isinstance(value := said.get(name), list) else 0)
        for name in ("asked", "around")
    )
    center, spread = table.numbers("center"), table.numbers("spread")
    if spread and min(spread) <= 0:
        raise table.fail("spread", "numbers above 0")
    try:
        known = GroundTruthOptions(TRUTH_FEATURE, asked, around, center, spread)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    known.check_width(int(feature["shape"][0]), place)
    return known
