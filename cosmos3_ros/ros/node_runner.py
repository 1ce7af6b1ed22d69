# SPDX-License-Identifier: Apache-2.0
"""Runs managed nodes, each in a thread of its own, until a signal comes: the one `main` of all."""

from __future__ import annotations

import functools
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import rclpy
from lifecycle_msgs.msg import State
from rclpy.exceptions import InvalidHandle
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, TransitionCallbackReturn

from .arguments import init
from .lifecycle import ManagedNode
from .shutdown_signal import Stop, ignore_stop_signals
from .spin_thread import end

_UP = (LifecycleNode.trigger_configure, LifecycleNode.trigger_activate)


def bring_up(node: ManagedNode[Any], steps: Sequence[Callable[..., Any]] = _UP) -> bool:
    """Configure and activate, or only one of these `steps`.

    False if one was refused (`node.failure` says why).
    """
    return all(step(node) == TransitionCallbackReturn.SUCCESS for step in steps)


class Host:
    """A node and the one thread in which its callbacks and its transitions run."""

    def __init__(self, node: ManagedNode[Any], died: Callable[[], None] = lambda: None) -> None:
        self.node, self._died = node, died
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(node)
        self._thread = threading.Thread(target=self._spin, name=node.get_name())
        self._thread.start()

    def call(self, function: Callable[[], Any], ended: Stop | None = None) -> Any:
        """Run `function` in the node's thread and return its result.

        None if `ended` or the thread's end is first; what has not begun then never does.
        """
        results: list[Any] = []

        def task() -> None:
            if not (ended and ended.is_set()):
                results.append(function())

        self._executor.create_task(task)
        while not results and self._thread.is_alive() and not (ended and ended.is_set()):
            time.sleep(0.01)
        return results[0] if results else None

    def close(self) -> None:
        """Shut the node down safely and end the thread."""
        if self.node.state_id != State.PRIMARY_STATE_FINALIZED:
            if self._thread.is_alive():
                self.call(self.node.trigger_shutdown)
            else:
                self.node.trigger_shutdown()
        end(self._executor, self._thread)

    def _spin(self) -> None:
        while True:
            try:
                self._executor.spin()
            except InvalidHandle as error:
                self.node.get_logger().warning(
                    f"an answer came too late, its service is gone: {error}"
                )
                continue
            except ExternalShutdownException:
                pass
            except Exception:  # a defect of ours: end loudly instead of going on half dead
                self.node.get_logger().fatal(f"unexpected error\n{traceback.format_exc()}")
                self._died()
            return


def run(
    makers: Sequence[Callable[[], ManagedNode[Any]]],
    args: list[str] | None = None,
    check: Callable[[Sequence[str]], list[str]] = lambda words: [],
) -> int:
    """Run nodes until SIGINT or SIGTERM, each in a thread of its own; the exit code of the process.

    With the parameter `autostart` (default true) they are configured at once, and activated when
    all are: none works while another one loads and compiles. A refusal then ends the process with
    code 1, as does an unexpected error later. Arguments that `check` refuses, and wrong parameters,
    end it with code 2.
    """
    ended = Stop().on_signals().on_parent_end()
    if ended.is_set():  # during the imports
        return 0
    hosts: list[Host] = []
    failed = threading.Event()

    def died() -> None:
        failed.set()
        ended.set()

    try:
        init(args, check)
        for make in makers:
            hosts.append(Host(make(), died))
        for step, host in itertools.product(_UP, hosts):
            up = functools.partial(bring_up, host.node, (step,))
            if host.node.params.autostart and host.call(up, ended) is False:
                return 1
        ended.wait()
        return int(failed.is_set())
    except ValueError as error:  # a parameter
        print(f"error: {error}", file=sys.stderr)
        return 2
    finally:
        for host in hosts:
            host.close()
        for host in hosts:
            host.node.destroy_node()
        rclpy.try_shutdown()
        ignore_stop_signals()
