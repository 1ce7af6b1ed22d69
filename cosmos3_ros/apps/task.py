# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 task`: asks a running task server to do something, and shows how it goes."""

from __future__ import annotations

import sys
import time
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.signals import SignalHandlerOptions

from ..action import ExecuteTask
from ..ros import topics
from ..ros.shutdown_signal import Stop
from ..ros.spin_thread import spinning

PATIENCE = 10.0  # s for the server to be found


def perform(goal: ExecuteTask.Goal) -> ExecuteTask.Result:
    """Send a goal, print its feedback as it comes, and return its result; Ctrl-C cancels it.

    ValueError if there is no task server.
    """
    stopped = Stop().on_signals()
    # rclpy's own handlers would end the connection by which a goal is canceled
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("cosmos3_task")
    client = ActionClient(node, topics.EXECUTE_TASK.type, topics.EXECUTE_TASK.name)
    try:
        with spinning(node):
            return _perform(client, goal, stopped)
    finally:
        client.destroy()  # not while it is spun
        node.destroy_node()
        rclpy.try_shutdown()


def _perform(client: ActionClient, goal: ExecuteTask.Goal, stopped: Stop) -> ExecuteTask.Result:
    last = [""]

    def show(message: ExecuteTask.Impl.FeedbackMessage) -> None:
        said = message.feedback
        line = f"{said.phase}: {said.instruction}"
        if said.steps > 1:
            line += f" ({said.step} of {said.steps})"
        if said.progress:
            line += f"; {said.progress}"
        if said.surprise >= 1:
            line += "; surprised"
        if line != last[0]:
            print(f"{said.elapsed:6.1f} s  {line}", flush=True)
        last[0] = line

    if not client.wait_for_server(PATIENCE):
        raise ValueError(
            f"no task server offers {topics.EXECUTE_TASK.name}: start one with "
            "`cosmos3 run --task-server` or policy.launch.py task_server:=true"
        )
    handle = wait(client.send_goal_async(goal, show), stopped)
    result = handle.get_result_async()
    if wait(result, stopped) is None:
        print("canceling", file=sys.stderr)
        handle.cancel_goal_async()
    return wait(result).result


def wait(future: rclpy.task.Future, stopped: Stop | None = None) -> Any:
    """The future's result; None if `stopped` is first."""
    while not future.done():
        if stopped and stopped.is_set():
            return None
        time.sleep(0.02)
    return future.result()
