# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint is measured by: smoothness, likeness of images, futures, the report."""

import dataclasses
import importlib.util
import json
import re

import cv2
import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.model.registry import embedded_checkpoint
from cosmos3_ros.training.data.demonstrations import Demonstration, record
from cosmos3_ros.training.evaluation import closed_loop, suite, world_model
from cosmos3_ros.training.evaluation.closed_loop import Outcome, Trial, evaluate
from cosmos3_ros.training.evaluation.comparison import parse_setting
from cosmos3_ros.training.evaluation.image_metrics import averages, compare, psnr, ssim_map
from cosmos3_ros.training.evaluation.smoothness_metrics import (
    log_dimensionless_jerk,
    spectral_arc_length,
)
from cosmos3_ros.training.evaluation.suite import report

DROID_SIM = EMBODIMENTS["droid_sim"]

RATE = 120.0


def stroke(seconds=1.0):
    """Speed of the smoothest way from one place to another: the fifth-order polynomial."""
    u = np.linspace(0, 1, round(seconds * RATE) + 1)
    return 30 * u**2 * (1 - u) ** 2 / seconds


def test_smoothness_of_a_minimum_jerk_stroke():
    # Its squared jerk integrates to 720 lengths^2 / seconds^5, and its peak speed is 1.875 lengths
    # / second.
    expected = -np.log(720 / 1.875**2)
    for seconds in (1.0, 3.0):
        assert log_dimensionless_jerk(stroke(seconds)[:, None], RATE) == pytest.approx(
            expected, abs=0.1
        )
    assert spectral_arc_length(stroke(), RATE) == pytest.approx(
        spectral_arc_length(7 * stroke(), RATE)
    )
    assert -1.6 < spectral_arc_length(stroke(), RATE) < -1.3
    broken = np.concatenate([stroke(), stroke(), stroke()])
    assert spectral_arc_length(broken, RATE) < spectral_arc_length(stroke(), RATE) - 1
    assert log_dimensionless_jerk(broken[:, None], RATE) < expected - 3
    assert np.isnan(
        [spectral_arc_length(np.zeros(9), RATE), log_dimensionless_jerk(np.zeros((9, 7)), RATE)]
    ).all()


def test_likeness_by_its_formulas():
    a, b = np.full((2, 32, 40, 3), 100, np.uint8)
    b = b + np.uint8(10)
    assert psnr(a, b) == pytest.approx(20 * np.log10(255 / 10))
    assert psnr(a, a) == pytest.approx(58.9, abs=0.1)
    c1 = (0.01 * 255) ** 2
    assert ssim_map(a, b) == pytest.approx((2 * 100 * 110 + c1) / (100**2 + 110**2 + c1))
    noise = np.random.default_rng(0).integers(0, 255, (2, 64, 64, 3)).astype(np.uint8)
    assert ssim_map(noise[0], noise[0]) == pytest.approx(1.0)
    assert abs(ssim_map(*noise).mean()) < 0.05


def test_a_prediction_is_compared_with_a_copy_where_something_moved():
    real = np.full((17, 32, 40, 3), 90, np.uint8)
    real[8:, :16, :20] = 190  # a quarter of the picture
    perfect, blind = compare(real, real, 15.0), compare(np.repeat(real[:1], 17, axis=0), real, 15.0)
    # two seconds are longer than the chunk
    assert [round(one.seconds, 2) for one in perfect] == [0.53, 1.0]
    for good, bad in zip(perfect, blind, strict=True):
        assert good.psnr_moved > 58
        assert good.copy_psnr_moved == bad.psnr_moved == pytest.approx(20 * np.log10(255 / 100))
        assert bad.psnr == bad.copy_psnr == pytest.approx(bad.psnr_moved + 20 * np.log10(2))
        assert good.ssim_moved > good.copy_ssim_moved
    nothing = compare(real[:8].repeat(3, axis=0)[:17], real[:8].repeat(3, axis=0)[:17], 15.0)
    assert np.isnan(nothing[0].psnr_moved)
    rows = averages([*perfect, *nothing])
    assert [(row["windows"], row["windows_moved"]) for row in rows] == [(2, 1), (2, 1)]
    assert rows[0]["psnr_moved"] > 58
    with pytest.raises(ValueError, match="as really seen"):
        compare(real[:9], real, 15.0)


