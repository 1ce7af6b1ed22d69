# SPDX-License-Identifier: Apache-2.0
"""Scene files: a robot in a MuJoCo model as YAML, read strictly. Needs no MuJoCo.

docs/your_robot.md explains every key. Positions of joints are in the units of the robot's topics.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from ...model.embodiment.embodiment_file import read_column
from ...model.embodiment.table import Table, nearest, read_yaml
from ...model.embodiment.units import ANGLE, LENGTH, Column
from .motion import Motion, Waypoint

KEYS = ("model", "keyframe", "servo", "prefix", "joints", "gripper", "cameras", "home", "tasks")
PACKAGE = "package://"
PLACED = ("body", "position", "looks_at", "fovy")  # of a camera that the model does not have
LARGEST = 4096  # pixels
STIFFEST = 20.0  # Hz: a servo that the steps of the physics are still short enough for


@dataclasses.dataclass(frozen=True, slots=True)
class Gripper:
    """A gripper of one or more joints of the model, which move together.

    column: what topics say of it; joints: model joint -> position (rad or m) when open and closed.
    """

    column: Column
    joints: dict[str, tuple[float, float]]


@dataclasses.dataclass(frozen=True, slots=True)
class SceneCamera:
    """A camera of the model, or one that stands on a body of it; position, looks_at in m."""

    view: str
    height: int  # pixels
    width: int
    camera: str = ""  # of the model; "": placed
    body: str = ""  # that it is fixed to; "": the world
    position: tuple[float, ...] = ()
    looks_at: tuple[float, ...] = ()
    fovy: float = 45.0  # vertical field of view, degrees


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """What a scene file says. joints: what topics call them -> joint of the model."""

    file: Path
    model: Path
    keyframe: str
    servo: float  # natural frequency of the servos in place of the model's, Hz; 0: the model's
    columns: tuple[Column, ...]
    joints: tuple[str, ...]  # of the model, as `columns`
    gripper: Gripper | None
    cameras: dict[str, SceneCamera]
    home: np.ndarray  # [D] in units of the topics
    tasks: dict[str, Motion]

    @property
    def names(self) -> tuple[str, ...]:
        """The joints in joint_states, the gripper last."""
        arm = tuple(column.name for column in self.columns)
        return (*arm, self.gripper.column.name) if self.gripper else arm

    def choose(self, wanted: str) -> list[str]:
        """Names of tasks, given with commas, "" for all; ValueError lists the tasks."""
        names = [name.strip() for name in wanted.split(",")] if wanted else [*self.tasks]
        for name in names:
            self.task(name)
        return names

    def task(self, name: str) -> Motion:
        """ValueError lists the tasks."""
        if name not in self.tasks:
            raise ValueError(
                f"task: expected one of {', '.join(self.tasks)}, got {name!r}"
                f"{nearest(name, self.tasks)}"
            )
        return self.tasks[name]


def read_scene(path: str | Path) -> Scene:
    """A scene file; ValueError is one line with the key, its value and what was expected."""
    file = Path(path)
    table = Table(str(file), read_yaml(file), KEYS)
    prefix = table.text("prefix", "")
    columns, joints = _joints(table.table("joints"), prefix)
    gripper = _gripper(table, prefix) if "gripper" in table else None
    scene = Scene(
        file=file,
        model=_model(table, file),
        keyframe=table.text("keyframe", ""),
        servo=_servo(table),
        columns=columns,
        joints=joints,
        gripper=gripper,
        cameras=_cameras(table.table("cameras")),
        home=np.array(table.numbers("home", len(columns))),
        tasks=_tasks(table.table("tasks"), len(columns), gripper),
    )
    _check_names(table, scene)
    return scene


def _model(table: Table, file: Path) -> Path:
    """The model's file: of an installed Python package, or as seen from the scene file."""
    text = table.text("model")
    if text.startswith(PACKAGE):
        package, _, rest = text.removeprefix(PACKAGE).partition("/")
        found = importlib.util.find_spec(package) if package.isidentifier() else None
        if found is None or not found.submodule_search_locations:
            raise table.fail(
                "model", f"a file of an installed Python package (pip install {package or '...'})"
            )
        path = Path(next(iter(found.submodule_search_locations)), rest)
    else:
        path = (file.parent / os.path.expanduser(text)).resolve()
    if path.suffix not in (".xml", ".urdf") or not path.is_file():
        raise table.fail("model", f"an MJCF file (.xml) or a URDF file that exists, not {path}")
    return path


def _servo(table: Table) -> float:
    frequency = table.number("servo", 0.0)
    if not 0 <= frequency <= STIFFEST:
        raise table.fail("servo", f"0 to {STIFFEST:g} Hz")
    return frequency


