# SPDX-License-Identifier: Apache-2.0
"""10 000 random chunks, latencies, strategies, stops: no set point leaves a limit or jumps."""

import motion_limits as bench
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cosmos3_ros.execution.chunk_player import ChunkPlayer
from cosmos3_ros.execution.spline_motion import STEP, SplineMotion
from cosmos3_ros.model.interface import NS

EXAMPLES, CHUNKS = 50, 200
seeds, sizes, lates = st.integers(0, 2**32 - 1), st.floats(-3.0, 0.3), st.floats(0.0, 1.1)


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(seeds, sizes, lates)
def test_chunks_latencies_strategies_and_stops_keep_every_limit_at_every_moment(
    seed: int, size: float, late: float
) -> None:
    """By the control points of the executed splines: they bound every moment in between."""
    player = ChunkPlayer(bench.NAMES, bench.LIMITS)
    pieces = list(bench.drive(player, np.random.default_rng(seed), CHUNKS, 10**size, late))
    line, wrong = bench.spline(pieces)
    wrong |= bench.violations(line, STEP / NS)
    assert not any(wrong.values()), wrong
    assert player.played + player.rejected == CHUNKS


@settings(max_examples=30, deadline=None)
@given(seeds, sizes, lates)
def test_the_control_points_are_what_is_executed_and_bound_it(
    seed: int, size: float, late: float
) -> None:
    """Set points 4 ms apart keep the limits and lie on the one spline of all control points."""
    pieces = list(
        bench.drive(
            ChunkPlayer(bench.NAMES, bench.LIMITS), np.random.default_rng(seed), 20, 10**size, late
        )
    )
    line, _ = bench.spline(pieces)
    points = bench.samples(pieces)
    found = bench.violations(points, bench.TICK / NS)
    assert not any(found.values()), found
    times = np.arange(pieces[0].begin, pieces[-1].end, bench.TICK)
    whole = SplineMotion(pieces[0].motion.start, line).at(times)[0]
    assert np.allclose(whole, points, atol=1e-12)


def test_a_violation_and_a_seam_are_noticed() -> None:
    pieces = list(
        bench.drive(ChunkPlayer(bench.NAMES, bench.LIMITS), np.random.default_rng(0), 20, 0.1, 0.5)
    )
    line, wrong = bench.spline(pieces)
    assert not any(wrong.values())
    assert bench.spline([pieces[0], pieces[5]])[1] == {"time": 1, "seam": 1}, (
        "there is a gap between them"
    )
    assert bench.spline([pieces[5], pieces[0]])[1] == {"time": 2, "seam": 1}, (
        "the second motion is the older one"
    )
    for order, name in enumerate(bench.KINDS[1:], 1):
        most = bench.LIMITS.derivatives()[order - 1][0] * (STEP / NS) ** order
        ramp = np.zeros((10, 7))
        ramp[:, 0] = 1.01 * most * np.arange(10.0) ** order / np.prod(np.arange(1, order + 1))
        assert bench.violations(line[:10] + 3 * np.sign(line[:10]), STEP / NS)["position"] == 10
        assert bench.violations(ramp, STEP / NS)[name] == 10 - order
