# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import Any

from cosmos3_ros.bringup.middleware import (
    LARGE_BUFFER,
    PROFILE_VARIABLES,
    dds_profile,
    environment,
    profile_variable,
)

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
