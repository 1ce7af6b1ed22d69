# SPDX-License-Identifier: Apache-2.0
"""The robot's joints against the columns of an embodiment: names, order, gripper units.

Pure numpy, no ROS types.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from ..model.interface import ActionChunk


@dataclasses.dataclass(frozen=True, slots=True)
class JointMap:
    """Joint names of the robot for the columns of a policy, in the policy's order.

    joints: one name per column; gripper: the joint (or "") whose column counts 0 = open .. 1 =
    closed, while the robot counts from gripper_open to gripper_closed (rad or m).
    """

    joints: tuple[str, ...]
    gripper: str = ""
    gripper_open: float = 0.0
    gripper_closed: float = 1.0

    def __post_init__(self) -> None:
        if not self.joints or len(set(self.joints)) != len(self.joints):
            raise ValueError(f"joints: expected distinct joint names, got {list(self.joints)}")
        if self.gripper and self.gripper not in self.joints:
            raise ValueError(
                f"gripper_joint {self.gripper!r} is not among joints {list(self.joints)}"
            )
        if self.gripper_open == self.gripper_closed:
            raise ValueError(f"gripper_open and gripper_closed are both {self.gripper_open}")

    def state(self, names: Sequence[str], positions: Sequence[float]) -> np.ndarray:
        """Positions of a joint state message (any order, extra joints allowed) as float32 [D] in policy units.

        ValueError names missing joints, a length mismatch or a value that is not finite.
        """
        if len(names) != len(positions):
            raise ValueError(f"joint state has {len(names)} names but {len(positions)} positions")
        known = dict(zip(names, positions, strict=True))
        if missing := [joint for joint in self.joints if joint not in known]:
            raise ValueError(f"joint state lacks {missing}; it has {list(names)}")
        state = np.array([known[joint] for joint in self.joints], np.float32)
        if not np.isfinite(state).all():
            wrong = [
                joint
                for joint, value in zip(self.joints, state, strict=True)
                if not np.isfinite(value)
            ]
            raise ValueError(f"joint state of {wrong} is not finite")
        return self._scale(state, to_robot=False)

    def chunk(self, chunk: ActionChunk) -> ActionChunk:
        """A policy's chunk in the robot's names and units."""
        if len(chunk.names) != len(self.joints):
            raise ValueError(
                f"chunk has {len(chunk.names)} columns {chunk.names}, the robot {len(self.joints)} joints"
            )
        return dataclasses.replace(
            chunk,
            values=self._scale(chunk.values, to_robot=True),
            names=self.joints,
            discrete=(self.gripper,) if self.gripper else (),
        )

    def to_policy(self, values: np.ndarray) -> np.ndarray:
        """Positions [..., D] in the order of `joints`, in policy units.

        What is not finite stays so.
        """
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
