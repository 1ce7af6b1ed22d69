# SPDX-License-Identifier: Apache-2.0
"""What an embodiment is tied to: the joints of a robot, the tool that they move, or a vehicle."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from nav_msgs.msg import Path

from ... import msg
from ...execution.observation_buffer import Sample
from ...model.embodiment import JOINTS, Embodiment
from ...model.interface import ActionChunk
from ...robot.joint_map import check_mobile_base, map_joints
from ...robot.kinematics.tool_map import ToolMap
from ...robot.kinematics.vehicle import check_vehicle, vehicle_poses
from ...ros import topics
from ...ros.diagnostics import Faults
from ...ros.lifecycle import ManagedNode
from ...ros.messages import chunk_message, header, path_message
from ..policy_params import Params
from ..robot_description import receive_description


class JointRobot:
    """Joints that an embodiment moves by themselves, or by the tool that they hold.

    tool: None where the embodiment acts by joints. ValueError of one line if they do not fit.
    """

    output = topics.ACTION_CHUNK

    def __init__(self, node: ManagedNode[Params], embodiment: Embodiment, faults: Faults) -> None:
        p = node.params
        self._embodiment, self._faults = embodiment, faults
        self.joints = map_joints(embodiment, p.joints, *p.grippers(), p.units, p.led_joints)
        base = check_mobile_base(embodiment, p.joints, p.mobile_base)
        self.resting = (*self.joints.grippers, *base)
        self.tool: ToolMap | None = None
        if embodiment.kind != JOINTS:
            description = receive_description(node, p.urdf)
            self.tool = ToolMap(embodiment, self.joints, p, description)

    def to_policy(self, row: np.ndarray) -> np.ndarray:
        """Positions of the joints [D] in the units of the policy's columns; NaN stays NaN."""
        return self.joints.to_policy(row)

    def check(self, positions: np.ndarray) -> None:
        """ValueError if the joints' positions, as the robot says them [D], cannot be."""
        self.joints.check_grippers(positions)

    def state(self, sample: Sample) -> np.ndarray:
        """The embodiment's state of a sample, float32 [columns]."""
        return self.tool.state(sample.state) if self.tool else sample.state.astype(np.float32)

    def message(
        self,
        chunk: ActionChunk,
        sample: Sample,
        seconds: dict[str, float],
        *,
        number: int,
        instruction: str,
        strategy: str,
    ) -> msg.ActionChunk:
        """A policy's chunk, which answers this sample, for the commander.

        seconds: how long each stage took; inverse kinematics adds itself. ValueError says which row
        the tool cannot reach.
        """
        if self.tool:
            began = time.monotonic()
            chunk = self.tool.chunk(chunk, sample.state)
            seconds["kinematics"] = time.monotonic() - began
            self._faults.set("out of reach", self.tool.note)
        return chunk_message(
            self.joints.chunk(chunk),
            number=number,
            instruction=instruction,
            embodiment=self._embodiment.name,
            seconds=seconds,
            strategy=strategy,
        )


class Vehicle:
    """A vehicle: its poses are the rows of a chunk, and it has no joints.

    ValueError of one line if the embodiment is none.
    """

    output = topics.VEHICLE_PATH
    resting: tuple[str, ...] = ()

    def __init__(self, params: Params, embodiment: Embodiment) -> None:
        check_vehicle(embodiment, params.joints, params.mobile_base)
        self._frame = params.vehicle_frame

    def to_policy(self, row: np.ndarray) -> np.ndarray:
        """No joints [0], no columns."""
        return row

    def check(self, positions: np.ndarray) -> None:
        """Nothing can be wrong with no joints."""

    def state(self, sample: Sample) -> np.ndarray:
        """The embodiment is told nothing: float32 [0]."""
        return np.zeros(0, np.float32)

    def message(
        self,
        chunk: ActionChunk,
        sample: Sample,
        seconds: dict[str, float],
        **told: Any,
    ) -> Path:
        """A policy's chunk as the vehicle's path; a path says nothing else."""
        path = path_message(vehicle_poses(chunk), chunk.times().tolist(), self._frame)
        path.header = header(chunk.stamp, self._frame)
        return path


Robot = JointRobot | Vehicle


def make_robot(node: ManagedNode[Params], embodiment: Embodiment, faults: Faults) -> Robot:
    """The robot that a node's parameters describe, for this embodiment; ValueError says why not."""
    if node.params.vehicle_frame:
        return Vehicle(node.params, embodiment)
    return JointRobot(node, embodiment, faults)
