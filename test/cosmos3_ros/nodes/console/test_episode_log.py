# SPDX-License-Identifier: Apache-2.0
"""The table of episodes: what counts as one, and what came of it."""

from typing import Any

import pytest

pytestmark = pytest.mark.ros  # the package of the console's node needs it


def status(episode: int, elapsed: float, success: bool = False, **more: Any) -> dict[str, Any]:
    return {
        "task": "lift",
        "seed": 3,
        "episode": episode,
        "elapsed": elapsed,
        "success": success,
    } | more


def test_an_episode_that_was_solved_keeps_its_time_and_its_chunks() -> None:
    from cosmos3_ros.nodes.console.episode_log import EpisodeLog

    log = EpisodeLog()
    log.add_chunk()  # before there is an episode
    assert log.running is None
    assert log.add_status(status(1, 0.2))
    log.add_chunk()
    assert not log.add_status(status(1, 4.0, success=True))
    log.add_chunk()
    assert not log.add_status(status(1, 9.0, success=True))
    solved = status(1, 4.0) | {"chunks": 1, "outcome": "solved"}
    del solved["success"]
    assert log.running == solved
    assert log.over == []
    assert log.add_status(status(2, 0.1))
    assert log.over == [solved]
    assert log.running is not None
    assert (log.running["outcome"], log.running["chunks"]) == ("running", 0)


@pytest.mark.parametrize("after", [status(2, 0.1), status(1, 0.1), status(1, 6.0, seed=4)], ids=str)
def test_an_episode_that_another_one_follows_was_not_solved(after: dict[str, Any]) -> None:
    """A simulation that was started anew begins with the same number again."""
    from cosmos3_ros.nodes.console.episode_log import EpisodeLog

    log = EpisodeLog()
    log.add_status(status(1, 5.0))
    assert log.add_status(after)
    assert [one["outcome"] for one in log.over] == ["not solved"]


def test_it_does_not_grow_for_ever() -> None:
    from cosmos3_ros.nodes.console.episode_log import MOST, EpisodeLog

    log = EpisodeLog()
    for number in range(1, MOST + 10):
        log.add_status(status(number, 0.1))
    assert [one["episode"] for one in log.over] == [*range(9, MOST + 9)]
