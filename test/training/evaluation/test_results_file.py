# SPDX-License-Identifier: Apache-2.0
"""The json of an evaluation: begun first, gone on with, and never that of something else."""

import json

import pytest

from cosmos3_ros.training.evaluation.results_file import differences, results

WHAT = {"who": "a", "options": {"num_steps": 4}}


def names(folder):
    return sorted(file.name for file in folder.iterdir())


def test_a_file_is_begun_at_once_and_gone_on_with(tmp_path):
    out = tmp_path / "new" / "x.json"

    def stopped():
        with results(out, WHAT, "parts"):
            assert json.loads(out.read_text()) == {"what": WHAT, "parts": {}}
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert not names(out.parent), "nothing was measured"
    with results(out, WHAT, "parts") as content:
        content["parts"]["one"] = 1
        out.write_text(json.dumps(content))
    with results(out, WHAT, "parts") as content:
        assert content["parts"] == {"one": 1}
        with (
            pytest.raises(ValueError, match=r"x\.json: another process writes to it"),
            results(out, WHAT, "parts"),
        ):
            pass
    other = {"who": "b", "options": {"num_steps": 2, "shift": 1.5}}
    words = "holds results of who 'a', not 'b', num_steps 4, not 2, shift None, not 1.5; expected a"
    with pytest.raises(ValueError, match=words), results(out, other, "parts"):
        pass
    assert json.loads(out.read_text())["parts"] == {"one": 1}
    assert names(out.parent) == ["x.json"]


def test_a_file_without_results_is_begun_anew(tmp_path):
    out = tmp_path / "x.json"
    out.write_text(json.dumps({"what": {"who": "z"}, "parts": {}}))
    with results(out, WHAT, "parts") as content:
        assert content == {"what": WHAT, "parts": {}}
    out.write_text(json.dumps({"name": "a file of somebody"}))
    with pytest.raises(ValueError, match="holds results of something else"):
        results(out, WHAT, "parts").__enter__()
    assert json.loads(out.read_text()) == {"name": "a file of somebody"}


def test_few_differences_are_named():
    held = {name: list(range(99)) for name in "abcde"}
    said = differences(held, {})
    assert said == ", ".join(f"{name} [0, 1, 2, ...], not None" for name in "abc") + " and 2 more"
