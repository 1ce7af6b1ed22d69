# SPDX-License-Identifier: Apache-2.0
"""A thread that spins a node ends, wherever in its round it is."""

import threading
from typing import Any

import pytest

pytestmark = pytest.mark.ros


def test_a_thread_that_gathers_what_to_wait_for_ends(watcher: Any) -> None:
    """rclpy's shutdown from outside takes its guard condition away in the middle of that."""
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    from cosmos3_ros.ros.spin_thread import end

    gathers, told, died = threading.Event(), threading.Event(), []

    class Slow(SingleThreadedExecutor):
        """Loses the processor while it gathers, until it is told to end in whichever way."""

        def can_execute(self, entity: Any) -> bool:
            gathers.set()
            assert told.wait(20)
            return super().can_execute(entity)

        def create_task(self, *args: Any, **kwargs: Any) -> Any:
            task = super().create_task(*args, **kwargs)
            told.set()
            return task

        def shutdown(self, timeout_sec: float | None = None) -> bool:
            done = super().shutdown(timeout_sec)
            told.set()
            return done

    def spin() -> None:
        try:
            executor.spin()
        except Exception as error:
            died.append(error)

    node, executor = rclpy.create_node("gathering"), Slow()
    executor.add_node(node)
    thread = threading.Thread(target=spin)
    thread.start()
    assert gathers.wait(20)
    end(executor, thread)
    node.destroy_node()
    assert not died


def test_a_thread_that_has_ended_already_is_no_hindrance(watcher: Any) -> None:
    from rclpy.executors import SingleThreadedExecutor

    from cosmos3_ros.ros.spin_thread import end

    thread = threading.Thread(target=lambda: None)
    thread.start()
    thread.join()
    for executor in (SingleThreadedExecutor(), SingleThreadedExecutor()):
        end(executor, thread)
        assert executor._is_shutdown


def test_callbacks_run_in_one_thread_which_ends_with_the_context(
    watcher: Any, wait_until: Any
) -> None:
    import rclpy

    from cosmos3_ros.ros.spin_thread import spinning

    node, threads = rclpy.create_node("spun"), set[threading.Thread]()
    node.create_timer(0.001, lambda: threads.add(threading.current_thread()))
    with spinning(node):
        wait_until(lambda: threads, "a callback")
    (thread,) = threads
    assert not thread.is_alive()
    assert thread is not threading.current_thread()
    node.destroy_node()
