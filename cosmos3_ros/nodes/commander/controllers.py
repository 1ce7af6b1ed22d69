# SPDX-License-Identifier: Apache-2.0
"""The commander's ways to its controllers: of arms, of grippers and of a mobile base."""

from __future__ import annotations

import functools
from collections.abc import Callable

from ...execution.chunk_player import ChunkPlayer
from ...execution.spline_motion import Limits
from ...execution.supervision.arm_monitor import ArmMonitor
from ...execution.supervision.motion_supervisor import MotionSupervisor
from ...robot.joint_map import JointGroup
from ...robot.kinematics.tool_frame import ToolFrame
from ...ros.lifecycle import ManagedNode
from ...ros.sinks.command_sinks import Advertise, CommandedTool
from ...ros.sinks.gripper_outputs import GripperOutput, gripper_output
from ...ros.sinks.grouped_sinks import Commanded, GroupedSinks, grouped_sinks
from ...ros.sinks.mobile_base import NONE, MobileBase
from ..commander_params import Params


def make_sinks(
    node: ManagedNode[Params],
    limits: Limits,
    tool: ToolFrame | None,
    player: ChunkPlayer,
    monitor: ArmMonitor,
    supervisor: MotionSupervisor,
) -> GroupedSinks:
    """The controllers of all groups of joints, as the node's parameters name them.

    limits: of the arm's joints; tool: None if nothing asks where it is. ValueError names a
    parameter that does not fit.
    """
    p = node.params
    led = CommandedTool(tool, lambda: player.motion, lambda: monitor.measured) if tool else None
    about = Commanded(limits, p.trajectory_stamps, supervisor.away, led, p.unit)

    def advertise(group: JointGroup) -> Advertise:
        return lambda topic: node.advertise(topic.of(group.name))

    def grip(group: JointGroup) -> Callable[[], GripperOutput]:
        return functools.partial(gripper_output, node, p.gripper(group))

    return grouped_sinks(p.group_sinks(), p.joints, about, advertise, grip)


def make_base(node: ManagedNode[Params], joints: list[str]) -> MobileBase | None:
    """The mobile base, None without one; ValueError if its parameters contradict each other.

    joints: what else is commanded.
    """
    node.params.check_mobile_base(joints)
    if node.params.mobile_base_output == NONE:
        return None
    return MobileBase(node.advertise, node.params)
