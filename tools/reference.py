# SPDX-License-Identifier: Apache-2.0
"""The reference, made of the code: command line, launch files, messages, Python."""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import os
import runpy
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).parent.parent
# What others may import; everything else may move.
PYTHON = (
    ("cosmos3_ros.model.interface", None),
    ("cosmos3_ros.model.policy", ("load_policy",)),
    ("cosmos3_ros.model.policy_options", ("PolicyOptions",)),
    ("cosmos3_ros.model.embodiment", ("find_embodiment",)),
)


def reference_pages() -> dict[str, str]:
    """Name -> page, in Markdown."""
    return {
        "command_line": _command_line(),
        "launch_files": _launch_files(),
        "messages": _messages(),
        "python": _python(),
    }


def _command_line() -> str:
    from cosmos3_ros.cli import command_parser

    os.environ["COLUMNS"] = "84"
    lines = ["# Command line", "", "What `cosmos3 --help` and `cosmos3 COMMAND --help` print.", ""]
    for parser in _parsers(command_parser()):
        lines += [f"## {parser.prog}", "", "```text", parser.format_help().rstrip(), "```", ""]
    return "\n".join(lines)


def _parsers(parser: argparse.ArgumentParser) -> Iterable[argparse.ArgumentParser]:
    """The parser and those of its commands, which argparse tells in no public way."""
    yield parser
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for child in dict.fromkeys(action.choices.values()):
                yield from _parsers(child)


def _launch_files() -> str:
    lines = ["# Launch files", "", "What `ros2 launch cosmos3_ros FILE --show-args` prints.", ""]
    for file in sorted((ROOT / "launch").glob("*.launch.py")):
        text, rows = launch_arguments(file)
        lines += [f"## {file.name}", "", text, "", "| argument | default | meaning |"]
        lines += ["| --- | --- | --- |", *("| " + " | ".join(row) + " |" for row in rows), ""]
    return "\n".join(lines)


def launch_arguments(file: Path) -> tuple[str, list[tuple[str, str, str]]]:
    """What a launch file says it starts, and name, default and meaning of each argument.

    It is run with stand-ins for what only a ROS installation has, the packages of `launch`.
    """
    from cosmos3_ros.bringup.graph_options import Options
    from cosmos3_ros.bringup.view_graph import ViewOptions

    stub = types.ModuleType("cosmos3_ros.bringup.launch_description")
    stub.describe = lambda names=(), **fixed: (Options, names, fixed)  # type: ignore[attr-defined]
    stub.describe_view = lambda: (ViewOptions, (), {})  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {stub.__name__: stub}):
        loaded = runpy.run_path(str(file))
        options, names, fixed = loaded["generate_launch_description"]()
    fields = {field.name: field for field in dataclasses.fields(options)}
    rows = []
    for name in names or fields:
        field = fields[name]
        default = fixed.get(name, field.default)
        shown = field.metadata["omitted"] if default is None else f"`{_typed(default)}`"
        rows.append((f"`{name}`", shown, field.metadata["doc"].replace("|", "\\|")))
    return " ".join((loaded["__doc__"] or "").split()), rows


def _typed(value: Any) -> str:
    """As it is typed behind `:=`."""
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _messages() -> str:
    lines = ["# Messages", "", "Topics and services that carry them: [graph](../graph.md).", ""]
    for kind in ("msg", "srv", "action"):
        for file in sorted((ROOT / kind).glob(f"*.{kind}")):
            text = file.read_text(encoding="utf-8").rstrip()
            lines += [f"## {kind}/{file.stem}", "", "```text", text, "```", ""]
    return "\n".join(lines)


def _python() -> str:
    import importlib

    lines = ["# Python", "", "Imports that stay where they are; everything else may move.", ""]
    for name, chosen in PYTHON:
        module = importlib.import_module(name)
        lines += [f"## {name}", "", inspect.getdoc(module) or "", ""]
        for member in chosen or _public(module):
            value = getattr(module, member)
            lines += [f"### {member}", "", "```python", _signature(member, value), "```", ""]
            lines += ["```text", inspect.getdoc(value) or "", "```", ""]
    return "\n".join(lines)


def _public(module: Any) -> list[str]:
    return [
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
    ]


def _signature(name: str, value: Any) -> str:
    word = "class" if inspect.isclass(value) else "def"
    try:
        return f"{word} {name}{inspect.signature(value)}"
    except (TypeError, ValueError):
        return f"{word} {name}"
