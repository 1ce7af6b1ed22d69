# SPDX-License-Identifier: Apache-2.0
"""Clips of videos, pictures and datasets: what is read, at which rate, and what is refused."""

import dataclasses
import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training.data.lerobot_reader import read_info
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.dynamics import sources
from cosmos3_ros.training.dynamics.sources import SourceClip, state_at
from cosmos3_ros.training.options import DataOptions

ARM, ONE_VIEW = EMBODIMENTS["droid_sim"], EMBODIMENTS["droid_single_view"]
STATE = np.array([0, -0.6, 0, -2.5, 0, 1.9, 0, 0.25], np.float32)


def film(file, count, fps, height=64):
    """Frame k is of the gray 4 k."""
    frames = (np.full((height, 96, 3), 4 * number, np.uint8) for number in range(count))
    write_video(file, frames, fps)
    return file


def grays(clip):
    return clip.episode.views["exterior_1"].mean(axis=(1, 2, 3)) / 4


def test_a_video_is_resampled_to_its_newest_pictures_and_shrunk(tmp_path):
    file = film(tmp_path / "a.mp4", 31, 30, height=128)
    clip = sources.of_videos({"exterior_1": file}, ONE_VIEW, "lift", STATE, height=64)
    assert clip.episode.views["exterior_1"].shape == (16, 64, 48, 3)
    assert np.abs(grays(clip) - np.arange(0, 31, 2)).max() < 0.6
    assert clip.stamps[:3].tolist() == [0, 66_666_667, 133_333_333]
    assert (clip.knows_states, clip.knows_actions) == (False, False)
    assert (clip.episode.states[0] == STATE).all()
    same = sources.of_videos({"exterior_1": film(tmp_path / "b.mp4", 9, 15)}, ONE_VIEW, "lift")
    assert np.abs(grays(same) - np.arange(9)).max() < 0.6
    with pytest.raises(ValueError, match=r"a\.mp4: no states; say with --state .* 8 numbers, pan"):
        sources.check_start(dataclasses.replace(same, name="a.mp4"), ONE_VIEW)


def test_views_of_different_lengths_are_cut_and_that_is_said(tmp_path):
    files = {
        view: film(tmp_path / f"{view}.mp4", 5 + number, 15)
        for number, view in enumerate(ARM.views)
    }
    said = []
    clip = sources.of_videos(files, ARM, "lift", tell=said.append)
    assert len(clip.episode) == 5
    assert said[0].startswith(
        "videos of different lengths: the first 5 frames of each, of {'wrist'"
    )


def test_videos_that_cannot_be_read_at_the_rate_are_refused(tmp_path):
    slow = film(tmp_path / "slow.mp4", 9, 10)
    (tmp_path / "text.mp4").write_text("no video")
    for file, words in (
        (slow, r"slow\.mp4: recorded at 10 Hz, expected 15 Hz or more: pictures between its own"),
        (tmp_path / "text.mp4", r"text\.mp4 is not readable as a video"),
        (tmp_path / "none.mp4", r"none\.mp4: no such video"),
    ):
        with pytest.raises(ValueError, match=words):
            sources.of_videos({"exterior_1": file}, ONE_VIEW, "lift")
    with pytest.raises(ValueError, match="--instruction: expected what is done in the video"):
        sources.of_videos({"exterior_1": film(tmp_path / "a.mp4", 5, 15)}, ONE_VIEW, " ")


@pytest.mark.parametrize(
    "words", [["a.mp4", "b.mp4"], ["wrist=a.mp4"], ["wrist=a"] * 3, ["left=a", "wrist=b", "x=c"]]
)
def test_every_view_needs_one_file(words):
    with pytest.raises(ValueError, match=r"--video: expected one VIEW=FILE for each of \['wrist'"):
        sources.by_view(words, ARM.views, "--video")
    assert sources.by_view(["a.mp4"], ("exterior_1",), "--video")["exterior_1"].name == "a.mp4"


