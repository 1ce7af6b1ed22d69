# SPDX-License-Identifier: Apache-2.0
"""What the buttons of the console's page do: services of the other nodes, and the instruction."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Mapping
from typing import Any

from action_msgs.srv import CancelGoal
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from ...ros import topics
from ...ros.lifecycle import ManagedNode
from ...serve.console.board import Board
from ...srv import Ask, ResetTask
from . import page_values


class Buttons:
    """Calls what was pressed; the answer of the reasoner goes to the board, too."""

    def __init__(self, node: ManagedNode[Any], board: Board) -> None:
        self._node, self._board = node, board
        self._instructions = node.advertise(topics.INSTRUCTION)
        self._callers = {
            service: node.service_client(service)
            for service in (
                topics.ARM,
                topics.STOP_ARM,
                topics.ASK,
                topics.RESET_TASK,
                topics.CANCEL_TASK,
            )
        }

    def press(
        self, name: str, fields: Mapping[str, Any]
    ) -> concurrent.futures.Future[tuple[bool, str]]:
        """Do one of serve.console.acts.ACTS: whether it was done, and what was answered."""
        self._node.get_logger().info(f"pressed: {name} {dict(fields) or ''}".rstrip())
        if name == "instruct":
            return self._instruct(fields["instruction"])
        service, request = {
            "arm": (topics.ARM, SetBool.Request(data=True)),
            "disarm": (topics.ARM, SetBool.Request(data=False)),
            "stop": (topics.STOP_ARM, Trigger.Request()),
            "ask": (topics.ASK, Ask.Request(question=fields.get("question", ""))),
            "reset": (
                topics.RESET_TASK,
                ResetTask.Request(task=fields.get("task", ""), seed=fields.get("seed", -1)),
            ),
            "cancel": (topics.CANCEL_TASK, CancelGoal.Request()),
        }[name]
        return self._call(service, request)

    @property
    def has_policy(self) -> bool:
        """Whether some node would send chunks."""
        name = self._node.resolve_topic_name(topics.ACTION_CHUNK.name)
        return bool(self._node.count_publishers(name))

    def _instruct(self, text: str) -> concurrent.futures.Future[tuple[bool, str]]:
        done: concurrent.futures.Future[tuple[bool, str]] = concurrent.futures.Future()
        name = self._node.resolve_topic_name(topics.INSTRUCTION.name)
        # the console hears it, too
        if self._node.count_subscribers(name) < 2:
            done.set_result((False, f"nobody listens to {name}"))
        elif not self.has_policy:
            chunks = self._node.resolve_topic_name(topics.ACTION_CHUNK.name)
            done.set_result((False, f"no policy is heard: nobody publishes {chunks}"))
        else:
            self._instructions.publish(String(data=text))
            done.set_result((True, f"sent: {text}"))
        return done

    def _call(
        self, service: topics.Service, request: Any
    ) -> concurrent.futures.Future[tuple[bool, str]]:
        done: concurrent.futures.Future[tuple[bool, str]] = concurrent.futures.Future()
        client = self._callers[service]
        if not client.service_is_ready():
            name = self._node.resolve_service_name(service.name)
            done.set_result((False, f"nobody offers {name}"))
            return done

        def answered(asked: Any) -> None:
            response = asked.result()
            if isinstance(response, Ask.Response) and response.success:
                self._board.put("answer", page_values.scene_value(response.scene))
            if not done.cancelled():  # the page waits no more
                done.set_result(_outcome(response))

        client.call_async(request).add_done_callback(answered)
        return done


def _outcome(response: Any) -> tuple[bool, str]:
    """Whether it was done, and in words what came of it."""
    if isinstance(response, CancelGoal.Response):
        ends = bool(response.goals_canceling)
        return ends, "the task ends" if ends else "no task is being done"
    return bool(response.success), str(response.message)
