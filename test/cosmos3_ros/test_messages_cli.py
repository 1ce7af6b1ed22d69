# SPDX-License-Identifier: Apache-2.0
"""Messages for pip: what is refused in a line, what is kept of the installation."""

import sys

import pytest

from cosmos3_ros import messages_cli
from cosmos3_ros.cli import main


@pytest.fixture
def definitions(monkeypatch, tmp_path):
    """As in a wheel."""
    folder = tmp_path / "interfaces"
    folder.mkdir()
    (folder / "CMakeLists.txt").touch()
    monkeypatch.setattr(messages_cli, "DEFINITIONS", folder)
    return folder


def refused(capsys) -> str:
    assert main(["messages"]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_only_a_wheel_carries_the_definitions(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(messages_cli, "DEFINITIONS", tmp_path)
    assert "was not installed from a wheel: colcon and `make` build" in refused(capsys)


def test_what_is_missing_is_said_in_a_line(definitions, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(sys, "base_prefix", sys.prefix)
    assert "is no virtual environment" in refused(capsys)
    monkeypatch.setattr(sys, "base_prefix", "/usr")
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    assert "no ROS 2 wheels" in refused(capsys)
    (tmp_path / "share" / "rosidl_default_generators").mkdir(parents=True)
    monkeypatch.setattr(messages_cli.shutil, "which", lambda _: None)
    assert "missing cmake, make, g++: apt-get install" in refused(capsys)


def test_a_build_that_fails_says_how_it_ended(definitions, tmp_path):
    (definitions / "tools").mkdir()
    (definitions / "tools" / "fix_ros_wheels.py").write_text("import sys; sys.exit('no headers')")
    with pytest.raises(ValueError, match="failed with 1: no headers"):
        messages_cli.build(definitions, tmp_path / "install", tmp_path)


def test_what_pip_has_installed_is_left_alone(tmp_path):
    """Of the Python package CMake installs an `__init__.py` and metadata, too."""
    site = "lib/python3.11/site-packages"
    made = {
        "lib/libcosmos3_ros__rosidl_generator_c.so",
        "share/cosmos3_ros/msg/Box.msg",
        f"{site}/cosmos3_ros/cosmos3_ros_s__rosidl_typesupport_c.so",
        f"{site}/cosmos3_ros/msg/__init__.py",
        f"{site}/cosmos3_ros/msg/_box.py",
    }
    others = {f"{site}/cosmos3_ros/__init__.py", "bin/cosmos3", f"{site}/cosmos3_ros-0.egg-info/x"}
    staged, prefix = tmp_path / "staged", tmp_path / "prefix"
    for name in made | others:
        (staged / name).parent.mkdir(parents=True, exist_ok=True)
        (staged / name).write_text("made")
    assert messages_cli.keep(staged, prefix) == len(made)
    kept = {str(path.relative_to(prefix)) for path in prefix.rglob("*") if path.is_file()}
    assert kept == made
