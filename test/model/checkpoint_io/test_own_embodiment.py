# SPDX-License-Identifier: Apache-2.0
"""A checkpoint folder carries its embodiment, and contradictions to it show both sides."""

import dataclasses
import json

import pytest

from cosmos3_ros.model.checkpoint_io.own_embodiment import (
    choose_embodiment,
    own_embodiment,
    policy_json,
    relabel,
    row_scaling,
    write_own,
)
from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.embodiment_yaml import write_embodiment
from cosmos3_ros.model.embodiment.spec import RAW, Normalization
from cosmos3_ros.model.embodiment.units import Column

SIX = EMBODIMENTS["six_axis"]
STATISTICS = Normalization("quantile", (-0.5,) * 6 + (0.0,), (0.5,) * 6 + (1.0,))
# an arm that nobody but its owner knows
OWN = dataclasses.replace(SIX, name="mine", domain="mine", domain_id=11, normalization=STATISTICS)


@pytest.fixture
def folder(tmp_path):
    write_own(tmp_path, OWN)
    return tmp_path


def about(folder):
    return json.loads((folder / "checkpoint.json").read_text())["policy"]


def test_who_gets_the_folder_gets_the_embodiment(folder):
    assert own_embodiment(folder, about(folder)) == OWN
    for wanted in (None, "mine", OWN, dataclasses.replace(OWN, name="ours")):
        assert choose_embodiment(folder, about(folder), wanted) == OWN
    assert choose_embodiment(folder, about(folder), None, horizon=8).horizon == 8


def test_statistics_come_from_the_checkpoint_where_a_robot_has_none(folder):
    bare = dataclasses.replace(OWN, name="mine_as_drawn", normalization=RAW)
    assert choose_embodiment(folder, about(folder), bare).normalization == STATISTICS


def test_a_robot_may_count_in_other_units(folder, tmp_path):
    degrees = tuple(c if c.gripper else dataclasses.replace(c, unit="deg") for c in OWN.state)
    file = tmp_path / "robot.yaml"
    write_embodiment(file, dataclasses.replace(OWN, state=degrees, action=degrees))
    found = choose_embodiment(folder, about(folder), str(file))
    assert found.state == found.action == degrees
    assert found.normalization == STATISTICS


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"relative": True}, "relative is not given there and True here"),
        ({"step": SIX.step // 2}, "rate is 15.0 there and 30.0 here"),
        ({"kind": "poses", "state": (), "action": ()}, "kind is 'joints' there and 'poses' here"),
        (
            {"canvas": EMBODIMENTS["droid_single_view"].canvas},
            "canvas.views.wrist is [0, 0, 360, 640] there and not given here",
        ),
        (
            {"action": (*SIX.action[1::-1], *SIX.action[2:])},
            "action is ['joint_1 (joint or pose)', 'joint_2 (joint or pose)'",
        ),
        (
            {"state": (*SIX.state[:6], Column("gripper", "rad"))},
            "state is ['joint_1 (joint or pose)'",
        ),
        (
            {"normalization": dataclasses.replace(STATISTICS, kind="min_max")},
            "normalization.kind is 'quantile' there and 'min_max' here",
        ),
        ({"gripper_values": (0.0, 1.0)}, "model_gripper is not given there and"),
        ({"state_row": False}, "state_row is True there and not given here"),
        ({"viewpoint": "ego_view"}, "prompt.viewpoint is 'concat_view' there and 'ego_view' here"),
    ],
)
def test_contradictions_show_both_sides(folder, change, words):
    other = dataclasses.replace(OWN, name="other", **change)
    with pytest.raises(ValueError, match="the checkpoint was trained for mine, got other: ") as is_:
        choose_embodiment(folder, about(folder), other)
    assert words in str(is_.value)
    assert len(str(is_.value).splitlines()) == 1


def test_statistics_that_a_checkpoint_was_trained_without_are_a_contradiction(tmp_path):
    write_own(tmp_path, SIX)
    with pytest.raises(ValueError, match=r"normalization is not given there and .*quantile.* here"):
        choose_embodiment(
            tmp_path, about(tmp_path), dataclasses.replace(SIX, normalization=STATISTICS)
        )


