# SPDX-License-Identifier: Apache-2.0
"""Clips for a training: which frames are rendered, where windows begin."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.clip_source import _whole, make_clips
from cosmos3_ros.training.data.episodes import make_clip, part
from cosmos3_ros.training.options import (
    DataOptions,
)

DROID_SIM = EMBODIMENTS["droid_sim"]


def test_a_clip_holds_its_last_action_and_frame_after_the_end(episode):
    made = episode(20)
    clip = make_clip(made, DROID_SIM, stride=19)
    assert clip.starts.tolist() == [0, 19]
    assert clip.window(17)[1].tolist() == [19] * 17
    commands = DROID_SIM.decode_actions(clip.rows[1, 1:], made.states[19])
    assert np.allclose(commands, made.actions[19], atol=1e-5)
    assert np.allclose(clip.rows[1, 0], DROID_SIM.encode_state(made.states[19]))


@pytest.mark.parametrize("share", [0.15, 0.5, 1.0])
def test_of_every_task_the_same_share_is_seen_as_a_whole(share):
    seen = np.array(
        [[_whole(5 * seed + task, 5, share) for task in range(5)] for seed in range(100)]
    )
    assert abs(seen.sum(0) - 100 * share).max() <= 1
    assert abs(seen[:20].sum() - 100 * share) <= 2  # and soon


def test_windows_are_denser_where_all_is_seen(monkeypatch, episode):
    perform_here(monkeypatch, episode(40))
    options = DataOptions(episodes=4, whole=0.5, stride=7)
    for dense, windows in ((0, 6), (3, 14)):
        clips = list(make_clips(dataclasses.replace(options, dense=dense), DROID_SIM))
        assert {(clip.whole, len(clip.starts)) for clip in clips} == {(True, windows), (False, 6)}


def test_some_spans_of_every_demonstration_are_seen(monkeypatch, episode):
    perform_here(monkeypatch, episode(75))
    options = DataOptions(episodes=20, whole=0.4, span=26, stride=7, dense=3)
    clips = list(make_clips(options, DROID_SIM))
    spans = [clip for clip in clips if clip.whole]
    assert len(clips) - len(spans) == 40
    assert 35 < len(spans) < 75  # 0.4 of somewhat more than three in each of 40
    everything = make_clip(episode(75), DROID_SIM)
    firsts = []
    for clip in spans:
        first = next(n for n in range(75) if np.array_equal(everything.frames[n], clip.frames[0]))
        length = len(clip.frames) - (0 if first + len(clip.frames) == 75 else 16)
        assert clip.starts.tolist() == list(range(0, length, 3))
        assert np.array_equal(clip.rows, everything.rows[first + clip.starts])
        assert np.array_equal(clip.truth, everything.truth[first + clip.starts], equal_nan=True)
        expected = everything.frames[everything.window(17)[first + clip.starts]]
        assert np.array_equal(clip.frames[clip.window(17)], expected)
        firsts.append(first)
    assert len(set(firsts)) > 15, "spans begin anywhere"
    # a window would begin at frame 900
    rare = dataclasses.replace(options, stride=1000, opening=0, first_seed=900)
    assert all(clip.whole for clip in make_clips(rare, DROID_SIM))
    for wrong in (16, -1):
        with pytest.raises(ValueError, match="span: expected 0 or more than the 16 rows"):
            next(make_clips(dataclasses.replace(options, span=wrong), DROID_SIM))


def perform_here(monkeypatch, performed):
    """Instead of experts in other processes: each time the same."""

    def record(_wanted, look=None):
        return performed if look is None else part(performed, filter(look, range(len(performed))))

    monkeypatch.setattr("cosmos3_ros.training.data.clip_source.record", record)
    monkeypatch.setattr(
        "cosmos3_ros.training.data.clip_source.in_parallel",
        lambda perform, jobs, *_, **__: map(perform, jobs),
    )
