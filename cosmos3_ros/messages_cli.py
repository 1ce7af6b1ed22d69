# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 messages`: this package's messages, built where pip has installed the rest.

rclpy takes messages through C libraries only, which are made for one distribution of ROS 2 and one
Python; so a wheel for all of them carries the definitions, and this builds them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = Path(__file__).parent
DEFINITIONS = PACKAGE / "interfaces"  # in a wheel only
# What is kept of an installation by CMake, of whose Python package pip has installed the rest.
KEPT = (
    "lib/lib*.so",
    "lib/python*/site-packages/cosmos3_ros/*.so",
    "lib/python*/site-packages/cosmos3_ros/msg",
    "lib/python*/site-packages/cosmos3_ros/srv",
    "lib/python*/site-packages/cosmos3_ros/action",
    "share/ament_index",
    "share/cosmos3_ros",
)


def add_messages(commands: argparse._SubParsersAction) -> None:
    """Add `messages`."""
    parser = commands.add_parser(
        "messages",
        help="build the messages, after `pip install` of a wheel beside the ROS 2 wheels",
    )
    parser.set_defaults(function=_messages)


def _messages(_: argparse.Namespace) -> int:
    prefix = Path(sys.prefix)
    check(prefix)
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder, "install")
        build(DEFINITIONS, staged, prefix)
        count = keep(staged, prefix)
    print(f"{count} files of messages in {prefix}")
    return 0


def check(prefix: Path) -> None:
    """ValueError where the messages cannot be built, or come from elsewhere."""
    if not (DEFINITIONS / "CMakeLists.txt").is_file():
        raise ValueError(
            f"{PACKAGE} was not installed from a wheel: colcon and `make` build the messages"
        )
    if sys.prefix == sys.base_prefix:
        raise ValueError(f"{prefix} is no virtual environment: expected one with the ROS 2 wheels")
    if not (prefix / "share" / "rosidl_default_generators").is_dir():
        raise ValueError(
            f"no ROS 2 wheels in {prefix}: expected pip install 'cosmos3_ros[jazzy]', or [kilted];"
            " where ROS 2 is installed, colcon builds this package"
        )
    lacking = [program for program in ("cmake", "make", "g++") if not shutil.which(program)]
    if lacking:
        raise ValueError(f"missing {', '.join(lacking)}: apt-get install {' '.join(lacking)}")


def build(definitions: Path, target: Path, prefix: Path) -> None:
    """Build the definitions with the generators of the environment `prefix`, into `target`.

    ValueError with the end of the output if that fails.
    """
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": str(prefix),
        "PATH": f"{prefix / 'bin'}:{os.environ.get('PATH', '')}",
    }
    out = target.parent / "build"
    steps = (
        # the wheels name the headers of the image that they were built in
        (sys.executable, definitions / "tools" / "fix_ros_wheels.py"),
        (
            "cmake",
            *("-S", definitions, "-B", out),
            f"-DCMAKE_INSTALL_PREFIX={target}",
            f"-DPython3_EXECUTABLE={sys.executable}",
            "-DBUILD_TESTING=OFF",
        ),
        ("cmake", "--build", out, "--parallel", str(os.cpu_count() or 1)),
        ("cmake", "--install", out),
    )
    for step in steps:
        done = subprocess.run(step, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            end = " | ".join((done.stdout + done.stderr).strip().splitlines()[-4:])
            raise ValueError(f"{Path(step[0]).name} failed with {done.returncode}: {end}")


def keep(staged: Path, prefix: Path) -> int:
    """Copy what is KEPT of the staged installation into the environment; number of files."""
    count = 0
    for pattern in KEPT:
        for found in staged.glob(pattern):
            for file in [found] if found.is_file() else sorted(found.rglob("*")):
                if file.is_file():
                    target = prefix / file.relative_to(staged)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy2(file, target)
                    count += 1
    return count
