# SPDX-License-Identifier: Apache-2.0
"""The types that flow: a chunk is a function of time, and nothing wrong gets into one."""

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Future, Observation, Prediction, warm_up

BRIDGE = EMBODIMENTS["bridge"]

STEP = 100


def chunk(values: list[list[float]], **changes: object) -> ActionChunk:
    given = {"names": ("a", "grip"), "stamp": 1000, "step": STEP, "discrete": ("grip",)} | changes
    return ActionChunk(np.array(values, np.float32), **given)  # type: ignore[arg-type]


def test_rows_are_due_one_step_after_the_capture() -> None:
    assert chunk([[0, 0], [1, 1], [2, 0]]).times().tolist() == [1100, 1200, 1300]


def test_at_interpolates_moving_columns_and_holds_discrete_ones() -> None:
    c = chunk([[0, 0], [1, 1], [2, 0]])
    assert c.at(1150).tolist() == [0.5, 0.0]  # type: ignore[union-attr]
    assert c.at(1200).tolist() == [1.0, 1.0]  # type: ignore[union-attr]
    assert c.at(1299).tolist() == pytest.approx([1.99, 1.0])  # type: ignore[union-attr]


def test_at_gives_the_first_row_before_it_is_due_and_nothing_after_the_last() -> None:
    c = chunk([[3, 1], [4, 0]])
    assert c.at(0).tolist() == [3.0, 1.0]  # type: ignore[union-attr]
    assert c.at(1200).tolist() == [4.0, 0.0]  # type: ignore[union-attr]
    assert c.at(1201) is None


def test_at_does_not_change_the_chunk() -> None:
    c = chunk([[3, 1], [4, 0]])
    c.at(1100)[0] = 99  # type: ignore[index]
    assert c.values[0, 0] == 3


def test_rows_keep_their_times() -> None:
    part = chunk([[0, 0], [1, 0], [2, 0], [3, 0]]).rows(1100, 1300)
    assert part is not None
    assert part.times().tolist() == [1200, 1300]
    assert part.values[:, 0].tolist() == [1, 2]
    assert chunk([[0, 0]]).rows(1100, 2000) is None


@pytest.mark.parametrize(
    ("values", "changes", "words"),
    [
        ([[0, float("nan")]], {}, "1 NaN or infinite"),
        ([[0, 0, 0]], {}, r"expected \[>=1, 2\].*got \[1, 3\]"),
        ([[0, 0]], {"names": ("a", "a")}, "distinct"),
        ([[0, 0]], {"step": 0}, "positive"),
        ([[0, 0]], {"discrete": ("b",)}, r"\['b'\]"),
    ],
)
def test_a_wrong_chunk_cannot_be_made(values: list[list[float]], changes: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        chunk(values, **changes)


@pytest.mark.parametrize(
    ("image", "state", "instruction", "words"),
    [
        (
            np.zeros((4, 4), np.uint8),
            np.zeros(2, np.float32),
            "go",
            r"images\['w'\].*got uint8 \[4, 4\]",
        ),
        (np.zeros((4, 4, 3), np.float32), np.zeros(2, np.float32), "go", "got float32"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros(2), "go", "got float64"),
        (np.zeros((4, 4, 3), np.uint8), np.array([0, np.inf], np.float32), "go", "finite"),
        (np.zeros((4, 4, 3), np.uint8), np.zeros(2, np.float32), "  ", "instruction"),
    ],
)
def test_a_wrong_observation_cannot_be_made(
    image: np.ndarray, state: np.ndarray, instruction: str, words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        Observation({"w": image}, state, instruction, 0)


def test_a_future_is_video() -> None:
    with pytest.raises(ValueError, match=r"Future\.frames"):
        Future(np.zeros((2, 4, 4), np.uint8), 0, 1)


def test_a_warm_up_asks_for_gray_pictures_and_leaves_no_trace() -> None:
    asked, resets = list[Observation](), list[int]()

    class Watched:
        embodiment = BRIDGE

        def infer(
            self, observation: Observation, committed: ActionChunk | None = None
        ) -> Prediction:
            asked.append(observation)
            values = np.zeros((1, 1), np.float32)
            return Prediction(ActionChunk(values, ("a",), 0, 1))

        def decode(self, prediction: Prediction) -> Future:
            raise AssertionError

        def reset(self) -> None:
            resets.append(len(asked))

    warm_up(Watched(), "reach", times=2)
    assert resets == [2]
    assert [one.instruction for one in asked] == ["reach", "reach"]
    assert {view: image.shape for view, image in asked[0].images.items()} == {
        "image": (480, 640, 3)
    }
    assert asked[0].state.tolist() == [0, 0, 0, 0, 0, 0, 1, 0], "a quaternion of no rotation"
