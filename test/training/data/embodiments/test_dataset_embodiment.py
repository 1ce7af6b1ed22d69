# SPDX-License-Identifier: Apache-2.0
"""An embodiment from a dataset of a robot that nobody has described: units, cameras, statistics."""

import dataclasses

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.checks import check_embodiment
from cosmos3_ros.model.embodiment.units import Column
from cosmos3_ros.training.data.clip_source import layout_of
from cosmos3_ros.training.data.embodiments.dataset_embodiment import embodiment_of_dataset
from cosmos3_ros.training.data.embodiments.dataset_statistics import check_numbers, measure
from cosmos3_ros.training.data.episodes import Episode
from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.data.lerobot_reader import make_layout, read_episodes, read_info
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard
from cosmos3_ros.training.options import DataOptions

from .conftest import LENGTHS, MOTORS, numbers


def test_names_units_cameras_and_rate_are_taken_from_it(so101):
    drafted = embodiment_of_dataset(so101(), "so101")
    arm = drafted.embodiment
    assert [column.name for column in arm.state] == [*MOTORS]
    assert [column.unit for column in arm.state] == ["deg"] * 5 + ["percent"]
    assert arm.state[-1].gripper
    assert arm.state[-1].opened == pytest.approx(90.0)
    assert (arm.fps, arm.horizon, arm.domain_id) == (30.0, 64, 11)
    assert arm.views == ("wrist", "front")  # side by side, as wide as there is room
    wrist, front = arm.canvas.panels
    assert (wrist.left, wrist.width, front.left, front.width) == (0, 320, 320, 320)
    assert wrist.height == front.height == 256  # 240 of 4:3, in whole tokens
    assert arm.view_description.startswith("The left half is from the wrist camera")
    assert drafted.features == {
        "state": ["observation.state"],
        "action": ["action"],
        "wrist": "observation.images.wrist",
    }


def test_its_rows_are_measured_as_the_model_sees_them(so101):
    folder = so101()
    drafted = embodiment_of_dataset(folder, "so101", small=True)
    found = measure(folder, drafted.embodiment, drafted.layout, "quantile")
    assert (found.episodes, found.frames, found.still) == (2, sum(LENGTHS), ("wrist_roll",))
    arm = found.embodiment
    episodes = [*read_episodes(folder, arm, drafted.layout)]
    np.testing.assert_allclose(
        episodes[0].states[:, :5], np.deg2rad(numbers(LENGTHS[0], 0)[:-1, :5]), rtol=1e-5, atol=1e-6
    )
    assert episodes[0].states[0, 5] == pytest.approx(0.0)  # open
    rows = np.concatenate(
        [
            arm.encode_actions(episode.actions[begin : begin + arm.horizon], episode.states[begin])
            for episode in episodes
            for begin in range(len(episode))
        ]
    )
    moving = [0, 1, 2, 3]
    assert 0.94 < (np.abs(rows[:, moving]) <= 1).mean() < 1
    assert (np.abs(rows[:, 4]) < 0.1).all()  # what hardly moves is not blown up
    states = np.stack([arm.encode_state(state) for each in episodes for state in each.states])
    assert np.abs(states[:, moving]).max() < 1.3
    seen = arm.observed
    assert seen.low[1] == pytest.approx(np.deg2rad(numbers(40, 0)[:-1, 1].min()), abs=0.1)
    assert seen.first_low[5] == pytest.approx(0.0)
    gray = dict(seen.sketches)
    assert np.mean(gray["wrist"]) > 150 > 60 > np.mean(gray["front"])


@pytest.mark.parametrize("kind", ["mean_std", "min_max"])
def test_other_kinds_of_normalization(so101, kind):
    folder = so101()
    drafted = embodiment_of_dataset(folder, "so101", small=True)
    arm = measure(folder, drafted.embodiment, drafted.layout, kind).embodiment
    rows = [
        arm.encode_actions(episode.actions[:8], episode.states[0])
        for episode in read_episodes(folder, arm, drafted.layout)
    ]
    assert arm.normalization.kind == arm.state_normalization.kind == kind
    assert np.abs(np.concatenate(rows)).max() < (1.01 if kind == "min_max" else 4)
    with pytest.raises(ValueError, match=r"expected one of \['quantile', .*got 'median'"):
        measure(folder, arm, drafted.layout, "median")


