# SPDX-License-Identifier: Apache-2.0
"""The policy node's comparisons without a graph: made-up stamps, every piece in its order."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import NS, ActionChunk, Observation, Prediction, Surprise

pytestmark = pytest.mark.ros
DROID_SIM = EMBODIMENTS["droid_sim"]
STEP = DROID_SIM.step


class Says:
    """A meter that says what the test wants, and remembers what it was shown."""

    piece = 4

    def __init__(self) -> None:
        self.value, self.shown, self.episodes = 0.5, [], 0

    def begin(self, observation: Observation, prediction: Prediction) -> "Says":
        return self

    def forget(self) -> None:
        self.episodes += 1

    def add(self, pictures: Any, stamp: int, played: ActionChunk | None = None) -> Surprise | None:
        self.shown.append((pictures, stamp, played))
        if self.value < 0:
            raise ValueError("no such picture")
        grid = np.full((1, 2), self.value, np.float32)
        return Surprise(stamp, {"wrist": self.value}, grid) if len(pictures) > 1 else None


class Scene:
    """A watch, and what a node would tell it: 30 pictures a second of each view, from 1 s on."""

    embodiment = DROID_SIM

    def __init__(self, **params: Any) -> None:
        from cosmos3_ros.nodes.surprise.surprise_params import SurpriseParams
        from cosmos3_ros.nodes.surprise.surprise_watch import SurpriseWatch

        self.meter, self.said, self.failures = Says(), [], []
        chosen = SurpriseParams(**{"surprise": "report"} | params)
        self.watch = SurpriseWatch(
            self,  # type: ignore[arg-type]  # has what it asks of a policy
            self.meter,
            chosen,
            lambda view, message: np.full((2, 2, 3), message % 256, np.uint8),
            self.said.append,
            self.failures.append,
        )
        self.frames = 0

    def predicts(self, number: int, stamp: int) -> None:
        rows = np.zeros((16, 8), np.float32)
        chunk = ActionChunk(rows, DROID_SIM.action_names, stamp, STEP, DROID_SIM.discrete)
        observation = Observation({}, DROID_SIM.neutral_state(), "go", stamp)
        self.watch.predicted(number, observation, Prediction(chunk))

    def plays(self, number: int, base: int, now: int, armed: bool = True) -> None:
        from cosmos3_ros.msg import CommanderStatus
        from cosmos3_ros.ros.messages import header, to_time

        mode = CommanderStatus.PLAYING if number else CommanderStatus.HOLDING
        status = CommanderStatus(header=header(now), mode=mode, armed=armed, chunk=number)
        status.chunk_stamp = to_time(base)
        self.watch.playing(status)

    def shows(self, until: float) -> None:
        """Pictures and set points until so many s after the first."""
        while self.frames < round(30 * until):
            stamp = NS + self.frames * NS // 30
            self.watch.commanded(stamp, np.full(8, self.frames / 30))
            for view in DROID_SIM.views:
                self.watch.picture(view, stamp, self.frames)
            self.frames += 1

    def wait(self, condition: Callable[[], object]) -> None:
        end = time.monotonic() + 30
        while not condition():
            assert time.monotonic() < end, "nothing came"
            time.sleep(0.005)


@pytest.fixture
def scene(request: pytest.FixtureRequest) -> Iterator[Scene]:
    made = Scene(**getattr(request, "param", {}))
    yield made
    made.watch.close()


def begin(scene: Scene) -> None:
    """The first chunk is played, and nothing was compared yet."""
    scene.watch.expect(NS)
    scene.shows(0.2)
    scene.predicts(1, NS)
    scene.plays(1, NS, NS + NS // 5)


def test_each_piece_is_compared_in_order_and_told(scene: Scene) -> None:
    begin(scene)
    scene.shows(1.2)
    scene.wait(lambda: len(scene.said) == 4)
    assert [len(pictures) for pictures, _, _ in scene.meter.shown] == [1, 4, 4, 4, 4]
    stamps = [stamp for _, stamp, _ in scene.meter.shown]
    assert stamps == [NS + 4 * index * STEP for index in range(5)]
    pictures, _, played = scene.meter.shown[1]
    shown = [int(views["wrist"][0, 0, 0]) for views in pictures]
    assert shown == [2, 4, 6, 8], "the frames of its moments"
    assert played is not None
    np.testing.assert_allclose(played.values[:, 0], np.arange(1, 5) / 15, atol=0.001)
    assert (played.values[:, 7] == 0).all(), "the chunk's own gripper"
    first = scene.said[0]
    assert (first.number, first.instruction, first.reaction) == (1, "go", "report")
    assert (first.rows, first.columns, list(first.grid)) == (1, 2, [0.5, 0.5])
    assert not first.alarm
    assert scene.watch.take_alarm() == 0


def test_a_dry_run_and_what_was_not_played_are_not_compared(scene: Scene) -> None:
    scene.watch.expect(NS)
    scene.shows(0.2)
    scene.predicts(1, NS)
    scene.plays(1, NS, NS + NS // 5, armed=False)
    scene.shows(0.6)
    assert not scene.meter.shown
    scene.plays(1, NS, NS + 6 * NS // 10)
    scene.plays(0, 0, NS + 7 * NS // 10)
    scene.shows(1.5)
    scene.wait(lambda: len(scene.said) == 2)  # those that end at 0.27 and 0.53 s
    time.sleep(0.05)
    assert len(scene.said) == 2


@pytest.mark.parametrize(
    "scene", [{"surprise": "shorten", "surprise_persistence": 2}], indirect=True
)
def test_an_alarm_begins_after_so_many_in_a_row_and_is_taken_once(scene: Scene) -> None:
    begin(scene)
    scene.meter.value = 2.0
    scene.shows(0.5)
    scene.wait(lambda: len(scene.said) == 1)
    assert scene.watch.take_alarm() == 0
    scene.shows(0.7)
    scene.wait(lambda: len(scene.said) == 2)
    assert [said.alarm for said in scene.said] == [False, True]
    assert scene.watch.take_alarm() == NS + 8 * STEP
    assert scene.watch.take_alarm() == 0
    assert scene.watch.shortens
    scene.watch.forget()
    assert not scene.watch.shortens


def test_what_fails_is_told_and_the_next_chunk_is_compared(scene: Scene) -> None:
    begin(scene)
    scene.meter.value = -1.0
    scene.shows(0.3)
    scene.wait(lambda: scene.failures)
    assert str(scene.failures[0]) == "no such picture"
    scene.meter.value = 0.5
    later = NS + 6 * NS // 10
    scene.watch.expect(later)
    scene.shows(0.7)
    scene.predicts(2, later)
    scene.plays(2, later, NS + 7 * NS // 10)
    scene.shows(1.4)
    scene.wait(lambda: 2 in {said.number for said in scene.said})


def test_nothing_is_told_of_an_episode_that_is_over(scene: Scene) -> None:
    begin(scene)
    scene.watch.forget()
    assert scene.meter.episodes == 1
    scene.shows(1.5)
    time.sleep(0.05)
    assert not scene.said
