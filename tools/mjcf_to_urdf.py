# SPDX-License-Identifier: Apache-2.0
"""Writes config/urdf/droid_sim.urdf, the embedded arm's robot description, from its MJCF.

`python tools/mjcf_to_urdf.py` replaces the file; a test compares, and compares its kinematics with
MuJoCo's. Links are bodies, visuals are the geoms of the MJCF's group of visuals. What URDF has no
words for (the four-bar linkage of the gripper) is a joint that mimics another.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

import numpy as np

from cosmos3_ros.sim.gl import mujoco

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "sim" / "assets" / "droid_robot" / "droid.xml"
PAGE = ROOT / "config" / "urdf" / "droid_sim.urdf"
MESHES = "package://cosmos3_ros/meshes/"  # where CMakeLists.txt installs them
VISUALS = 2  # group of geoms
NOTICE = (
    " Written by tools/mjcf_to_urdf.py from the MJCF of the simulated arm (Franka's Panda, Robotiq"
    "\n     2F-85); no masses. panda_link8 is the flange, panda_tcp the point between the finger"
    " tips. "
)


@dataclasses.dataclass(frozen=True, slots=True)
class Frame:
    """A point that others know by name: a link without anything on it."""

    body: str
    position: tuple[float, float, float]
    quaternion: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)  # w, x, y, z


@dataclasses.dataclass(frozen=True, slots=True)
class Naming:
    """What a description says that its MJCF does not.

    velocity: of each joint by its name in the MJCF, rad/s or m/s; joints: their names in ROS where
    they are others; mimics: joints that follow another one by a factor, None: not at all.
    """

    robot: str
    prefix: str
    velocity: Callable[[str], float]
    effort: Callable[[str], float]
    joints: Mapping[str, str]
    mimics: Mapping[str, tuple[str, float] | None]
    frames: Mapping[str, Frame]


def _follows(side: str) -> dict[str, tuple[str, float] | None]:
    """The linkage of one finger, as MuJoCo closes it, to 2 mrad; the coupler stays as it is."""
    return {
        f"{side}_spring_link_joint": ("finger_joint", 1.0),
        f"{side}_follower_joint": ("finger_joint", -0.96),
        f"{side}_coupler_joint": None,
    }


# Speeds and efforts: Franka's own; the gripper closes in 0.4 s.
DROID = Naming(
    robot="droid_sim",
    prefix="panda_",
    velocity=lambda name: 2.0 if "driver" in name else 2.175 if name < "joint5" else 2.61,
    effort=lambda name: 5.0 if "driver" in name else 87.0 if name < "joint5" else 12.0,
    joints={"right_driver_joint": "finger_joint"},
    mimics={
        "left_driver_joint": ("finger_joint", 1.0),
        **_follows("right"),
        **_follows("left"),
    },
    frames={
        "link8": Frame("link7", (0.0, 0.0, 0.107)),
        "tcp": Frame("base", (0.0, 0.0, 0.1455), (1.0, 0.0, 0.0, 1.0)),
    },
)


def describe(spec: mujoco.MjSpec, naming: Naming) -> Element:
    """A URDF of the bodies of an MJCF; ValueError names what a URDF cannot say."""
    robot = Element("robot", name=naming.robot)
    bodies = [body for body in spec.bodies if body.name != "world"]
    anchors = {body.name: _anchor(body) for body in bodies} | {"world": np.zeros(3)}
    for body in bodies:
        link = SubElement(robot, "link", name=naming.prefix + body.name)
        for geom in body.geoms:
            if geom.group == VISUALS:
                _visual(link, spec, geom, anchors[body.name])
    for name in naming.frames:
        SubElement(robot, "link", name=naming.prefix + name)
    for body in bodies:
        if body.parent.name != "world":
            _joint(robot, body, anchors, naming)
    for name, frame in naming.frames.items():
        joint = _connect(robot, f"{naming.prefix}{name}_joint", "fixed", naming, frame.body, name)
        place = np.array(frame.position) - anchors[frame.body]
        _origin(joint, place, np.array(frame.quaternion))
    ElementTree.indent(robot)
    return robot


def _anchor(body: mujoco.MjsBody) -> np.ndarray:
    """Where a link's frame is in its body: URDF has it at the joint, m [3]."""
    if len(body.joints) > 1:
        names = [joint.name for joint in body.joints]
        raise ValueError(f"body {body.name}: expected one joint at most, got {names}")
    return np.array(body.joints[0].pos) if body.joints else np.zeros(3)


