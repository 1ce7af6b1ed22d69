# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 calibrate`: the defaults of the training, which is not loaded for them."""

import subprocess
import sys

import pytest

from cosmos3_ros.cli import command_parser, main
from cosmos3_ros.training.evaluation.surprise import fit
from cosmos3_ros.training.evaluation.surprise.calibration import calibrate_in_simulation


def test_the_default_number_of_steps_is_that_of_the_training(
    capsys: pytest.CaptureFixture[str],
) -> None:
    chosen = command_parser().parse_args(["calibrate", "x"])
    assert chosen.training_steps == fit.STEPS
    assert calibrate_in_simulation.__defaults__ is not None
    assert fit.STEPS in calibrate_in_simulation.__defaults__
    with pytest.raises(SystemExit):
        main(["calibrate", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    assert f"of each of {fit.NETWORKS} small networks (default: {fit.STEPS})" in said


def test_arguments_are_read_without_torch() -> None:
    code = (
        "import sys; from cosmos3_ros.cli import command_parser; "
        "command_parser().parse_args(['calibrate', 'x']); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
