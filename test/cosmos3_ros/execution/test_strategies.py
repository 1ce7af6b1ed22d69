# SPDX-License-Identifier: Apache-2.0
"""What each strategy asks of policy, player and commander, and that every list of them agrees."""

import re
from pathlib import Path

import numpy as np
import pytest

from cosmos3_ros.execution.strategies import CHOICES, DEFAULT, STRATEGIES, crossfade, find_strategy
from cosmos3_ros.model.interface import NS, ActionChunk

ROOT = Path(__file__).resolve().parents[3]
STEP = NS // 15


def chunk(offset: float = 0.0, stamp: int = 0) -> ActionChunk:
    values = np.tile(np.linspace(0, 0.3, 15, dtype=np.float32)[:, None], (1, 3))
    values[:, :2] += offset
    values[:, 2] = np.arange(15) >= 7
    return ActionChunk(values, ("a", "b", "grip"), stamp, STEP, ("grip",))


def test_only_rtc_commits_rows_and_only_sync_pauses() -> None:
    assert [name for name, each in STRATEGIES.items() if each.commits_rows] == ["rtc"]
    assert [name for name, each in STRATEGIES.items() if each.pauses_between_chunks] == ["sync"]


@pytest.mark.parametrize("name", ["replace", "rtc"])
def test_replace_and_rtc_play_the_new_chunk_as_it_is(name: str) -> None:
    new = chunk()
    assert find_strategy(name).blend(new, chunk(0.1), NS, 4) is new


def test_sync_makes_all_rows_still_to_come() -> None:
    assert find_strategy("sync").blend(chunk(stamp=0), None, 5 * NS, 4).stamp == 5 * NS


def test_crossfade_needs_a_chunk_to_fade_from() -> None:
    new, old = chunk(0.2), chunk()
    assert find_strategy("crossfade").blend(new, None, STEP, 3) is new
    blended = find_strategy("crossfade").blend(new, old, STEP, 3)
    assert np.array_equal(blended.values, crossfade(old, new, STEP, 3).values)


def test_crossfade_mixes_the_arm_over_its_rows_and_never_the_gripper() -> None:
    old, new = chunk(), chunk(0.2)
    new.values[:, 2] = 1.0
    mixed = crossfade(old, new, STEP, 3)
    assert np.allclose((mixed.values - old.values)[:, 0], [0.0, 0.05, 0.1, 0.15, *[0.2] * 11])
    assert (mixed.values[:, 2] == 1.0).all()
    shuffled = ActionChunk(old.values[:, [2, 1, 0]], ("grip", "b", "a"), 0, STEP, ("grip",))
    assert np.array_equal(crossfade(shuffled, new, STEP, 3).values, mixed.values)


def test_an_unknown_strategy_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ValueError, match="'hope', expected one of replace, crossfade, rtc, sync"):
        find_strategy("hope")
    assert CHOICES == "replace, crossfade, rtc or sync"


def test_message_and_page_list_the_same_strategies() -> None:
    message = (ROOT / "msg" / "ActionChunk.msg").read_text()
    constants = re.findall(r"^string [A-Z]+=(\w+)", message, re.MULTILINE)
    assert constants == list(STRATEGIES)
    assert f"empty means {DEFAULT}" in message
    table = (ROOT / "docs" / "execution.md").read_text().split("| strategy | what happens")[1]
    rows = re.findall(r"^\| `(\w+)` \|", table.split("\n\n")[0], re.MULTILINE)
    assert rows == list(STRATEGIES)
