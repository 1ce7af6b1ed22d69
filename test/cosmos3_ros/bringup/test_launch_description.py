# SPDX-License-Identifier: Apache-2.0
"""The launch description's nodes, without launch; with it: test/launching/test_launch_files.py."""

import importlib
import os
import sys
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest

from cosmos3_ros.bringup.graph_options import Options
from cosmos3_ros.bringup.node_graph import processes
from cosmos3_ros.ros.shutdown_signal import PARENT

LAUNCH = (
    "launch",
    "launch.actions",
    "launch.event_handlers",
    "launch.events",
    "launch.events.process",
    "launch.substitutions",
    "launch_ros",
    "launch_ros.actions",
    "launch_ros.parameter_descriptions",
)


MODULE = "cosmos3_ros.bringup.launch_description"


@pytest.fixture
def launch_description(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, on a launch that only notes what is made of it."""
    for name in LAUNCH:
        monkeypatch.setitem(sys.modules, name, mock.MagicMock())
    real = sys.modules.pop(MODULE, None)
    yield importlib.import_module(MODULE)
    del sys.modules[MODULE]
    if real:
        sys.modules[MODULE] = real


@pytest.mark.ros
def test_every_node_is_told_whose_end_is_to_end_it(launch_description: Any) -> None:
    graph = processes(Options())
    for process in graph:
        launch_description._actions(process)
    calls = launch_description.Node.call_args_list
    assert [call.kwargs["executable"] for call in calls] == [each.executable for each in graph]
    assert {call.kwargs["additional_env"][PARENT] for call in calls} == {str(os.getpid())}
