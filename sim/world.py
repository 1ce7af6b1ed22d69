# SPDX-License-Identifier: Apache-2.0
"""The physics of one scene, driven by joint positions and read in units of the real robots."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from .arm_in_world import ArmInWorld
from .camera_table import find_camera
from .gl import mujoco
from .layout import BALL, COLORS, TURNTABLE, Knock, Layout, Look, mounts_of
from .real_time_pace import TICKS_PER_SECOND
from .scene import STEPS_PER_SECOND, compile_scene

# kind of scene -> the body that stands where the layout's `place` is
_FIXED = {"bowl": "bowl", "circle": "circle", "drawer": "cabinet", "turntable": "turntable"}
_REST = 0.01  # m/s: slower than this a cube lies still
_WITHOUT_CUBES = ("drawer", "ball", "bar")
STEPS_PER_TICK = STEPS_PER_SECOND // TICKS_PER_SECOND


def facing(position: np.ndarray, point: np.ndarray) -> np.ndarray:
    """Quaternion wxyz of a camera at `position` that looks at `point`, upright."""
    forward = (point - position) / np.linalg.norm(point - position)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    quaternion = np.zeros(4)
    mujoco.mju_mat2Quat(
        quaternion, np.column_stack([right, np.cross(right, forward), -forward]).ravel()
    )
    return quaternion


class World:
    """One compiled scene and its state. kind: one of layout.KINDS."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.model = compile_scene(kind)
        self.data = mujoco.MjData(self.model)
        self.arms = tuple(ArmInWorld(self.model, self.data, mount) for mount in mounts_of(kind))
        self.arm_q = np.concatenate([arm.q for arm in self.arms])
        self.arm_v = np.concatenate([arm.v for arm in self.arms])
        self._knock: Knock | None = None  # that is still to come
        self._plain_table = self.model.mat_rgba[self.model.material("table").id].copy()
        self._plain_light = self.model.light_diffuse[0].copy()

    def arrange(self, layout: Layout) -> None:
        """Put everything where the layout says, at rest, and hold the arm there."""
        mujoco.mj_resetData(self.model, self.data)
        for color, (x, y, yaw) in layout.cubes.items():
            self._put(color, x, y, layout.half + self._ground(x, y, layout), yaw)
        for thing, (x, y, yaw) in layout.things.items():
            self._put(thing, x, y, float(self.model.body(thing).pos[2]), yaw)
        if self.kind in _FIXED:
            self.model.body(_FIXED[self.kind]).pos[:2] = layout.place
        if self.kind == "drawer":
            self.data.joint("drawer").qpos[0] = layout.drawer
        if self.kind == "turntable":
            self.data.joint("turntable").qvel[0] = layout.spin
            self.data.actuator("turntable").ctrl[0] = layout.spin
        if self.kind == "ball":
            (x, y), (u, v) = layout.place, layout.roll
            self._put("ball", x, y, BALL, 0.0)
            self.data.joint("ball").qvel[:] = (u, v, 0.0, -v / BALL, u / BALL, 0.0)
        self._knock = layout.knock
        for arm, start in zip(self.arms, np.split(layout.start, len(self.arms)), strict=True):
            arm.place(start)
        self._dress(layout.look)
        mujoco.mj_forward(self.model, self.data)

    def go_on_from(self, other: World) -> None:
        """Be in the state of another world of the same kind and layout."""
        kept = mujoco.mjtState.mjSTATE_INTEGRATION
        state = np.empty(mujoco.mj_stateSize(self.model, kept))
        mujoco.mj_getState(other.model, other.data, state, kept)
        mujoco.mj_setState(self.model, self.data, state, kept)
        mujoco.mj_forward(self.model, self.data)
        self._knock = other._knock
        for arm, theirs in zip(self.arms, other.arms, strict=True):
            arm.finger = theirs.finger

    def _put(self, body: str, x: float, y: float, z: float, yaw: float) -> None:
        self.data.joint(body).qpos[:] = (x, y, z, math.cos(yaw / 2), 0.0, 0.0, math.sin(yaw / 2))

    def _ground(self, x: float, y: float, layout: Layout) -> float:
        """Height of what a cube at (x, y) stands on, m."""
        radius, height = TURNTABLE
        on = math.hypot(x - layout.place[0], y - layout.place[1]) < radius
        return height if self.kind == "turntable" and on else 0.0

    def _dress(self, look: Look) -> None:
        for view, (position, point) in look.cameras.items():
            camera = self.model.camera(find_camera(view).mujoco_name)
            camera.pos[:] = position
            camera.quat[:] = facing(position, point)
        self.model.light_diffuse[0] = self._plain_light * look.light
        self.model.light_dir[0] = look.light_direction
        self.model.mat_rgba[self.model.material("table").id, :3] = (
            self._plain_table[:3] * look.table_tint
        )
        for color, tint in look.cube_tints.items() if self.kind not in _WITHOUT_CUBES else ():
            self.model.geom(color).rgba[:3] = np.clip(np.array(COLORS[color]) * tint, 0.0, 1.0)

    def drive(self, joints: np.ndarray, fingers: float | np.ndarray) -> None:
        """Set the targets of the servos for one tick: joints [7 each] and fingers [1 each], rad.

        Targets are clipped to the joints' limits.
        """
        targets = np.split(joints, len(self.arms))
        for arm, target, finger in zip(self.arms, targets, np.ravel(fingers), strict=True):
            arm.drive(target, float(finger))

    def tick(self) -> None:
        """Advance by 1 / TICKS_PER_SECOND."""
        if self._knock and self._is_due(self._knock):
            self._strike(self._knock.cube, self._knock.ways[0])
            left = self._knock.ways[1:]
            self._knock = dataclasses.replace(self._knock, ways=left) if left else None
        mujoco.mj_step(self.model, self.data, STEPS_PER_TICK)

    def _is_due(self, knock: Knock) -> bool:
        """Whether the hand is near, and the cube at rest after the blow before."""
        gap = self.tool() - self.position(knock.cube)
        speed = np.linalg.norm(self.velocity(knock.cube)[0])
        return bool(np.linalg.norm(gap) < knock.near and speed < _REST)

    def _strike(self, cube: str, to: tuple[float, float]) -> None:
        """Give a cube the speed at which friction stops it where it is to go."""
        friction = float(self.model.geom("table").friction[0])
        way = np.array(to)
        length = float(np.linalg.norm(way))
        speed = math.sqrt(2 * friction * -float(self.model.opt.gravity[2]) * length)
        self.data.joint(cube).qvel[:2] = speed * way / length

    def positions(self) -> np.ndarray:
        """Measured positions of each arm's joints and finger joint, rad [8 each]."""
        return np.concatenate([arm.positions() for arm in self.arms])

    def velocities(self) -> np.ndarray:
        """Measured velocities of them, rad/s [8 each]."""
        return np.concatenate([arm.velocities() for arm in self.arms])

    def tool(self) -> np.ndarray:
        """Position of the point between the finger tips of the first arm, m [3]."""
        return self.arms[0].tool()

    def tool_rotation(self) -> np.ndarray:
        """Rotation of the gripper of the first arm [3, 3]."""
        return self.arms[0].tool_rotation()

    def position(self, body: str) -> np.ndarray:
        """Position of a body, m [3]."""
        return self.data.body(body).xpos.copy()

    def velocity(self, body: str) -> tuple[np.ndarray, float]:
        """Velocity of a body, m/s [3], and how fast it turns about the vertical, rad/s."""
        found, number = np.zeros(6), self.model.body(body).id
        mujoco.mj_objectVelocity(self.model, self.data, mujoco.mjtObj.mjOBJ_BODY, number, found, 0)
        return found[3:], float(found[2])

    def yaw(self, body: str) -> float:
        """Turn of a body about the vertical, rad."""
        turn = self.data.body(body).xmat.reshape(3, 3)
        return math.atan2(turn[1, 0], turn[0, 0])

    def handle(self) -> np.ndarray:
        """Position of the drawer's handle, m [3]."""
        return self.data.geom("handle").xpos.copy()

    def opening(self) -> float:
        """How far the drawer is open, m."""
        return float(self.data.joint("drawer").qpos[0])
