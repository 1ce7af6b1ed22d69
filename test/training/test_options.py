# SPDX-License-Identifier: Apache-2.0
"""What the processes of the simulated experts import: options, clips and scenes, and no torch."""

import importlib.util
import subprocess
import sys

import pytest


@pytest.mark.parametrize("name", ["recipe", "data.clip_source", "vqa.samples"])
def test_the_experts_processes_import_no_torch(name):
    if name != "recipe" and importlib.util.find_spec("mujoco") is None:
        pytest.skip("mujoco is not installed")
    code = f"import sys, cosmos3_ros.training.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
