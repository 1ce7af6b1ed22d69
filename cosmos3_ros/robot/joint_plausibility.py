# SPDX-License-Identifier: Apache-2.0
"""Whether measured joints can have moved as their messages say, or contradict each other.

Pure numpy; times are passed in.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

# Drivers stamp when they publish rather than when they measure: what a joint at full speed covers
# in this time is no contradiction [s].
JITTER = 0.025
# a joint that is moved by something else (a hand, another controller) may be this much faster than
# its limit says
FASTER = 1.5
NOISE = 0.01  # of a measurement [rad or m]


def differences(
    before: np.ndarray, after: np.ndarray, continuous: np.ndarray | None = None
) -> np.ndarray:
    """`after - before` [..., N], the short way round for `continuous` joints (bool [N])."""
    change = np.asarray(after, np.float64) - before
    if continuous is None or not continuous.any():
        return change
    around = (change + math.pi) % (2 * math.pi) - math.pi
    return np.where(continuous, around, change)


def largest_change(velocity: np.ndarray | float, seconds: float | np.ndarray) -> np.ndarray:
    """The largest change [..., N] (rad or m) that two measurements can be apart in `seconds`.

    velocity: the limits of the joints [N], rad/s or m/s; seconds: between the stamps, of any sign,
    broadcast against `velocity`.
    """
    return np.asarray(velocity) * (FASTER * np.abs(seconds) + JITTER) + NOISE


def contradiction(
    joints: Sequence[str], change: np.ndarray, seconds: float | np.ndarray, velocity: np.ndarray
) -> str:
    """Which joint cannot have moved by `change` [N] in `seconds`, in words; empty if all can.

    seconds: one number, or one per joint; velocity: the limits of the joints [N].
    """
    share = np.abs(change) / largest_change(velocity, seconds)
    joint = int(share.argmax())
    if share[joint] <= 1.0:
        return ""
    taken = float(np.broadcast_to(np.abs(seconds), share.shape)[joint])
    return (
        f"{joints[joint]} is said to have moved by {abs(change[joint]):.3f} within {taken:.3f} s, "
        f"limit {velocity[joint]:.2f} per second"
    )
