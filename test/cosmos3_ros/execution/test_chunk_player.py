# SPDX-License-Identifier: Apache-2.0
"""The player follows chunks by time, rejects wrong ones whole, and holds."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.execution.chunk_player import (
    HOLDING,
    OVER,
    PLAYING,
    WAITING,
    ChunkPlayer,
    PlaybackRules,
    smoothed,
)
from cosmos3_ros.execution.spline_motion import Limits
from cosmos3_ros.execution.strategies import crossfade
from cosmos3_ros.model.interface import NS, ActionChunk

LIMITS = Limits(
    np.full(2, -2.0), np.full(2, 2.0), np.full(2, 2.0), np.full(2, 8.0), np.full(2, 200.0)
)


def chunk_at(
    stamp: int, names: tuple[str, ...] = ("a", "b", "grip"), rows: int = 15
) -> ActionChunk:
    values = np.tile(np.linspace(0, 0.3, rows, dtype=np.float32)[:, None], (1, len(names)))
    values[:, -1] = np.arange(rows) >= rows // 2
    return ActionChunk(values, names, stamp, NS // 15, ("grip",) if "grip" in names else ())


@pytest.fixture
def player() -> ChunkPlayer:
    made = ChunkPlayer(("a", "b"), LIMITS, ("grip",))
    made.start_at(0, np.zeros(2))
    return made


def test_waits_until_it_knows_where_the_arm_is() -> None:
    unborn = ChunkPlayer(("a", "b"), LIMITS, ("grip",))
    assert not unborn.load(0, chunk_at(0), 1)
    assert unborn.mode == WAITING
    assert "no joint states" in unborn.last_rejection


def test_plays_and_then_holds_at_the_last_row(player: ChunkPlayer) -> None:
    assert player.load(0, chunk_at(0), 1)
    assert player.mode == PLAYING
    assert player.end_reason(NS // 2) == ""
    assert player.end_reason(2 * NS) == OVER
    player.hold(2 * NS, OVER)
    assert player.mode == HOLDING
    assert np.allclose(player.motion.at(2 * NS)[0], 0.3, atol=1e-3)  # type: ignore[union-attr]


def test_a_newer_chunk_goes_on_from_the_set_point(player: ChunkPlayer) -> None:
    player.load(0, chunk_at(0), 1)
    now = NS // 2
    before = player.motion.at(now)  # type: ignore[union-attr]
    assert player.load(now, chunk_at(now - NS // 10), 2)
    after = player.motion.at(now)  # type: ignore[union-attr]
    assert np.allclose(before, after)


def test_permuted_columns_are_put_in_order(player: ChunkPlayer) -> None:
    shuffled = chunk_at(0, names=("grip", "b", "a"))
    values = shuffled.values.copy()
    values[:] = [0.8, 0.1, 0.2]
    assert player.load(0, ActionChunk(values, shuffled.names, 0, shuffled.step, ("grip",)), 1)
    assert np.allclose(player.motion.points[-1], [0.2, 0.1], atol=1e-3)  # type: ignore[union-attr]
    assert player.gripper_positions(NS // 2)["grip"] == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (chunk_at(0, names=("a", "x", "grip")), "'x'"),
        (chunk_at(0, names=("a", "b")), "expected"),
        (chunk_at(10 * NS), "in the future"),
        (chunk_at(-2 * NS), "over"),
    ],
)
def test_a_wrong_chunk_is_rejected_whole(
    player: ChunkPlayer, chunk: ActionChunk, words: str
) -> None:
    motion = player.motion
    assert not player.load(0, chunk, 7)
    assert player.motion is motion
    assert player.rejected == 1
    assert words in player.last_rejection
    assert player.last_rejection.startswith("chunk 7")


def test_an_older_chunk_does_not_replace_a_newer_one(player: ChunkPlayer) -> None:
    player.load(NS, chunk_at(NS), 2)
    assert not player.load(NS, chunk_at(NS // 2), 1)
    assert "older" in player.last_rejection


def test_hold_brakes_once(player: ChunkPlayer) -> None:
    player.load(0, chunk_at(0), 1)
    now = NS // 2
    assert player.hold(now, "because")
    assert (player.mode, player.reason) == (HOLDING, "because")
    assert not player.hold(now, "because")
    assert player.motion.end < now + NS // 2  # type: ignore[union-attr]
    assert player.gripper_positions(now) == {}


def test_the_watchdog_ends_a_chunk_that_no_newer_one_follows() -> None:
    player = ChunkPlayer(("a", "b"), LIMITS, ("grip",), PlaybackRules(watchdog=5))
    player.start_at(0, np.zeros(2))
    assert player.load(0, chunk_at(0), 1)
    assert player.end_reason(5 * (NS // 15)) == ""
    assert "5 rows were played" in player.end_reason(5 * (NS // 15) + 1)


def test_a_jump_from_the_measured_arm_is_rejected(player: ChunkPlayer) -> None:
    assert not player.load(0, chunk_at(0), 1, measured=np.array([0.0, 0.7]))
    assert "b would jump by 0.700, limit 0.500" in player.last_rejection
    assert player.load(0, chunk_at(0), 2, measured=np.array([0.0, 0.4]))


def test_what_a_chunk_went_itself_while_it_was_late_is_no_jump(player: ChunkPlayer) -> None:
    """A quick turn of 1.2 rad/s that comes 0.6 s late: its row that is due is 0.7 rad away."""
    limits = dataclasses.replace(LIMITS, velocity=np.array([1.4, 1.4]))
    rows = np.arange(1, 31, dtype=np.float32)[:, None] / 15 * np.array([1.0, 0.0], np.float32)
    late, measured = 6 * NS // 10, np.zeros(2)
    for speed, is_played in ((1.2, True), (3.0, False)):  # the arm cannot be so quick
        player = ChunkPlayer(("a", "b"), limits)
        player.start_at(0, measured)
        first = ActionChunk(rows * np.float32(0.01), ("a", "b"), 0, NS // 15)
        assert player.load(0, first, 1, measured=measured)
        values = np.minimum(rows * np.float32(speed), 1.9)
        chunk = ActionChunk(values, ("a", "b"), NS // 10, NS // 15)
        assert player.load(NS // 10 + late, chunk, 2, measured=measured) == is_played
    assert "a would jump by" in player.last_rejection
    chunk = dataclasses.replace(chunk, values=chunk.values * np.float32(0.4) + np.float32(0.6))
    assert not player.load(NS // 10 + late, chunk, 3, measured=measured), "it begins elsewhere"


def test_rows_outside_the_range_are_clipped_a_little_or_rejected(player: ChunkPlayer) -> None:
    chunk = chunk_at(0)
    chunk.values[:, 1] += 1.74
    player.start_at(0, np.array([0.0, 1.74]))
    assert player.load(0, chunk, 1)
    assert player.limited == 1
    assert "b is 0.040 outside its range" in player.last_limit
    assert player.motion.points.max() <= 2.0  # type: ignore[union-attr]
    chunk.values[-1, 1] = 2.06
    assert not player.load(0, chunk, 2)
    assert "b is 0.060 outside its range, limit 0.050" in player.last_rejection


@pytest.mark.parametrize("limit", [1.183970915, 1.7628, 0.3, 2.0, 2.8973])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_chunk_to_a_limit_that_float32_rounds_outwards_is_followed(
    limit: float, side: int
) -> None:
    """Rows are float32: the nearest one to a limit may lie outside it."""
    limits = Limits(*(np.array([value]) for value in (-limit, limit, 1.0, 5.0, 50.0)))
    player = ChunkPlayer(("a",), limits)
    player.start_at(0, np.array([side * (limit - 0.2)]))
    rows = np.linspace(side * (limit - 0.2), side * limit, 20, dtype=np.float32)[:, None]
    rows[-5:] = np.float32(side * limit)
    assert player.load(0, ActionChunk(rows, ("a",), 0, NS // 15), 1), player.last_rejection
    assert "outside its range" not in player.last_limit
    points = player.motion.points  # type: ignore[union-attr]
    assert np.abs(points).max() <= limit + 1e-9
    assert np.abs(points[-1]) == pytest.approx(limit, abs=1e-6)


def test_a_chunk_that_is_too_fast_is_slowed_down_and_the_gripper_waits_for_the_arm(
    player: ChunkPlayer,
) -> None:
    chunk = chunk_at(0)
    chunk.values[:, :2] *= 5
    assert player.load(0, chunk, 1)
    pace = player.motion.pace  # type: ignore[union-attr]
    assert pace < 0.95
    assert player.limited == 1
    assert f"played at {pace:.2f} of its speed" in player.last_limit
    closes = (
        next(k for k in range(300) if player.gripper_positions(k * NS // 100)["grip"] == 1.0) / 100
    )
    assert closes == pytest.approx(8 / 15 / pace, abs=0.02)


def test_crossfade_plays_the_mixture(player: ChunkPlayer) -> None:
    player.load(0, chunk_at(0), 1)
    new = chunk_at(0)
    new.values[:, :2] += 0.1
    assert player.load(NS // 2, new, 2, "crossfade")
    loaded = player.loaded.chunk  # type: ignore[union-attr]
    assert np.array_equal(loaded.values, crossfade(chunk_at(0), new, NS // 2, 4).values)


def test_sync_plays_all_rows_from_when_the_chunk_arrives(player: ChunkPlayer) -> None:
    late = chunk_at(-2 * NS)
    assert player.load(0, late, 1, "sync")
    assert player.remaining(0) > 0.9
    assert np.allclose(player.motion.points[-1], 0.3)  # type: ignore[union-attr]


def test_an_unknown_strategy_is_rejected(player: ChunkPlayer) -> None:
    assert not player.load(0, chunk_at(0), 1, "hope")
    assert "strategy 'hope', expected one of replace, crossfade, rtc, sync" in player.last_rejection
    assert not player.load(0, chunk_at(0), 1, "replce")
    assert "strategy 'replce', did you mean 'replace'? expected one of" in player.last_rejection


def test_what_is_under_way_goes_on_when_the_clock_is_set(player: ChunkPlayer) -> None:
    player.load(0, chunk_at(0), 1)
    before = player.motion.at(NS // 2)  # type: ignore[union-attr]
    player.shift(-10 * NS)
    assert np.allclose(player.motion.at(NS // 2 - 10 * NS), before)  # type: ignore[union-attr]
    player.hold(NS // 2 - 10 * NS, "the clock jumped back")
    assert player.mode == HOLDING


def test_jitter_of_the_rows_does_not_slow_the_arm() -> None:
    way = chunk_at(0)
    jitter = np.where(np.arange(15) % 2, 0.02, -0.02).astype(np.float32)[:, None] * [1, 1, 0]
    paces = []
    for rows in (0.0, 6.0):
        player = ChunkPlayer(("a", "b"), LIMITS, ("grip",), PlaybackRules(smooth=rows))
        player.start_at(0, np.zeros(2))
        assert player.load(
            0,
            ActionChunk(
                (way.values + jitter).astype(np.float32), way.names, 0, way.step, ("grip",)
            ),
            1,
        )
        paces.append(player.motion.pace)
        assert player.gripper_positions(NS // 2)["grip"] in (0.0, 1.0)  # steps stay steps
    assert paces[0] < 0.8 < 0.99 < paces[1]


def test_smoothing_keeps_the_way_and_halves_what_it_says() -> None:
    line = np.linspace(0, 1, 16, dtype=np.float32)[:, None] * [1, -2]
    assert np.allclose(smoothed(line, 8.0), line, atol=1e-6)
    wave = np.cos(2 * np.pi * np.arange(160) / 8)[:, None]
    assert np.allclose(smoothed(wave, 8.0)[40:120], wave[40:120] / 2, atol=0.04)


@pytest.mark.parametrize(("rows", "step"), [(1001, 0.01), (32, 1.0), (20, 1000.0)])
def test_a_chunk_that_takes_long_to_plan_is_rejected(
    player: ChunkPlayer, rows: int, step: float
) -> None:
    chunk = chunk_at(0, rows=rows)
    chunk = ActionChunk(chunk.values, chunk.names, 0, int(step * NS), chunk.discrete)
    assert not player.load(0, chunk, 1)
    assert f"{rows} rows in {rows * step:.1f} s, expected at most 1000 in 30 s" in (
        player.last_rejection
    )
