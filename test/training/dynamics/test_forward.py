# SPDX-License-Identifier: Apache-2.0
"""Videos of action series: windows that begin where the last one ended, and the files."""

import json

import numpy as np
import pytest

from cosmos3_ros.model.interface import Observation
from cosmos3_ros.training.data.video_io import at_rate
from cosmos3_ros.training.dynamics.forward import forward, predict_clip
from cosmos3_ros.training.dynamics.sources import SourceClip


@pytest.fixture(scope="module")
def clip(dynamics, episode):
    return SourceClip("demo:0", episode(20), np.arange(20) * dynamics.embodiment.step, "panda")


@pytest.mark.parametrize("known", [True, False], ids=["states known", "first state alone"])
def test_a_window_begins_with_the_last_frame_and_the_state_of_its_time(dynamics, clip, known):
    values = clip.episode.actions[:19]
    source = clip if known else clip.frame()
    first, second = predict_clip(dynamics, source, values)
    assert [len(first), len(second)] == [17, 3]
    state = clip.episode.states[16] if known else values[15]
    seen = Observation({}, state, clip.episode.instructions[0], 0)
    wanted = dynamics.predict_frames(first[-1], values[16:], seen)
    assert np.array_equal(second, wanted[1:])


def test_video_and_request_are_written_and_never_replaced(dynamics, clip, tmp_path):
    values, out = clip.episode.actions[:3], tmp_path / "new" / "future.mp4"
    said = forward(
        dynamics, clip, values, out, {"seed": 5}, per_view=True, real=True, say=lambda _: None
    )
    height, width = dynamics.embodiment.canvas.content
    assert at_rate(out, 15.0).shape == (4, height, width, 3)
    for panel in dynamics.embodiment.canvas.panels:
        shape = at_rate(out.with_name(f"future.{panel.view}.mp4"), 15.0).shape
        assert shape == (4, panel.height, panel.width, 3)
    kept = json.loads(out.with_suffix(".json").read_text())
    assert (kept["seed"], kept["source"], kept["frames"]) == (5, "demo:0", 4)
    assert np.allclose(kept["actions"]["rows"], values)
    assert kept["window_rows"] == [3]
    assert 0 < kept["likeness"]["psnr"] < 60
    assert said["likeness"] == kept["likeness"]
    with pytest.raises(ValueError, match=r"future\.mp4 exists; expected a new file"):
        forward(dynamics, clip, values, out, {})
