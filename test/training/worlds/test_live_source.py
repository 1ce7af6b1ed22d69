# SPDX-License-Identifier: Apache-2.0
"""Clips of a world whose experts demonstrate during a training: rate, windows, refusals."""

import dataclasses
import multiprocessing

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.episodes import Clip
from cosmos3_ros.training.options import DataOptions
from cosmos3_ros.training.worlds import live_source, recording
from cosmos3_ros.training.worlds.live_source import (
    _Lane,
    demonstrate,
    ground_truth_of,
    make_clips,
)
from cosmos3_ros.training.worlds.recording import WorldDemonstration, disturbed_steps

ROBOT = EMBODIMENTS["droid_sim"]
PLAIN = WorldDemonstration("ideal", "", "2", 4, noise=0.0, pulled=0.0, burst=2, rested=0.0)
OPTIONS = DataOptions(env="ideal", stride=1, disturbance=0.0, astray=0.0, rested=0.0)


def test_a_clip_has_the_rate_of_the_embodiment(ideal):
    (clip,) = demonstrate(PLAIN, ideal, ROBOT, OPTIONS, whole=True)
    episode = recording.perform(PLAIN, ideal)
    assert len(clip.frames) == -(-len(episode) // 2)  # 30 steps a second, 15 frames
    assert clip.starts.tolist() == [*range(len(clip.frames))]
    # A row is where the world is to be at the next frame, two steps later.
    wanted = ROBOT.model_rows(episode.states[2], episode.actions[[3, 5, *[7] * 14]])
    assert clip.rows[1][:3] == pytest.approx(wanted[:3], abs=1e-6)
    assert clip.truth[0][0] == pytest.approx(0.2)


def test_copies_show_a_clip_again_with_every_view_shifted(monkeypatch):
    areas = ROBOT.canvas.areas
    heights = [area[0].stop - area[0].start for area in areas]
    widths = [area[1].stop - area[1].start for area in areas]
    assert sum(h * w for h, w in zip(heights, widths, strict=True)) == np.prod(ROBOT.canvas.content)
    frames = np.zeros((2, *ROBOT.canvas.size, 3), np.uint8)
    for number, area in enumerate(areas):  # a ramp in each, so that every pixel says where it was
        ramp = np.add.outer(np.arange(heights[number]), np.arange(widths[number]))
        frames[:, *area] = (ramp + 7 * number)[..., None] % 250
    rows = np.ones((1, 17, 8), np.float32)
    clip = Clip(frames, np.array([0]), rows, np.zeros((1, 9), np.float32), ("go",))
    monkeypatch.setattr(live_source, "_clips", lambda *_: iter([clip, clip]))
    options = dataclasses.replace(OPTIONS, copies=3, shift=0.05)
    shown = [*make_clips(options, ROBOT)]
    assert len(shown) == 6
    assert [each is clip for each in shown] == [True, False, False] * 2
    moved = [each.frames for each in shown if each is not clip]
    assert all(each.rows is rows for each in shown)
    assert len({each.tobytes() for each in moved} | {frames.tobytes()}) == 5
    for each in moved:
        assert (each[0] == each[1]).all()  # of a clip, all frames alike
        for number, area in enumerate(areas):
            middle = (heights[number] // 2, widths[number] // 2)
            steps = int(each[0, *area][middle][0]) - int(frames[0, *area][middle][0])
            most = round(0.05 * heights[number]) + round(0.05 * widths[number])
            assert abs((steps + 125) % 250 - 125) <= most
    again = [*make_clips(options, ROBOT)]
    assert all((one.frames == other.frames).all() for one, other in zip(shown, again, strict=True))
    still = make_clips(dataclasses.replace(options, shift=0.0), ROBOT)
    assert all((each.frames == frames).all() for each in still)


def test_of_other_demonstrations_only_beginnings_of_windows_are_drawn(ideal):
    options = dataclasses.replace(OPTIONS, stride=2)
    (clip,) = demonstrate(PLAIN, ideal, ROBOT, options, whole=False)
    assert not clip.whole
    assert len(clip.frames) == len(clip.starts) == 3  # frames 0, 2 and 4 of 5


def test_no_window_begins_just_before_noise(ideal, monkeypatch):
    """Nor where there is none at all, which is no error."""
    monkeypatch.setattr(live_source, "_CALM", 0.1)  # three steps of this world
    monkeypatch.setattr(live_source, "disturbed_steps", lambda *_: np.arange(99) == 6)
    for whole in (True, False):
        (clip,) = demonstrate(PLAIN, ideal, ROBOT, OPTIONS, whole)
        assert clip.starts.tolist() == [0, 1, 4]
        assert len(clip.frames) == (5 if whole else 3)
    monkeypatch.setattr(live_source, "disturbed_steps", lambda *_: np.ones(99))
    assert not any(demonstrate(PLAIN, ideal, ROBOT, OPTIONS, whole) for whole in (True, False))


def test_noise_comes_in_bursts_in_seven_of_ten_demonstrations():
    wanted = [dataclasses.replace(PLAIN, noise=1.0, seed=seed) for seed in range(200)]
    factors = [disturbed_steps(one, 400) for one in wanted]
    assert 120 <= sum(one.any() for one in factors) <= 160
    for one in factors:
        first = np.flatnonzero(np.diff(np.concatenate([[0.0], one])) > 0)
        assert (np.diff(first) >= 2 + 24).all()
    assert not disturbed_steps(PLAIN, 400).any()
    assert (disturbed_steps(dataclasses.replace(PLAIN, burst=0), 4) == 1).all()


def test_a_lane_takes_its_tasks_in_turn_and_makes_a_share_of_them_whole(ideal):
    options = dataclasses.replace(OPTIONS, episodes=4, whole=0.5, first_seed=10)
    lane = _Lane(options, ROBOT, ("1", "2"), 0, 1)
    made = [*lane.clips()]
    assert [len(clips) for clips in made] == [1, 1, 0, 0, 1, 1, 0, 0]  # odd seeds fail
    said = [clip.instructions[0] for clips in made for clip in clips]
    assert said == ["go to 0.1", "go to 0.2"] * 2
    assert [clip.whole for clips in made for clip in clips] == [True] * 4
    other = [*dataclasses.replace(lane, rank=1, size=2).clips()]
    assert [len(clips) for clips in other] == [0] * 4


def test_what_goes_wrong_in_a_process_is_raised(monkeypatch):
    """As an unknown world, which a process of its own asks for in vain; none of them stays."""
    lanes = [_Lane(dataclasses.replace(OPTIONS, env="nowhere"), ROBOT, ("1",), 0, 1)]
    with pytest.raises(ValueError, match="env: expected sim, metaworld"):
        [*live_source._in_lanes(lanes, 60.0)]
    assert not [one for one in multiprocessing.active_children() if one.name.startswith("Process")]


def test_what_does_not_fit_is_refused(ideal):
    assert ground_truth_of(OPTIONS).asked == (0, 1)
    with pytest.raises(ValueError, match=r"task of ideal: expected all or some of .*, got '9'"):
        next(make_clips(dataclasses.replace(OPTIONS, tasks=("9",)), ROBOT))
    with pytest.raises(ValueError, match="metaworld: expected 8 numbers of state, as ideal has"):
        next(make_clips(OPTIONS, EMBODIMENTS["metaworld"]))
    with pytest.raises(ValueError, match="expected neither dataset nor span beside it, got 'here'"):
        DataOptions(env="ideal", dataset="here")
    with pytest.raises(ValueError, match="data: expected env with protocol or seconds"):
        DataOptions(seconds=3.0)
