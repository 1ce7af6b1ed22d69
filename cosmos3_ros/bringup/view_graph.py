# SPDX-License-Identifier: Apache-2.0
"""What `view.launch.py` starts beside a running graph, so that RViz and Foxglove can draw it.

The display node, the robot's frames from its description, a second robot model that is ahead of it
(the ghost), and RViz. Pure: without launch, which only a ROS install has.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from ..model.option_fields import check, param
from ..robot.robot_file import config_folder, find_robot_file
from ..robot.urdf import description_topic, read_description, root_link
from ..ros import topics
from .node_graph import Options, Process, parameter_of, processes

GHOST = "ghost"  # before the ghost's frames, and its topic of the description
GHOSTS = {"chunk_end": topics.CHUNK_END.name, "command": topics.COMMAND.name, "none": ""}
DESCRIPTION, JOINTS = "robot_description", topics.JOINT_STATES.name
RVIZ = "cosmos3.rviz"


@dataclasses.dataclass(frozen=True)
class ViewOptions:
    """Launch arguments of `view.launch.py`."""

    robot: str = param("droid_sim", "robot file: a name in config/ or the path of a YAML file")
    ghost: str = param(
        "chunk_end",
        "which pose a second, pale robot has: chunk_end, where the newest chunk ends; command, the "
        "set points of this moment; none",
        choices=tuple(GHOSTS),
    )
    describe: bool = param(
        True,
        "publish the robot's description and frames; false: the robot's own bring-up does",
    )
    rviz: bool = param(True, "start RViz with config/cosmos3.rviz")
    use_sim_time: bool = param(False, "follow /clock, as the nodes that are looked at")

    def __post_init__(self) -> None:
        check(self)


@dataclasses.dataclass(frozen=True, slots=True)
class Viewer:
    """A program of another package."""

    package: str
    executable: str
    arguments: tuple[str, ...] = ()
    parameters: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    remappings: tuple[tuple[str, str], ...] = ()
    namespace: str = ""
    purpose: str = ""  # what is not to be seen without it


@dataclasses.dataclass(frozen=True, slots=True)
class View:
    """What is started, and what is not, in words."""

    display: Process
    viewers: tuple[Viewer, ...]
    missing: tuple[str, ...] = ()


def view(options: ViewOptions) -> View:
    """What to start for a robot; ValueError if its file or its description is wrong."""
    graph = Options(
        options.robot,
        policy=False,
        reasoner=False,
        commander=False,
        sim=False,
        display=True,
        use_sim_time=options.use_sim_time or None,
    )
    (display,) = processes(graph)
    source = str(parameter_of(graph, "display", "urdf") or "")
    clock = {"use_sim_time": options.use_sim_time}
    if not source or description_topic(source):
        why = f"it is {source}" if source else "there is none"
        line = (
            f"no robot model: expected 'urdf' of 'display' in {find_robot_file(options.robot)} to "
            f"be a file, but {why}"
        )
        return View(display, _rviz(options, ""), (line,))
    text = read_description(source).decode()
    root = root_link(text, source)
    names = dict(display.remappings)
    found = []
    if options.describe:
        found = [_model(text, clock, names.get(JOINTS, JOINTS), purpose="the robot's model")]
    if options.ghost != "none":
        topic = GHOSTS[options.ghost]
        found += _ghost(text, root, clock, names.get(topic, topic))
    return View(display, (*found, *_rviz(options, root)))


def _model(
    text: str, parameters: Mapping[str, Any], joints: str, purpose: str, namespace: str = ""
) -> Viewer:
    """What publishes a description and its frames; joints: the topic of their positions."""
    return Viewer(
        "robot_state_publisher",
        "robot_state_publisher",
        parameters={DESCRIPTION: text, **parameters},
        remappings=((JOINTS, f"/{joints.lstrip('/')}"),),
        namespace=namespace,
        purpose=purpose,
    )


def _ghost(text: str, root: str, clock: Mapping[str, Any], joints: str) -> list[Viewer]:
    """A second robot model whose joints are those of a topic, at the place of the first."""
    model = _model(text, {"frame_prefix": f"{GHOST}/", **clock}, joints, "the ghost", GHOST)
    place = ("--frame-id", root, "--child-frame-id", f"{GHOST}/{root}")
    tied = Viewer(
        "tf2_ros",
        "static_transform_publisher",
        place,
        clock,
        namespace=GHOST,
        purpose="the ghost",
    )
    return [model, tied]


def _rviz(options: ViewOptions, root: str) -> tuple[Viewer, ...]:
    if not options.rviz:
        return ()
    frame = ("--fixed-frame", root) if root else ()
    arguments = ("--display-config", str(rviz_file()), *frame)
    clock = {"use_sim_time": options.use_sim_time}
    return (Viewer("rviz2", "rviz2", arguments, clock, purpose="RViz"),)


def rviz_file() -> pathlib.Path:
    """RViz's displays of the embedded robot."""
    return config_folder() / RVIZ
