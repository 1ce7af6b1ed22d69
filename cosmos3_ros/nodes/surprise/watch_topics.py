# SPDX-License-Identifier: Apache-2.0
"""A surprise watch on the topics of a policy node: set points come in, surprises go out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from sensor_msgs.msg import JointState

from ...execution.surprise.alarm import OFF
from ...model.interface import Policy
from ...msg import Surprise
from ...robot.joint_states import JointStates
from ...ros import topics
from ...ros.diagnostics import Faults
from ...ros.lifecycle import ManagedNode
from ...ros.messages import to_ns
from ...ros.rate_cap import RateCap
from ..policy.observations import convert
from ..policy.robot import JointRobot, Robot
from ..policy_params import Params
from .surprise_watch import Meter, SurpriseWatch


def watch_surprise(
    node: ManagedNode[Params],
    policy: Policy,
    measure: Callable[[Policy], Meter] | None,
    robot: Robot,
    joints: JointStates,
    faults: Faults,
) -> SurpriseWatch | None:
    """What compares a node's predictions with what comes; None if nobody asked for it.

    measure: None if the policy keeps its predictions; joints: where they were measured last.
    ValueError names a parameter that does not go with it.
    """
    p = node.params
    if p.surprise == OFF:
        return None
    if measure is None:
        raise ValueError(
            f"parameter 'surprise' is {p.surprise!r}: expected off with policy_url, a server keeps "
            "its predictions"
        )
    if not isinstance(robot, JointRobot):
        raise ValueError(
            f"parameter 'surprise' is {p.surprise!r}: expected off with vehicle_frame, no "
            "commander says what was driven"
        )
    publisher = node.advertise(topics.SURPRISE)

    def publish(message: Surprise) -> None:
        faults.set("surprise", "")
        publisher.publish(message)

    def failed(error: Exception) -> None:
        faults.set("surprise", f"{type(error).__name__}: {error}")

    watch = SurpriseWatch(policy, measure(policy), p, convert, publish, failed)
    node.subscribe(topics.COMMAND, _on_command(watch, robot, joints), callback_group=RateCap())
    return watch


def _on_command(
    watch: SurpriseWatch, robot: JointRobot, joints: JointStates
) -> Callable[[JointState], None]:
    def take(message: JointState) -> None:
        """Set points: of joints that act by poses nothing can be said in the policy's columns."""
        if robot.tool is None:
            at = dict(zip(message.name, message.position, strict=False))
            row = np.array([at.get(joint, np.nan) for joint in joints.joints])
            row = np.where(np.isnan(row), joints.positions, row)
            watch.commanded(to_ns(message.header.stamp), robot.to_policy(row))

    return take
