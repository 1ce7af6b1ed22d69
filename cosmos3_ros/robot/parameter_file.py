# SPDX-License-Identifier: Apache-2.0
"""ROS parameter files and overrides, read as a node's own parser reads them; no ROS.

The one reader: what a node is checked for before it starts, and what recordings are read by. What
is wrong is a ValueError of one line that says where.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from ..model.media.lfs_pointer import check_pointer

PARAMETERS = "ros__parameters"
EVERYWHERE = "/**"  # the section of an override that names no node

_TRUE = frozenset(("Y", "y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"))
_FALSE = frozenset(("N", "n", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"))
_INTEGER = re.compile(r"[+-]?(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)", re.ASCII)
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_NOT_FINITE = re.compile(
    r"(?i:[+-]?(nan|inf|infinity))|\.(nan|NaN|NAN)|[+-]?\.(inf|Inf|INF)", re.ASCII
)
_LEVEL = re.compile(r"\*\*?|[A-Za-z_]\w*", re.ASCII)
_OVERRIDE = re.compile(r"(?:([A-Za-z_]\w*):)?([^\s:=.][^\s:=]*):=(.+)", re.ASCII | re.DOTALL)
_STRING = "tag:yaml.org,2002:str"


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """The value of one parameter, and where it is given."""

    name: str  # with the names of the mappings it stands in: "a.b"
    value: Any  # bool, int, float, str or a list of one of them
    place: str  # "FILE, line N" or "-p NAME:=VALUE"


# Settings by section and name, in the order in which the sections first stand: that order, and not
# that of the files, decides which of two sections wins.
Sections: TypeAlias = dict[str, dict[str, Setting]]


class _Loader(yaml.SafeLoader):
    """Keeps explicit tags only, and has no aliases, as the parser of ROS."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        return ""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem="ROS has no aliases", problem_mark=mark)
        return super().compose_node(parent, index)


