# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

import pytest

from cosmos3_ros.bringup.middleware import (
    LARGE_BUFFER,
    PROFILE_VARIABLES,
    check_environment,
    dds_profile,
    environment,
    profile_variable,
)
from cosmos3_ros.bringup.node_graph import MODULES, Options, processes

ROOT = pathlib.Path(__file__).parents[3]
NAMES = PROFILE_VARIABLES.values()
SPACE = "{http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles}"


def test_a_dds_profile_of_either_name_is_left_alone(monkeypatch: Any) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    ((name, file),) = environment().items()
    assert name == profile_variable()
    assert pathlib.Path(file).name == dds_profile()
    assert pathlib.Path(file).is_file()
    for name in NAMES:
        with monkeypatch.context() as context:
            context.setenv(name, "mine.xml")
            assert environment() == {}


def test_the_variable_is_that_of_the_distribution(monkeypatch: Any, tmp_path: pathlib.Path) -> None:
    for package, variable in PROFILE_VARIABLES.items():
        (tmp_path / package / "share" / package).mkdir(parents=True)
        monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}/mine:{tmp_path}/{package}")
        assert profile_variable() == variable
    monkeypatch.delenv("AMENT_PREFIX_PATH")
    assert profile_variable() == PROFILE_VARIABLES["fastrtps"]


def test_images_come_by_udp_where_the_kernel_allows_large_buffers(tmp_path: pathlib.Path) -> None:
    limit = tmp_path / "rmem_max"
    assert dds_profile(limit) == "fastdds.xml"  # no such file
    for text, chosen in (
        ("212992\n", "fastdds.xml"),
        (f"{LARGE_BUFFER - 1}\n", "fastdds.xml"),
        (f"{LARGE_BUFFER}\n", "fastdds_udp.xml"),
        ("33554432\n", "fastdds_udp.xml"),
        ("", "fastdds.xml"),
    ):
        limit.write_text(text)
        assert dds_profile(limit) == chosen


def test_the_environment_without_ros_chooses_alike() -> None:
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    command = [str(ROOT / "tools" / "run.sh"), sys.prefix, "printenv", profile_variable()]
    said = subprocess.run(command, env=kept, capture_output=True, text=True, check=True).stdout
    file = pathlib.Path(said.strip())
    assert file.name == dds_profile()
    assert file.is_file()


def test_the_two_profiles_differ_by_where_they_want_to_be_written_to() -> None:
    through_memory, by_udp = (
        ET.parse(ROOT / "config" / name).getroot() for name in ("fastdds.xml", "fastdds_udp.xml")
    )
    (rtps,) = by_udp.iter(f"{SPACE}rtps")
    (locators,) = rtps.findall(f"{SPACE}defaultUnicastLocatorList")
    assert [child.tag for child in locators.iter()][2:] == [f"{SPACE}udpv4"]
    rtps.remove(locators)
    kinds = [
        [(element.tag, (element.text or "").strip()) for element in root.iter()]
        for root in (through_memory, by_udp)
    ]
    assert kinds[0] == kinds[1]


VARIABLES = ("ROS_DOMAIN_ID", "RMW_IMPLEMENTATION", *NAMES)
DOMAIN = "ROS_DOMAIN_ID: expected a whole number from 0 to 232, got "
MIDDLEWARE = (
    "RMW_IMPLEMENTATION: expected one that is installed, rmw_cyclonedds_cpp or rmw_fastrtps_cpp, "
    "got "
)


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path) -> pathlib.Path:
    """A folder in which two middlewares are installed; none of the variables is set."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    index = tmp_path / "share" / "ament_index" / "resource_index" / "rmw_typesupport"
    index.mkdir(parents=True)
    for name in ("rmw_fastrtps_cpp", "rmw_cyclonedds_cpp", "rmw_implementation"):
        (index / name).touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path / 'mine'}:{tmp_path}")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        *(
            ("ROS_DOMAIN_ID", value, f"{DOMAIN}{value!r}")
            for value in ("500", "abc", "-1", "233", "7a", "1.0", "010")
        ),
        ("RMW_IMPLEMENTATION", "rmw_nothing_cpp", f"{MIDDLEWARE}'rmw_nothing_cpp'"),
        ("RMW_IMPLEMENTATION", "rmw_implementation", f"{MIDDLEWARE}'rmw_implementation'"),
        *((name, "/no/such.xml", f"{name}: expected a file that exists, got") for name in NAMES),
    ],
)
def test_a_variable_that_cannot_work_is_named(
    installed: pathlib.Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=message):
        check_environment()


@pytest.mark.parametrize(
    "variables",
    [
        {},
        dict.fromkeys(VARIABLES, ""),  # as if it were not set
        {"ROS_DOMAIN_ID": "0"},
        {"ROS_DOMAIN_ID": "232"},
        {"RMW_IMPLEMENTATION": "rmw_fastrtps_cpp"},
        {"RMW_IMPLEMENTATION": "rmw_cyclonedds_cpp", "FASTRTPS_DEFAULT_PROFILES_FILE": "/no.xml"},
        {"FASTRTPS_DEFAULT_PROFILES_FILE": str(ROOT / "config" / "fastdds.xml")},
        {"AMENT_PREFIX_PATH": "", "RMW_IMPLEMENTATION": "rmw_any_cpp"},  # nobody knows
    ],
)
def test_what_can_work_is_not_refused(
    installed: pathlib.Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    check_environment()


@pytest.mark.ros
@pytest.mark.parametrize(
    "words",
    [
        "run",
        "view",
        "demo",
        "replay clip.mp4 --instruction go",
        "demonstrate",
        "record bag",
        "task go",
        "imagine --joints panda_joint1=0.6",
        "live video go",
        "live actions",
        "embodiment init mine --topics",
        "eval embedded --through nodes --out results.json",
    ],
)
@pytest.mark.parametrize(
    ("name", "value"), [("ROS_DOMAIN_ID", "500"), ("RMW_IMPLEMENTATION", "rmw_nothing_cpp")]
)
def test_a_command_that_needs_ros_refuses_it_and_writes_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, words: str, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    _is_refused([sys.executable, "-m", "cosmos3_ros.cli", *words.split()], tmp_path, name, value)


@pytest.mark.ros
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ROS_DOMAIN_ID", "500"),
        ("RMW_IMPLEMENTATION", "rmw_nothing_cpp"),
        (profile_variable(), "/no/such.xml"),
    ],
)
@pytest.mark.parametrize("node", sorted(MODULES))
def test_a_node_refuses_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path, node: str, name: str, value: str
) -> None:
    from ament_index_python import get_package_prefix

    monkeypatch.setenv(name, value)
    executable = pathlib.Path(get_package_prefix("cosmos3_ros"), "lib", "cosmos3_ros", node)
    _is_refused([sys.executable, str(executable)], tmp_path, name, value)


@pytest.mark.ros
def test_a_launch_file_refuses_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROS_DOMAIN_ID", "500")
    with pytest.raises(ValueError, match=DOMAIN):
        processes(Options())


def _is_refused(command: list[str], folder: pathlib.Path, name: str, value: str) -> None:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"error: {name}: expected ")
    assert line.endswith(f", got {value!r}")
    assert (done.returncode, done.stdout, list(folder.iterdir())) == (2, "", [])
