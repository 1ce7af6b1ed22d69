# SPDX-License-Identifier: Apache-2.0
"""Settings from the command line, and what may be said of them after the same seeds."""

import pytest

from cosmos3_ros.training.evaluation.closed_loop import Trial
from cosmos3_ros.training.evaluation.comparison import (
    compare,
    compared_table,
    parse_setting,
    verdict,
)

BASE = {"num_steps": 4, "guidance": 1.0}


def episodes(results, task="lift", seconds=4.0):
    return [
        {"task": task, "seed": seed, "success": bool(one), "seconds": seconds if one else 10.0}
        for seed, one in enumerate(results)
    ]


def test_a_setting_replaces_options_and_times_and_keeps_the_rest():
    setting = parse_setting(" num_steps=2,shift=1.67, guidance_interval=400,960,latency=0.1 ", BASE)
    (trial,) = setting.of([Trial("x", "lift", 7, options=tuple(BASE.items()))])
    assert dict(trial.options) == {
        "num_steps": 2,
        "guidance": 1.0,
        "shift": 1.67,
        "guidance_interval": (400.0, 960.0),
    }
    assert (trial.latency, trial.replan, trial.seed) == (0.1, 0.4, 7)
    assert setting.text.startswith("num_steps=2,shift=1.67")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "compare: expected NAME=VALUE with commas, of "),
        ("steps=2", "compare: expected NAME=VALUE with commas, of .*num_steps.*, got 'steps=2'"),
        ("num_step=2", r"got 'num_step=2', did you mean 'num_steps'\?"),
        ("num_steps=", "got 'num_steps='"),
        ("num_steps=two", "num_steps: expected int, got 'two'"),
        ("num_steps=0", "num_steps: expected at least 1, got 0"),
        ("shift=nan", "shift: expected float, got 'nan'"),
        ("guidance_interval=1", "guidance_interval.*: expected a list of 2 float"),
        ("num_steps=2,x", "got 'x'"),
        ("latency=-1", "latency: expected 0 s or more, got -1"),
        ("reuse_guidance=perhaps", "reuse_guidance: expected true or false, got 'perhaps'"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(text, words):
    with pytest.raises(ValueError, match=words):
        parse_setting(text, BASE)


def test_pairs_are_counted_by_task_and_seed_whatever_their_order():
    base = episodes([1, 1, 1, 0, 0]) + episodes([1, 1], "push")
    other = [*reversed(episodes([1, 1, 0, 1, 0], seconds=3.5) + episodes([1, 1], "push"))]
    rows = compare(base, other)
    assert list(rows) == ["lift", "push", "all"]
    lift = rows["lift"]
    counts = ("trials", "both", "base_only", "other_only", "neither")
    assert [lift[name] for name in counts] == [5, 2, 1, 1, 1]
    assert (lift["base"]["successes"], lift["other"]["successes"]) == (3, 3)
    assert lift["p"] == 1.0
    assert lift["seconds"] == pytest.approx(-0.5)
    assert rows["all"]["trials"] == 7
    assert "lift" in compared_table(rows)


def test_other_seeds_are_no_pairs():
    for other in (episodes([1, 1]), episodes([1, 1, 1], "push"), [*episodes([1, 1])] * 2, []):
        with pytest.raises(ValueError, match="compare: expected the same tasks and seeds once"):
            compare(episodes([1, 1, 1]), other)


@pytest.mark.parametrize(
    ("lost", "won", "trials", "words"),
    [
        (0, 0, 135, "losses over 2 points not excluded"),  # the exam was saturated, and too small
        (0, 0, 500, "losses over 2 points excluded"),
        (10, 10, 500, "losses over 2 points excluded"),
        (12, 6, 500, "losses over 2 points not excluded"),
        (9, 1, 2000, "a loss; losses over 2 points excluded"),
        (20, 2, 500, "a loss; losses over 2 points not excluded"),
        (60, 5, 500, "a loss over 2 points"),
        (0, 50, 500, "losses over 2 points excluded"),
    ],
)
def test_no_loss_is_said_only_where_the_interval_says_it(lost, won, trials, words):
    base = [1] * lost + [0] * won + [1] * (trials - lost - won)
    other = [0] * lost + [1] * won + [1] * (trials - lost - won)
    row = compare(episodes(base), episodes(other))["lift"]
    assert verdict(row) == words
    assert row["excluded"] == (row["low"] > -0.02)
    assert verdict(row) in compared_table({"lift": row})
