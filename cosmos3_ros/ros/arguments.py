# SPDX-License-Identifier: Apache-2.0
"""The ROS arguments of a process, checked before ROS reads them: what is given must be in force."""

from __future__ import annotations

import dataclasses
import re
import sys
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import rclpy
from rclpy.signals import SignalHandlerOptions

from ..model.embodiment.table import nearest
from ..model.option_fields import check_finite
from ..robot.parameter_file import (
    EVERYWHERE,
    Sections,
    Setting,
    in_force,
    merge,
    read_override,
    read_sections,
)
from ..robot.robot_file import EMBODIMENT, REMAPPINGS

# Names of all parameters, by the node that has them.
Known: TypeAlias = Mapping[str, Collection[str]]

OF_ROS = ("use_sim_time", "start_type_description_service")  # of every node, and true or false
_OVERRIDES = "qos_overrides."
_TRANSPORTS = frozenset(("compressed", "compressedDepth", "theora", "zstd", "ffmpeg"))
_NAMED = re.compile(r"(?:(\w+):)?__(node|name|ns):=(\S+)")


@dataclasses.dataclass(frozen=True, slots=True)
class Arguments:
    """What stands between --ros-args and --, in its order."""

    sources: tuple[tuple[str, Sections], ...]  # a file's path or an override's text
    overrides: tuple[tuple[str, Setting], ...]  # those with -p: section and setting
    renamed: tuple[tuple[str, str, str], ...]  # (node or "", "node" or "ns", value)

    def full_name(self, node: str) -> str:
        """The name of a node with its namespace, as the arguments have it."""
        first = {
            kind: next((v for n, k, v in self.renamed if k == kind and n in ("", node)), default)
            for kind, default in (("node", node), ("ns", "/"))
        }
        return f"/{first['ns'].strip('/')}/{first['node']}".replace("//", "/")


def read_arguments(words: Sequence[str]) -> Arguments:
    """Read the files and overrides among the arguments of a program; ValueError names a wrong one.

    Of other wrong arguments ROS itself complains.
    """
    sources: list[tuple[str, Sections]] = []
    overrides, renamed = [], []
    for option, text in _options(words):
        if option == "--params-file":
            sources.append((text, read_sections(text)))
        elif option in ("-p", "--param"):
            sections = read_override(text)
            sources.append((f"-p {text}", sections))
            overrides += [(name, s) for name, found in sections.items() for s in found.values()]
        elif option in ("-r", "--remap") and (match := _NAMED.fullmatch(text)):
            node, kind, value = match.groups()
            renamed.append((node or "", kind.replace("name", "node"), value))
    return Arguments(tuple(sources), tuple(overrides), tuple(renamed))


def init(args: list[str] | None, check: Callable[[Sequence[str]], list[str]]) -> None:
    """Check the arguments and initialize ROS with them, without its signal handlers.

    args: with the name of the program, by default those of this process. ValueError says in one
    line what is wrong with them.
    """
    for line in check(sys.argv if args is None else args):
        print(f"warning: {line}", file=sys.stderr)
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:  # of an argument that only ROS looks at
        raise ValueError(" ".join(str(error).split())) from None


def check_arguments(words: Sequence[str], nodes: Sequence[str], known: Known) -> list[str]:
    """ValueError names what is given to the nodes of this process and would not be in force.

    Returns what is worth a warning.
    """
    found = read_arguments(words)
    full = {node: found.full_name(node) for node in nodes}
    renamed = {name.rpartition("/")[2]: known[node] for node, name in full.items()}
    for path, sections in found.sources:
        check_sections(path, sections, {**known, **renamed})
    merged = merge(sections for _, sections in found.sources)
    in_file = merge(s for path, s in found.sources if not path.startswith("-p "))
    last = {}  # a later override replaces an earlier one
    for section, setting in found.overrides:
        for name in _reached(section, setting, full, known):
            last[name, setting.name] = setting
    for (name, _), setting in last.items():
        _check_in_force(setting, name, merged)
    return [
        f"the sections {own} are for other namespaces than that of {name}"
        for name in full.values()
        if (own := [s for s in in_file if s.rpartition("/")[2] == name.rpartition("/")[2]])
        and not in_force({s: in_file[s] for s in own}, name)
    ]


