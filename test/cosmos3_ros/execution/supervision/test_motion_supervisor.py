# SPDX-License-Identifier: Apache-2.0
"""Where set points rest that no controller follows."""

import types
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.execution.chunk_player import ChunkPlayer
from cosmos3_ros.execution.spline_motion import Limits
from cosmos3_ros.execution.supervision.motion_supervisor import MotionSupervisor
from cosmos3_ros.execution.supervision.tracking_monitor import TrackingMonitor
from cosmos3_ros.model.interface import NS, ActionChunk

JOINTS = ("a", "b")
HOME, RESET = np.array([0.1, 0.2]), np.array([-0.5, 0.2])


class Nothing:
    """A controller of trajectories that is led nowhere."""

    streams = False

    def begin(self, motion: Any, now: int) -> None: ...

    def point(self, *words: Any) -> None: ...


def resting() -> tuple[MotionSupervisor, ChunkPlayer, Any]:
    two = np.ones(2)
    limits = Limits(-3 * two, 3 * two, 2 * two, 8 * two, 200 * two)
    player = ChunkPlayer(JOINTS, limits)
    monitor = types.SimpleNamespace(measured=HOME, stamp=0, why="")
    monitor.fault = lambda now: monitor.why
    supervisor = MotionSupervisor(player, monitor, TrackingMonitor(JOINTS, NS // 10, 0.1))
    supervisor.connect(Nothing())
    player.start_at(0, HOME)
    supervisor.rest_at_arm(0)
    return supervisor, player, monitor


def point(player: ChunkPlayer, now: int) -> np.ndarray:
    assert player.motion
    return player.motion.at(now)[0]


def test_after_a_reset_set_points_rest_where_the_arm_is() -> None:
    supervisor, player, monitor = resting()
    monitor.measured = HOME + 0.01  # it trembles
    supervisor.rest_at_arm(NS)
    assert np.allclose(point(player, NS), HOME)
    monitor.measured, monitor.why = RESET, "nobody knows"
    supervisor.rest_at_arm(2 * NS)
    assert np.allclose(point(player, 2 * NS), HOME), "what is not believed moves nothing"
    monitor.measured, monitor.why = HOME, ""
    supervisor.rest_at_arm(3 * NS)
    monitor.measured = RESET
    supervisor.rest_at_arm(4 * NS)
    assert np.allclose(point(player, 4 * NS), RESET)


@pytest.mark.parametrize("armed", [False, True])
def test_what_leads_the_arm_or_is_played_stays(armed: bool) -> None:
    supervisor, player, monitor = resting()
    supervisor.arm(armed, 0)
    rows = HOME.astype(np.float32) + np.linspace(0, 0.1, 15, dtype=np.float32)[:, None]
    assert supervisor.load(0, ActionChunk(rows, JOINTS, 0, NS // 15), 1, "replace")
    supervisor.send(0)
    monitor.measured = RESET
    supervisor.rest_at_arm(NS // 2)
    assert point(player, NS // 2)[0] > HOME[0], "a chunk is played"
    supervisor.arm(armed, NS)
    if armed:
        player.hold(NS, "over")
        assert supervisor.drives_arm(5 * NS)
        for now in (5 * NS, 6 * NS):
            supervisor.rest_at_arm(now)
        assert point(player, 6 * NS)[0] > HOME[0], "a controller follows it"
