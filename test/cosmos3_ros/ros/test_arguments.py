# SPDX-License-Identifier: Apache-2.0
"""What is given to nodes on the command line is in force, or refused in one line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.ros

KNOWN = {"commander": {"max_jump", "velocity"}, "policy": {"instruction", "device"}}


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., list[str]]:
    """Function that checks a file's text and further arguments, for these nodes."""
    from cosmos3_ros.ros.arguments import check_arguments

    def run(text: str, *words: str, nodes: tuple[str, ...] = ("commander",)) -> list[str]:
        files = []
        if text:
            (tmp_path / "mine.yaml").write_text(text)
            files = ["--params-file", str(tmp_path / "mine.yaml")]
        return check_arguments(["program", "--ros-args", *files, *words], nodes, KNOWN)

    return run


def section(name: str, *lines: str) -> str:
    return f"'{name}':\n  ros__parameters:\n" + "".join(f"    {line}\n" for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        section("commander", "max_jump: 0.1", "use_sim_time: true"),
        section("/**", "instruction: go", "max_jump: 0.1"),  # one of them for another node
        section("/**", "qos_overrides./parameter_events.publisher.depth: 3"),
        section("/**", "start_type_description_service: false"),
        section(
            "/**", "camera.image_raw.compressed.jpeg_quality: 80"
        ),  # a camera's, in a shared file
        section("/left/commander", "max_jump: 0.1") + section("/*/policy", "device: cpu"),
        section("remappings", "camera/wrist/image_raw: /wrist"),
    ],
)
def test_what_nodes_have_is_taken(check: Any, text: str) -> None:
    check(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            section("commander", "max_jum: 1.0"),
            "line 3: unknown parameter 'max_jum' of commander, did you mean 'max_jump'?",
        ),
        (
            section("/**/commander", "instruction: go"),
            "'instruction' of commander; it is one of policy",
        ),
        (section("/*", "max_jum: 1.0"), "unknown parameter 'max_jum', did you mean 'max_jump'?"),
        (section("/ns/**", "colour: 1.0"), "unknown parameter 'colour'"),
        (
            section("commander", "limits:", "  velocity: [1.0]"),
            "unknown parameter 'limits.velocity' of commander, did you mean 'velocity'?",
        ),
        (section("commander", "use_sim_tim: true"), "did you mean 'use_sim_time'?"),
        (
            section("commander", "use_sim_time: 'true'"),
            "'use_sim_time': expected true or false, got 'true'",
        ),
        (
            section("comander", "max_jump: 1.0"),
            "there is no node 'comander', did you mean 'commander'?",
        ),
        (section("/ns/gripper", "max_jump: 1.0"), "there is no node 'gripper'"),
        (section("policy", "max_jump: 1.0"), "'max_jump' of policy; it is one of commander"),
        (
            section("commander", "velocity: [1.0, .inf]"),
            "line 3: parameter 'velocity': expected a finite number, got inf",
        ),
        (section("/**", "max_jump: nan"), "'max_jump': expected a finite number, got nan"),
        (section("commander", "a: 1", "b: 2"), "line 3: unknown parameter 'a' of commander; "),
    ],
)
def test_what_no_node_has_is_refused_with_the_nearest_name(
    check: Any, text: str, words: str
) -> None:
    with pytest.raises(ValueError, match=r"mine\.yaml") as caught:
        check(text)
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        (
            "",
            ["-p", "max_jum:=1.0"],
            "-p max_jum:=1.0: unknown parameter 'max_jum', did you mean 'max_jump'?",
        ),
        ("", ["-p", "comander:max_jump:=1.0"], "there is no node 'comander'"),
        ("", ["-p", "device:=cpu"], "'device' of /commander; it is one of policy"),
        ("", ["-p", "policy:device:=cpu"], "for no node of this process, which are /commander"),
        (
            "",
            ["-p", "max_jump:=1.0", "-p", "commander:max_jump:=2.0", "-p", "max_jump:=3.0"],
            "-p max_jump:=3.0: without effect on /commander: -p commander:max_jump:=2.0 stands",
        ),
        ("", ["-p", "use_sim_time:=1"], "'use_sim_time': expected true or false, got 1"),
        (
            "",
            ["-r", "__ns:=/left", "-p", "commander:max_jump:=1.0"],
            "does not reach /left/commander",
        ),
        ("", ["-r", "__node:=left", "-p", "commander:max_jump:=1.0"], "which are /left"),
        ("", ["--params-file", "/nowhere.yaml"], "robot file /nowhere.yaml does not exist"),
        (
            section("/**", "velocity: 1.0") + section("commander", "max_jump: 0.5"),
            ["-p", "max_jump:=0.1"],
            "without effect on /commander: ",
        ),
    ],
)
def test_overrides_that_would_not_be_in_force_are_refused(
    check: Any, text: str, words: list[str], said: str
) -> None:
    with pytest.raises(ValueError, match=r"^") as caught:
        check(text, *words)
    assert said in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_overrides_that_are_in_force_are_taken(check: Any) -> None:
    both = section("/**", "velocity: 1.0") + section("commander", "max_jump: 0.5")
    check(both, "-p", "commander:max_jump:=0.1")
    check(section("commander", "max_jump: 0.5"), "-p", "max_jump:=0.1")
    check("", "-p", "device:=cpu", nodes=("commander", "policy"))
    check("", "-p", "max_jump:=1.0", "-p", "commander:max_jump:=2.0")  # the later one wins
    check("", "-p", "commander:max_jump:=2.0", "-p", "max_jump:=1.0")
    check("", "-r", "__node:=left", "-p", "left:max_jump:=1.0", "-p", "use_sim_time:=true")
    check(section("left", "max_jump: 1.0"), "-r", "commander:__node:=left")
    check("", "--", "-p", "nonsense")  # not of ROS


def test_sections_for_another_namespace_are_worth_a_word(check: Any) -> None:
    text = section("/left/commander", "max_jump: 0.1")
    assert check(text) == [
        "the sections ['/left/commander'] are for other namespaces than that of /commander"
    ]
    assert check(text, "-r", "__ns:=/left") == []


def test_what_only_ros_knows_to_be_wrong_is_one_line_too() -> None:
    from cosmos3_ros.ros.arguments import init

    with pytest.raises(ValueError, match="Couldn't parse remap rule: '-r x'") as caught:
        init(["program", "--ros-args", "-r", "x"], lambda words: [])
    assert len(str(caught.value).splitlines()) == 1
