# SPDX-License-Identifier: Apache-2.0
"""tools/run.sh and tools/ros_env.sh: one command, or a whole terminal, in the environment."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TOOLS = Path(__file__).resolve().parents[3] / "tools"
EXPECTED = "expected the one that make build made"
ROS = ("AMENT_PREFIX_PATH", "LD_LIBRARY_PATH", "PYTHONPATH", "VIRTUAL_ENV")


def run_sh(folder: Path, *words: str) -> tuple[int, str]:
    """Exit code of tools/run.sh in a folder, and what it says; it prints nothing else."""
    command = [TOOLS / "run.sh", *words]
    done = subprocess.run(command, cwd=folder, check=False, capture_output=True, text=True)
    assert done.stdout == ""
    return done.returncode, done.stderr


def in_terminal(shell: str, folder: Path, text: str, **more: str) -> subprocess.CompletedProcess:
    """Lines typed in a new terminal in a folder."""
    new = {name: value for name, value in os.environ.items() if name not in ROS} | more
    new["PATH"] = "/usr/local/bin:/usr/bin:/bin"
    command = [shell, "-c", text]
    return subprocess.run(command, check=False, cwd=folder, env=new, capture_output=True, text=True)


@pytest.mark.parametrize("name", [".venv", ".venvx"])
def test_an_environment_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    said = f"error: no environment {name} in {tmp_path}; {EXPECTED}\n"
    assert run_sh(tmp_path, name, "true") == (1, said)
    whole = str(tmp_path / name)
    assert run_sh(tmp_path, whole, "true") == (1, f"error: no environment {whole}; {EXPECTED}\n")


@pytest.mark.parametrize("words", [(), (sys.prefix,)])
def test_a_command_is_expected(words: tuple[str, ...], tmp_path: Path) -> None:
    code, said = run_sh(tmp_path, *words)
    assert code == 2  # as argparse's
    assert said == f"error: no command to run; expected {TOOLS}/run.sh VENV COMMAND...\n"


@pytest.mark.ros
@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_terminal_has_the_commands_in_every_folder(shell: str, tmp_path: Path) -> None:
    if not (program := shutil.which(shell)):
        pytest.skip(f"no {shell} here")
    if not Path(sys.prefix, "ws", "install").is_dir():
        pytest.skip("nothing is built in this environment")
    (tmp_path / "venv").symlink_to(sys.prefix)
    # twice: nothing is added a second time
    text = f"set -e; . {TOOLS}/ros_env.sh venv; . {TOOLS}/ros_env.sh venv; cd /; cosmos3 --version"
    done = in_terminal(program, tmp_path, text + '; echo "$PATH"')
    assert (done.returncode, done.stderr) == (0, "")
    version, path = done.stdout.splitlines()
    assert version.startswith("cosmos3_ros ")
    assert path.split(":").count(f"{tmp_path}/venv/bin") == 1


def test_a_terminal_with_another_ros_is_left_as_it_is(tmp_path: Path) -> None:
    text = f'. {TOOLS}/ros_env.sh {sys.prefix}; echo "$? $PATH"'
    done = in_terminal("bash", tmp_path, text, AMENT_PREFIX_PATH="/opt/ros/other")
    assert done.stdout == "1 /usr/local/bin:/usr/bin:/bin\n"
    assert done.stderr == (
        "error: this terminal has another ROS set up, /opt/ros/other; expected one without\n"
    )
    done = in_terminal("bash", tmp_path, f". {TOOLS}/ros_env.sh; echo $?")
    assert done.stdout == "1\n"
    assert done.stderr == "error: no environment named; expected . tools/ros_env.sh VENV\n"
