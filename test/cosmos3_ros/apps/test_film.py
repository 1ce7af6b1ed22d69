# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run: seen and predicted lie at the same place; what is written can be read."""

import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from cosmos3_ros.apps.film import COLUMN, Film, Layout, wrapped, write
from cosmos3_ros.model.embodiment import EMBODIMENTS

CANVASES = sorted(EMBODIMENTS)


def test_the_dark_edge_is_as_wide_as_the_text() -> None:
    """One pixel around the white of every letter, so that no letter lies on the edge of another."""
    picture = np.full((40, 300, 3), 128, np.uint8)
    write(picture, "predicted for this moment", (10, 20))
    white, dark = (
        np.flatnonzero(columns)
        for columns in ((picture > 200).any((0, 2)), (picture < 60).any((0, 2)))
    )
    assert abs(white[0] - dark[0]) <= 2
    assert abs(white[-1] - dark[-1]) <= 2


@pytest.mark.parametrize("name", CANVASES)
def test_what_was_predicted_lies_below_what_was_seen(name: str, tmp_path: Path) -> None:
    """In the same composition and size, of every embodiment; its padding is left out."""
    canvas = EMBODIMENTS[name].canvas
    layout = Layout(canvas)
    colors = {view: (250 - 40 * k, 60 * k, 120) for k, view in enumerate(canvas.views)}
    seen = {view: np.full((90, 160, 3), color, np.uint8) for view, color in colors.items()}
    picture = layout.picture(seen, (canvas.compose(seen), 0.0), [("task", "go")])
    assert picture.shape == (*layout.size, 3)
    height = layout.size[0] // 2
    above, below = (half[:, :-COLUMN].astype(int) for half in (picture[:height], picture[height:]))
    # but for the words, and edges that are drawn softly
    assert np.mean(np.abs(above - below).max(-1) <= 12) > 0.85
    with Film(tmp_path / "film.mp4", 15, layout.size) as film:  # even numbers, or it fails
        film.add(picture)
    assert film.frames == 1


def test_a_late_prediction_is_dimmed_and_none_is_said() -> None:
    canvas = EMBODIMENTS["droid_sim"].canvas
    layout = Layout(canvas)
    frame = np.full((*canvas.size, 3), 200, np.uint8)

    def brightness(later: float | None) -> float:
        future = None if later is None else (frame, later)
        picture = layout.picture({}, future, [])
        return float(np.median(picture[layout.size[0] // 2 :, :-COLUMN]))

    assert (brightness(0.2), brightness(-0.8), brightness(None)) == (200, 100, 0)
    nothing = layout.picture({}, None, [])
    assert nothing[: layout.size[0] // 2].any(), "which views have no picture is written"
    assert nothing[layout.size[0] // 2 :].any(), "and that there is no prediction"


def test_long_words_are_wrapped_within_the_column() -> None:
    text = "chunk 4: chunk is over: its last row was due 2.379 s ago, says the commander " * 3
    lines = wrapped(text, COLUMN - 24)
    assert " ".join(lines).split() == text.split()
    assert len(lines) > 3
    layout = Layout(EMBODIMENTS["droid_sim"].canvas)
    picture = layout.picture({}, None, [("last rejected", text)])
    assert picture[:, -COLUMN:].any()
    assert not picture[:, -8:].any(), "nothing is cut off at the right"


def test_pictures_of_another_thread_may_come_while_the_film_is_closed(tmp_path: Path) -> None:
    """An encoder that two threads use, or one after its end, takes the process down."""
    for number in range(20):
        path, stopped = tmp_path / f"{number}.mp4", threading.Event()
        with Film(path, 15, (160, 240)) as film:

            def feed(film: Film = film, stopped: threading.Event = stopped) -> None:
                shade = 0
                while not stopped.is_set():
                    film.add(np.full((160, 240, 3), shade % 256, np.uint8))
                    shade += 1

            thread = threading.Thread(target=feed)
            thread.start()
            time.sleep(0.02)
        time.sleep(0.01)
        stopped.set()
        thread.join()
        with av.open(str(path)) as shown:
            assert len([*shown.decode(video=0)]) == film.frames