def test_statistics_of_pose_deltas_have_rotations_in_them(tmp_path):
    """A quarter turn about z and 1 cm a row: rot6d as it is written, translations as seen."""
    from cosmos3_ros.training.data.embodiments.dataset_statistics import normalize

    bare = dataclasses.replace(EMBODIMENTS["droid_midtrain"], tool_rotation=tuple(np.eye(3)))
    turn = np.arange(5) * np.pi / 8
    poses = np.stack([0.01 * np.arange(5), *np.zeros((4, 5)), np.sin(turn), np.cos(turn)], axis=1)
    values = np.hstack([poses, np.zeros((5, 1))])
    rows = bare.encode_actions(values[1:], values[0])
    found = normalize(rows, "min_max", bare.row_grippers, bare.gripper_values)
    middle = (np.array(found.low) + np.array(found.high)) / 2
    cosine = np.cos(np.pi / 4)
    np.testing.assert_allclose(middle[3:9], [cosine, cosine, 0, -cosine, cosine, 0], atol=1e-6)
    assert (found.low[-1], found.high[-1]) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"action": {"names": [*MOTORS[1::-1], *MOTORS[2:]]}}, "columns .* the same in the order"),
        ({"action": {"names": [MOTORS[0]] * 6}}, "has the column 'shoulder_pan' twice"),
        (
            {"observation__state": {"info": {"units": ["m"] * 5 + ["percent"]}}},
            "shoulder_pan: expected a unit that deg can be converted to, .* got 'm'",
        ),
        (
            {"observation__state": {"info": {"units": ["rad"] * 5 + ["percent"]}}},
            r"shoulder_pan is at .* rad, expected at most 12.6: are these degrees\?",
        ),
        ({"scale": 1e6}, "shoulder_pan is at .* rad, expected at most 12.6"),
        ({"scale": float("nan")}, "expected finite numbers in"),
    ],
)
def test_a_dataset_that_contradicts_the_embodiment_is_refused(so101, tmp_path, changes, words):
    folder = so101()
    drafted = embodiment_of_dataset(folder, "so101", small=True)
    (folder / "meta").rename(tmp_path / "old")
    (folder / "data").rename(tmp_path / "older")
    with pytest.raises(ValueError, match=words) as caught:
        check_numbers(so101_again(so101, folder, changes), drafted.embodiment, drafted.layout)
    assert len(str(caught.value).splitlines()) == 1
    assert str(folder) in str(caught.value)


def so101_again(so101, folder, changes):
    for part in ("meta", "data"):
        assert not (folder / part).exists()
    return so101(**changes)


def test_a_dataset_that_fits_says_so(so101):
    folder = so101()
    drafted = embodiment_of_dataset(folder, "so101", small=True)
    said = check_numbers(folder, drafted.embodiment, drafted.layout)
    assert said == f"dataset {folder}: agrees, 70 frames at 30 Hz"
    ends = {"opened": 0.0, "closed": 30.0}
    state = (
        *drafted.embodiment.state[:5],
        dataclasses.replace(drafted.embodiment.state[5], **ends),
    )
    other = dataclasses.replace(drafted.embodiment, state=state, action=state)
    with pytest.raises(ValueError, match=r"gripper is at .*, expected from 0.0 \(open\) to 30.0"):
        check_numbers(folder, other, drafted.layout)


def test_what_a_recipe_says_of_units_holds(so101):
    folder = so101()
    drafted = embodiment_of_dataset(folder, "so101", small=True)
    radians = tuple(
        column if column.gripper else Column(column.name, "rad")
        for column in drafted.embodiment.state
    )
    arm = dataclasses.replace(drafted.embodiment, state=radians, action=radians)
    with pytest.raises(ValueError, match=r"episode 0: .* are these degrees\?"):
        next(read_episodes(folder, arm, make_layout(arm, drafted.features)))
    layout = make_layout(arm, drafted.features, (100, 0), units=["deg"] * 5 + ["percent"])
    episode = next(read_episodes(folder, arm, layout))
    np.testing.assert_allclose(
        episode.states[:, 0], np.deg2rad(numbers(LENGTHS[0], 0)[:-1, 0]), rtol=1e-5
    )
    assert episode.states[0, 5] == pytest.approx(0.1)
    with pytest.raises(ValueError, match=r"has 6 columns .*, `units` 1: \['deg'\]"):
        next(read_episodes(folder, arm, make_layout(arm, drafted.features, units=["deg"])))


