# SPDX-License-Identifier: Apache-2.0
"""Writes docs/graph.md from the code: `python -m cosmos3_ros.bringup.graph_page > docs/graph.md`.

A test compares.
"""

from __future__ import annotations

import dataclasses
import sys
import typing
from typing import Any

from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from ..model.option_fields import to_plain
from ..nodes.known_parameters import PARAMS
from ..ros import topics
from .graph_options import SETS, Options

NODES: dict[str, tuple[topics.Interface, type, str]] = {
    "policy": (
        topics.POLICY,
        PARAMS["policy"],
        "aligned observations in, action chunks and predicted futures out",
    ),
    "reasoner": (topics.REASONER, PARAMS["reasoner"], "says what it sees, answers questions"),
    "server": (
        topics.SERVER,
        PARAMS["server"],
        "the policy for openpi clients and RoboLab, see docs/serving.md",
    ),
    "commander": (
        topics.COMMANDER,
        PARAMS["commander"],
        "plays chunks within limits, arms, holds; the only node that moves the robot",
    ),
    "task_server": (
        topics.TASK_SERVER,
        PARAMS["task_server"],
        "does what is said until it is judged to be done, see docs/tasks.md",
    ),
    "display": (
        topics.DISPLAY,
        PARAMS["display"],
        "chunk and future in messages that every viewer draws, see docs/watching.md; it listens "
        "to futures only while somebody does to their frames",
    ),
    "console": (
        topics.CONSOLE,
        PARAMS["console"],
        "a page in the browser that shows the others and has buttons, see docs/console.md",
    ),
    "sim": (topics.SIM, PARAMS["sim"], "the embedded simulation in place of a robot"),
}
PICTURE = """\
```
cameras,
joint_states ──▶ policy ──▶ cosmos3/action_chunk ──▶ commander ──▶ arm_controller/joint_trajectory
     │             └──▶ cosmos3/future                 ▲    └──▶ gripper_controller/commands
     └──▶ reasoner ──▶ cosmos3/scene      joint_states ┘
```
"""


def qos_text(qos: QoSProfile) -> str:
    """Quality of service in words."""
    reliability = "best effort" if qos.reliability == ReliabilityPolicy.BEST_EFFORT else "reliable"
    latched = ", latched" if qos.durability == DurabilityPolicy.TRANSIENT_LOCAL else ""
    return f"{reliability}, last {qos.depth}{latched}"


def type_text(kind: Any) -> str:
    """package/kind/Name of a message or service class."""
    package, folder = kind.__module__.split(".")[:2]
    return f"{package}/{folder}/{kind.__name__}"


def _value(value: Any) -> str:
    return f"`{str(value).lower() if isinstance(value, bool) else repr(value)}`"


def _default(option: dataclasses.Field[Any]) -> str:
    """What holds if an option is left out; for a parameter of nodes, the robot file's is first."""
    omitted = option.metadata.get("omitted")
    if not omitted:
        return _value(option.default)
    node, name = next(
        (node, name)
        for node in reversed(SETS)
        for name, by in SETS[node].items()
        if by == option.name
    )
    return f"{omitted}, else {_value(getattr(PARAMS[node](), name, False))}"


def _meaning(topic: topics.Topic) -> str:
    return topic.doc + (f"; instead, with `{topic.instead}`" if topic.instead else "")


def _offer(service: topics.Service) -> str:
    return service.doc + (f"; with `{service.needs}`" if service.needs else "")


def _rows(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    return [f"| {' | '.join(row)} |" for row in (header, ("---",) * len(header), *rows)] + [""]


def _node(name: str) -> list[str]:
    interface, params, doc = NODES[name]
    ways = [
        *(("in", topic) for topic in interface.subscribes),
        *(("in, while somebody looks", topic) for topic in interface.watched),
        *(("out", topic) for topic in interface.publishes),
    ]
    lines = [f"## {name}", "", f"{doc[0].upper()}{doc[1:]}.", ""]
    if ways:
        lines += _rows(
            ("", "topic", "type", "quality of service", "meaning"),
            [
                (way, f"`{t.name}`", type_text(t.type), qos_text(t.qos), _meaning(t))
                for way, t in ways
            ],
        )
    if interface.offers:
        lines += _rows(
            ("service", "type", "meaning"),
            [(f"`{s.name}`", type_text(s.type), _offer(s)) for s in interface.offers],
        )
    kinds, defaults = typing.get_type_hints(params), params()
    lines += _rows(
        ("parameter", "default", "meaning"),
        [
            (
                f"`{f.name}`",
                _value(to_plain(kinds[f.name], getattr(defaults, f.name))),
                f.metadata["doc"] + ("; live" if f.metadata.get("live") else ""),
            )
            for f in dataclasses.fields(params)
        ],
    )
    return lines


def page() -> str:
    """The whole page."""
    lines = [
        "# The node graph",
        "",
        "Written by `python -m cosmos3_ros.bringup.graph_page`; do not edit. Names are relative:",
        "namespaces and remaps move them. `<view>` stands for each camera view of the embodiment.",
        "Parameters marked live may change at any time; the others take effect at configure.",
        "",
        PICTURE,
    ]
    for name in NODES:
        lines += _node(name)
    lines += ["## Launch arguments", "", "Of `policy.launch.py`, and options of `cosmos3 run`.", ""]
    lines += _rows(
        ("argument", "default", "meaning"),
        [(f"`{f.name}`", _default(f), f.metadata["doc"]) for f in dataclasses.fields(Options)],
    )
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