def _joint(
    robot: Element, body: mujoco.MjsBody, anchors: Mapping[str, np.ndarray], naming: Naming
) -> None:
    parent, moves = body.parent.name, body.joints[0] if body.joints else None
    mimic = naming.mimics.get(moves.name, ()) if moves else None
    turned = _matrix(body.quat)
    place = np.array(body.pos) + turned @ anchors[body.name] - anchors[parent]
    if moves is None or mimic is None:
        joint = _connect(robot, f"{naming.prefix}{body.name}_fixed", "fixed", naming, parent,
                         body.name)  # fmt: skip
        _origin(joint, place, body.quat)
        return
    kinds = {mujoco.mjtJoint.mjJNT_HINGE: "revolute", mujoco.mjtJoint.mjJNT_SLIDE: "prismatic"}
    if moves.type not in kinds:
        raise ValueError(f"joint {moves.name}: expected a hinge or a slide, got {moves.type.name}")
    name = naming.joints.get(moves.name, naming.prefix + moves.name)
    joint = _connect(robot, name, kinds[moves.type], naming, parent, body.name)
    _origin(joint, place, body.quat)
    SubElement(joint, "axis", xyz=_numbers(moves.axis))
    SubElement(
        joint,
        "limit",
        lower=_number(moves.range[0]),
        upper=_number(moves.range[1]),
        velocity=_number(naming.velocity(moves.name)),
        effort=_number(naming.effort(moves.name)),
    )
    if mimic:
        SubElement(joint, "mimic", joint=mimic[0], multiplier=_number(mimic[1]))


def _connect(
    robot: Element, name: str, kind: str, naming: Naming, parent: str, child: str
) -> Element:
    joint = SubElement(robot, "joint", name=name, type=kind)
    SubElement(joint, "parent", link=naming.prefix + parent)
    SubElement(joint, "child", link=naming.prefix + child)
    return joint


def _visual(link: Element, spec: mujoco.MjSpec, geom: mujoco.MjsGeom, anchor: np.ndarray) -> None:
    visual = SubElement(link, "visual")
    _origin(visual, np.array(geom.pos) - anchor, geom.quat)
    shape = SubElement(visual, "geometry")
    kind, size = geom.type.name.removeprefix("mjGEOM_"), np.array(geom.size)
    if kind == "MESH":
        SubElement(shape, "mesh", filename=MESHES + Path(spec.mesh(geom.meshname).file).name)
    elif kind == "BOX":
        SubElement(shape, "box", size=_numbers(2 * size))
    elif kind == "SPHERE":
        SubElement(shape, "sphere", radius=_number(size[0]))
    elif kind == "CYLINDER":
        SubElement(shape, "cylinder", radius=_number(size[0]), length=_number(2 * size[1]))
    else:
        raise ValueError(
            f"geom {geom.name!r} of link {link.get('name')}: expected a mesh, box, sphere or "
            f"cylinder, got {kind.lower()}"
        )
    color = spec.material(geom.material).rgba if geom.material else geom.rgba
    material = SubElement(visual, "material", name=geom.material or f"{link.get('name')}_color")
    SubElement(material, "color", rgba=_numbers(np.asarray(color, np.float64).round(6)))


def _origin(element: Element, position: np.ndarray, quaternion: np.ndarray) -> None:
    turn = _matrix(quaternion)
    flat = float(np.hypot(turn[0, 0], turn[1, 0]))
    yaw = np.arctan2(turn[1, 0], turn[0, 0]) if flat > 1e-9 else 0.0
    pitch = np.arctan2(-turn[2, 0], flat)
    # looking straight up or down, one angle stands for two
    roll = (
        np.arctan2(turn[2, 1], turn[2, 2]) if flat > 1e-9 else np.arctan2(-turn[1, 2], turn[1, 1])
    )
    rpy = np.array([roll, pitch, yaw])
    if position.any() or rpy.any():
        SubElement(element, "origin", xyz=_numbers(position), rpy=_numbers(rpy))


def _matrix(quaternion: np.ndarray) -> np.ndarray:
    """The rotation [3, 3] of a quaternion w, x, y, z of any length."""
    matrix = np.zeros(9)
    mujoco.mju_quat2Mat(matrix, np.array(quaternion) / np.linalg.norm(quaternion))
    return matrix.reshape(3, 3)


def _number(value: float) -> str:
    # 15 digits: a right angle is one for MuJoCo's kinematics, too
    return f"{0.0 if abs(value) < 1e-15 else value:.15g}"


def _numbers(values: np.ndarray) -> str:
    return " ".join(_number(float(value)) for value in values)


def page() -> str:
    """The description of the embedded arm, whole."""
    spec = mujoco.MjSpec.from_file(str(MODEL))
    text = ElementTree.tostring(describe(spec, DROID), encoding="unicode")
    head = '<?xml version="1.0"?>\n<!-- SPDX-License-Identifier: Apache-2.0 -->\n'
    return f"{head}<!--{NOTICE}-->\n{text}\n"


if __name__ == "__main__":
    PAGE.write_text(page())
