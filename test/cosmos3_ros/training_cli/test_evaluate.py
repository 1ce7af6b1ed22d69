# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 eval`."""

from cosmos3_ros.cli import main


def test_an_expert_of_the_simulation_is_examined(capsys, tmp_path):
    out = tmp_path / "reach.json"
    words = ["--env", "sim", "--task", "reach", "--episodes", "1", "--workers", "1"]
    assert main(["eval", "expert", *words, "--out", str(out)]) == 0
    assert "1/1" in capsys.readouterr().out
    assert out.is_file()
