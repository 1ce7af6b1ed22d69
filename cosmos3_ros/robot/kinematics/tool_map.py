# SPDX-License-Identifier: Apache-2.0
"""Embodiments that act by poses or twists of a tool, on an arm that is led by its joints."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ...model.embodiment import JOINTS, POSES, Embodiment
from ...model.embodiment.rotations import (
    matrix_to_quaternion,
    matrix_to_rotation_vector,
    pose_to_transform,
    rotation_vector_to_matrix,
    transform_to_pose,
)
from ...model.embodiment.units import LENGTH, QUATERNION
from ...model.interface import NS, ActionChunk
from ..joint_map import JointMap
from .inverse import REACHED, InverseKinematics, Path
from .tool_frame import ToolFrame
from .tool_params import ToolActionParams

_POSE = (LENGTH,) * 3 + (QUATERNION,) * 4


class ToolMap:
    """State and chunks of an embodiment that moves a tool, for the joints of an arm.

    joints: of the arm and its gripper, here in rad and 0 = open .. 1 = closed; description: the
    URDF, if `params.urdf` is a topic's. ValueError says what is missing or does not fit.
    """

    def __init__(
        self,
        embodiment: Embodiment,
        joints: JointMap,
        params: ToolActionParams,
        description: str = "",
    ) -> None:
        _check(embodiment)
        arm = [joint for joint in joints.joints if joint not in joints.grippers]
        try:
            tool = ToolFrame(params.tool(params.urdf), arm, description)
        except ValueError as error:
            raise ValueError(
                f"embodiment {embodiment.name} acts by {embodiment.kind}: {error}"
            ) from None
        self._embodiment, self._joints, self._tool = embodiment, joints, tool
        self._scale, self._clip = params.twist_scale, params.tool_clip
        self._inverse = InverseKinematics(tool, *_range(tool, joints, params))
        self.note = ""  # how the last chunk was changed, in words
        self._arm = [joints.joints.index(joint) for joint in tool.joints]
        self._gripper = [joints.joints.index(joint) for joint in joints.grippers]

    def state(self, positions: np.ndarray) -> np.ndarray:
        """The embodiment's state for joint positions [D] in the order of `joints`, float32.

        The tool's pose by forward kinematics, and the gripper; nothing if it is told none.
        """
        if not self._embodiment.state:
            return np.zeros(0, np.float32)
        pose = self._tool.pose(positions[self._arm])
        quaternion = matrix_to_quaternion(pose[:3, :3])
        parts = [pose[:3, 3], quaternion, positions[self._gripper]]
        return np.concatenate(parts)[: len(self._embodiment.state)].astype(np.float32)

    def chunk(self, chunk: ActionChunk, positions: np.ndarray) -> ActionChunk:
        """A chunk of the embodiment as one of `joints`.

        positions: of the joints at its stamp [D]. ValueError says which row the tool cannot reach
        and by how much, or where a singularity would lead it astray.
        """
        values = chunk.values.astype(np.float64)
        start = positions[self._arm]
        targets = self._targets(values, start)
        path = self._inverse.path(targets, start, chunk.step / NS)
        self.note = self._short(path, targets)
        rows = np.empty((len(values), len(self._joints.joints)), np.float32)
        rows[:, self._arm] = path.rows
        if self._gripper:
            rows[:, self._gripper] = values[:, -1:]
        discrete = self._joints.grippers
        return dataclasses.replace(chunk, values=rows, names=self._joints.joints, discrete=discrete)

    def commands(self, rows: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """The embodiment's commands that lead the tool along rows of joints, float32 [H, A].

        The inverse of `chunk`: rows [H, D], in the order of `joints`; positions: before them [D].
        """
        poses = np.stack([self._tool.pose(row[self._arm]) for row in rows.astype(np.float64)])
        before = self._tool.pose(positions[self._arm].astype(np.float64))
        if self._embodiment.kind == POSES:
            found = poses if self._embodiment.state else np.linalg.inv(before) @ poses
            moved = transform_to_pose(found)
        else:
            earlier = np.concatenate([before[None], poses[:-1]])
            moves = (poses[:, :3, 3] - earlier[:, :3, 3]) / self._scale[0]
            turns = poses[:, :3, :3] @ np.swapaxes(earlier[:, :3, :3], 1, 2)
            moved = np.concatenate([moves, matrix_to_rotation_vector(turns) / self._scale[1]], 1)
        grippers = rows[:, self._gripper][:, : len(self._embodiment.action) - moved.shape[1]]
        return np.concatenate([moved, grippers], axis=1).astype(np.float32)

    def _short(self, path: Path, targets: np.ndarray) -> str:
        """Which pose the tool stays too far from; ValueError if it is farther than `tool_clip`."""
        if path.is_reached:
            return ""
        row = int((path.short / REACHED).max(axis=1).argmax())
        place = ", ".join(f"{number:.3f}" for number in targets[row, :3, 3])
        short, turn = path.short[row, 0], math.degrees(path.short[row, 1])
        text = (
            f"row {row + 1} of {len(targets)}, the tool at ({place}): out of reach by "
            f"{short:.3f} m and {turn:.1f} degrees"
        )
        if (path.short[row] > self._clip).any():
            limit, most = self._clip[0], math.degrees(self._clip[1])
            raise ValueError(f"{text}, limit {limit:.3f} m and {most:.1f} degrees")
        return text

    def _targets(self, values: np.ndarray, start: np.ndarray) -> np.ndarray:
        """Where the tool is to be for rows of the embodiment [H, D]: [H, 4, 4]."""
        if self._embodiment.kind == POSES:
            given = pose_to_transform(values[:, :7])
            # without a state the model counts from where the tool was
            return given if self._embodiment.state else self._tool.pose(start) @ given
        at, poses = self._tool.pose(start), []
        move, turn = self._scale
        turns = rotation_vector_to_matrix(turn * values[:, 3:6])
        for row, rotation in zip(values, turns, strict=True):
            at = at.copy()
            at[:3, 3] += move * row[:3]
            at[:3, :3] = rotation @ at[:3, :3]  # about the axes of the base
            poses.append(at)
        return np.stack(poses)


def _check(embodiment: Embodiment) -> None:
    if embodiment.kind == JOINTS:
        raise ValueError(f"{embodiment.name} acts by joints, which need no tool")
    told = tuple(column.quantity for column in embodiment.state if not column.gripper)
    if told not in ((), _POSE):
        names = [column.name for column in embodiment.state]
        raise ValueError(
            f"embodiment {embodiment.name} acts by {embodiment.kind}: expected no state, or the "
            f"tool's x, y, z, qx, qy, qz, qw, got {names}"
        )


def _range(
    tool: ToolFrame, joints: JointMap, params: ToolActionParams
) -> tuple[np.ndarray, np.ndarray]:
    """Lowest and highest positions of the arm [N]: the tighter of description and parameters."""
    arm, ends = [joints.joints.index(joint) for joint in tool.joints], []
    for name, infinite in (("lower", -np.inf), ("upper", np.inf)):
        values, row = getattr(params, name), np.full(len(joints.joints), infinite)
        if len(values) not in (0, len(arm)):
            raise ValueError(
                f"parameter {name!r}: expected a number for each of {list(tool.joints)}, got "
                f"{len(values)}"
            )
        row[arm] = values or infinite
        ends.append(joints.to_policy(row)[arm])
    # a joint that counts the other way has them exchanged
    lower, upper = np.maximum(tool.lower, np.min(ends, 0)), np.minimum(tool.upper, np.max(ends, 0))
    if not (wide := lower < upper).all():
        joint = tool.joints[int(wide.argmin())]
        raise ValueError(
            f"limits of {joint!r} leave no range: {params.urdf} and the parameters lower and upper "
            f"give {lower[wide.argmin()]:.3f} to {upper[wide.argmin()]:.3f}"
        )
    return lower, upper
