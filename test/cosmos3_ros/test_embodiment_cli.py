# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 embodiment` and `cosmos3 stats`: what they print, what they write, what they refuse."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from cosmos3_ros.cli import main
from cosmos3_ros.model.checkpoint_io.own_embodiment import write_own
from cosmos3_ros.model.embodiment import EMBODIMENTS, find_embodiment
from cosmos3_ros.model.embodiment.embodiment_yaml import to_yaml, write_embodiment
from cosmos3_ros.training.data.episodes import Episode
from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.data.lerobot_writer import finish, write_shard

ARM = [f"panda_joint{number}" for number in range(1, 8)]
ONE_VIEW = EMBODIMENTS["droid_single_view"]


def run(capfd: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = main([*map(str, words)])
    said = capfd.readouterr()
    return code, said.out, said.err


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of the one-view arm, as `convert` writes it."""
    folder = tmp_path_factory.mktemp("data") / "mine"
    random = np.random.default_rng(0)
    walk = np.cumsum(random.normal(0, 0.02, (41, 8)), axis=0).astype(np.float32)
    walk[:, 7] = np.linspace(0, 1, 41)
    views = {"exterior_1": random.integers(0, 256, (40, 36, 64, 3), dtype=np.uint8)}
    truth = np.full((40, GroundTruth.WIDTH), np.nan, np.float32)
    episode = Episode(views, walk[:-1], walk[1:], ("lift",), truth)
    write_shard(folder, 0, 0, [episode], ONE_VIEW)
    finish(folder, 1, ONE_VIEW, "arm")
    return folder


def test_show_prints_what_can_be_read_again(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "a.yaml"
    write_own(tmp_path / "checkpoint", EMBODIMENTS["umi"])
    for what, name in (
        ("libero", "libero"),
        (tmp_path / "checkpoint", "umi"),
        ("config/generic_6axis.yaml", "six_axis"),  # a robot file that names it
    ):
        code, text, _ = run(capfd, "embodiment", "show", what)
        file.write_text(text)
        assert (code, find_embodiment(str(file))) == (0, EMBODIMENTS[name])
    code, _, error = run(capfd, "embodiment", "show", "six_axes")
    assert code == 1
    assert "unknown 'six_axes', did you mean 'six_axis'?" in error


def test_init_writes_a_file_that_checks_and_trains(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    words = ("embodiment", "init", "mine", "--dataset", dataset, "--out", file, "--small")
    code, said, _ = run(capfd, *words)
    assert code == 0
    assert "panda_joint1: -" in said
    assert "columns panda_joint1 rad" in said
    mine = find_embodiment(str(file))
    assert (mine.normalization.kind, mine.views, mine.observed is None) == (
        "quantile",
        ("exterior_1",),
        False,
    )
    code, said, _ = run(capfd, "embodiment", "check", file, "--dataset", dataset)
    assert (code, f"dataset {dataset}: agrees, 40 frames at 15 Hz" in said) == (0, True)
    code, _, error = run(capfd, *words)
    assert (code, error) == (1, f"error: {file} exists; expected a new file (--out FILE)\n")
    before = mine.observed
    write_embodiment(file, dataclasses.replace(mine, observed=None))
    code, said, _ = run(capfd, "stats", dataset, "--embodiment", file, "--kind", "mean_std")
    assert (code, said) == (0, f"wrote {file}: mean_std of 40 frames in 1 episodes\n")
    assert find_embodiment(str(file)).observed == before


def test_stats_of_an_embodiment_of_the_package_go_to_another_file(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capfd, "stats", dataset, "--embodiment", "droid_single_view")
    assert (code, "expected --out FILE" in error) == (1, True)
    recipe, out = tmp_path / "recipe.yaml", tmp_path / "measured.yaml"
    recipe.write_text("embodiment: droid_single_view\n")
    code, _, _ = run(capfd, "stats", dataset, "--recipe", recipe, "--out", out)
    assert code == 0
    assert find_embodiment(str(out)).normalization.kind == "mean_std"  # as the embodiment has it
    code, _, error = run(capfd, "stats", dataset)
    assert (code, error) == (1, "error: expected --embodiment or --recipe, got neither\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("init my-arm --topics", "expected a name of letters, digits and _, got 'my-arm'"),
        ("init arm", "expected --dataset FOLDER or --topics, one of the two"),
        ("check {file} --dataset {dataset}", "recorded at 15 Hz, mine needs 30.0 Hz"),
        ("check {file} --robot droid_sim", "droid_sim is for droid_sim, not mine: domain is"),
        (
            "check {file} --checkpoint {checkpoint}",
            "embodiment: mine is of domain 'mine', the checkpoint of 'droid_lerobot'",
        ),
        (
            "check droid_joint_pos --checkpoint {checkpoint}",
            "trained for droid_single_view, got droid_joint_pos: ",
        ),
    ],
)
def test_contradictions_are_one_line(
    words: str, said: str, dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file, checkpoint = tmp_path / "mine.yaml", tmp_path / "checkpoint"
    other = dataclasses.replace(
        ONE_VIEW, name="mine", domain="mine", domain_id=11, step=ONE_VIEW.step // 2
    )
    write_embodiment(file, other)
    write_own(checkpoint, ONE_VIEW)
    given = words.format(file=file, dataset=dataset, checkpoint=checkpoint)
    code, _, error = run(capfd, "embodiment", *given.split())
    assert code == 1
    assert said in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize(
    ("node", "change", "said"),
    [
        ("commander", {"upper": [166.0] * 7}, "upper: panda_joint1 is at 166.0 rad, .* degrees"),
        (
            "policy",
            {"joints": [*ARM[1::-1], *ARM[2:], "finger_joint"]},
            r"\['panda_joint2', 'panda_joint1', .* the same in the order \['panda_joint1', 'pan",
        ),
        ("policy", {"units": ["grad"] * 8}, "'units': panda_joint1: expected .* got 'grad'"),
        ("policy", {"gripper_closed": 0.0}, "gripper_open and gripper_closed are both 0.0"),
        ("policy", {"embodiment": "droid_joint_pos"}, "for droid_joint_pos, not droid_sin"),
    ],
)
def test_a_robot_file_that_contradicts_is_one_line(
    node: str,
    change: dict[str, Any],
    said: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    robot = tmp_path / "robot.yaml"
    shipped: dict[str, Any] = yaml.safe_load(Path("config/droid_single_view.yaml").read_text())
    shipped[f"/**/{node}"]["ros__parameters"] |= change
    robot.write_text(yaml.safe_dump(shipped, sort_keys=False))
    code, _, error = run(capfd, "embodiment", "check", "droid_single_view", "--robot", robot)
    assert code == 1
    assert re.search(said, error), error
    assert len(error.splitlines()) == 1


def test_robot_dataset_and_checkpoint_that_agree_say_so(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_own(tmp_path / "checkpoint", ONE_VIEW)
    robot = tmp_path / "robot.yaml"
    shipped: dict[str, Any] = yaml.safe_load(Path("config/droid_single_view.yaml").read_text())
    del shipped["/**/policy"]["ros__parameters"]["embodiment"]
    section = {"ros__parameters": yaml.safe_load(to_yaml(ONE_VIEW))}
    robot.write_text(yaml.safe_dump({**shipped, "embodiment": section}, sort_keys=False))
    words = ("--robot", robot, "--dataset", dataset, "--checkpoint", tmp_path / "checkpoint")
    code, said, error = run(capfd, "embodiment", "check", "droid_single_view", *words)
    assert (code, error) == (0, "")
    assert [line.split(":")[1][:8] for line in said.splitlines()[1:]] == [
        " agrees,",
        " agrees,",
        " agrees",
    ]