@pytest.fixture(scope="module")
def policy():
    return load_policy(tiny_checkpoint(), guidance=1.0, num_steps=1, deterministic=True)


@pytest.fixture(scope="module")
def window(policy):
    episode = record(Demonstration("reach", 3, height=64, width=96, noise=0.0, astray=0.0))
    return next(world_model.windows(policy, episode))


@pytest.mark.sim
def test_forward_dynamics_depends_on_the_rows_and_inverse_dynamics_on_the_frames(policy, window):
    still = world_model.Window(
        window.observation, np.repeat(window.rows[:1], 16, axis=0), window.frames[::-1].copy()
    )
    assert window.frames.shape == (17, *DROID_SIM.canvas.content, 3)
    futures = [world_model.forward_dynamics(policy, one) for one in (window, window, still)]
    assert futures[0].shape == window.frames.shape
    assert np.array_equal(futures[0], futures[1])
    assert not np.array_equal(futures[0], futures[2])
    said = [world_model.inverse_dynamics(policy, one) for one in (window, still)]
    assert said[0].shape == window.rows.shape
    assert not np.array_equal(*said)
    errors = world_model.action_errors(policy, window)
    assert errors.still == pytest.approx(
        1000 * np.abs(window.rows - window.observation.state)[:, :7].mean()
    )
    assert errors.arm > errors.still  # these weights are random


@pytest.mark.sim
@pytest.mark.slow
def test_a_page_of_the_tiny_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(world_model, "CHUNKS", 1)
    trials = [
        Trial(
            str(tiny_checkpoint()),
            "reach",
            0,
            limit=0.5,
            options=(("num_steps", 1), ("guidance", 1.0)),
        )
    ]
    page = tmp_path / "docs" / "results.md"
    settings = [parse_setting("num_steps=2,latency=0.1", {})]
    text = report(trials, ["process"], page=page, settings=settings)
    assert "reach               0/1" in text
    assert "compared on the same seeds: num_steps=2,latency=0.1" in text
    content = json.loads(page.with_suffix(".json").read_text())
    parts = content["parts"]
    assert set(parts) == {
        "in process",
        "num_steps=2,latency=0.1",
        "wording not in training",
        "random weights",
        "futures",
        "reasoner",
    }
    assert parts["wording not in training"]["episodes"][0]["instruction"].startswith("approach the")
    assert parts["futures"]["inverse"]["windows"] >= 1
    assert [row["windows"] for row in parts["futures"]["ahead"]["own"]] == [1, 1]
    assert parts["reasoner"]["grades"]["state"]["asked"] > 10
    assert "| state | " in page.read_text()
    assert content["compared"]["num_steps=2,latency=0.1"]["reach"]["neither"] == 1
    assert "| `num_steps=2,latency=0.1` | reach | 0/1 (0% to 79%) | " in page.read_text()
    assert "losses over 2 points not excluded" in page.read_text()
    links = re.findall(r"\]\((.*?)\)", page.read_text())
    assert links == [
        f"results/{name}.png" for name in ("success", "future_reach", "failures/reach_0")
    ]
    for link in links:
        assert cv2.imread(str(page.parent / link)).std() > 5
    said = []
    for stale in ("failures/reach_7", "future_push"):
        (page.parent / "results" / f"{stale}.png").write_bytes(b"of another evaluation")
    report(trials, ["process"], page=page, tell=said.append, settings=settings)
    assert re.findall(r"\]\((.*?)\)", page.read_text()) == links
    assert said == [f"{name}: has been measured before" for name in parts]
    with pytest.raises(ValueError, match=r"holds results of .*seeds \[0, \d+\], not \[1, 1\]"):
        report([dataclasses.replace(trials[0], seed=1)], ["process"], page=page)


def test_what_cannot_be_done_is_refused_at_once(tmp_path):
    trials = [Trial(str(tiny_checkpoint()), "reach", 0, wording=-1)]
    with pytest.raises(ValueError, match=r"expected wording 0, 2 distractors, got -1, 2"):
        report(trials, ["nodes"])
    with pytest.raises(ValueError, match=r"named \.json"):
        report(trials, ["process"], out=tmp_path)
    with pytest.raises(ValueError, match="compare: expected process among through, got nodes"):
        report(trials, ["nodes"], settings=[parse_setting("num_steps=2", {})])
    with pytest.raises(ValueError, match="through: expected process, nodes or both"):
        report(trials, ["processes"])