def test_a_state_is_numbers_in_the_embodiments_units():
    assert sources.parse_state("0,-0.6,0,-2.5,0,1.9,0,0.25", ARM) == pytest.approx(STATE)
    for text, words in (
        ("0,1", r"--state: expected 8 finite numbers \['panda_joint1 \[rad\]'"),
        ("0,0,0,0,0,0,0,nan", "--state: expected 8 finite numbers"),
        ("a,0,0,0,0,0,0,0", "--state: expected 8 finite numbers"),
        ("0,-60,0,-2.5,0,1.9,0,0", r"--state: panda_joint2 is at 60\.0 rad, .* degrees"),
    ):
        with pytest.raises(ValueError, match=words):
            sources.parse_state(text, ARM)


def test_what_follows_an_unknown_state_is_where_the_rows_led(episode):
    known = sources.SourceClip("a", episode(20), np.arange(20), "arm")
    values = known.episode.actions + 1
    first = known.frame()
    assert (sources.state_at(known, ARM, values, 5) == known.episode.states[5]).all()
    assert (sources.state_at(first, ARM, values, 5) == values[4]).all()
    assert (sources.state_at(first, ARM, values, 0) == known.episode.states[0]).all()
    assert (sources.state_at(known, ARM, values, 20) == values[19]).all()
    libero = dataclasses.replace(EMBODIMENTS["libero"], state=ARM.state)
    with pytest.raises(ValueError, match="a: expected the states of all frames: where twists lead"):
        sources.state_at(first, libero, values, 5)


def without(folder, *parts):
    """A dataset from which features are taken out."""
    (data,) = (folder / "data").glob("*/*.parquet")
    table = pq.read_table(data)
    info = read_info(folder)
    for name in [name for name in table.column_names if name.startswith(parts)]:
        table = table.drop_columns([name])
        del info["features"][name]
    pq.write_table(table, data)
    (folder / "meta/info.json").write_text(json.dumps(info))


def test_datasets_without_actions_or_states_are_read_where_that_is_asked_for(tmp_path, episode):
    folder = tmp_path / "d"
    write_shard(folder, 0, 0, [episode(6), episode(9, 1)], ARM)
    finish(folder, 1, ARM, "panda")
    whole = list(sources.of_dataset(str(folder), ARM, DataOptions()))
    assert [len(clip.episode) for clip in whole] == [6, 9]
    assert [clip.name for clip in whole] == [f"{folder}:0", f"{folder}:1"]
    assert whole[0].knows_actions
    (second,) = sources.of_dataset(f"{folder}:1", ARM, DataOptions(), "push it")
    assert (len(second.episode), second.robot) == (9, "panda")
    assert second.episode.instructions == ("push it",)
    with pytest.raises(ValueError, match=r"expected episodes of 0 to 1, got \[2\]"):
        list(sources.of_dataset(f"{folder}:2", ARM, DataOptions()))
    without(folder, "action.")
    (bare,) = sources.of_dataset(f"{folder}:1", ARM, DataOptions())
    assert (bare.knows_states, bare.knows_actions) == (True, False)
    assert np.allclose(bare.episode.states, whole[1].episode.states)
    without(folder, "observation.state")
    (bare,) = sources.of_dataset(f"{folder}:1", ARM, DataOptions(), state=STATE)
    assert (bare.knows_states, bare.knows_actions) == (False, False)
    assert (bare.episode.states[0] == STATE).all()


def test_where_a_state_of_other_columns_is_led_has_to_be_known(episode):
    """Of a wider state only the columns that commands name would follow."""
    hand = EMBODIMENTS["metaworld"]
    whole = episode(6)
    states = np.full((6, 7), np.nan, np.float32)
    states[0] = 0.1
    clip = SourceClip("clip", dataclasses.replace(whole, states=states), np.arange(6), "hand")
    commands = np.zeros((5, 4), np.float32)
    assert state_at(clip, hand, commands, 0).tolist() == states[0].tolist()
    with pytest.raises(ValueError, match=r"clip: state of metaworld: where \['x', 'y', 'z', 'open"):
        state_at(clip, hand, commands, 2)
