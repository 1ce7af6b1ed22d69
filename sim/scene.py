# SPDX-License-Identifier: Apache-2.0
"""Compiled MuJoCo scenes: table, robot, cameras and the objects of one kind of task."""

from __future__ import annotations

import math

from .arm_constants import MODEL
from .gl import mujoco
from .layout import (
    BALL,
    BAR,
    CLUTTER,
    COLORS,
    CUBE,
    SMALL,
    TURNTABLE,
    cameras_of,
    mounts_of,
)

# Simulation steps per second: at 2.1 ms the four-bar linkage of the gripper is stable while it
# grasps.
STEPS_PER_SECOND = 480

# Cubes that take no part stand on a shelf under the table, where no camera sees them.
PARKED = {color: (0.2, 0.1 * i, -0.38) for i, color in enumerate(COLORS)}

_YELLOW, _WOOD, _FRONT, _METAL = (
    "0.9 0.75 0.2 1",
    "0.55 0.36 0.2 1",
    "0.78 0.63 0.43 1",
    "0.2 0.2 0.22 1",
)


def _numbers(*values: float) -> str:
    return " ".join(f"{value:.6g}" for value in values)


def _box(size: tuple[float, ...], at: tuple[float, ...], rgba: str, more: str = "") -> str:
    return f'<geom type="box" size="{_numbers(*size)}" pos="{_numbers(*at)}" rgba="{rgba}" {more}/>'


# of what is grasped
_CONTACT = 'friction="0.5 0.005 0.0001" solref="0.005 1" condim="4"'


def _cubes(half: float = CUBE, mass: float = 0.06) -> str:
    contact = f'mass="{mass:g}" {_CONTACT}'
    return "".join(
        f'<body name="{color}" pos="{_numbers(*PARKED[color])}"><freejoint name="{color}"/>'
        + _box((half, half, half), (0, 0, 0), _numbers(*rgb, 1), f'name="{color}" {contact}')
        + "</body>"
        for color, rgb in COLORS.items()
    )


def _bowl(radius: float = 0.062, height: float = 0.035, sides: int = 16) -> str:
    """A round tray with a rim of flat plates: MuJoCo collides convex shapes only."""
    half = radius * math.tan(math.pi / sides) + 0.002
    rim = "".join(
        _box(
            (0.004, half, height / 2),
            (radius * math.cos(angle), radius * math.sin(angle), height / 2 + 0.004),
            _YELLOW,
            f'euler="0 0 {angle:.5f}"',
        )
        for angle in (2 * math.pi * i / sides for i in range(sides))
    )
    floor = f'<geom type="cylinder" size="{radius} 0.003" pos="0 0 0.003" rgba="{_YELLOW}"/>'
    return f'<body name="bowl">{floor}{rim}</body>'


def _circle() -> str:
    marking = (
        'size="0.06 0.0006" pos="0 0 0.0006" contype="0" conaffinity="0" rgba="0.95 0.85 0.1 1"'
    )
    return f'<body name="circle"><geom type="cylinder" {marking}/></body>'


def _cabinet(
    width: float = 0.11, depth: float = 0.10, height: float = 0.07, wall: float = 0.006
) -> str:
    """A cabinet with a drawer that opens towards the robot (-x); all sizes are halves, m."""
    front, bar = -depth - wall - 0.003, -depth - 0.085
    arm = (0.042, 0.005, 0.006)
    handle = 'name="handle" mass="0.03" friction="1.2 0.005 0.0001"'
    return f"""<body name="cabinet" pos="0.7 0 0">
      {_box((depth, wall, height), (0, width, height), _WOOD)}
      {_box((depth, wall, height), (0, -width, height), _WOOD)}
      {_box((wall, width, height), (depth, 0, height), _WOOD)}
      {_box((depth, width + wall, wall), (0, 0, 2 * height), _WOOD)}
      <body name="drawer">
        <joint name="drawer" type="slide" axis="-1 0 0" range="0 0.16" damping="4"
          frictionloss="0.5" armature="0.01"/>
        {_box((depth - 0.01, width - 0.012, wall), (0, 0, 0.02), _FRONT, 'mass="0.2"')}
        {_box((wall, width - 0.004, height - 0.008), (front, 0, height), _FRONT, 'mass="0.1"')}
        {_box(arm, (-depth - 0.0425, 0.03, height + 0.03), _METAL, 'mass="0.01"')}
        {_box(arm, (-depth - 0.0425, -0.03, height + 0.03), _METAL, 'mass="0.01"')}
        {_box((0.007, 0.035, 0.008), (bar, 0, height + 0.03), _METAL, handle)}
      </body></body>"""


def _clutter() -> str:
    """Things that stand around; where they stand says the layout."""
    return "".join(
        f'<body name="{name}" pos="{_numbers(-0.1, 0.1 * i, size[-1])}"><freejoint name="{name}"/>'
        f'<geom type="{shape}" size="{_numbers(*size)}" mass="0.08" {_CONTACT} '
        f'rgba="{_numbers(*COLORS[color], 1)}"/></body>'
        for i, (name, (shape, size, color)) in enumerate(CLUTTER.items())
    )


