# SPDX-License-Identifier: Apache-2.0
"""The aims of the experts of the hard tasks, where those of the standard ones are not enough."""

from __future__ import annotations

import dataclasses

import numpy as np

from ..tasks import apart
from .hand import ACROSS, OPEN, SHUT, Aim, Hand
from .standard import bowl, lift_cube

_LAG = 0.17  # s that the arm is behind what it is commanded, and the command behind the aim
_NEAR = 0.012  # so near a moving thing is there, m


def _with(aim: Aim, velocity: np.ndarray, turning: float = 0.0) -> Aim:
    """The aim, carried along by what moves: at its goal the hand moves as that does."""
    return dataclasses.replace(
        aim,
        goal=aim.goal + _LAG * velocity,
        yaw=aim.yaw + _LAG * turning,
        velocity=velocity,
        turning=turning,
    )


def _pick_moving(hand: Hand, thing: str, yaw: float, turning: float) -> Aim:
    place, velocity = hand.world.position(thing), hand.world.velocity(thing)[0]
    velocity[2] = 0.0
    if hand.holds(place):
        return hand.stay(0.17, yaw, SHUT)
    if hand.around(place, _NEAR):
        return _with(Aim(place, yaw, SHUT, 0.6), velocity, turning)
    return _with(hand.over(place, place[2], place[2] + 0.08, yaw, OPEN), velocity, turning)


def lift_turning(hand: Hand) -> Aim:
    """As lift, but along with the turntable."""
    cube = hand.layout.target
    ahead = 0.5 * np.sign(hand.layout.spin) if hand.world.tool()[2] > 0.12 else 0.0
    yaw = hand.square_to(cube, float(ahead), 2.2)
    return _pick_moving(hand, cube, yaw, hand.world.velocity(cube)[1])


def catch(hand: Hand) -> Aim:
    """Along with the ball, with a finger on each side of its way."""
    return _pick_moving(hand, "ball", ACROSS, 0.0)


def bowl_then_lift(hand: Hand) -> Aim:
    """As bowl; once the cube lies there and the hand has left it, lift the other one."""
    cube, tool = hand.world.position(hand.layout.target), hand.world.tool()
    lies = apart(cube, hand.layout.place) < 0.05 and cube[2] < 0.045
    if not lies or (apart(tool, cube) < 0.06 and tool[2] < 0.13):
        return bowl(hand)
    return lift_cube(hand, hand.layout.base)
