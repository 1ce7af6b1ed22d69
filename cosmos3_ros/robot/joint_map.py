# SPDX-License-Identifier: Apache-2.0
"""Joint states and action chunks between robot and policy: names, order, units.

Pure numpy, no ROS types.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..model.embodiment import JOINTS, Embodiment
from ..model.embodiment.plausibility import check_gripper
from ..model.embodiment.units import Column, from_si, in_unit, to_si
from ..model.interface import ActionChunk


@dataclasses.dataclass(frozen=True, slots=True)
class JointMap:
    """Joint names of the robot for the columns of a policy, in the policy's order."""

    joints: tuple[str, ...]  # one name per column
    gripper: str = ""  # the joint whose column of the policy is 0 = open .. 1 = closed; "": none
    gripper_open: float = 0.0  # the robot's position of the gripper when open
    gripper_closed: float = 1.0  # and when closed
    units: tuple[Column, ...] = ()  # what the robot says of each joint; (): rad and m

    def __post_init__(self) -> None:
        if not self.joints or len(set(self.joints)) != len(self.joints):
            raise ValueError(f"joints: expected distinct joint names, got {list(self.joints)}")
        if self.gripper and self.gripper not in self.joints:
            raise ValueError(
                f"gripper_joint {self.gripper!r} is not among joints {list(self.joints)}"
            )
        if self.gripper_open == self.gripper_closed:
            raise ValueError(f"gripper_open and gripper_closed are both {self.gripper_open}")

    def chunk(self, chunk: ActionChunk) -> ActionChunk:
        """A policy's chunk in the robot's names and units."""
        if len(chunk.names) != len(self.joints):
            raise ValueError(
                f"chunk has {len(chunk.names)} columns {chunk.names}, "
                f"the robot {len(self.joints)} joints"
            )
        return dataclasses.replace(
            chunk,
            values=self._scale(chunk.values, to_robot=True),
            names=self.joints,
            discrete=(self.gripper,) if self.gripper else (),
        )

    def to_policy(self, values: np.ndarray) -> np.ndarray:
        """Positions [..., D] in the order of `joints` in policy units; NaN stays NaN."""
        return self._scale(values, to_robot=False)

    def check_gripper(self, positions: np.ndarray) -> None:
        """ValueError if the gripper is far beyond open and closed; positions: the robot's [D]."""
        if self.gripper:
            position = float(positions[self.joints.index(self.gripper)])
            check_gripper(self.gripper, position, self.gripper_open, self.gripper_closed)

    def _scale(self, values: np.ndarray, to_robot: bool) -> np.ndarray:
        return (from_si if to_robot else to_si)(values, self._columns)

    @property
    def _columns(self) -> list[Column]:
        given = self.units or tuple(Column(joint, "rad") for joint in self.joints)
        return [
            dataclasses.replace(
                column, gripper=True, opened=self.gripper_open, closed=self.gripper_closed
            )
            if joint == self.gripper
            else column
            for joint, column in zip(self.joints, given, strict=True)
        ]


def map_joints(
    embodiment: Embodiment,
    joints: Sequence[str],
    gripper: str,
    opened: float | None = None,
    closed: float | None = None,
    units: Sequence[str] = (),
) -> JointMap:
    """The joints of a robot for an embodiment; ValueError shows both sides if they do not fit.

    opened, closed: what the robot's gripper says, None: as the embodiment has it; units: of each
    joint, (): as the embodiment has them. For an embodiment that acts by poses or twists the
    columns are any joints in rad, and its gripper; `kinematics.tool_map` makes its numbers of them.
    """
    acts_by_joints = embodiment.kind == JOINTS
    state = embodiment.state if acts_by_joints else _arm(embodiment, joints, gripper)
    for name, values in (("joints", joints), ("units", units)):
        if len(values) != len(state) and (values or name == "joints"):
            raise ValueError(
                f"parameter {name!r} has {len(values)} names {[*values]}, but embodiment "
                f"{embodiment.name} has {len(state)} state columns "
                f"{[column.name for column in state]}"
            )
    if acts_by_joints:
        _check_order(embodiment, joints)
    grippers = [joint for joint, column in zip(joints, state, strict=True) if column.gripper]
    if [gripper] != (grippers or [""]):
        raise ValueError(
            f"parameter 'gripper_joint' is {gripper!r}, but the gripper of embodiment "
            f"{embodiment.name} is where 'joints' has {grippers}"
        )
    try:
        columns = tuple(map(in_unit, state, units)) if units else state
    except ValueError as error:
        raise ValueError(f"parameter 'units': {error}") from None
    ends = [(column.opened, column.closed) for column in state if column.gripper] or [(0.0, 1.0)]
    return JointMap(
        tuple(joints),
        gripper,
        ends[0][0] if opened is None else opened,
        ends[0][1] if closed is None else closed,
        columns,
    )


def _arm(embodiment: Embodiment, joints: Sequence[str], gripper: str) -> tuple[Column, ...]:
    """Columns for the joints of an arm whose tool acts, the gripper's as the embodiment has it."""
    grippers = [column for column in embodiment.action if column.gripper]
    if len(grippers) != (gripper in joints) or bool(gripper) != bool(grippers):
        raise ValueError(
            f"parameter 'gripper_joint' is {gripper!r} of 'joints' {[*joints]}, but embodiment "
            f"{embodiment.name} acts by {embodiment.kind} and the grippers "
            f"{[column.name for column in grippers]}"
        )
    return tuple(
        dataclasses.replace(grippers[0], name=joint) if joint == gripper else Column(joint, "rad")
        for joint in joints
    )


def _check_order(embodiment: Embodiment, joints: Sequence[str]) -> None:
    """ValueError for the embodiment's own joints in another order; other names are only names."""
    state = embodiment.state
    ours = [column.name for column in state if not column.gripper]
    arm = [joint for joint, column in zip(joints, state, strict=True) if not column.gripper]
    if arm != ours and sorted(arm) == sorted(ours):
        raise ValueError(
            f"parameter 'joints' has {arm}, but embodiment {embodiment.name} the same in the order "
            f"{ours}"
        )
