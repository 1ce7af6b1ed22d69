# SPDX-License-Identifier: Apache-2.0
"""What the numbers mean: for each robot the cameras, the state and action columns, their units, rate and normalisation.

Outside the model every embodiment speaks robot units: rad, m, unit quaternions (x, y, z, w), gripper 0 = open to
1 = closed. `encode_*` and `decode_actions` translate to and from the model's own rows. numpy only.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import numpy as np

from .canvas import Canvas, Panel
from .columns import Column, Normalization
from .interface import NS
from .pose import (
    deltas_to_transforms,
    matrix_to_rot6d,
    matrix_to_rotation_vector,
    pose_to_transform,
    rot6d_to_matrix,
    rotation_vector_to_matrix,
    transform_to_pose,
    transforms_to_deltas,
)

JOINTS, POSES, TWISTS = "joints", "poses", "twists"
RAW = Normalization()


@dataclasses.dataclass(frozen=True, slots=True)
class Embodiment:
    """One robot as the model knows it.

    kind: "joints" (rows = joint targets), "poses" (columns are absolute poses, rows are pose deltas frame by frame) or
    "twists" (columns are controller deltas: translation and rotation vector; rows use rot6d).
    step: ns between rows; horizon: rows in a chunk; state_row: the state goes in as a clean row 0.
    gripper_values: what the model's raw gripper channel says when open and when closed.
    tool_rotation, tool_offset: the frame the model moves, seen from the robot's (R @ rotation, p + R @ offset).
    domain, domain_id: the name and number of the checkpoint's action head.
    """

    name: str
    domain: str
    domain_id: int
    canvas: Canvas
    state: tuple[Column, ...]
    action: tuple[Column, ...]
    step: int
    horizon: int
    kind: str = JOINTS
    state_row: bool = False
    gripper_values: tuple[float, float] = (1.0, 0.0)
    normalization: Normalization = RAW
    tool_rotation: tuple[tuple[float, float, float], ...] = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
    tool_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    viewpoint: str = "ego_view"
    view_description: str = ""
    idle_frames: bool = False

    @property
    def views(self) -> tuple[str, ...]:
        """Names of the cameras it needs, in order."""
        return self.canvas.views

    @property
    def discrete(self) -> tuple[str, ...]:
        """Action columns that jump instead of moving."""
        return tuple(column.name for column in self.action if column.gripper)

    @property
    def action_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.action)

    @property
    def fps(self) -> float:
        """Rows per second."""
        return round(NS / self.step, 3)

    @property
    def width(self) -> int:
        """Numbers in one row inside the model."""
        grippers = len(self.discrete)
        return len(self.action) if self.kind == JOINTS else 9 + grippers

    def compose(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Camera images (uint8 [H, W, 3] by view name) -> the one picture the model sees, uint8 [*canvas.size, 3]."""
        return self.canvas.compose(images)

    def check_state(self, state: np.ndarray) -> None:
        """Raise ValueError unless `state` is float [len(self.state)] and finite."""
        names = [column.name for column in self.state]
        if state.shape != (len(names),):
            raise ValueError(f"state of {self.name}: expected {len(names)} values {names}, got {state.shape}")
        if not np.isfinite(state).all():
            raise ValueError(f"state: expected finite values, got {state.tolist()} for {names}")

    def encode_state(self, state: np.ndarray) -> np.ndarray:
        """Robot state [len(self.state)] -> the model's clean row 0, float32 [width]."""
        self.check_state(state)
        if self.kind == JOINTS:
            return self.normalization.forward(self._gripper_in(state)).astype(np.float32)
        transform = self._to_model(pose_to_transform(state[:7]))
        row = np.concatenate([transform[:3, 3], matrix_to_rot6d(transform[:3, :3]), state[7:]])
        return self._gripper_in(row).astype(np.float32)

    def encode_actions(self, values: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Commands [H, len(self.action)] that follow `state` -> the model's rows, float32 [H, width]."""
        if values.ndim != 2 or values.shape[1] != len(self.action) or not np.isfinite(values).all():
            raise ValueError(f"actions of {self.name}: expected finite rows of {self.action_names}, got {values.shape}")
        rows = values
        if self.kind == POSES:
            poses = np.concatenate([self._start(state)[None], self._to_model(pose_to_transform(values[:, :7]))])
            rows = np.concatenate([transforms_to_deltas(poses), values[:, 7:]], axis=1)
        elif self.kind == TWISTS:
            turn = matrix_to_rot6d(rotation_vector_to_matrix(values[:, 3:6]))
            rows = np.concatenate([values[:, :3], turn, values[:, 6:]], axis=1)
        return self.normalization.forward(self._gripper_in(rows)).astype(np.float32)

    def decode_actions(self, rows: np.ndarray, state: np.ndarray) -> np.ndarray:
        """The model's rows [H, width] -> commands float32 [H, len(self.action)], starting from `state`."""
        raw = self._gripper_out(self.normalization.inverse(rows.astype(np.float64)))
        if self.kind == POSES:
            poses = deltas_to_transforms(raw[:, :9], self._start(state)) @ np.linalg.inv(self._tool())
            raw = np.concatenate([transform_to_pose(poses), raw[:, 9:]], axis=1)
        elif self.kind == TWISTS:
            turn = matrix_to_rotation_vector(rot6d_to_matrix(raw[:, 3:9]))
            raw = np.concatenate([raw[:, :3], turn, raw[:, 9:]], axis=1)
        return raw.astype(np.float32)

    def _start(self, state: np.ndarray) -> np.ndarray:
        """The pose that the first delta starts from; a robot without state starts at the origin."""
        return self._to_model(pose_to_transform(state[:7]) if self.state else np.eye(4))

    def _tool(self) -> np.ndarray:
        tool = np.eye(4)
        tool[:3, :3], tool[:3, 3] = self.tool_rotation, self.tool_offset
        return tool

    def _to_model(self, transforms: np.ndarray) -> np.ndarray:
        return transforms @ self._tool()

    def _gripper_in(self, rows: np.ndarray) -> np.ndarray:
        opened, closed = self.gripper_values
        return self._map_gripper(rows, lambda value: opened + value * (closed - opened))

    def _gripper_out(self, rows: np.ndarray) -> np.ndarray:
        opened, closed = self.gripper_values
        return self._map_gripper(rows, lambda value: (value - opened) / (closed - opened))

    def _map_gripper(self, rows: np.ndarray, change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Grippers are the last columns, inside and outside alike."""
        count = len(self.discrete)
        if not count:
            return rows
        return np.concatenate([rows[..., :-count], change(rows[..., -count:])], axis=-1)


def find_embodiment(name: str) -> Embodiment:
    """The embodiment of this name; ValueError lists the known ones."""
    if name not in EMBODIMENTS:
        raise ValueError(f"embodiment: unknown {name!r}, expected one of {sorted(EMBODIMENTS)}")
    return EMBODIMENTS[name]


def single_view(view: str, composite: tuple[int, int], content: tuple[int, int], size: tuple[int, int]) -> Canvas:
    """A canvas with one camera that fills it."""
    return Canvas((Panel(view, 0, 0, *composite),), composite, content, size)


GRIPPER = Column("gripper", "0 open .. 1 closed", gripper=True)
ARM = (*(Column(f"panda_joint{number}", "rad") for number in range(1, 8)), GRIPPER)
POSE = (*(Column(axis, "m") for axis in "xyz"), *(Column(f"q{axis}", "") for axis in "xyzw"))
TWIST = (*(Column(f"d{axis}", "controller") for axis in "xyz"), *(Column(f"r{axis}", "controller") for axis in "xyz"))

_DROID_CANVAS = Canvas(
    (
        Panel("wrist", 0, 0, 360, 640),
        Panel("exterior_1", 360, 0, 180, 320),
        Panel("exterior_2", 360, 320, 180, 320),
    ),
    composite=(540, 640),
    content=(540, 640),
    size=(544, 736),
)
_DROID_VIEWS = (
    "The top row is from the wrist-mounted camera. The bottom row contains two horizontally concatenated third-person "
    "perspective views of the scene from opposite sides, with the robot visible."
)

DROID_JOINT_POS = Embodiment(
    name="droid_joint_pos",
    domain="droid_lerobot",
    domain_id=8,
    canvas=_DROID_CANVAS,
    state=ARM,
    action=ARM,
    step=round(NS / 15),
    horizon=32,
    state_row=True,
    viewpoint="concat_view",
    view_description=_DROID_VIEWS,
)
DROID_MIDTRAIN = dataclasses.replace(
    DROID_JOINT_POS,
    name="droid_midtrain",
    kind=POSES,
    state=(*POSE, GRIPPER),
    action=(*POSE, GRIPPER),
    tool_rotation=((0.0, -1.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.0, 1.0)),
)
# The simulated arm of this package: DROID's robot and views on a canvas small enough for a CPU.
DROID_SIM = dataclasses.replace(
    DROID_JOINT_POS,
    name="droid_sim",
    canvas=Canvas(
        (
            Panel("wrist", 0, 0, 96, 128),
            Panel("exterior_1", 96, 0, 48, 64),
            Panel("exterior_2", 96, 64, 48, 64),
        ),
        composite=(144, 128),
        content=(144, 128),
        size=(144, 128),
        smooth=True,
    ),
    horizon=16,
)
# One exterior camera of the same robot, for recordings that have no more. No released checkpoint was trained on it.
DROID_SINGLE_VIEW = dataclasses.replace(
    DROID_SIM,
    name="droid_single_view",
    canvas=dataclasses.replace(single_view("exterior_1", (144, 256), (144, 256), (144, 256)), smooth=True),
    viewpoint="third_person_view",
    view_description="",
)
LIBERO = Embodiment(
    name="libero",
    domain="libero",
    domain_id=5,
    canvas=Canvas(
        (Panel("agentview", 0, 0, 256, 256), Panel("wrist", 0, 256, 256, 256)), (256, 512), (160, 320), (192, 320)
    ),
    state=(),
    action=(*TWIST, GRIPPER),
    step=NS // 20,
    horizon=16,
    kind=TWISTS,
    normalization=Normalization(
        "quantile",
        (-0.723214, -0.808929, -0.9375, 0.934955, -0.223431, -0.189878, -0.334735, 0.938516, -0.107736, 0.0),
        (0.9375, 0.870536, 0.9375, 1.0, 0.331, 0.163153, 0.226216, 1.0, 0.127158, 1.0),
        floor=1e-6,
    ),
    viewpoint="concat_view",
    idle_frames=True,
)
BRIDGE = Embodiment(
    name="bridge",
    domain="bridge_orig_lerobot",
    domain_id=7,
    canvas=single_view("image", (480, 640), (240, 320), (256, 320)),
    state=(*POSE, GRIPPER),
    action=(*POSE, GRIPPER),
    step=NS // 5,
    horizon=16,
    kind=POSES,
    normalization=Normalization(
        "quantile",
        (-0.038884, -0.028667, -0.03784, 0.976292, -0.163098, -0.081545, -0.160193, 0.976322, -0.078872, 0.0),
        (0.039722, 0.029068, 0.026702, 1.0, 0.160195, 0.081655, 0.163227, 1.0, 0.095189, 1.0),
    ),
    tool_rotation=((0.0, -1.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 0.0, -1.0)),
    tool_offset=(0.0, 0.0, 0.093575),
)
UMI = dataclasses.replace(
    BRIDGE,
    name="umi",
    domain="umi",
    domain_id=6,
    canvas=single_view("wrist", (224, 224), (224, 224), (256, 256)),
    step=NS // 10,
    gripper_values=(0.085, 0.0),  # finger distance in m
    normalization=Normalization(
        "quantile",
        (-0.035246, -0.037122, -0.035762, 0.98405, -0.108706, -0.065188, -0.110908, 0.982889, -0.085106, 0.0),
        (0.038095, 0.033082, 0.032447, 1.0, 0.110573, 0.068087, 0.108972, 1.0, 0.089037, 0.096749),
    ),
    tool_rotation=((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    tool_offset=(0.0, 0.086, 0.09),
    viewpoint="wrist_view",
)
AV = Embodiment(
    name="av",
    domain="av",
    domain_id=1,
    canvas=single_view("front", (720, 1280), (468, 832), (480, 832)),
    state=(),
    action=POSE,
    step=NS // 10,
    horizon=60,
    kind=POSES,
)
EMBODIMENTS = {
    e.name: e for e in (DROID_JOINT_POS, DROID_MIDTRAIN, DROID_SIM, DROID_SINGLE_VIEW, LIBERO, BRIDGE, UMI, AV)
}
