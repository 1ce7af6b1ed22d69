# SPDX-License-Identifier: Apache-2.0
"""Joint states and action chunks between robot and policy: names, order, gripper units.

Pure numpy, no ROS types.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..model.interface import ActionChunk


@dataclasses.dataclass(frozen=True, slots=True)
class JointMap:
    """Joint names of the robot for the columns of a policy, in the policy's order."""

    joints: tuple[str, ...]  # one name per column
    gripper: str = ""  # the joint whose column of the policy is 0 = open .. 1 = closed; "": none
    gripper_open: float = 0.0  # the robot's position of the gripper when open, rad or m
    gripper_closed: float = 1.0  # and when closed

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

    def _scale(self, values: np.ndarray, to_robot: bool) -> np.ndarray:
        if not self.gripper:
            return values
        column, span = self.joints.index(self.gripper), self.gripper_closed - self.gripper_open
        scaled = values.copy()
        if to_robot:
            scaled[..., column] = self.gripper_open + span * np.clip(values[..., column], 0.0, 1.0)
        else:
            scaled[..., column] = np.clip(
                (values[..., column] - self.gripper_open) / span, 0.0, 1.0
            )
        return scaled