def played(trial):
    """An outcome with numbers that are not finite; even seeds are solved."""
    solved = trial.seed % 2 == 0
    return Outcome(
        trial.task, trial.seed, "do", solved, 1 / 3, 0.1, np.inf, 0, 0, 1, np.nan, np.nan
    )


def stopping(calls, at):
    """One that plays trials, notes them in `calls`, and is stopped at the `at`-th."""

    def play(trial):
        if len(calls) == at:
            raise KeyboardInterrupt
        calls.append((trial.options, trial.task, trial.seed))
        return played(trial), []

    return play


def without_headers(file):
    content = json.loads(file.read_text())
    for part in content["parts"].values():
        del part["about"]
    return json.dumps(content)


def test_an_evaluation_that_is_stopped_keeps_its_episodes(tmp_path, monkeypatch):
    trials = [Trial(str(tiny_checkpoint()), task, n) for task in ("reach", "lift") for n in (0, 1)]
    settings = [parse_setting("num_steps=2", {})]

    file, calls = tmp_path / "parts.json", []

    def measure(file, at):
        monkeypatch.setattr(closed_loop, "run_trial", stopping(calls, at))
        report(trials, ["process"], 1, file, settings=settings, tell=lambda _: None)

    with pytest.raises(KeyboardInterrupt):
        measure(file, 0)
    assert not file.exists()
    for stop in (2, 4, 7):  # within the first part, between the two, within the second
        with pytest.raises(KeyboardInterrupt):
            measure(file, stop)
    measure(file, 99)
    in_parts = calls.copy()
    calls.clear()
    measure(tmp_path / "whole.json", 99)
    assert in_parts == calls
    assert len(calls) == 8
    assert without_headers(file) == without_headers(tmp_path / "whole.json")


def test_a_part_that_was_stopped_is_not_taken_for_measured(tmp_path, monkeypatch):
    trials = [Trial(str(tiny_checkpoint()), "reach", seed) for seed in range(3)]
    file, calls = tmp_path / "some.json", []
    monkeypatch.setattr(closed_loop, "run_trial", stopping(calls, 2))
    with pytest.raises(KeyboardInterrupt):
        report(trials, ["process"], 1, file, tell=lambda _: None)
    asked = []

    def nodes(trials, kept):
        asked.append(kept.split(trials))
        kept.keep(played(trials[0]))
        if len(asked) == 1:
            raise KeyboardInterrupt
        return [played(trial) for trial in trials]

    monkeypatch.setattr(suite, "through_nodes", nodes)
    with pytest.raises(KeyboardInterrupt):
        report(trials, ["nodes"], 1, file, tell=lambda _: None)
    text = report(trials, ["nodes"], 1, file, tell=lambda _: None)
    assert [(len(before), len(left)) for before, left in asked] == [(0, 3), (1, 2)]
    assert "through the ROS nodes" in text
    assert "in process" not in text


@pytest.mark.sim
@pytest.mark.slow
def test_the_embedded_checkpoint_solves_its_tasks():
    """Episodes that it solved in 6 s when it was made.

    Fewer only if something broke between pictures and motion.
    """
    options = (("num_steps", 4), ("guidance", 1.0))
    chosen = {"reach": 1, "lift": 5, "push": 1, "bowl": 6, "drawer": 3}
    trials = [
        Trial(str(embedded_checkpoint()), task, seed, limit=12.0, options=options)
        for task, seed in chosen.items()
    ]
    outcomes = evaluate(trials, workers=1)
    assert sum(outcome.success for outcome in outcomes) >= 4
    assert all(outcome.rejected == 0 for outcome in outcomes)
    assert all(-4 < outcome.arc < -1 for outcome in outcomes)


@pytest.mark.ros
@pytest.mark.sim
@pytest.mark.slow
def test_an_episode_through_the_nodes(domain, tmp_path):
    trials = [Trial(str(tiny_checkpoint()), "reach", 1, limit=2.0)]
    assert "through the ROS nodes" in report(trials, ["nodes"], out=tmp_path / "report.json")
    run = json.loads((tmp_path / "report.json").read_text())["parts"]["through the ROS nodes"]
    episode = run["episodes"][0]
    assert (episode["task"], episode["seed"], episode["success"]) == ("reach", 1, False)
    assert episode["real_time"] > 0
    assert episode["miss"] is None
