# SPDX-License-Identifier: Apache-2.0
"""How the gripper is told its position: by a topic, or by goals of an action of control_msgs."""

from __future__ import annotations

import dataclasses
import functools
import importlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from action_msgs.msg import GoalStatus
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from ...model.interface import NS
from .. import topics
from ..apt_packages import apt_install
from ..watch.graph_endpoints import nobody_takes

if TYPE_CHECKING:
    from ..lifecycle import ManagedNode

POSITION = "position"
ENDS = {GoalStatus.STATUS_ABORTED: "aborted", GoalStatus.STATUS_CANCELED: "canceled"}


@dataclasses.dataclass(frozen=True, slots=True)
class GripperSettings:
    """What the commander's parameters say about the way to the gripper."""

    kind: str  # POSITION, or a key of GOALS
    joint: str
    action: str  # name of the action
    effort: float  # largest effort of a goal, N or Nm; 0: none is given
    patience: float  # seconds until a goal has to have a result
    group: str = ""  # the topic begins with its name; "": it does not


class GripperOutput(Protocol):
    """The way to the gripper's controller."""

    def send(self, position: float | None) -> None:
        """The position of this moment; it goes out if it is news. None: nothing is known."""

    def repeat(self) -> None:
        """A new motion begins: what may not have arrived goes out again."""

    def release(self) -> None:
        """The arm is disarmed: nothing more is wanted of the gripper."""

    def fault(self, node: Node, now: int) -> str:
        """Why the gripper may not be where it was sent, empty if it is; now: steady clock, ns."""


class PositionTopic:
    """A forward command controller: publishes a position when it differs from the last one."""

    def __init__(self, output: Any) -> None:
        self._output, self._sent = output, float("nan")

    def send(self, position: float | None) -> None:
        if position is not None and position != self._sent:
            self._output.publish(Float64MultiArray(data=[position]))
            self._sent = position

    def repeat(self) -> None:
        """Publish the next position in any case: something else may have moved the gripper."""
        self._sent = float("nan")

    def release(self) -> None:
        """A controller of positions stays at the last one."""

    def fault(self, node: Node, now: int) -> str:
        topic = topics.GRIPPER
        fault = nobody_takes(node, self._output.topic_name, topic.type, topic.qos)
        return fault and f"{fault}: the gripper does not move"


def _fill_command(goal: Any, settings: GripperSettings, position: float) -> None:
    goal.command.position, goal.command.max_effort = position, settings.effort


def _fill_joint_state(goal: Any, settings: GripperSettings, position: float) -> None:
    goal.command.name, goal.command.position = [settings.joint], [position]
    goal.command.effort = [settings.effort] if settings.effort else []


# The actions by the name of the choice: their type in control_msgs, and how a goal is filled in.
GOALS: dict[str, tuple[str, Callable[[Any, GripperSettings, float], None]]] = {
    "gripper_command": ("GripperCommand", _fill_command),
    "parallel_gripper_command": ("ParallelGripperCommand", _fill_joint_state),
}


@dataclasses.dataclass(slots=True, eq=False)
class _Goal:
    position: float
    since: int  # when it was sent, ns
    handle: Any = None  # rclpy's, once it is accepted
    done: bool = False
    released: bool = False  # its result is of no interest, it is to be canceled


class ActionGoals:
    """A gripper controller with an action: a goal for each position that is news.

    A gripper that stalls holds something: no fault, whether the controller calls it a success or
    aborts the goal. client: an rclpy.action.ActionClient, whose callbacks run in this thread; make:
    of an empty goal; clock: steady, ns.
    """

    def __init__(
        self,
        client: Any,
        make: Callable[[], Any],
        settings: GripperSettings,
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._client, self._make, self._settings, self._clock = client, make, settings, clock
        self._newest: _Goal | None = None
        self._sent = float("nan")
        self._fault = ""
        self._failed = False  # the newest goal has to be sent again

    def send(self, position: float | None) -> None:
        if position is None or position == self._sent or not self._client.server_is_ready():
            return
        self._sent, self._failed = position, False
        self._newest = goal = _Goal(position, self._clock())
        wanted = self._make()
        GOALS[self._settings.kind][1](wanted, self._settings, position)
        answer = self._client.send_goal_async(wanted)
        answer.add_done_callback(functools.partial(self._on_answer, goal))

    def repeat(self) -> None:
        """Send the next position again if the goal failed: one that holds needs no other."""
        if self._failed:
            self._sent = float("nan")

    def release(self) -> None:
        """Cancel a goal that is under way: the controller then holds the gripper where it is."""
        self._sent = float("nan")
        goal = self._newest
        if goal and not goal.done:
            goal.released = True
            self._cancel(goal)

    def fault(self, node: Node, now: int) -> str:
        if not self._client.server_is_ready():
            self._failed = True
            return f"nobody offers the action {self._settings.action}: the gripper does not move"
        goal, patience = self._newest, self._settings.patience
        if goal and not goal.done and not goal.released and now - goal.since > patience * NS:
            goal.done = True
            lack = "has no result" if goal.handle else "was not answered"
            self._fail(f"{self._words(goal)} {lack} after {patience:g} s")
        return self._fault

    def _on_answer(self, goal: _Goal, answer: Any) -> None:
        handle = answer.result()
        if not handle.accepted:
            goal.done = True
            if goal is self._newest and not goal.released:
                self._fail(f"{self._words(goal)} was rejected")
            return
        goal.handle = handle
        if goal.released:
            self._cancel(goal)
        handle.get_result_async().add_done_callback(functools.partial(self._on_result, goal))

    def _on_result(self, goal: _Goal, answer: Any) -> None:
        goal.done = True
        if goal is not self._newest or goal.released:
            return  # the controller ended it for the next one, or because we asked for it
        ended, result = answer.result().status, answer.result().result
        if ended == GoalStatus.STATUS_SUCCEEDED or result.stalled:
            self._fault, self._failed = "", False
        else:
            word = ENDS.get(ended, "forgotten")
            self._fail(f"{self._words(goal)} was {word}, and the gripper did not stall")

    def _cancel(self, goal: _Goal) -> None:
        if goal.handle:
            goal.handle.cancel_goal_async()

    def _fail(self, why: str) -> None:
        self._fault, self._failed = why, True

    def _words(self, goal: _Goal) -> str:
        return f"the goal {goal.position:g} of {self._settings.action}"


def gripper_output(node: ManagedNode[Any], settings: GripperSettings) -> GripperOutput:
    """The output that the settings ask for, which lives until the node's cleanup.

    ValueError if it needs control_msgs, and that is not installed.
    """
    if settings.kind == POSITION:
        return PositionTopic(node.advertise(topics.GRIPPER.of(settings.group)))
    kind, _ = GOALS[settings.kind]
    try:
        action = getattr(importlib.import_module("control_msgs.action"), kind)
    except (ImportError, AttributeError):
        raise ValueError(
            f"parameter 'gripper_output' is {settings.kind!r}, which needs {kind} of the package "
            f"control_msgs, which is not installed: {apt_install('control_msgs')}"
        ) from None
    return ActionGoals(node.action_client(action, settings.action), action.Goal, settings)
