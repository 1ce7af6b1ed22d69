# SPDX-License-Identifier: Apache-2.0
"""The node graph for `ros2 launch`: the same processes as `cosmos3 run`, as launch actions."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from launch import LaunchContext, LaunchDescription
from launch.actions import DeclareLaunchArgument, EmitEvent, OpaqueFunction, RegisterEventHandler
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from .node_graph import Options, Process, environment, processes


def describe(arguments: Sequence[str] = (), **fixed: Any) -> LaunchDescription:
    """The graph as a launch description.

    arguments: the options that are launch arguments, () for all; fixed: values of options, which
    for a launch argument are its default.
    """
    names = arguments or [field.name for field in dataclasses.fields(Options)]
    defaults = Options(**fixed)
    free = [field for field in dataclasses.fields(Options) if field.name in names]
    declared = [
        DeclareLaunchArgument(
            field.name,
            default_value=_text(getattr(defaults, field.name)),
            description=field.metadata["doc"],
        )
        for field in free
    ]

    def start(context: LaunchContext) -> list[Any]:
        texts = {field.name: LaunchConfiguration(field.name).perform(context) for field in free}
        chosen = {field.name: parse(field, texts[field.name]) for field in free}
        return [
            action
            for process in processes(dataclasses.replace(defaults, **chosen))
            for action in _actions(process)
        ]

    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def parse(field: dataclasses.Field[Any], text: str) -> Any:
    """The value of an option from the text a person typed; ValueError says what was expected."""
    kind: Any = type(field.default)
    if kind is bool:
        if text.lower() not in ("true", "false", "1", "0"):
            raise ValueError(f"{field.name}: expected true or false, got {text!r}")
        return text.lower() in ("true", "1")
    try:
        return kind(text)
    except ValueError:
        raise ValueError(f"{field.name}: expected {kind.__name__}, got {text!r}") from None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _actions(process: Process) -> list[Any]:
    """One process, and the end of everything when it ends; with an error if that was one."""
    node = Node(
        package="cosmos3_ros",
        executable=process.executable,
        output="screen",
        emulate_tty=True,
        arguments=process.arguments(),
        additional_env=environment(),
    )

    def ended(event: ProcessExited, context: LaunchContext) -> list[Any]:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f"{process.executable} ended with exit code {event.returncode}")
        return [EmitEvent(event=Shutdown(reason=f"{process.executable} ended"))]

    return [node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]
