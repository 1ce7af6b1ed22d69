# SPDX-License-Identifier: Apache-2.0
"""What a robot file says that the console's page shows: joints with limits, views, tasks, URDF."""

from __future__ import annotations

import dataclasses
import pathlib
from typing import Any

from ...model.embodiment import EMBODIMENTS, SIMULATED
from ...model.embodiment.canvas import Canvas
from ...model.embodiment.units import Column
from ...robot.parameter_file import read_sections
from ...robot.recorded_robot import RecordedRobot, read_robot
from ...robot.robot_file import (
    config_folder,
    find_robot_file,
    read_parameters,
    scene_of,
    urdf_of,
)
from ...robot.urdf import description_topic, parse_limits
from ...sim.arm_constants import JOINTS
from ...sim.scene_file.schema import read_scene
from ...sim.tasks import TASKS
from .page_values import number, to_si

DESCRIPTION = "/robot_description"  # as robot_state_publisher publishes it


@dataclasses.dataclass(frozen=True)
class ShownRobot:
    """A robot file as the console needs it."""

    name: str
    recorded: RecordedRobot
    canvas: Canvas
    limits: dict[str, tuple[float, float]]  # in rad or m, of joints that have some
    scales: dict[str, tuple[float, float]]  # see page_values.to_si
    tasks: tuple[str, ...]  # of a simulation of it, if there is one
    tool: str  # link of the robot description; "": the ends of its tree
    urdf: pathlib.Path | None  # None: what is published on `topic`
    topic: str

    def value(self, control: bool) -> dict[str, Any]:
        """For the page: what does not change while it runs."""
        panels = [dataclasses.asdict(panel) for panel in self.canvas.panels]
        joints = [
            {
                "name": name,
                "lower": number(self.limits[name][0]) if name in self.limits else None,
                "upper": number(self.limits[name][1]) if name in self.limits else None,
                "unit": "m" if column.quantity == "length" else "rad",
                "gripper": column.gripper,
            }
            for name, column in self._columns().items()
        ]
        return {
            "name": self.name,
            "panels": panels,
            "composite": self.canvas.composite,
            "content": self.canvas.content,
            "joints": joints,
            "tasks": self.tasks,
            "tool": self.tool,
            "control": control,
        }

    def _columns(self) -> dict[str, Column]:
        joints = self.recorded.joints
        return dict(zip(joints.joints, joints.units, strict=True))


def read_shown(robot: str, simulation: bool) -> ShownRobot:
    """The robot of a file, by name or path; ValueError says what is wrong with it.

    simulation: the embedded one stands in its place.
    """
    path = find_robot_file(robot)
    recorded = read_robot(robot)
    sections = read_sections(path)
    scene = scene_of(path, sections)
    embodiment = EMBODIMENTS[SIMULATED.name] if simulation and not scene else recorded.embodiment
    columns = dict(zip(recorded.joints.joints, recorded.joints.units, strict=True))
    # a gripper is shown in what its topic says
    scales = {n: (c.origin, c.span) for n, c in columns.items() if not c.gripper}
    is_droid = {*columns} <= {*JOINTS}
    tasks = tuple(read_scene(scene).tasks) if scene else tuple(TASKS) if is_droid else ()
    urdf, topic = _description(path)
    tool = str(read_parameters(path, "policy").get("tool_frame", ""))
    if urdf is None and is_droid:
        urdf, tool = config_folder() / "urdf" / "droid_sim.urdf", "panda_tcp"
    return ShownRobot(
        path.stem,
        recorded,
        embodiment.canvas,
        _limits(path, columns, scales, urdf),
        scales,
        tasks,
        tool,
        urdf,
        topic,
    )


def _description(path: pathlib.Path) -> tuple[pathlib.Path | None, str]:
    """The robot description's file, or the topic that it is on."""
    for node in ("commander", "policy"):
        source = str(read_parameters(path, node).get("urdf", ""))
        if file := urdf_of(path, source):
            return pathlib.Path(file), ""
        if topic := description_topic(source):
            return None, topic
    return None, DESCRIPTION


def _limits(
    path: pathlib.Path,
    columns: dict[str, Column],
    scales: dict[str, tuple[float, float]],
    urdf: pathlib.Path | None,
) -> dict[str, tuple[float, float]]:
    """The ranges of joints, in rad or m: the commander's, else those of the description."""
    fields = read_parameters(path, "commander")
    arm = [str(name) for name in fields.get("joints", ())]
    found = {}
    if urdf is not None and arm:
        described = parse_limits(urdf.read_bytes(), arm, str(urdf))
        found = {name: (one.lower, one.upper) for name, one in zip(arm, described, strict=True)}
    pairs = zip(arm, fields.get("lower", ()), fields.get("upper", ()), strict=False)
    for name, *ends in pairs:
        low, high = sorted(to_si(float(end), scales.get(name)) for end in ends)
        found[name] = (low, high)
    for name, column in columns.items():
        if column.gripper:
            low, high = sorted((column.opened, column.closed))
            found[name] = (low, high)
    return found
