# SPDX-License-Identifier: Apache-2.0
"""A thread that spins a node, and how it ends."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from rclpy.executors import Executor, ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node


@contextlib.contextmanager
def spinning(node: Node) -> Iterator[None]:
    """Spin `node` in a thread of its own for as long as the context lasts."""
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    thread = threading.Thread(target=_spin, args=(executor,), name="spin")
    thread.start()
    try:
        yield
    finally:
        end(executor, thread)


def end(executor: Executor, thread: threading.Thread) -> None:
    """End the thread that spins `executor`, after the callback that runs.

    It is told so in that very thread: rclpy's shutdown waits for nobody and destroys what the
    thread may be about to wait for, which then raises AttributeError or never wakes up.
    """
    executor.create_task(executor.shutdown)
    thread.join()
    executor.shutdown()  # if the thread had ended before; a second time it does nothing


def _spin(executor: Executor) -> None:
    with contextlib.suppress(ExternalShutdownException):
        executor.spin()