def test_the_two_files_of_a_checkpoint_agree(folder):
    policy = about(folder)
    assert policy == policy_json(OWN)
    with pytest.raises(ValueError, match=r"conditioning_fps is 15.0 here and 30.0 there"):
        own_embodiment(folder, {**policy, "conditioning_fps": 30.0})


def test_what_else_a_checkpoint_says_is_kept(folder):
    file = folder / "checkpoint.json"
    file.write_text(json.dumps({"version": 3, "policy": {"tasks": ["lift"]}}))
    write_own(folder, OWN)
    assert json.loads(file.read_text())["version"] == 3
    assert about(folder) == {"tasks": ["lift"], **policy_json(OWN)}


def test_released_checkpoints_name_a_domain_rows_and_a_rate(tmp_path):
    policy = {"domain_name": "droid_lerobot", "action_chunk_size": 16, "conditioning_fps": 10}
    found = choose_embodiment(tmp_path, policy, None)
    assert (found.name, found.horizon, found.fps) == ("droid_joint_pos", 16, 10.0)
    assert choose_embodiment(tmp_path, policy, "droid_midtrain").kind == "poses"
    with pytest.raises(ValueError, match="umi is of domain 'umi', the checkpoint of 'droid_lero"):
        choose_embodiment(tmp_path, policy, "umi")


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("conditioning_fps", 1e-300, "0.01 to 1000 Hz"),
        ("conditioning_fps", "fast", "0.01 to 1000 Hz"),
        ("conditioning_fps", True, "0.01 to 1000 Hz"),
        ("action_chunk_size", 0.5, "1 to 1000 rows"),
        ("action_chunk_size", 10**30, "1 to 1000 rows"),
        ("domain_name", ["droid_lerobot"], "a name"),
        ("tasks", "lift", "a list of names"),
        ("tasks", [1], "a list of names"),
        ("embodiment", {"a": 1}, "a name"),
        ("embodiment", "y" * 5000 + "\n", None),
    ],
)
def test_what_cannot_be_in_checkpoint_json_is_named(tmp_path, name, value, expected):
    policy = {"domain_name": "droid_lerobot", name: value}
    words = f"checkpoint.json: policy.{name}: expected {expected}, got" if expected else "unknown"
    with pytest.raises(ValueError, match=words) as caught:
        choose_embodiment(tmp_path, policy, None)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < 1000


def test_the_numbers_of_base_weights_and_of_policies_are_told_apart(tmp_path, caplog):
    policy = {"domain_name": "droid_lerobot"}
    with pytest.raises(
        ValueError,
        match=r"droid_nano_base has the numbers of base weights \(by quantiles, clamped to -1..1\)"
        r", .* is a post-trained policy",
    ):
        choose_embodiment(tmp_path, policy, "droid_nano_base")
    assert choose_embodiment(tmp_path, {}, "droid_nano_base").normalization.clamp
    assert not caplog.messages
    choose_embodiment(tmp_path, {}, "droid_midtrain")  # may be post-trained without saying so
    (said,) = caplog.messages
    assert "as base weights it would know droid_nano_base (by quantiles, clamped" in said
    assert row_scaling(tmp_path, {}) == [
        "droid_midtrain: raw, of post-trained weights",
        "droid_nano_base: by quantiles, clamped to -1..1, as base weights",
    ]
    said = row_scaling(tmp_path, policy)
    assert "droid_joint_pos: raw" in said
    assert not any("nano_base" in line for line in said)


def test_the_embedded_checkpoint_carries_its_own():
    assert (EMBEDDED / "embodiment.yaml").is_file()
    assert own_embodiment(EMBEDDED, about(EMBEDDED)) == EMBODIMENTS["droid_sim"]


def test_a_relabelled_folder_has_the_same_weights_and_another_label(tmp_path):
    folder = tmp_path / "own"
    write_own(folder, OWN)
    (folder / "weights").write_text("x")
    for _ in range(2):  # again, too
        relabel(folder, tmp_path / "other", SIX)
    assert (tmp_path / "other" / "weights").read_text() == "x"
    assert own_embodiment(tmp_path / "other", about(tmp_path / "other")) == SIX
    assert own_embodiment(folder, about(folder)) == OWN
