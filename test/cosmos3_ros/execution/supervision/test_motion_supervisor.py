# SPDX-License-Identifier: Apache-2.0
"""Where set points rest that no controller follows, and that the arm follows those of chunks."""

import types
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.execution.chunk_player import PLAYING, ChunkPlayer
from cosmos3_ros.execution.spline_motion import Limits, SplineMotion
from cosmos3_ros.execution.supervision.motion_supervisor import MotionSupervisor
from cosmos3_ros.execution.supervision.tracking_monitor import TrackingMonitor
from cosmos3_ros.execution.trajectory_replacement import TrajectoryReplacement
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.sim.emulated_controllers import ArmController, Point, Trajectory, at_rest

JOINTS = ("a", "b")
HOME, RESET = np.array([0.1, 0.2]), np.array([-0.5, 0.2])


class Nothing:
    """A controller of trajectories that is led nowhere."""

    streams = False

    def path(self, now: int) -> None: ...

    def way(self, now: int) -> None: ...

    def is_bridging(self, now: int) -> bool:
        return False

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


PERIOD = NS // 50


class Follower(TrajectoryReplacement):
    """A trajectory controller, and an arm that follows it 40 ms late."""

    streams = False

    def __init__(self, limits: Limits, away: Any) -> None:
        super().__init__(limits, True, away)
        self.controller = ArmController(JOINTS, PERIOD)
        self.arm = HOME
        self.blocked = np.zeros(len(JOINTS), bool)  # by a brake

    def begin(self, motion: SplineMotion, now: int) -> None:
        if sent := self.next(motion, now):
            points = [Point(*row) for row in sent.rows()]
            self.controller.follow(Trajectory(JOINTS, points, sent.start), now)

    def point(self, *words: Any) -> None: ...

    def put(self, position: np.ndarray, now: int) -> None:
        """As a reset of a simulation puts arm and controller."""
        self.controller.hold(position, now)
        self.arm = position

    def advance(self, now: int) -> None:
        way = self.controller.update(now, at_rest(self.arm)) - self.arm
        self.arm = self.arm + np.where(self.blocked, 0.0, way / 3)


