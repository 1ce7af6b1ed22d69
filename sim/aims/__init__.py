# SPDX-License-Identifier: Apache-2.0
"""What the scripted experts want at any moment of a task: a function each, listed in AIMS."""

from __future__ import annotations

from collections.abc import Callable

from . import hard, standard, two_arms
from .hand import Aim, Hand

__all__ = ["AIMS", "Aim", "Hand"]

AIMS: dict[str, Callable[[Hand], Aim]] = {
    "reach": standard.reach,
    "lift": standard.lift,
    "push": standard.push,
    "bowl": standard.bowl,
    "drawer": standard.drawer,
    "close_drawer": standard.close_drawer,
    "stack": standard.stack,
    "lift_small": standard.lift,
    "lift_edge": standard.lift,
    "lift_clutter": standard.lift,
    "lift_knocked": standard.lift,
    "lift_turning": hard.lift_turning,
    "catch": hard.catch,
    "bowl_then_lift": hard.bowl_then_lift,
    "lift_bar": two_arms.lift_bar,
}
