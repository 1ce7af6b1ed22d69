# SPDX-License-Identifier: Apache-2.0
"""What a robot's numbers mean, and their translation into the model's rows and back. numpy only."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from ..arrays import NS, widened
from .canvas import Canvas
from .observed import Observed
from .rotations import (
    deltas_to_transforms,
    matrix_to_rot6d,
    pose_to_transform,
    rows_to_twists,
    transform_to_pose,
    transforms_to_deltas,
    twists_to_rows,
)
from .units import CONTROLLER, Column

JOINTS, POSES, TWISTS = "joints", "poses", "twists"
BASE, POST_TRAINED = "base", "post_trained"


@dataclasses.dataclass(frozen=True, slots=True)
class Normalization:
    """How the raw values of each column are scaled for the model.

    kind: with "quantile" or "min_max" the model sees low and high as -1 and 1; with "mean_std" low
    is the mean and high the standard deviation; "none": raw. clamp: what lies beyond -1 and 1 is
    shown to the model as -1 and 1.
    """

    kind: str = "none"
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    floor: float = 1e-8  # least span or standard deviation
    clamp: bool = False

    def __post_init__(self) -> None:
        if self.kind not in ("none", "quantile", "min_max", "mean_std"):
            raise ValueError(
                "Normalization.kind: expected none, quantile, min_max or mean_std, got "
                f"{self.kind!r}"
            )

    def _scale(self) -> tuple[np.ndarray, np.ndarray]:
        low, high = np.array(self.low), np.array(self.high)
        if self.kind == "mean_std":
            return low, np.maximum(high, self.floor)
        span = np.maximum(high - low, self.floor)
        return low + span / 2, span / 2

    def forward(self, rows: np.ndarray) -> np.ndarray:
        """Raw [..., D] -> what the network sees."""
        if self.kind == "none":
            return rows
        center, scale = self._scale()
        scaled = (rows - center) / scale
        return scaled.clip(-1, 1) if self.clamp else scaled

    def text(self) -> str:
        """What it does, in a few words."""
        words = {"none": "raw", "mean_std": "by mean and deviation", "min_max": "by least and most"}
        said = words.get(self.kind, "by quantiles")
        return f"{said}, clamped to -1..1" if self.clamp else said

    def inverse(self, rows: np.ndarray) -> np.ndarray:
        """What the network says [..., D] -> raw."""
        if self.kind == "none":
            return rows
        center, scale = self._scale()
        return rows * scale + center


RAW = Normalization()


ROW = 9  # numbers of a pose, its delta or a twist in the model's row: translation and rot6d
COLUMNS = {JOINTS: 1, POSES: 7, TWISTS: 6}  # of a joint, a pose or a twist in a command


@dataclasses.dataclass(frozen=True, slots=True)
class Part:
    """One joint, pose, twist or gripper: where it stands in a command and in the model's row."""

    columns: slice
    row: slice
    gripper: bool


def parts_of(kind: str, columns: Sequence[Column]) -> tuple[Part, ...]:
    """What a command or state with these columns consists of, in order."""
    parts: list[Part] = []
    column = row = 0
    while column < len(columns):
        gripper = columns[column].gripper
        takes = 1 if gripper else COLUMNS[kind]
        width = 1 if gripper or kind == JOINTS else ROW
        parts.append(Part(slice(column, column + takes), slice(row, row + width), gripper))
        column, row = column + takes, row + width
    return tuple(parts)


def row_width(kind: str, action: Sequence[Column]) -> int:
    """Numbers in one row inside the model, for commands or a state with these columns."""
    return parts_of(kind, action)[-1].row.stop


