# SPDX-License-Identifier: Apache-2.0
"""What is true of a simulated scene at a moment, as far as it can be asked about.

Imports no torch.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping

import numpy as np

from ...model.interface import Box
from ...sim.arm_constants import PREFIX, closure
from ...sim.camera_table import VIEWS, find_camera
from ...sim.cameras import intrinsics
from ...sim.gl import mujoco
from ...sim.layout import Layout
from ...sim.simulation import Simulation
from ...sim.tasks import TASKS, find
from ...sim.world import World

Goal = tuple[str, str]  # a task, and the color of the cube it is about (or nothing)
# kind of scene -> what is there beside cubes
THINGS = {"bowl": "bowl", "circle": "yellow circle", "drawer": "drawer"}
# kinds of scenes in which nothing lies that the questions do not know
DESCRIBED = ("cubes", "small", *THINGS)
ASKED = tuple(name for name, task in TASKS.items() if task.steps)
UNCLEAR = "?"


@dataclasses.dataclass(frozen=True, slots=True)
class Facts:
    """Lengths in m in the robot's frame: x away from it, y to its left, z up from the table."""

    kind: str  # of scene, one of layout.KINDS
    cubes: Mapping[str, np.ndarray]  # color -> position [3]
    tool: np.ndarray  # position [3]
    closed: float  # gripper, 0 to 1
    held: str = ""  # a color, "drawer", "" or UNCLEAR
    place: tuple[float, float] = (0.0, 0.0)  # (x, y) of bowl or circle
    handle: np.ndarray | None = None  # position [3] of the drawer's handle
    opening: float = 0.0  # of the drawer
    # what has been achieved; None: too close to tell without measuring
    done: Mapping[Goal, bool | None] = dataclasses.field(default_factory=dict)
    # view -> name -> box, of what can be seen well
    boxes: Mapping[str, Mapping[str, Box]] = dataclasses.field(default_factory=dict)


def read_facts(simulation: Simulation) -> Facts:
    """The facts of this moment; nothing is yet doubted in `done`."""
    world, layout = simulation.world, simulation.layout
    drawer = world.kind == "drawer"
    return Facts(
        kind=world.kind,
        cubes={color: world.position(color) for color in layout.cubes},
        tool=world.tool(),
        closed=closure(world.positions()[7]),
        held=_held(world, layout),
        place=layout.place,
        handle=world.handle() if drawer else None,
        opening=world.opening() if drawer else 0.0,
        done=achieved(world, layout),
        boxes={view: boxes(simulation, view) for view in VIEWS},
    )


def achieved(world: World, layout: Layout) -> dict[Goal, bool]:
    """Which of all goals that make sense in this scene are reached at this moment."""
    goals: list[Goal] = []
    for name in ASKED:
        task = find(name)
        if task.kind in ("cubes", world.kind):
            goals += [(name, color) for color in (layout.cubes if task.names_cube else ("",))]
    return {
        goal: bool(find(goal[0]).solved(world, dataclasses.replace(layout, target=goal[1])))
        for goal in goals
    }


def _held(world: World, layout: Layout) -> str:
    """What touches the pads of both fingers; unclear if something touches only one."""
    touched: dict[str, set[str]] = {}
    for contact in world.data.contact[: world.data.ncon]:
        names = [world.model.body(int(world.model.geom_bodyid[geom])).name for geom in contact.geom]
        fingers = {
            name.split("_")[1] for name in names if name.startswith(PREFIX) and "pad" in name
        }
        for name in names:
            if name in layout.cubes or name == "drawer":
                touched.setdefault(name, set()).update(fingers)
    held = [name for name, fingers in touched.items() if len(fingers) == 2]
    if held:
        return held[0]
    return UNCLEAR if any(touched.values()) else ""


# Boxes.


def boxes(simulation: Simulation, view: str) -> dict[str, Box]:
    """Boxes of the objects that are wholly in the image of a view and hardly hidden."""
    world = simulation.world
    names = {f"{color} cube": [world.model.geom(color).id] for color in simulation.layout.cubes}
    if world.kind == "drawer":
        names["handle"] = [world.model.geom("handle").id]
    elif world.kind in THINGS:
        body = world.model.body(world.kind)
        names[THINGS[world.kind]] = [
            *range(int(body.geomadr[0]), int(body.geomadr[0] + body.geomnum[0]))
        ]
    found = {name: _box(simulation, view, name, geoms) for name, geoms in names.items()}
    return {name: box for name, box in found.items() if box is not None}


def _box(simulation: Simulation, view: str, name: str, geoms: list[int]) -> Box | None:
    world = simulation.world
    points = np.concatenate([outline(world, geom) for geom in geoms])
    camera = world.data.camera(find_camera(view).mujoco_name)
    local = (points - camera.xpos) @ camera.xmat.reshape(3, 3)  # x right, y up, z backwards
    if (local[:, 2] > -0.02).any():
        return None
    focal = intrinsics(world, view, simulation.height, simulation.width)
    across = (local[:, 0] / -local[:, 2] * focal[0, 0] + focal[0, 2]) / simulation.width
    down = (local[:, 1] / local[:, 2] * focal[1, 1] + focal[1, 2]) / simulation.height
    corners = across.min(), down.min(), across.max(), down.max()
    if min(corners) < 0 or max(corners) > 1:
        return None
    towards = points.mean(0) + 0.9 * (points - points.mean(0))
    seen = [
        _is_seen(world, camera.xpos, point, geoms)
        for point in towards[:: max(1, len(towards) // 24)]
    ]
    return Box(name, *map(float, corners)) if np.mean(seen) > 0.7 else None


def outline(world: World, geom: int) -> np.ndarray:
    """Corners of a box, or points on both rims of a cylinder: [n, 3], m."""
    size = world.model.geom_size[geom]
    if world.model.geom_type[geom] == int(mujoco.mjtGeom.mjGEOM_CYLINDER):
        ring = [(math.cos(a), math.sin(a)) for a in np.linspace(0, 2 * math.pi, 16, endpoint=False)]
        points = np.array(
            [(size[0] * x, size[0] * y, side * size[1]) for x, y in ring for side in (-1, 1)]
        )
    else:
        points = np.array(list(itertools.product((-1, 1), repeat=3))) * size
    return points @ world.data.geom_xmat[geom].reshape(3, 3).T + world.data.geom_xpos[geom]


# groups of geoms that cameras see: not the collision meshes
_VISIBLE = np.array([1, 1, 1, 0, 1, 1], np.uint8)


def _is_seen(world: World, eye: np.ndarray, point: np.ndarray, geoms: list[int]) -> bool:
    """Whether nothing but one of the geoms lies between eye and point."""
    hit, way = np.array([-1], np.int32), point - eye
    distance = mujoco.mj_ray(world.model, world.data, eye, way, _VISIBLE, 1, -1, hit)
    return int(hit[0]) in geoms or distance < 0 or distance > 0.995
