# SPDX-License-Identifier: Apache-2.0
"""The node graph for `ros2 launch`: the same processes as `cosmos3 run`, as launch actions.

Where the launch itself is killed, they notice by themselves.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from typing import Any

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    EmitEvent,
    LogInfo,
    OpaqueFunction,
    RegisterEventHandler,
)
from launch.event_handlers import OnProcessExit
from launch.events import Shutdown
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from ..model.option_fields import fields, parse
from ..ros.apt_packages import apt_install
from ..ros.shutdown_signal import PARENT
from .graph_options import Options, argument_text, parse_argument
from .middleware import environment
from .node_graph import Process, processes
from .view_graph import Viewer, ViewOptions, view


def describe(arguments: Sequence[str] = (), **fixed: Any) -> LaunchDescription:
    """The graph as a launch description.

    arguments: the options that are launch arguments, () for all; fixed: values of options, which
    for a launch argument are its default, and for a parameter of nodes what holds if the robot
    file does not say it.
    """
    names = arguments or [field.name for field in dataclasses.fields(Options)]
    omitted = {name for name, field in fields(Options).items() if field.metadata["omitted"]}
    fallback = {name: value for name, value in fixed.items() if name in omitted}
    defaults = Options(**{name: fixed[name] for name in fixed.keys() - omitted})
    declared = [
        DeclareLaunchArgument(
            name,
            default_value=argument_text(name, getattr(defaults, name), fallback.get(name)),
            description=fields(Options)[name].metadata["doc"],
        )
        for name in names
    ]

    def start(context: LaunchContext) -> list[Any]:
        texts = {name: LaunchConfiguration(name).perform(context) for name in names}
        chosen = {name: parse_argument(name, text) for name, text in texts.items()}
        return [
            action
            for process in processes(dataclasses.replace(defaults, **chosen), fallback)
            for action in _actions(process)
        ]

    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _actions(process: Process) -> list[Any]:
    """One process, and the end of everything when an essential one ends; an error if that was."""
    node = Node(
        package="cosmos3_ros",
        executable=process.executable,
        output="screen",
        emulate_tty=True,
        arguments=process.arguments(),
        additional_env={**environment(), PARENT: str(os.getpid())},
    )

    def ended(event: ProcessExited, context: LaunchContext) -> list[Any]:
        if event.returncode and not context.is_shutdown:
            raise RuntimeError(f"{process.executable} ended with exit code {event.returncode}")
        return [EmitEvent(event=Shutdown(reason=f"{process.executable} ended"))]

    if not process.essential:
        return [*(LogInfo(msg=line) for line in process.replaced), node]
    said = [LogInfo(msg=line) for line in process.replaced]
    return [*said, node, RegisterEventHandler(OnProcessExit(target_action=node, on_exit=ended))]


def describe_view() -> LaunchDescription:
    """What `view.launch.py` starts: `view_graph.view`, without what is not installed."""
    declared = [
        DeclareLaunchArgument(
            name,
            default_value=argument_text(name, field.default),
            description=field.metadata["doc"],
        )
        for name, field in fields(ViewOptions).items()
    ]

    def start(context: LaunchContext) -> list[Any]:
        texts = {name: LaunchConfiguration(name).perform(context) for name in fields(ViewOptions)}
        chosen = {name: parse(ViewOptions, name, text) for name, text in texts.items()}
        found = view(ViewOptions(**chosen))
        said = [LogInfo(msg=line) for line in found.missing]
        viewers = [_viewer(viewer) for viewer in found.viewers]
        return [*said, *_actions(found.display), *viewers]

    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def _viewer(viewer: Viewer) -> Any:
    """The program of another package, or one line that it is not installed."""
    try:
        get_package_prefix(viewer.package)
    except PackageNotFoundError:
        return LogInfo(
            msg=f"no {viewer.purpose}: {viewer.package} is not installed: "
            f"{apt_install(viewer.package)}"
        )
    # as text: launch would read a description as YAML
    values = {
        name: ParameterValue(value, value_type=type(value))
        for name, value in viewer.parameters.items()
    }
    return Node(
        package=viewer.package,
        executable=viewer.executable,
        namespace=viewer.namespace or None,
        arguments=list(viewer.arguments),
        parameters=[values],
        remappings=list(viewer.remappings),
    )