def read_sections(path: str | Path) -> Sections:
    """The sections of a parameter file."""
    try:
        check_pointer(Path(path))
        text = Path(path).read_text(encoding="utf-8")
        documents = [node for node in yaml.compose_all(text, _Loader) if node is not None]
    except FileNotFoundError:
        raise ValueError(f"robot file {path} does not exist") from None
    except OSError as error:
        raise ValueError(f"robot file {path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise _no_file(path, f"{error}") from None
    except (yaml.YAMLError, RecursionError) as error:
        raise _no_file(path, f"{_line_of(error)}{_problem(error)}") from None
    if not any(node.value for node in documents):
        raise _no_file(path, "it is empty: expected sections as in config/droid_sim.yaml")
    found: Sections = {}
    for node in documents:
        if not isinstance(node, yaml.MappingNode):
            got = "a list" if isinstance(node, yaml.SequenceNode) else repr(node.value)
            raise _no_file(path, f"expected sections, got {got}")
        _add_sections(found, node, "", str(path))
    return found


def read_override(rule: str) -> Sections:
    """The one setting of an override NAME:=VALUE or NODE:NAME:=VALUE."""
    place = f"-p {' '.join(rule.split())}"
    match = _OVERRIDE.fullmatch(rule)
    if match is None:
        raise ValueError(f"{place}: expected NAME:=VALUE or NODE:NAME:=VALUE")
    node_name, name, text = match.groups()
    try:
        node = yaml.compose(text, _Loader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(f"{place}: not YAML: {_problem(error)}") from None
    if node is None or isinstance(node, yaml.MappingNode):
        raise ValueError(f"{place}: expected a value or a list, got {text!r}")
    return {node_name or EVERYWHERE: {name: Setting(name, _value(node, name, place), place)}}


def merge(sources: Iterable[Sections]) -> Sections:
    """What several files and overrides say together, in their order."""
    merged: Sections = {}
    for source in sources:
        for section, settings in source.items():
            merged.setdefault(section, {}).update(settings)
    return merged


def applies(section: str, node: str) -> bool:
    """Whether a section is for the node of this full name ("/policy", "/left/policy")."""
    wild = {"**": r"(/\w+)*", "*": r"/\w+"}
    levels = section.removeprefix("/").split("/")
    return re.fullmatch("".join(wild.get(name, f"/{name}") for name in levels), node) is not None


def in_force(sections: Sections, node: str) -> dict[str, Setting]:
    """The settings that the node of this full name gets, by name."""
    found: dict[str, Setting] = {}
    for section, settings in sections.items():
        if applies(section, node):
            found |= settings
    return found


def _add_sections(found: Sections, node: yaml.MappingNode, above: str, path: str) -> None:
    names = [_key(key, path) for key, _ in node.value]
    if PARAMETERS in names and (not above or len(names) > 1):
        expected = "be alone in its section" if above else "stand in the section of a node"
        raise _no_file(path, f"line {_line(node)}: {PARAMETERS} has to {expected}")
    for name, (key, value) in zip(names, node.value, strict=True):
        if not isinstance(value, yaml.MappingNode):
            raise _no_file(path, f"line {_line(key)}: {_misplaced(name, above)}")
        if name == PARAMETERS:
            _add_settings(found.setdefault(above, {}), value, "", path, {})
            continue
        levels = name.removeprefix("/" if not above else "").split("/")
        if not all(map(_LEVEL.fullmatch, levels)):
            raise _no_file(path, f"line {_line(key)}: {name!r} is no name of a node")
        _add_sections(found, value, f"{above}/{name}" if above else name, path)


def _misplaced(name: str, above: str) -> str:
    """What is wrong about something in a section that is no mapping."""
    if name == PARAMETERS:
        return f"expected parameters below {name}"
    if not above:
        return f"expected {PARAMETERS} below {name!r}"
    return f"{name!r} of section {above!r} stands outside of {PARAMETERS}"


def _add_settings(
    found: dict[str, Setting], node: yaml.MappingNode, above: str, path: str, seen: dict[str, int]
) -> None:
    for key, value in node.value:
        name, place = above + _key(key, path), _at(path, key)
        if name in seen:
            raise ValueError(
                f"{place}: parameter {name!r} stands twice, first in line {seen[name]}"
            )
        if not (value.value or isinstance(value, yaml.SequenceNode) or _is_quoted(value)):
            raise ValueError(f"{place}: parameter {name!r} has no value")
        if isinstance(value, yaml.MappingNode):
            _add_settings(found, value, f"{name}.", path, seen)
        else:
            seen[name] = _line(key)
            found[name] = Setting(name, _value(value, name, place), place)


def _value(node: yaml.Node, name: str, place: str) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return _scalar(node)
    if not all(isinstance(item, yaml.ScalarNode) for item in node.value):
        raise ValueError(f"{place}: parameter {name!r}: expected a list of plain values")
    values = [_scalar(item) for item in node.value]
    kinds = {type(value) for value in values}
    if kinds == {int, float}:
        plain = f"[{', '.join(str(float(value)) for value in values)}]"
        raise ValueError(
            f"{place}: parameter {name!r} mixes whole and other numbers, which ROS refuses: "
            f"write {plain}"
        )
    if len(kinds) > 1:
        words = " and ".join(sorted(kind.__name__ for kind in kinds))
        raise ValueError(
            f"{place}: parameter {name!r} mixes {words}: expected values of one type, got {values}"
        )
    return values


def _scalar(node: yaml.ScalarNode) -> bool | int | float | str:
    """The value of a word, by the rules of ROS, which are not quite those of YAML."""
    text: str = node.value
    if _is_quoted(node) or node.tag == _STRING:
        return text
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INTEGER.fullmatch(text):
        digits = text.lstrip("+-")
        octal = digits.startswith("0") and digits.isdigit() and len(digits) > 1
        number = int(text, 8 if octal else 0)
        return number if -(2**63) <= number < 2**63 else float(number)
    if _FLOAT.fullmatch(text) and math.isfinite(value := float(text)):
        return value
    if _NOT_FINITE.fullmatch(text):
        return float(text.replace(".", ""))
    return text


def _is_quoted(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style in ("'", '"')


def _key(node: yaml.Node, path: str) -> str:
    if not isinstance(node, yaml.ScalarNode) or not node.value:
        raise ValueError(f"{_at(path, node)}: expected a name before the colon")
    return str(node.value)


def _at(path: str | Path, node: yaml.Node) -> str:
    return f"{path}, line {_line(node)}"


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _no_file(path: str | Path, why: str) -> ValueError:
    return ValueError(f"robot file {path} is not a ROS parameter file: {why}")


def _line_of(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    return f"line {mark.line + 1}: " if mark else ""


def _problem(error: Exception) -> str:
    return " ".join(str(getattr(error, "problem", None) or error).split())
