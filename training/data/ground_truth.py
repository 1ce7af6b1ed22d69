# SPDX-License-Identifier: Apache-2.0
"""The columns of what the simulator knows of a scene, which the grounding loss asks for."""

from __future__ import annotations


class GroundTruth:
    """Slices of a row float32 [WIDTH]; NaN where a thing is not there or nothing is known.

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