@dataclasses.dataclass(frozen=True, slots=True)
class Embodiment:
    """One robot as the model knows it: a file of data/, or one that `embodiment_file` reads.

    kind: "joints" (rows = targets of joints or positions, number by number; the state may have
    other columns), "poses" (columns are absolute poses, rows are pose deltas frame by frame) or
    "twists" (columns are controller deltas: translation and rotation vector; rows use rot6d). A
    robot with several arms has several poses or twists; grippers stand where they stand.
    """

    name: str
    domain: str  # name of the checkpoint's action head
    domain_id: int  # number of the checkpoint's action head
    canvas: Canvas
    state: tuple[Column, ...]
    action: tuple[Column, ...]
    step: int  # ns between rows
    horizon: int  # rows in a chunk
    kind: str = JOINTS
    state_row: bool = False  # whether the state goes in as a clean row 0
    gripper_values: tuple[float, float] = (1.0, 0.0)  # raw, of the model when open and closed
    normalization: Normalization = RAW  # of the action rows
    state_normalization: Normalization = RAW  # of the state row of "joints"
    # of "joints": action rows count from the state's columns of the same names, except grippers and
    # what the robot's own controller scales
    relative: bool = False
    # The frame the model moves, seen from the robot's: R @ tool_rotation, p + R @ tool_offset.
    tool_rotation: tuple[tuple[float, float, float], ...] = (
        (1.0, 0.0, 0.0),
        (0.0, 1.0, 0.0),
        (0.0, 0.0, 1.0),
    )
    tool_offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    viewpoint: str = "ego_view"
    view_description: str = ""
    idle_frames: bool = False
    # Which weights were trained on these numbers: BASE, POST_TRAINED, or "": it is not said.
    weights: str = ""
    observed: Observed | None = None  # what its demonstrations show, None: not known

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
        """Numbers in one action row inside the model."""
        return row_width(self.kind, self.action)

    @property
    def state_width(self) -> int:
        """Numbers in the state row inside the model; 0: there is none."""
        if not self.state_row or not self.state:
            return 0
        return row_width(JOINTS if self.kind == JOINTS else POSES, self.state)

    @property
    def channels(self) -> int:
        """Action channels of the network that it takes: of the wider of state and action rows."""
        return max(self.width, self.state_width)

    @property
    def same_columns(self) -> bool:
        """Whether the state has the columns of the action, as that of a robot led by its joints."""
        return [column.name for column in self.state] == [column.name for column in self.action]

    @property
    def parts(self) -> tuple[Part, ...]:
        """The joints, poses, twists and grippers of a command, in order."""
        return parts_of(self.kind, self.action)

    @property
    def row_grippers(self) -> np.ndarray:
        """Which numbers of an action row inside the model are grippers: bool [width]."""
        return _row_grippers(self.parts)

    def neutral_state(self) -> np.ndarray:
        """A state of zeros, with poses that are not turned: float32 [len(self.state)]."""
        state = np.zeros(len(self.state), np.float32)
        for part in parts_of(self.kind, self.state) if self.kind == POSES else ():
            if not part.gripper:
                state[part.columns.stop - 1] = 1.0  # the last of a quaternion
        return state

    def compose(self, images: Mapping[str, np.ndarray]) -> np.ndarray:
        """Camera images (uint8 [H, W, 3] by view name) -> uint8 [*canvas.size, 3]."""
        return self.canvas.compose(images)

    def check_state(self, state: np.ndarray) -> None:
        """Raise ValueError unless `state` is float [len(self.state)] and finite."""
        names = [column.name for column in self.state]
        if state.shape != (len(names),):
            raise ValueError(
                f"state of {self.name}: expected {len(names)} values {names}, got {state.shape}"
            )
        if not np.isfinite(state).all():
            raise ValueError(f"state: expected finite values, got {state.tolist()} for {names}")

    def encode_state(self, state: np.ndarray) -> np.ndarray:
        """Robot state [len(self.state)] -> the model's clean row 0, float32 [state width]."""
        self.check_state(state)
        if self.kind == JOINTS:
            raw = self._gripper_in(state, np.array([column.gripper for column in self.state]))
            return self.state_normalization.forward(raw).astype(np.float32)
        pieces = [
            state[part.columns] if part.gripper else self._pose_row(state[part.columns])
            for part in parts_of(POSES, self.state)
        ]
        grippers = _row_grippers(parts_of(POSES, self.state))
        return self._gripper_in(np.concatenate(pieces), grippers).astype(np.float32)

    def encode_actions(self, values: np.ndarray, state: np.ndarray) -> np.ndarray:
        """Commands [H, len(self.action)] after `state` -> the model's rows, float32 [H, width]."""
        if values.ndim != 2 or values.shape[1] != len(self.action) or not np.isfinite(values).all():
            raise ValueError(
                f"actions of {self.name}: expected finite rows of {self.action_names}, got "
                f"{values.shape}"
            )
        rows = values - self._origin(state) if self.relative else values
        if self.kind != JOINTS:
            pieces = [
                values[:, part.columns]
                if part.gripper
                else twists_to_rows(values[:, part.columns])
                if self.kind == TWISTS
                else self._pose_deltas(values, part, state)
                for part in self.parts
            ]
            rows = np.concatenate(pieces, axis=1)
        raw = self._gripper_in(rows, self.row_grippers)
        return self.normalization.forward(raw).astype(np.float32)

    def decode_actions(self, rows: np.ndarray, state: np.ndarray) -> np.ndarray:
        """The model's rows [H, width] -> commands float32 [H, len(self.action)] after `state`.

        ValueError for rows of another width.
        """
        if rows.shape[-1] != self.width:
            raise ValueError(f"rows of {self.name}: expected {self.width} wide, got {rows.shape}")
        raw = self._gripper_out(self.normalization.inverse(rows.astype(np.float64)))
        if self.kind != JOINTS:
            pieces = [
                raw[:, part.row]
                if part.gripper
                else rows_to_twists(raw[:, part.row])
                if self.kind == TWISTS
                else self._poses(raw, part, state)
                for part in self.parts
            ]
            raw = np.concatenate(pieces, axis=1)
        elif self.relative:
            raw = raw + self._origin(state)
        return raw.astype(np.float32)

    def model_rows(self, state: np.ndarray, values: np.ndarray) -> np.ndarray:
        """State row (if it has one) and action rows of a window, float32 [rows, channels].

        values: commands [H, len(self.action)]; the narrower kind of row ends in zeros.
        """
        rows = widened(self.encode_actions(values, state), self.channels)
        if not self.state_row:
            return rows
        return np.concatenate([widened(self.encode_state(state), self.channels)[None], rows])

    def led_states(self, commands: np.ndarray) -> np.ndarray:
        """Where commands [..., len(self.action)] lead, as states [..., len(self.state)].

        ValueError names columns of the state that no command does.
        """
        if self.kind != JOINTS or self.same_columns:
            return commands[..., : len(self.state)]
        actions = self.action_names
        if unled := [column.name for column in self.state if column.name not in actions]:
            raise ValueError(
                f"state of {self.name}: where {unled} will be is in no command; expected the "
                "states of all frames"
            )
        return commands[..., [actions.index(column.name) for column in self.state]]

    def _origin(self, state: np.ndarray) -> np.ndarray:
        """What relative rows count from: the state's columns of the same names, else 0."""
        places = {column.name: place for place, column in enumerate(self.state)}
        origin = np.zeros(len(self.action), state.dtype)
        for number, column in enumerate(self.action):
            if counts_from_state(column):
                origin[number] = state[places[column.name]]
        return origin

    def _start(self, part: Part, state: np.ndarray) -> np.ndarray:
        """The pose that a first delta starts from; a robot without state starts at the origin."""
        pose = pose_to_transform(state[part.columns]) if self.state else np.eye(4)
        return self._to_model(pose)

    def _pose_row(self, pose: np.ndarray) -> np.ndarray:
        """A pose [7] -> translation and rot6d [9]."""
        transform = self._to_model(pose_to_transform(pose))
        return np.concatenate([transform[:3, 3], matrix_to_rot6d(transform[:3, :3])])

    def _pose_deltas(self, values: np.ndarray, part: Part, state: np.ndarray) -> np.ndarray:
        """The poses of a part of commands [H, D] -> deltas [H, 9]."""
        poses = self._to_model(pose_to_transform(values[:, part.columns]))
        return transforms_to_deltas(np.concatenate([self._start(part, state)[None], poses]))

    def _poses(self, raw: np.ndarray, part: Part, state: np.ndarray) -> np.ndarray:
        """The deltas of a part of rows [H, width] -> poses [H, 7]."""
        poses = deltas_to_transforms(raw[:, part.row], self._start(part, state))
        return transform_to_pose(poses @ np.linalg.inv(self._tool()))

    def _tool(self) -> np.ndarray:
        tool = np.eye(4)
        tool[:3, :3], tool[:3, 3] = self.tool_rotation, self.tool_offset
        return tool

    def _to_model(self, transforms: np.ndarray) -> np.ndarray:
        return transforms @ self._tool()

    def _gripper_in(self, rows: np.ndarray, grippers: np.ndarray) -> np.ndarray:
        opened, closed = self.gripper_values
        changed = opened + rows * (closed - opened)
        return np.where(grippers, changed, rows) if grippers.any() else rows

    def _gripper_out(self, rows: np.ndarray) -> np.ndarray:
        opened, closed = self.gripper_values
        grippers, changed = self.row_grippers, (rows - opened) / (closed - opened)
        return np.where(grippers, changed, rows) if grippers.any() else rows


def counts_from_state(column: Column) -> bool:
    """Whether a relative action column counts from the state: it jumps not, and is a position."""
    return not column.gripper and column.quantity != CONTROLLER


def _row_grippers(parts: Sequence[Part]) -> np.ndarray:
    return np.concatenate([np.full(p.row.stop - p.row.start, p.gripper) for p in parts])