class Graph:
    """Commander, controller, arm, and a policy whose chunks come 0.45 s late."""

    def __init__(self) -> None:
        two = np.ones(2)
        limits = Limits(-3 * two, 3 * two, 2 * two, 8 * two, 200 * two)
        self.player, self.now, self.number = ChunkPlayer(JOINTS, limits), 0, 0
        self.monitor: Any = types.SimpleNamespace(measured=HOME, stamp=0, fault=lambda now: "")
        tracking = TrackingMonitor(JOINTS, 3 * NS // 20, 0.25)
        self.supervisor = MotionSupervisor(self.player, self.monitor, tracking)
        self.robot = Follower(limits, self.supervisor.away)
        self.supervisor.connect(self.robot)
        self.seen, self.seen_at, self.captured_after = HOME, 0, 0
        self.waiting: ActionChunk | None = None
        self.faults: list[str] = []
        self.disputes: list[str] = []
        self.speed = 0.4  # of both joints, as the policy wants it, rad/s
        self.behind: list[float] = []  # of set points to those of the controller

    def arm(self, armed: bool) -> None:
        self.supervisor.hold(self.now, "")
        self.supervisor.arm(armed, self.now)
        self.captured_after = self.now

    def chunk(self) -> None:
        at = np.arange(1, 24, dtype=np.float32)[:, None] / 15
        values = (self.seen + (-1) ** (self.number // 6) * self.speed * at).astype(np.float32)
        self.number += 1
        self.waiting = ActionChunk(values, JOINTS, self.seen_at, NS // 15)
        self.seen, self.seen_at = self.robot.arm.copy(), self.now

    def follow(self, chunk: ActionChunk) -> None:
        if chunk.stamp < self.captured_after:
            return
        try:
            if self.supervisor.load(self.now, chunk, self.number, "replace"):
                self.supervisor.send(self.now)
        except ValueError as error:
            self.faults.append(str(error))

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * NS / PERIOD)):
            self.now += PERIOD
            self.robot.advance(self.now)
            self.monitor.measured, self.monitor.stamp = self.robot.arm.copy(), self.now
            self.supervisor.record(self.now)
            if self.supervisor.was_moved(self.now) or (
                self.player.mode == PLAYING and self.supervisor.fault(self.now)
            ):
                self.faults.append(self.supervisor.fault(self.now))
                self.supervisor.hold(self.now, self.faults[-1])
            if dispute := self.supervisor.return_fault(self.now):
                self.disputes.append(dispute)
            self.supervisor.rest_at_arm(self.now)
            self.supervisor.take_hold(self.now)
            if self.now - self.seen_at >= 45 * NS // 100:
                self.chunk()
            if self.waiting and not self.supervisor.is_bridging(self.now):
                self.follow(self.waiting)
                self.waiting = None
            if self.supervisor.drives_arm(self.now):
                path, motion = self.robot.path(self.now), self.player.motion
                assert path
                assert motion
                led = self.robot.controller.update(self.now - PERIOD, at_rest(self.robot.arm))
                self.behind.append(float(np.abs(path.at(self.now)[0] - led).max()))
                if not self.robot.is_bridging(self.now):
                    self.behind.append(float(np.abs(motion.at(self.now)[0] - led).max()))


@pytest.mark.parametrize("pause", [0.02, 0.1, 0.6, 1.5])
def test_after_a_reset_the_arm_follows_the_first_chunk_and_all_others(pause: float) -> None:
    """Once it stood still for seconds: chunks were played that the controller was not sent."""
    graph = Graph()
    graph.arm(True)
    graph.run(3.1)
    for k in range(4):
        assert not graph.faults
        graph.arm(False)
        graph.run(0.02)
        graph.robot.put(np.array([[-0.4, 0.6], [0.4, -0.2]][k % 2]), graph.now)
        graph.run(pause)
        graph.faults, graph.behind = [], []
        graph.arm(True)
        graph.run(1.4)
        before, graph.behind = graph.robot.arm, []
        graph.run(0.6)
        assert np.abs(graph.robot.arm - before).max() > 0.05, "it moves"
        graph.run(2.3)
        # nothing is played that the controller does not know
        assert max(graph.behind) < 0.01


def test_an_arm_that_is_reset_while_it_is_armed_is_followed_to_where_it_is() -> None:
    graph = Graph()
    graph.arm(True)
    graph.run(3.1)
    graph.supervisor.hold(graph.now, "waiting")
    graph.seen_at = graph.now + 2 * NS  # no chunk for now
    graph.run(1.5)
    graph.robot.put(RESET, graph.now)
    graph.run(1.5)
    assert "does not follow" in graph.faults[0]
    assert np.allclose(graph.robot.arm, RESET, atol=0.01)
    graph.faults = []
    graph.run(3.0)
    assert not graph.faults


@pytest.mark.parametrize("speed", [0.4, 0.8, 1.3])
@pytest.mark.parametrize("blocked", [0, 1])
def test_a_joint_that_moves_beside_one_that_is_blocked_is_led_back_without_a_dispute(
    blocked: int, speed: float
) -> None:
    """One time for all joints: the one in motion goes on a little, before it comes back."""
    graph = Graph()
    graph.speed = speed
    graph.arm(True)
    graph.run(3.1)
    graph.robot.blocked[blocked] = True
    here = graph.robot.arm[blocked]
    graph.run(1.5)
    assert "does not follow" in graph.faults[0]
    assert JOINTS[blocked] in graph.faults[0].split(":")[1]
    graph.seen_at = graph.now + 9 * NS  # no chunk any more
    graph.run(3.0)
    assert not graph.disputes
    led = graph.robot.controller.update(graph.now, at_rest(graph.robot.arm))
    assert abs(led[blocked] - here) < 0.05, "its controller was led to where it is"
    assert np.allclose(graph.robot.arm, led, atol=0.05)
