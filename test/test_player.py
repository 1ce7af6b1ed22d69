# SPDX-License-Identifier: Apache-2.0
"""The player follows chunks by time, rejects wrong ones whole, and holds."""

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.motion import Limits
from cosmos3_ros.player import HOLDING, PLAYING, WAITING, Player

LIMITS = Limits(np.full(2, -2.0), np.full(2, 2.0), np.full(2, 2.0), np.full(2, 8.0))


def chunk_at(stamp: int, names: tuple[str, ...] = ("a", "b", "grip"), rows: int = 15) -> ActionChunk:
    values = np.tile(np.linspace(0, 0.3, rows, dtype=np.float32)[:, None], (1, len(names)))
    values[:, -1] = np.arange(rows) >= rows // 2
    return ActionChunk(values, names, stamp, NS // 15, ("grip",) if "grip" in names else ())


@pytest.fixture
def player() -> Player:
    made = Player(("a", "b"), LIMITS, "grip")
    made.start_at(0, np.zeros(2))
    return made


def test_waits_until_it_knows_where_the_arm_is() -> None:
    unborn = Player(("a", "b"), LIMITS, "grip")
    assert not unborn.load(0, chunk_at(0), 1)
    assert unborn.mode == WAITING
    assert "no joint states" in unborn.last_rejection


def test_plays_and_then_holds_at_the_last_row(player: Player) -> None:
    assert player.load(0, chunk_at(0), 1)
    assert player.mode == PLAYING
    assert not player.tick(NS // 2)
    assert player.tick(NS + 1)
    assert player.mode == HOLDING
    assert np.allclose(player.motion.at(2 * NS)[0], 0.3, atol=1e-3)  # type: ignore[union-attr]


def test_a_newer_chunk_goes_on_from_the_set_point(player: Player) -> None:
    player.load(0, chunk_at(0), 1)
    now = NS // 2
    before = player.motion.at(now)  # type: ignore[union-attr]
    assert player.load(now, chunk_at(now - NS // 10), 2)
    after = player.motion.at(now)  # type: ignore[union-attr]
    assert np.allclose(before, after)


def test_permuted_columns_are_put_in_order(player: Player) -> None:
    shuffled = chunk_at(0, names=("grip", "b", "a"))
    values = shuffled.values.copy()
    values[:] = [0.8, 0.1, 0.2]
    assert player.load(0, ActionChunk(values, shuffled.names, 0, shuffled.step, ("grip",)), 1)
    assert np.allclose(player.motion.positions[-1], [0.2, 0.1], atol=1e-3)  # type: ignore[union-attr]
    assert player.gripper_position(NS // 2) == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("chunk", "words"),
    [
        (chunk_at(0, names=("a", "x", "grip")), "'x'"),
        (chunk_at(0, names=("a", "b")), "expected"),
        (chunk_at(10 * NS), "in the future"),
        (chunk_at(-2 * NS), "over"),
    ],
)
def test_a_wrong_chunk_is_rejected_whole(player: Player, chunk: ActionChunk, words: str) -> None:
    motion = player.motion
    assert not player.load(0, chunk, 7)
    assert player.motion is motion
    assert player.rejected == 1
    assert words in player.last_rejection
    assert player.last_rejection.startswith("chunk 7")


def test_an_older_chunk_does_not_replace_a_newer_one(player: Player) -> None:
    player.load(NS, chunk_at(NS), 2)
    assert not player.load(NS, chunk_at(NS // 2), 1)
    assert "older" in player.last_rejection


def test_hold_brakes_once(player: Player) -> None:
    player.load(0, chunk_at(0), 1)
    now = NS // 2
    assert player.hold(now, "because")
    assert (player.mode, player.reason) == (HOLDING, "because")
    assert not player.hold(now, "because")
    assert player.motion.end < now + NS // 2  # type: ignore[union-attr]
    assert player.gripper_position(now) is None