def test_lerobots_own_names_need_no_recipe(so101):
    folder = so101()
    drafted = embodiment_of_dataset(folder, "so101", small=True)
    assert layout_of(read_info(folder), drafted.embodiment, DataOptions()) == drafted.layout
    named = DataOptions(features={"front": "observation.images.wrist"})
    assert (
        layout_of(read_info(folder), drafted.embodiment, named).cameras["front"].endswith("wrist")
    )


@pytest.mark.parametrize("name", ["libero", "bridge", "av"])
def test_twists_and_poses_are_measured_too(name, tmp_path):
    """Rows of rot6d; a robot without a state has nothing observed of it."""
    embodiment, random = EMBODIMENTS[name], np.random.default_rng(0)
    actions = random.normal(0, 0.1, (40, len(embodiment.action))).astype(np.float32)
    if embodiment.kind == "poses":  # far away, too
        actions[:, :3] = 2 * np.cumsum(actions[:, :3], axis=0)
        actions[:, 3:7] = (0, 0, 0, 1)
    if embodiment.discrete:
        actions[:, -1] = np.linspace(0, 1, 40)
    states = actions if embodiment.state else np.zeros((40, 0), np.float32)
    views = {v: random.integers(0, 256, (40, 32, 48, 3), np.uint8) for v in embodiment.views}
    truth = np.full((40, GroundTruth.WIDTH), np.nan, np.float32)
    write_shard(tmp_path, 0, 0, [Episode(views, states, actions, ("go",), truth)], embodiment)
    finish(tmp_path, 1, embodiment, "arm")
    assert "agrees, 40 frames" in check_numbers(tmp_path, embodiment, make_layout(embodiment, {}))
    found = measure(tmp_path, embodiment, kind="min_max").embodiment
    assert (found.observed is None) == (not embodiment.state)
    rows = found.encode_actions(actions[:8], states[0])
    assert rows.shape == (8, embodiment.width)
    assert np.abs(rows).max() <= 1.01


def test_a_state_of_other_columns_is_drafted_and_measured(hand_dataset):
    """Seven numbers of state, four of action: each with statistics of its own."""
    drafted = embodiment_of_dataset(hand_dataset, "hand", small=True)
    body = drafted.embodiment
    assert [column.name for column in body.action] == ["x", "y", "z", "effort"]
    assert len(body.state) == 7
    assert not body.relative  # nothing in the state is called effort
    known = EMBODIMENTS["metaworld"]
    layout = layout_of(read_info(hand_dataset), known, DataOptions())
    found = measure(hand_dataset, known, layout, "min_max").embodiment
    assert found.normalization.low[3] == -1.0
    assert found.normalization.high[3] == 0.6
    assert found.normalization.high[1] == pytest.approx(0.048, abs=1e-3)
    low, high = found.state_normalization.low, found.state_normalization.high
    assert (low[3], high[3]) == (0.0, 1.0)  # a gripper's whole way
    assert low[5] == pytest.approx(0.6)
    assert len(low) == len(found.observed.low) == 7
    check_embodiment(found)
    assert "agrees" in check_numbers(hand_dataset, known, layout)
    units = dataclasses.replace(layout, units=("m",) * 3 + ("fraction",) + ("mm",) * 3)
    bad = dataclasses.replace(layout, units=("m",) * 3 + ("fraction",) + ("deg",) * 3)
    with pytest.raises(ValueError, match="commanded_x"):  # the recipe says it of state and action
        check_numbers(hand_dataset, known, bad)
    (first, _) = read_episodes(hand_dataset, known, units)
    assert first.actions[0, 1] == pytest.approx(0.604e-3)
    assert first.states[0, 1] == pytest.approx(0.59)
