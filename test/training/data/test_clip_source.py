# SPDX-License-Identifier: Apache-2.0
"""Clips for a training: which frames are rendered, where windows begin."""

import dataclasses
import io
import json

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.clip_source import (
    _whole,
    ground_truth_of,
    layout_of,
    make_clips,
)
from cosmos3_ros.training.data.episodes import make_clip, part
from cosmos3_ros.training.data.ground_truth import SIMULATED, to_info
from cosmos3_ros.training.data.lerobot_reader import read_info
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard
from cosmos3_ros.training.options import DataOptions, GroundTruthOptions

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


METAWORLD = EMBODIMENTS["metaworld"]
PLACES = GroundTruthOptions(
    "simulation.truth", (0, 1, 2, 6, 7, 8), (3, 4, 5), (0.0, 0.65, 0.1) * 3, (0.1,) * 9
)


def test_commanded_positions_are_interpolated_to_the_embodiments_rate(hand_dataset):
    """From 80 to 20 Hz: a row says where the hand is commanded to be one row later."""
    options = DataOptions(dataset=str(hand_dataset), stride=5, ground_truth=PLACES)
    layout = layout_of(read_info(hand_dataset), METAWORLD, options)
    assert (layout.state, layout.action) == (("observation.state",), ("action",))
    assert layout.cameras == {"corner2": "observation.image"}
    first, second = make_clips(options, METAWORLD)
    assert first.frames.shape == (12, 224, 224, 3)
    assert first.rows.shape[1:] == (17, 7)
    assert first.truth.shape[1] == 9
    assert (first.instructions, second.instructions) == (
        ("Push the puck to a goal",),
        ("Open a drawer",),
    )
    state, rows = first.rows[0, 0], first.rows[0, 1:, :4]
    raw = METAWORLD.normalization.inverse(rows)
    along = 0.004 * np.minimum(np.arange(1, 17), 12)  # and then the last command is held
    np.testing.assert_allclose(raw[:, 1], along, atol=1e-6)
    np.testing.assert_allclose(
        raw[:, 3], np.where(np.arange(16) * 4 + 3 < 24, -1.0, 0.6), atol=1e-6
    )
    expected = [-0.01, 0.59, 0.19, 0.5, 0.0, 0.6, 0.2]
    np.testing.assert_allclose(METAWORLD.state_normalization.inverse(state), expected, atol=1e-6)


def test_what_a_dataset_says_of_itself_is_read_once(hand_dataset, monkeypatch):
    opened, opens = [], io.open
    monkeypatch.setattr(
        io, "open", lambda file, *a, **k: opened.append(file) or opens(file, *a, **k)
    )
    assert len([*make_clips(DataOptions(dataset=str(hand_dataset)), METAWORLD)]) == 2
    assert opened.count(hand_dataset / "meta/info.json") == 1


def test_a_dataset_says_itself_what_it_knows_or_the_recipe_does(hand_dataset, tmp_path):
    options = DataOptions(dataset=str(hand_dataset))
    assert ground_truth_of(DataOptions()) == SIMULATED
    assert ground_truth_of(options) is None  # nine numbers of which nobody said what they are
    assert ground_truth_of(dataclasses.replace(options, ground_truth=PLACES)) == PLACES
    (tmp_path / "meta").mkdir()
    info = json.loads((hand_dataset / "meta/info.json").read_text())
    feature = info["features"]["simulation.truth"]

    def said(**changes):
        feature["info"] = to_info(PLACES)
        feature["info"]["ground_truth"] |= changes
        (tmp_path / "meta/info.json").write_text(json.dumps(info))
        return ground_truth_of(DataOptions(dataset=str(tmp_path)))

    assert said() == PLACES
    for changes, words in (
        ({"asked": [0, 1, 2, 6, 7, 9]}, "expected columns below 9"),
        ({"asked": [0, 1, 2, 6, 7, 7]}, "expected distinct columns"),
        ({"center": [0.0]}, "ground_truth.center: expected 9 numbers"),
        ({"spread": [0.1] * 8 + [0]}, "spread: expected numbers above 0"),
        ({"around": "cubes"}, "around: expected a list"),
    ):
        with pytest.raises(ValueError, match=words) as caught:
            said(**changes)
        assert len(str(caught.value).splitlines()) == 1
    with pytest.raises(ValueError, match=r"lacks 'places'; it has \['action'"):
        ground_truth_of(
            dataclasses.replace(options, ground_truth=dataclasses.replace(PLACES, feature="places"))
        )
    with pytest.raises(ValueError, match=r"expected none without data\.dataset"):
        ground_truth_of(DataOptions(ground_truth=PLACES))


def test_a_dataset_of_the_simulation_says_what_it_knows(tmp_path, episode):
    write_shard(tmp_path, 0, 0, [episode()], EMBODIMENTS["droid_sim"])
    finish(tmp_path, 1, EMBODIMENTS["droid_sim"], "panda")
    assert ground_truth_of(DataOptions(dataset=str(tmp_path))) == SIMULATED
    bare = dataclasses.replace(episode(), truth=np.zeros((24, 0), np.float32))
    folder = tmp_path / "bare"
    write_shard(folder, 0, 0, [bare], EMBODIMENTS["droid_sim"])
    finish(folder, 1, EMBODIMENTS["droid_sim"], "panda")
    assert ground_truth_of(DataOptions(dataset=str(folder))) is None
    (clip,) = make_clips(DataOptions(dataset=str(folder)), EMBODIMENTS["droid_sim"])
    assert clip.truth.shape == (len(clip.starts), 0)
