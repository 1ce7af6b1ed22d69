# SPDX-License-Identifier: Apache-2.0
"""What is learned of undisturbed episodes tells others like them from disturbed ones."""

import dataclasses
import math

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS
from cosmos3_ros.model.surprise.comparison import Comparison, Preceding
from cosmos3_ros.model.surprise.reference import Reference
from cosmos3_ros.training.evaluation.surprise.episodes import WatchedEpisode
from cosmos3_ros.training.evaluation.surprise.fit import RARE, fit, split
from cosmos3_ros.training.evaluation.surprise.probe import Seen

CHANNELS, PLACES = 6, np.array([[0] * 6] * 3 + [[1] * 3 + [2] * 3] * 3)
VIEWS = ("wrist", "left", "right")
PERIOD, LENGTH = 0.25, 16


def episode(seed: int, moved: bool = False) -> WatchedEpisode:
    """A scene of its own, in which one column of places moves and is badly predicted.

    moved: in the last two comparisons a still place of the right view shows what was elsewhere.
    """
    random = np.random.default_rng(seed)
    scene = random.normal(size=(CHANNELS, *PLACES.shape))
    preceding, found = Preceding(), []
    for number in range(LENGTH):
        column = (seed + number) % 6
        seen, predicted = scene.copy(), scene + 0.05 * random.normal(size=scene.shape)
        predicted[:, :, column] = 3 * random.normal(size=(CHANNELS, 6))
        seen[:, :, column] = predicted[:, :, column] + random.normal(size=(CHANNELS, 6))
        if moved and number >= LENGTH - 2:
            place = 3 if column != 3 else 4
            seen[:, 4, place] = scene[:, 3, 5] if column != 5 else scene[:, 5, 5 - place // 4]
        parts = (part.astype(np.float32) for part in (scene, predicted, seen))
        seconds = PERIOD * (number + 1)
        found.append(
            Seen(seconds, preceding.add(round(seconds * NS), Comparison(1 + number % 2, *parts)))
        )
    began = PERIOD * (LENGTH - 1) - 0.01 if moved else math.nan
    kind = "moved" if moved else ""
    return WatchedEpisode(kind, "made up", seed, began, PERIOD * LENGTH, found)


@pytest.fixture(scope="module")
def reference() -> Reference:
    said: list[str] = []
    episodes = [episode(seed) for seed in range(48)]
    found = fit(episodes, VIEWS, PLACES, {"source": "test"}, 120, 2, said.append)
    assert said == ["network 1/2", "network 2/2"]
    return found


def values(reference: Reference, watched: WatchedEpisode) -> np.ndarray:
    return reference.nats([seen.comparison for seen in watched.seen])[1].max(1) / reference.once


def test_others_that_are_undisturbed_reach_one_about_once_in_ten_minutes(
    reference: Reference,
) -> None:
    found = np.concatenate([values(reference, episode(seed)) for seed in range(1000, 1150)])
    assert len(found) * PERIOD == RARE
    assert (found >= 1).sum() <= 8
    assert found.max() > 0.1


def test_what_changes_where_nothing_moves_is_found_and_where(reference: Reference) -> None:
    disturbed = [episode(seed, moved=True) for seed in range(2000, 2020)]
    noticed = [one for one in disturbed if values(reference, one)[-2:].max() >= 1]
    assert len(noticed) >= 14
    assert max(values(reference, one)[:-2].max() for one in disturbed) < 1.5
    right = 0
    for one in noticed:
        surprise = reference.surprise(one.seen[-2].comparison, 0)
        right += max(surprise.values, key=lambda view: surprise.values[view]) == "right"
    assert right >= 0.8 * len(noticed)


def test_disturbed_episodes_are_learned_from_and_their_undisturbed_part_counts() -> None:
    disturbed = [episode(seed, moved=True) for seed in range(24)]
    found = fit(disturbed, VIEWS, PLACES, steps=20, networks=1)
    assert found.once > 0
    taught, kept = split([*disturbed, dataclasses.replace(disturbed[0], seen=[])])
    assert (len(taught), len(kept)) == (18, 6)


def test_the_same_episodes_teach_the_same() -> None:
    episodes = [episode(seed) for seed in range(8)]
    one, other = (fit(episodes, VIEWS, PLACES, steps=3, networks=1) for _ in range(2))
    assert one.once == other.once
    assert np.array_equal(values(one, episodes[0]), values(other, episodes[0]))


def test_too_few_episodes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"episodes: expected at least 4 .*, got 3"):
        fit([episode(seed) for seed in range(3)], VIEWS, PLACES)
    empty = dataclasses.replace(episode(0), seen=[])
    with pytest.raises(ValueError, match=r"expected at least 4 .*, got 0"):
        fit([empty] * 8, VIEWS, PLACES)