def _joints(table: Table, prefix: str) -> tuple[tuple[Column, ...], tuple[str, ...]]:
    columns, joints = [], []
    for name in table.names():
        fields = table.value(name)
        fields = {"unit": fields} if isinstance(fields, str) else fields
        known = ("joint", "unit", "scale", "offset")
        entry = Table(f"{table.where}: {name}", fields, known)
        said = {key: entry.value(key) for key in known[1:] if key in entry}
        column = read_column(Table(table.where, {name: said}), name)
        if column.quantity not in (ANGLE, LENGTH) and "scale" not in entry:
            raise entry.fail("unit", "rad, deg, m, mm, or ticks and percent with scale and offset")
        columns.append(column)
        joints.append(prefix + entry.text("joint", name))
    if not columns:
        raise ValueError(f"{table.where}: expected the joints of the arm, got none")
    return tuple(columns), tuple(joints)


def _gripper(table: Table, prefix: str) -> Gripper:
    entry = table.table("gripper", ("name", "unit", "open", "closed", "joints"))
    name = entry.text("name")
    said = {key: entry.value(key) for key in ("unit", "open", "closed") if key in entry}
    if "open" not in entry or "closed" not in entry:
        raise ValueError(f"{entry.where}: expected open and closed, what its topic says then")
    column = read_column(Table(table.where, {name: said}), name)
    joints = entry.table("joints")
    ends = {}
    for joint in joints.names():
        opened, closed = joints.numbers(joint, 2)
        if opened == closed:
            raise joints.fail(joint, "[open, closed], two positions of the joint")
        ends[prefix + joint] = (opened, closed)
    if not ends:
        raise ValueError(f"{entry.where}: lacks 'joints', expected JOINT: [open, closed]")
    return Gripper(column, ends)


def _cameras(table: Table) -> dict[str, SceneCamera]:
    return {
        view: _camera(table.table(view, ("size", "camera", *PLACED)), view)
        for view in table.names()
    }


def _camera(table: Table, view: str) -> SceneCamera:
    height, width = table.integers("size", 2, 16, LARGEST)
    if "camera" in table:
        for key in PLACED:
            if key in table:
                raise table.fail(key, "nothing beside 'camera', which the model places")
        return SceneCamera(view, height, width, table.text("camera"))
    position, looks_at = table.numbers("position", 3), table.numbers("looks_at", 3)
    if position == looks_at:
        raise table.fail("looks_at", "another point than position")
    fovy = table.number("fovy", 45.0)
    if not 1 <= fovy <= 170:
        raise table.fail("fovy", "1 to 170 degrees")
    body = table.text("body", "")
    return SceneCamera(view, height, width, "", body, position, looks_at, fovy)


def _tasks(table: Table, width: int, gripper: Gripper | None) -> dict[str, Motion]:
    if not table.names():
        raise ValueError(f"{table.where}: expected a task, NAME: {{instruction, motion}}")
    return {name: _task(table.table(name, _TASK), width, gripper) for name in table.names()}


_TASK = ("instruction", "scatter", "tolerance", "motion")


def _task(table: Table, width: int, gripper: Gripper | None) -> Motion:
    scatter, tolerance = table.numbers("scatter", width), table.numbers("tolerance", width)
    if min(scatter) < 0:
        raise table.fail("scatter", "0 or more for each joint")
    if min(tolerance) <= 0:
        raise table.fail("tolerance", "more than 0 for each joint")
    steps = table.value("motion") if "motion" in table else None
    if not isinstance(steps, list) or not steps:
        raise table.fail("motion", "a list of {joints, gripper, seconds}")
    waypoints = tuple(
        _waypoint(f"{table.where}: motion, step {number}", step, width, gripper)
        for number, step in enumerate(steps, 1)
    )
    if not any(len(waypoint.joints) for waypoint in waypoints):
        raise table.fail("motion", "at least one step with joints")
    return Motion(table.text("instruction"), np.array(scatter), np.array(tolerance), waypoints)


def _waypoint(where: str, fields: Any, width: int, gripper: Gripper | None) -> Waypoint:
    table = Table(where, fields, ("joints", "gripper", "seconds"))
    if "gripper" in table and gripper is None:
        raise table.fail("gripper", "nothing, the file has no gripper")
    if "joints" not in table and "gripper" not in table:
        raise ValueError(f"{where}: expected joints, gripper or both")
    seconds = table.number("seconds")
    if seconds <= 0:
        raise table.fail("seconds", "more than 0 s")
    joints = table.numbers("joints", width) if "joints" in table else ()
    return Waypoint(np.array(joints), table.number("gripper", None), seconds)


def _check_names(table: Table, scene: Scene) -> None:
    moved = [*scene.joints, *(scene.gripper.joints if scene.gripper else ())]
    for what, names in (("names of joints", scene.names), ("joints of the model", moved)):
        if twice := [name for name in dict.fromkeys(names) if [*names].count(name) > 1]:
            raise ValueError(f"{table.where}: expected distinct {what}, got {twice[0]!r} twice")
    if not scene.cameras:
        raise ValueError(f"{table.where}: lacks 'cameras', expected VIEW: {{camera, size}}")
