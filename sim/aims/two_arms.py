# SPDX-License-Identifier: Apache-2.0
"""What each hand of two arms wants: it knows where the other one is."""

from __future__ import annotations

import math

import numpy as np

from ..kinematics import yaw_of
from ..tasks.two_arms import ends
from .hand import OPEN, SHUT, Aim, Hand

_RAISED = 0.17  # of the tools over the table, m
_APART = 0.012  # what one hand may be higher than the other before it waits, m


def lift_bar(hand: Hand) -> Aim:
    """Grasp one end of the bar, wait for the other hand, and raise it together."""
    world = hand.world
    bar = world.position("bar")
    (x, y), now = ends(world)[hand.number], yaw_of(hand.arm.tool_rotation())
    place = np.array([x, y, bar[2]])
    yaw = now + math.remainder(world.yaw("bar") - now, math.pi)
    if hand.holds(place):
        other = hand.other()
        other_place = np.array([*ends(world)[other.number], bar[2]])
        if not other.holds(other_place):
            return hand.stay(hand.point[2], yaw, SHUT)
        lead = hand.arm.tool()[2] - other.arm.tool()[2]
        return hand.stay(_RAISED if lead < _APART else hand.point[2], yaw, SHUT, 0.6)
    if hand.around(place):
        return Aim(place, yaw, SHUT, 0.6)
    return hand.over(place, place[2], place[2] + 0.08, yaw, OPEN)