def check_sections(where: str, sections: Sections, known: Known) -> None:
    """ValueError names sections of nodes that do not exist, and parameters that theirs lacks.

    What stands in a section for many nodes (/**) has to be a parameter of one of them.
    """
    every = {name for names in known.values() for name in names}
    wrong = []
    for section, settings in sections.items():
        node = section.rpartition("/")[2]
        if node in (REMAPPINGS, EMBODIMENT):
            continue
        if node.strip("*") and node not in known:
            wrong.append(f"{where}: there is no node {node!r}{nearest(node, known)}")
            continue
        names = known.get(node, every)
        wrong += [
            f"{setting.place}: {fault}"
            for name, setting in settings.items()
            if (fault := _fault(name, setting.value, names, known, node.strip("*")))
        ]
    if wrong:
        raise ValueError("; ".join(wrong))


def check_given(node: str, given: Mapping[str, Any], names: Collection[str], known: Known) -> None:
    """ValueError names parameters that were given to a node and that no node has.

    Those that another node has may come from a section for many.
    """
    every = {*names, *(name for others in known.values() for name in others)}
    wrong = [
        fault
        for name, value in given.items()
        if (fault := _fault(name, value, every, {**known, node: names}, ""))
    ]
    if wrong:
        raise ValueError("; ".join(wrong))


def _options(words: Sequence[str]) -> Iterable[tuple[str, str]]:
    """Each word between --ros-args and --, and the one after it."""
    inside = False
    for word, following in zip(words, [*words[1:], ""], strict=True):
        if word in ("--ros-args", "--"):
            inside = word == "--ros-args"
        elif inside and following:
            yield word, following


def _fault(name: str, value: Any, names: Collection[str], known: Known, node: str) -> str:
    """What is wrong about a parameter that one of `names` or one of ROS has to be, or ""."""
    if name in OF_ROS:
        wrong = not isinstance(value, bool)
        return f"parameter {name!r}: expected true or false, got {value!r}" if wrong else ""
    if name in names:
        return _finite_fault(name, value)
    if name.startswith(_OVERRIDES):
        return ""
    if not node and not _TRANSPORTS.isdisjoint(name.split(".")):
        return ""  # of the publishers of images that are meant, too
    of = f" of {node}" if node else ""
    others = [other for other, theirs in known.items() if name in theirs]
    if others:
        return f"unknown parameter {name!r}{of}; it is one of {', '.join(others)}"
    hint = nearest(name, [*names, *OF_ROS]) or nearest(name.rpartition(".")[2], names)
    return f"unknown parameter {name!r}{of}{hint}"


def _finite_fault(name: str, value: Any) -> str:
    try:
        check_finite(f"parameter {name!r}", value)
    except ValueError as error:
        return str(error)
    return ""


def _reached(section: str, setting: Setting, full: Mapping[str, str], known: Known) -> list[str]:
    """Full names of the nodes that an override is for; ValueError if there is none."""
    names = [
        name
        for node, name in full.items()
        if (setting.name in known[node] or setting.name in OF_ROS or section != EVERYWHERE)
        and section in (EVERYWHERE, name.rpartition("/")[2])
    ]
    if names or setting.name.startswith(_OVERRIDES):
        return names
    everybody = ", ".join(full.values())
    if section != EVERYWHERE:
        raise ValueError(f"{setting.place}: for no node of this process, which are {everybody}")
    fault = _fault(setting.name, setting.value, (), known, everybody)
    raise ValueError(f"{setting.place}: {fault}")


def _check_in_force(setting: Setting, name: str, merged: Sections) -> None:
    """ValueError if an override is not what the node of this full name gets."""
    now = in_force(merged, name).get(setting.name)
    if now is None:
        raise ValueError(
            f"{setting.place}: does not reach {name} in its namespace; write it without a node"
        )
    if now.value != setting.value:
        raise ValueError(
            f"{setting.place}: without effect on {name}: {now.place} stands in a section that "
            f"wins, {now.value!r}"
        )