def _ball() -> str:
    """A ball; nothing brakes it while it rolls."""
    geom = f'<geom name="ball" type="sphere" size="{BALL}" rgba="0.95 0.45 0.05 1" mass="0.04"'
    return f'<body name="ball"><freejoint name="ball"/>{geom} {_CONTACT}/></body>'


def _bar() -> str:
    """A bar with an end for each of two arms; its ends are marked, so that its turn is seen."""
    length, width, height = BAR
    tip = (0.02, width + 0.0005, height + 0.0005)
    marking = 'contype="0" conaffinity="0" mass="0"'
    return f"""<body name="bar" pos="0.5 0 {height:g}"><freejoint name="bar"/>
      {_box(BAR, (0, 0, 0), _FRONT, f'name="bar" mass="0.15" {_CONTACT}')}
      {_box(tip, (length - 0.02, 0, 0), "0.85 0.10 0.10 1", marking)}
      {_box(tip, (0.02 - length, 0, 0), "0.10 0.25 0.85 1", marking)}
      </body>"""


def _turntable() -> str:
    """A disc that a motor turns at a steady speed, with a line that shows how it is turned."""
    radius, height = TURNTABLE
    gap, line = 0.001, (radius - 0.01, 0.004, 0.0003)
    disc = f"{_numbers(radius, (height - gap) / 2)}"
    marking = 'contype="0" conaffinity="0" mass="0"'
    return f"""<body name="turntable">
      <joint name="turntable" type="hinge" axis="0 0 1" damping="0.01" armature="0.01"/>
      <geom type="cylinder" size="{disc}" pos="0 0 {(height + gap) / 2:g}" mass="0.5"
        friction="0.5 0.005 0.0001" rgba="0.35 0.37 0.40 1"/>
      {_box(line, (0, 0, height), "0.8 0.8 0.8 1", marking)}
      </body>"""


def _cameras(kind: str) -> str:
    """Cameras with a stand; a layout says where."""
    return "".join(
        f'<camera name="{camera.mujoco_name}" fovy="{camera.fovy:g}"/>'
        for camera in cameras_of(kind)
        if camera.stand
    )


def _objects(kind: str) -> str:
    """Everything on the table of a kind of scene."""
    return {
        "cubes": _cubes,
        "bowl": lambda: _cubes() + _bowl(),
        "circle": lambda: _cubes() + _circle(),
        "drawer": _cabinet,
        "small": lambda: _cubes(SMALL, 0.02),
        "clutter": lambda: _cubes() + _clutter(),
        "ball": _ball,
        "turntable": lambda: _cubes() + _turntable(),
        "bar": _bar,
    }[kind]()


def _xml(kind: str) -> str:
    # Drawer and cabinet are both children of the world for MuJoCo's collision filter: without the
    # exclusion they jam.
    exclude = (
        '<contact><exclude body1="cabinet" body2="drawer"/></contact>' if kind == "drawer" else ""
    )
    motor = (
        '<actuator><velocity name="turntable" joint="turntable" kv="2"/></actuator>'
        if kind == "turntable"
        else ""
    )
    return f"""<mujoco model="{kind}">
      <compiler angle="radian" autolimits="true"/>
      <option timestep="{1 / STEPS_PER_SECOND!r}" integrator="implicitfast" cone="elliptic"
        impratio="10" iterations="20" ls_iterations="20"/>
      <statistic center="0.4 0 0.2" extent="1"/>
      <visual>
        <quality shadowsize="1" offsamples="0"/>
        <headlight ambient="0.35 0.35 0.35" diffuse="0.4 0.4 0.4" specular="0 0 0"/>
        <map znear="0.01" zfar="10"/>
      </visual>
      <asset>
        <texture type="skybox" builtin="gradient" rgb1="0.75 0.8 0.85" rgb2="0.45 0.5 0.55"
          width="32" height="192"/>
        <texture type="2d" name="table" builtin="checker" rgb1="0.62 0.55 0.47"
          rgb2="0.58 0.51 0.43" width="64" height="64"/>
        <material name="table" texture="table" texrepeat="6 8" specular="0" shininess="0"/>
      </asset>
      <worldbody>
        <light name="key" pos="0.2 -0.6 1.6" dir="0.2 0.4 -1" directional="true"
          diffuse="0.5 0.5 0.5" specular="0.1 0.1 0.1" castshadow="false"/>
        <geom name="table" type="box" size="0.6 0.7 0.02" pos="0.4 0 -0.02" material="table"
          friction="0.5 0.005 0.0001"/>
        <geom name="shelf" type="box" size="0.1 0.2 0.01" pos="0.2 0.1 -0.41"/>
        {_cameras(kind)}
        {_objects(kind)}
      </worldbody>{exclude}{motor}
    </mujoco>"""


def compile_scene(kind: str) -> mujoco.MjModel:
    """The model of one of layout.KINDS, with its arms in it."""
    scene = mujoco.MjSpec.from_string(_xml(kind))
    for mount in mounts_of(kind):
        arm = mujoco.MjSpec.from_file(str(MODEL))
        frame = scene.worldbody.add_frame(pos=mount.position, euler=(0.0, 0.0, mount.yaw))
        frame.attach_body(arm.body("link0"), mount.prefix, "")
    return scene.compile()
