# SPDX-License-Identifier: Apache-2.0
"""The aims of the experts of the standard tasks."""

from __future__ import annotations

import math

import numpy as np

from ..kinematics import yaw_of
from ..tasks import apart
from .hand import ACROSS, HIGH, OPEN, SHUT, STEEP, Aim, Hand

_PUSH_HEIGHT = 0.036  # of the tool over the table, m; closed fingers reach 1.7 cm below the tool


def reach(hand: Hand) -> Aim:
    """Over the cube, turned as it is."""
    cube = hand.world.position(hand.layout.target)
    return hand.over(
        cube, cube[2] + 0.035, cube[2] + 0.08, hand.square_to(hand.layout.target), OPEN
    )


def lift(hand: Hand) -> Aim:
    """Grasp the named cube and raise it."""
    return lift_cube(hand, hand.layout.target)


def lift_cube(hand: Hand, cube: str) -> Aim:
    """Grasp a cube and raise it."""
    if hand.holds(hand.world.position(cube)):
        return hand.stay(0.17, hand.square_to(cube), SHUT)
    return hand.pick(cube)


def bowl(hand: Hand) -> Aim:
    """Grasp the cube, carry it over the bowl, let go and leave."""
    cube, place = hand.world.position(hand.layout.target), hand.layout.place
    yaw = yaw_of(hand.world.tool_rotation())
    if apart(cube, place) < 0.05 and cube[2] < 0.045:
        return hand.stay(0.18, yaw, OPEN)
    held = bool(np.linalg.norm(hand.world.tool() - cube) < 0.03) and hand.closed > 0.1
    if held and apart(cube, place) < 0.02 and cube[2] < 0.085:
        return hand.stay(hand.point[2], yaw, OPEN)
    if hand.holds(cube):
        return hand.over(place, 0.075, HIGH, yaw, SHUT, cube)
    return hand.pick(hand.layout.target)


def stack(hand: Hand) -> Aim:
    """Grasp the cube, carry it over the other one, set it down and leave."""
    cube, base = (
        hand.world.position(hand.layout.target),
        hand.world.position(hand.layout.base),
    )
    yaw = yaw_of(hand.world.tool_rotation())
    above = cube[2] - base[2]
    if apart(cube, base) < 0.02 and 0.035 < above < 0.046:
        on = hand.closed < 0.5 or above < 0.0415
        return hand.stay(
            hand.point[2] if hand.closed > 0.3 else HIGH, yaw, OPEN if on else SHUT, 0.5
        )
    if hand.holds(cube):
        return hand.over(base, 0.0615, HIGH, yaw, SHUT, cube)
    return hand.pick(hand.layout.target)


def push(hand: Hand) -> Aim:
    """Down into the lane behind the cube wherever it is nearest, and forward.

    Back within it while off its middle.

    Low behind the cube it changes gradually with where the hand is, so that a learner who is
    wrong by a centimeter still does much the same. Up again, to the one point to start from,
    made it swing to and fro behind the cube.
    """
    cube, goal, tool = (
        hand.world.position(hand.layout.target),
        np.array(hand.layout.place),
        hand.world.tool(),
    )
    along = (goal - cube[:2]) / max(apart(goal, cube), 1e-6)
    yaw = math.atan2(along[1], along[0])
    yaw -= round(yaw / math.pi) * math.pi
    gap = cube[:2] - tool[:2]
    ahead = float(gap @ along)
    across = gap - ahead * along
    aside, left = float(np.linalg.norm(across)), apart(cube, goal)
    if left < 0.012 or (left < 0.038 and tool[2] > 0.07):
        return hand.stay(0.14, yaw_of(hand.world.tool_rotation()), SHUT, 0.8)
    high = tool[2] - _PUSH_HEIGHT
    if high < 0.021 and 0.015 < ahead < 0.2 and aside < (0.08 if ahead > 0.06 else 0.03):
        off = max(0.0, aside - 0.01) + max(0.0, high - 0.004)
        back = min(0.03 - min(left, 0.07) + STEEP * off, 0.085)
        return Aim(np.array([*(cube[:2] - back * along), _PUSH_HEIGHT]), yaw, SHUT, 0.4)
    lane = (
        cube[:2] - min(max(ahead, 0.062), 0.12) * along - across * min(1.0, 0.02 / max(aside, 1e-6))
    )
    return hand.over(lane, _PUSH_HEIGHT, 0.12, yaw, SHUT)


def drawer(hand: Hand) -> Aim:
    """Grasp the handle, pull, let go and leave."""
    handle, opening = hand.world.handle(), hand.world.opening()
    grasp = handle + np.array([0.0, 0.0, 0.004])
    if opening > 0.13:
        return hand.stay(handle[2] + 0.10, ACROSS, OPEN)
    if hand.around(grasp, 0.008):
        pull = hand.grips()
        goal = grasp + np.array([opening - 0.145, 0.0, 0.0]) if pull else grasp
        return Aim(goal, ACROSS, SHUT, 0.5)
    return hand.over(grasp, grasp[2], grasp[2] + 0.09, ACROSS, OPEN)


def close_drawer(hand: Hand) -> Aim:
    """Push the handle with closed fingers."""
    handle, opening = hand.world.handle(), hand.world.opening()
    gap = handle - hand.world.tool()
    if opening < 0.01:
        return hand.stay(handle[2] + 0.09, ACROSS, SHUT, 0.5)
    if 0.0 < gap[0] < 0.09 and abs(gap[1]) < 0.02 and abs(gap[2]) < 0.015:
        return Aim(handle + np.array([opening, 0.0, 0.0]), ACROSS, SHUT, 0.5)
    return hand.over(handle - np.array([0.06, 0.0, 0.0]), handle[2], handle[2] + 0.09, ACROSS, SHUT)
