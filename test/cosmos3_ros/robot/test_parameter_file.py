# SPDX-License-Identifier: Apache-2.0
"""Parameter files mean here what they mean to a real node; what is wrong is one line."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cosmos3_ros.robot.parameter_file import (
    in_force,
    merge,
    read_override,
    read_sections,
)

SCALARS = (
    *("1", "-1", "+1", "0x10", "010", "08", "9223372036854775807", "9223372036854775808", "1_000"),
    *("0.5", "1.", ".5", "1e3", "1e-3", "1e400", "nan", "NaN", ".nan", "-.nan", ".inf", "-.inf"),
    *("inf", "Infinity", "..inf", "1e", "0x", "0b1", "0o17", "1:30", "2020-01-01"),
    *("yes", "No", "y", "N", "on", "Off", "TRUE", "tRUE", "null", "~", "a b", "a#b", "a #b"),
    *("'5'", '"yes"', "''", "!!str 5", "!!str nan", "!!float 5", "!!int '5'", "&x 5", "'it''s'"),
    *("[]", "[1, 2]", "[0.5, 1.0]", "[.nan, 1.0]", "[yes, off]", "[a, '1']", "[null]", "[1,]"),
)
NAMES = (
    *("/**", "/*", "policy", "/policy", "/ns/policy", "ns/policy", "/**/policy", "**/policy"),
    *("/*/policy", "*/policy", "**", "*", "/ns/**", "/**/ns/policy", "/a/b/policy", "/a/*/policy"),
    *("/ns/*", "reasoner", "/ns", "/policy/policy", "/**/**/policy"),
)


def say(**sections: dict[str, Any]) -> str:
    return "".join(
        f"'{name}':\n  ros__parameters:\n" + "".join(f"    {k}: {v}\n" for k, v in values.items())
        for name, values in sections.items()
    )


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """Function that writes a text into a new file."""
    made = iter(range(1000))

    def write(text: str) -> Path:
        path = tmp_path / f"file{next(made)}.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def given(domain: int) -> Callable[..., dict[str, Any]]:
    """Function: what rclpy gives to a node of this name, of files (paths) and overrides."""
    import rclpy
    import rclpy.node

    class Node(rclpy.node.Node):
        def given(self) -> dict[str, Any]:
            return {name: p.value for name, p in self._parameter_overrides.items()}

    def get(name: str, *sources: Any) -> dict[str, Any]:
        words = [
            word
            for source in sources
            for word in ("--params-file" if isinstance(source, Path) else "-p", str(source))
        ]
        rclpy.init(args=["--ros-args", *words])
        namespace, _, base = name.rpartition("/")
        node = Node(base, namespace=namespace or "/", start_parameter_services=False)
        try:
            values = node.given()
        finally:
            node.destroy_node()
            rclpy.shutdown()
        return {key: plain(value) for key, value in values.items()}

    return get


def plain(value: Any) -> str:
    """A value as text that tells types apart; the empty list is no value to rclpy."""
    return repr([] if value is None else list(value) if hasattr(value, "tolist") else value)


def ours(name: str, *sources: Any) -> dict[str, str]:
    read = [read_sections(s) if isinstance(s, Path) else read_override(s) for s in sources]
    return {key: plain(setting.value) for key, setting in in_force(merge(read), name).items()}


@pytest.mark.ros
def test_values_are_those_of_a_real_node(given: Any, file: Any) -> None:
    path = file(say(policy={f"p{k}": text for k, text in enumerate(SCALARS)}))
    theirs = given("/policy", path)
    assert ours("/policy", path) == theirs
    assert len(theirs) == len(SCALARS)
    nested = file(
        "policy:\n  ros__parameters:\n    a: {b: {c: 1}, d.e: x}\n---\n" + say(policy={"f": 2})
    )
    assert (
        ours("/policy", nested)
        == given("/policy", nested)
        == {"a.b.c": "1", "a.d.e": "'x'", "f": "2"}
    )


@pytest.mark.ros
@pytest.mark.parametrize("name", ["/policy", "/ns/policy", "/a/b/policy"])
def test_sections_are_for_the_nodes_that_they_are_for(given: Any, file: Any, name: str) -> None:
    sections = {section: {f"p{k}": k, "last": k} for k, section in enumerate(NAMES)}
    tree = "ns:\n  policy:\n    ros__parameters:\n      nested: 1\n"
    path = file(say(**sections) + tree)
    assert ours(name, path) == given(name, path)


@pytest.mark.ros
def test_of_several_files_and_overrides_the_same_one_wins(given: Any, file: Any) -> None:
    general = {"a": 1, "b": 1}
    one = file(say(**{"/**": general, "policy": {"b": 2}}))
    two = file(say(**{"policy": {"a": 3}, "/**": {"b": 4}}))
    other = file(say(**{"/policy": {"a": 5}, "/**/policy": {"b": 6}}))
    empty = file("policy:\n  ros__parameters: {}\n" + say(**{"/**": {"a": 7}}))
    for sources in (
        (one,),
        (two,),
        (one, two),
        (two, one),
        (one, other, two),
        (other, one, "policy:a:=8"),
        ("policy:a:=8", other),
        (one, "b:=9"),
        (two, "b:=9", "policy:b:=10", "c:=[1.5]"),
        (empty, "policy:a:=11"),
        ("a:='12'", "reasoner:a:=13", "a.b:=x:=y"),
    ):
        assert ours("/policy", *sources) == given("/policy", *sources), sources


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty: expected sections"),
        ("# nothing\n", "it is empty: expected sections"),
        ("- a\n- b\n", "expected sections, got a list"),
        ("5\n", "expected sections, got '5'"),
        ("a: [1,\nb: {\n", "line 3: expected the node content"),
        ("policy:\n\tros__parameters:\n", r"line 2: found character '\\t'"),
        ("policy:\n", "line 1: expected ros__parameters below 'policy'"),
        ("policy:\n  ros__parameters:\n", "line 2: expected parameters below ros__parameters"),
        ("policy:\n  rate: 1\n", "line 2: 'rate' of section 'policy' stands outside"),
        (
            "policy:\n  ros_parameters:\n    a: 1\n",
            "line 3: 'a' of section 'policy/ros_parameters'",
        ),
        ("ros__parameters:\n  a: 1\n", "line 1: ros__parameters has to stand in the section of a"),
        ("po-licy:\n  ros__parameters:\n    a: 1\n", "line 1: 'po-licy' is no name of a node"),
        (say(policy={"a": "&x 1", "b": "*x"}), "line 4: ROS has no aliases"),
    ],
)
def test_what_is_no_parameter_file_is_said_in_one_line(file: Any, text: str, words: str) -> None:
    path = file(text)
    with pytest.raises(ValueError, match=words) as caught:
        read_sections(path)
    assert str(caught.value).startswith(f"robot file {path} is not a ROS parameter file: ")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "[1, 0.5, 2]",
            r"'a' mixes whole and other numbers, which ROS refuses: write \[1.0, 0.5, 2.0\]",
        ),
        ("[a, 1]", r"'a' mixes int and str: expected values of one type, got \['a', 1\]"),
        ("[true, 1]", "'a' mixes bool and int"),
        ("[[1], [2]]", "'a': expected a list of plain values"),
        ("", "'a' has no value"),
        ("{}", "'a' has no value"),
        ("1\n    a: 2", "'a' stands twice, first in line 3"),
        ("1\n    c: {b: 2}\n    c.b: 3", "'c.b' stands twice, first in line 4"),
    ],
)
def test_a_value_that_ros_would_not_take_is_named(file: Any, value: str, words: str) -> None:
    path = file(say(policy={"a": value}))
    with pytest.raises(ValueError, match=rf"^{path}, line \d: parameter {words}") as caught:
        read_sections(path)
    assert len(str(caught.value).splitlines()) == 1


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"robot file {tmp_path}/none.yaml does not exist"):
        read_sections(tmp_path / "none.yaml")
    with pytest.raises(ValueError, match=f"robot file {tmp_path} cannot be read: Is a directory"):
        read_sections(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"caf\xe9: 1\n")
    with pytest.raises(ValueError, match="not a ROS parameter file: 'utf-8' codec can't decode"):
        read_sections(tmp_path / "latin.yaml")


@pytest.mark.parametrize("rule", ["a", "a:=", "/policy:a:=1", "a:={b: 1}", "a:=[1, 0.5]", "a:=[1,"])
def test_overrides_that_ros_would_not_take_are_named(rule: str) -> None:
    with pytest.raises(ValueError, match=r"^-p ") as caught:
        read_override(rule)
    assert len(str(caught.value).splitlines()) == 1


def test_not_a_number_is_read_as_what_it_is() -> None:
    (setting,) = read_override("policy:a:=.nan")["policy"].values()
    assert math.isnan(setting.value)
    assert setting.place == "-p policy:a:=.nan"
