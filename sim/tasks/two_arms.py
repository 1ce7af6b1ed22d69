# SPDX-License-Identifier: Apache-2.0
"""What two arms do together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ..arm_constants import closure
from ..layout import BAR, Layout, bar
from .task import Task

if TYPE_CHECKING:  # MuJoCo, see Task
    from ..world import World

LEVEL = math.radians(10)  # the most that the bar may hang down at an end


def _raised_by_both(world: World, layout: Layout) -> bool:
    """Level and off the table, between the fingers of both hands."""
    rise = float(world.data.body("bar").xmat[6])  # of its long axis, m of 1 m
    held = all(0.1 < closure(arm.positions()[-1]) < 0.95 for arm in world.arms)
    return held and world.position("bar")[2] > 0.10 and abs(rise) < math.sin(LEVEL)


def ends(world: World) -> tuple[tuple[float, float], ...]:
    """Where (x, y) the first and the second arm are to grasp the bar, m."""
    place, yaw, along = world.position("bar"), world.yaw("bar"), BAR[0] - 0.06
    way = along * math.cos(yaw), along * math.sin(yaw)
    ordered = sorted(
        ((place[0] - way[0], place[1] - way[1]), (place[0] + way[0], place[1] + way[1]))
    )
    return tuple((float(x), float(y)) for x, y in ordered)


TWO_ARMS: dict[str, Task] = {
    "lift_bar": Task(
        "bar",
        (
            "lift the bar with both arms",
            "pick up the bar with two hands",
            "raise the bar together and keep it level",
            "take the bar off the table with both grippers",
            "grab both ends of the bar and lift it",
        ),
        bar,
        _raised_by_both,
        length=70,
    ),
}
