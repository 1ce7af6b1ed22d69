# SPDX-License-Identifier: Apache-2.0
"""What the console's page shows of the task that a task server does, whoever has asked for it."""

from __future__ import annotations

from typing import Any

from ...model.interface import NS
from ...msg import TaskGoal
from ...ros import topics
from ...ros.lifecycle import ManagedNode
from ...ros.messages import to_ns
from ...serve.console.board import Board
from .page_values import TASK, TASK_RESULT, fields


class TaskWatch:
    """Puts the feedback of a running task on the board, and its result when it has ended."""

    def __init__(self, node: ManagedNode[Any], board: Board) -> None:
        self._node, self._board = node, board
        self._goal = b""  # id of the goal whose result is asked for
        self._asked: Any = None
        self._results = node.service_client(topics.TASK_RESULT)
        node.subscribe(topics.TASK_GOAL, self._on_goal)
        node.subscribe(topics.TASK_FEEDBACK, self._on_feedback)

    def _on_goal(self, message: TaskGoal) -> None:
        stamp = to_ns(message.header.stamp) / NS
        self._board.put("task_goal", {"active": message.active, "stamp": stamp})

    def _on_feedback(self, message: Any) -> None:
        self._board.put("task", fields(message.feedback, TASK))
        goal = bytes(message.goal_id.uuid)
        if goal == self._goal or not self._results.service_is_ready():
            return
        self._board.put("task_result", None)
        if self._asked is not None and not self._asked.done():
            self._results.remove_pending_request(self._asked)  # of a server that is gone
        self._goal = goal
        self._asked = self._results.call_async(
            topics.TASK_RESULT.type.Request(goal_id=message.goal_id)
        )
        self._asked.add_done_callback(lambda asked: self._on_result(goal, asked.result().result))

    def _on_result(self, goal: bytes, result: Any) -> None:
        if goal == self._goal:
            stamp = self._node.now() / NS
            self._board.put("task_result", fields(result, TASK_RESULT) | {"stamp": stamp})
