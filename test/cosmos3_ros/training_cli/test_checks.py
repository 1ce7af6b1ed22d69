# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 eval`, `collect` and `calibrate`: which options go together, and what errors say."""

import pytest

from cosmos3_ros.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("eval expert --env sim --task reach --latency 0.2", "--latency: not known of --env sim"),
        ("eval expert --env sim --expert-error", "--expert-error: not known of --env sim"),
        ("eval expert --env sim --strategy sync", "--strategy: not known of --env sim"),
        ("eval expert --env sim --episodes 0", "--episodes: expected 1 to 1000000, got 0"),
        ("calibrate a --episodes 0", "--episodes: expected 1 to 1000000, got 0"),
        ("calibrate a --limit 0", "--limit: expected 0.01 to 3600, got 0.0"),
        ("calibrate a --workers 2000", "--workers: expected 0 to 1024, got 2000"),
        ("eval expert --protocol evo1", "--protocol: expected --env, which alone has it"),
        ("eval expert --rows 4", "--rows: expected --env, which alone has it"),
        (
            "eval expert --env nosuchworld",
            "env: expected sim, metaworld or gym:ID, got 'nosuchworld'",
        ),
        ("eval expert --env sim --task fly", "task of sim: expected all or some of basic, hard,"),
        ("eval expert --env sim --protocol evo1", "protocol of sim: expected suite, got 'evo1'"),
        (
            "eval expert --env sim --task reach,",
            "task of sim: expected all or some of basic, hard,",
        ),
        ("eval expert --env sim --workers -1", "--workers: expected 0 to 1024, got -1"),
        ("eval expert --env sim --seed -1", "--seed: expected 0 to 4294967295, got -1"),
        (
            "eval x --env sim --seed 4294967290 --episodes 9",
            "--seed: expected 0 to 4294967287, got",
        ),
        ("eval x --env sim --rows -1", "--rows: expected 0 to 1024, got -1"),
        ("eval expert --env sim --rows 4", "--rows: expected a checkpoint; the expert has no"),
        ("eval expert --env sim --steps 9", "--steps: expected a checkpoint; the expert has no"),
        ("eval expert --env sim --weights int8", "--weights: expected a checkpoint; the expert"),
        ("eval x --task reech", "unknown task reech, did you mean 'reach'? expected basic, hard"),
        ("eval expert --env sim --task reech", "got 'reech', did you mean 'reach'?"),
        ("eval expert --env metawrld", "got 'metawrld', did you mean 'metaworld'?"),
        ("demo --robot droid_sin", "unknown robot 'droid_sin', did you mean 'droid_sim'? expected"),
        ("eval x --episodes 0", "--episodes: expected 1 to 1000000, got 0"),
        ("eval x --limit 0", "--limit: expected 0.01 to 3600, got 0.0"),
        ("eval x --latency -1", "--latency: expected 0 to 3600, got -1.0"),
        ("eval x --latency 11", "--latency: expected at most --limit, 10.0, got 11.0"),
        ("eval x --wording 77", "--wording: expected -1 to 4, got 77"),
        ("eval x --wording -2", "--wording: expected -1 to 4, got -2"),
        ("eval x --distractors 3", "--distractors: expected 0 to 2, got 3"),
        ("eval x --seed -3", "--seed: expected 0 to 4294967295, got -3"),
        ("eval nowhere --task reach", "checkpoint: no folder nowhere"),
        ("collect x --episodes 0", "--episodes: expected 1 to 1000000, got 0"),
        ("collect x --env sim --seed -1", "--seed: expected 0 to 4294967196, got -1"),
        ("collect x --noise -1", "--noise: expected 0 to 1, got -1"),
        ("collect x --noise 1000", "--noise: expected 0 to 1, got 1000.0"),
        ("collect x --env sim --noise 1000", "--noise: expected 0 to 100, got 1000.0"),
        ("collect x --workers -1", "--workers: expected 0 to 1024, got -1"),
        ("collect x --env sim --distractors 1", "--distractors: not known of --env sim"),
    ],
)
def test_one_line_says_what_does_not_fit(words, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 1
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not [*tmp_path.iterdir()]
