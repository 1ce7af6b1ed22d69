# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 task`: asks a running task server to do something, and shows how it goes."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import rclpy
from rclpy.action import ActionClient
from rclpy.signals import SignalHandlerOptions

from ..action import ExecuteTask
from ..ros import topics
from ..ros.shutdown_signal import Stop
from ..ros.spin_thread import spinning

PATIENCE = 10.0  # s for the server to be found
TAKEN = 2.0  # s for a goal to be taken, after a signal
GONE = 3.0  # s for which a server is not found that has ended
CANCELED = 30.0  # s for the result of a goal that was canceled


def perform(goal: ExecuteTask.Goal) -> ExecuteTask.Result:
    """Send a goal, print its feedback as it comes, and return its result; Ctrl-C cancels it.

    ValueError if there is no task server.
    """
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

    with action_client("cosmos3_task", topics.EXECUTE_TASK) as (client, stopped):
        if not client.wait_for_server(PATIENCE):
            raise ValueError(
                f"no task server offers {topics.EXECUTE_TASK.name}: start one with "
                "`cosmos3 run --task-server` or policy.launch.py task_server:=true"
            )
        return follow(client, goal, show, stopped)


@contextlib.contextmanager
def action_client(name: str, action: topics.Service) -> Iterator[tuple[ActionClient, Stop]]:
    """A client on a node of this name, which is spun, and what a signal sets."""
    stopped = Stop().on_signals()
    # rclpy's own handlers would end the connection by which a goal is canceled
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(name)
    client: ActionClient = ActionClient(node, action.type, action.name)
    try:
        with spinning(node):
            yield client, stopped
    finally:
        client.destroy()  # not while it is spun
        node.destroy_node()
        rclpy.try_shutdown()


def follow(client: ActionClient, goal: Any, show: Callable[[Any], None], stopped: Stop) -> Any:
    """Send a goal, `show` its feedback, and return its result; a signal cancels it.

    ValueError if the signal comes and the goal is not taken, or if the server has ended.
    """
    sent = client.send_goal_async(goal, show)
    # one that is interrupted now may have been taken already, and must not run on
    handle = _wait(client, sent, stopped) or _wait(client, sent, seconds=TAKEN)
    if handle is None:
        raise ValueError("interrupted before it was begun")
    result = handle.get_result_async()
    if _wait(client, result, stopped) is None:
        print("canceling", file=sys.stderr)
        handle.cancel_goal_async()
    if (found := _wait(client, result, seconds=CANCELED)) is None:
        raise ValueError(f"canceled, but no result came within {CANCELED:.0f} s")
    return found.result


def _wait(
    client: ActionClient,
    future: rclpy.task.Future,
    stopped: Stop | None = None,
    seconds: float = math.inf,
) -> Any:
    """The future's result; None if `stopped` is first, or after so many seconds.

    ValueError if the client's server is gone, from which nothing comes any more.
    """
    heard = time.monotonic()
    end = heard + seconds
    while not future.done():
        now = time.monotonic()
        if (stopped and stopped.is_set()) or now > end:
            return None
        if client.server_is_ready():
            heard = now
        elif now - heard > GONE:
            raise ValueError("the server that did it has ended: expected its result, got none")
        time.sleep(0.02)
    return future.result()
