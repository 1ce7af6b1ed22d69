# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import concurrent.futures
import threading
import types
from typing import Any

import pytest

pytestmark = pytest.mark.ros


class LateServer:
    """Takes a goal a moment after the signal; ends it when it is canceled."""

    def __init__(self, takes: float) -> None:
        self.sent: Any = concurrent.futures.Future()
        self.result: Any = concurrent.futures.Future()
        self.canceled = 0
        self.is_there = True
        if takes:
            threading.Timer(takes, lambda: self.sent.set_result(self)).start()

    def server_is_ready(self) -> bool:
        return self.is_there

    def send_goal_async(self, goal: Any, show: Any) -> Any:
        return self.sent

    def get_result_async(self) -> Any:
        return self.result

    def cancel_goal_async(self) -> None:
        self.canceled += 1
        self.result.set_result(types.SimpleNamespace(result="canceled"))


def test_a_goal_that_is_taken_just_after_a_signal_is_canceled(monkeypatch: Any) -> None:
    from cosmos3_ros.apps import task

    monkeypatch.setattr(task, "TAKEN", 0.5)
    stopped: Any = threading.Event()
    stopped.set()
    server: Any = LateServer(takes=0.2)
    assert task.follow(server, None, print, stopped) == "canceled"
    assert server.canceled == 1
    never: Any = LateServer(takes=0)
    with pytest.raises(ValueError, match="interrupted before it was begun"):
        task.follow(never, None, print, stopped)


def test_a_server_that_ends_in_the_middle_is_told(monkeypatch: Any) -> None:
    from cosmos3_ros.apps import task

    monkeypatch.setattr(task, "GONE", 0.3)
    server: Any = LateServer(takes=0.1)
    threading.Timer(0.5, lambda: setattr(server, "is_there", False)).start()
    with pytest.raises(ValueError, match="the server that did it has ended"):
        task.follow(server, None, print, threading.Event())  # type: ignore[arg-type]
    assert server.canceled == 0
