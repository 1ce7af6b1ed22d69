# SPDX-License-Identifier: Apache-2.0
"""How smooth a motion was: spectral arc length, and logarithm of the dimensionless jerk.

Larger (nearer 0) is smoother.

Both as defined by Balasubramanian, Melendez-Calderon, Roby-Brami, Burdet, "On the analysis of
movement smoothness", J. NeuroEngineering and Rehabilitation 12:112, 2015. numpy only.
"""

from __future__ import annotations

import math

import numpy as np

# Hz; share of the largest amplitude; powers of two: the paper's values
_CUT, _FLOOR, _PADDING = 10.0, 0.05, 4


def spectral_arc_length(speed: np.ndarray, rate: float) -> float:
    """SPARC of a speed profile [T] sampled `rate` times a second; NaN if nothing moved.

    Its spectrum up to 10 Hz, but not beyond the last amplitude of 5 % of the largest, is a curve in
    the unit square: this is minus its length. A single smooth stroke has about -1.5, one in many
    pieces -5 and below.
    """
    if len(speed) < 2 or not speed.any():
        return math.nan
    size = 2 ** (math.ceil(math.log2(len(speed))) + _PADDING)
    amplitude = np.abs(np.fft.rfft(speed, size))
    amplitude = amplitude[: int(_CUT * size / rate) + 1] / amplitude.max()
    kept = np.flatnonzero(amplitude >= _FLOOR)
    amplitude = amplitude[kept[0] : kept[-1] + 1]
    if len(amplitude) < 2:
        return math.nan
    return -float(np.hypot(1 / (len(amplitude) - 1), np.diff(amplitude)).sum())


def log_dimensionless_jerk(velocities: np.ndarray, rate: float) -> float:
    """Minus ln(duration^3 / peak speed^2 * integral of the squared jerk), of velocities [T, N].

    NaN if nothing moved.

    For several joints, speed and jerk are lengths of vectors.
    """
    peak = float(np.linalg.norm(velocities, axis=1).max(initial=0.0))
    if len(velocities) < 3 or not peak:
        return math.nan
    jerk = np.diff(velocities, 2, axis=0) * rate**2
    duration = (len(velocities) - 1) / rate
    return -math.log(duration**3 / peak**2 * float((jerk**2).sum()) / rate)
