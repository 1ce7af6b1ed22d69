# SPDX-License-Identifier: Apache-2.0
"""100 000 control periods of random histories of the whole commander: nothing is violated."""

import importlib
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

STEPS = 25_000  # of each part, 1e5 in all


@pytest.fixture(name="bench")
def _bench(domain: int) -> Any:
    """The bench's module; its world and its disturbances are modules beside it."""
    return importlib.import_module("commander_histories")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1000, 2000, 3000, 4000])
def test_random_histories_violate_nothing(bench: Any, seed: int) -> None:
    found = bench.run(STEPS, seed)
    assert not any(found["violations"].values()), found["first"]
    counts = found["counts"]
    assert counts["steps"] >= STEPS
    assert counts["recovered"] > 20
    assert counts["played"] > 200
    assert counts["rejected"] > 20


@pytest.fixture(name="history")
def _history(bench: Any) -> Any:
    """An undisturbed history, armed, in which the arm moves; a stream of set points."""
    with bench.ros() as folder:
        seed = next(s for s in range(100) if _suits(bench, s, folder))
        history = bench.History(seed, folder, only=("none",))
        history.run(150)
        assert not history.violations
        assert history.node._armed
        yield history
        history.close()


def _suits(bench: Any, seed: int, folder: str) -> bool:
    history = bench.History(seed, folder, only=("none",))
    history.run(1)
    history.close()
    return bool(history.sink == "position_stream" and history.world.policy.strategy == "replace")


def _rules(history: Any) -> set[str]:
    return {violation.rule for violation in history.violations}


def test_undisturbed_it_moves(history: Any) -> None:
    before = history.world.arm.position.copy()
    history.run(100)
    assert np.abs(history.world.arm.position - before).max() > 0.02


def test_a_chunk_that_comes_before_the_first_tick_after_a_stall_is_played_at_once(
    history: Any,
) -> None:
    assert history.node.arm(False).success
    history.run(25)
    assert history.node.arm(True).success
    history.stalled_until = history.world.time + 3 * 10**9
    history.run(200)
    assert history.node._player.motion.start <= history.node.now()
    assert not history.violations


def test_a_set_point_away_from_the_arm_and_a_step_are_noticed(history: Any) -> None:
    velocity = np.zeros(len(history.limits.velocity))
    history.node._player.mode = "playing"
    history.on_point(history.world.arm.position + 0.6, velocity, None, history.node.now())
    assert _rules(history) == {"away", "limits"}


def test_a_motion_outside_the_limits_is_noticed(history: Any) -> None:
    from cosmos3_ros.execution.spline_motion import SplineMotion

    now, here = history.node.now(), history.world.arm.position
    steep = here + np.array([0.0, 0.0, 0.0, 0.1, 0.1, 0.1])[:, None]
    history.on_begin(SplineMotion(now, steep), now)
    assert _rules(history) == {"limits"}


def test_what_moves_after_a_stop_is_noticed(history: Any) -> None:
    history.stop_topic(True)
    assert not history.violations
    history.node._supervisor.arm(True, history.node.now())
    history.run(1)
    assert "stop" in _rules(history)


def test_a_silent_standstill_is_noticed(history: Any) -> None:
    history.node.step = lambda count: None
    history.run(500)
    assert {"silent", "standstill"} <= _rules(history)


def test_an_exception_is_noticed(history: Any) -> None:
    history.node._player = None
    history.run(1)
    assert _rules(history) == {"exception"}
