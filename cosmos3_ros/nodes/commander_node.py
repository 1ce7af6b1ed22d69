# SPDX-License-Identifier: Apache-2.0
"""The commander node: plays chunks by time within limits, and holds all arms after any fault.

A process of its own without torch in it, so that a dying GPU process can never leave a robot
moving.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Callable
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from ..execution.chunk_player import HOLDING, OVER, PLAYING, ChunkPlayer
from ..execution.clock_offset import ClockOffset
from ..execution.gripper import Gripper, Grippers
from ..execution.strategies import DEFAULT
from ..execution.supervision.arm_monitor import ArmMonitor
from ..execution.supervision.goal_watch import GoalWatch
from ..execution.supervision.motion_supervisor import MotionSupervisor
from ..execution.supervision.tracking_monitor import TrackingMonitor
from ..model import interface as model
from ..model.interface import NS
from ..msg import ActionChunk, Surprise, TaskGoal
from ..ros import topics
from ..ros.diagnostics import Faults, diagnostics
from ..ros.lifecycle import ManagedNode
from ..ros.messages import chunk_from, command_message, status_message, to_ns
from ..ros.node_runner import run
from ..ros.rate_cap import RateCap
from ..ros.realtime import hurry
from ..ros.sinks.command_sinks import CommandSink
from ..ros.sinks.mobile_base import MobileBase
from ..ros.watch.commander_watch import CommanderWatch
from ..ros.watch.stop_signals import StopSignals
from .commander.controllers import make_base, make_sinks
from .commander.playback_record import PlaybackRecord
from .commander_params import Params
from .known_parameters import KNOWN, checker
from .robot_description import receive_description

STOPPED = "stopped by cosmos3/stop"
WAITS = "the newest chunk waits: the controller is led to where the next motion begins"
CLOCKS = 0.02  # s: stamped trajectories ask for clocks that differ by less
LATE = 2 * NS  # chunks of what was seen before arming come no later
ARMING_PATIENCE = 30 * NS  # the parameter `armed` waits so long for what is in its way


class CommanderNode(ManagedNode[Params]):
    """Chunks and joint states in, set points for the controllers of all arms out."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("commander", Params, KNOWN, **kwargs)
        self._stopped = False  # by the topic; outlives a cleanup
        self._stop_signals = StopSignals()
        self._goal = GoalWatch()
        self._waiting: ActionChunk | None = None  # the newest chunk, until it may be followed

    def setup(self) -> None:
        p = self.params
        hurry(p.realtime_priority)
        joints, description = tuple(p.joints), receive_description(self, p.urdf)
        limits, source = p.limits_and_source(description)
        if p.urdf:
            self.get_logger().info(source)
        tool, ends, dwell = p.tool_of_arm(description), p.gripper_ends(), int(p.gripper_dwell * NS)
        self._player = ChunkPlayer(
            joints, limits, tuple(ends), p.rules(), p.tool_limits(tool, limits), p.base_columns
        )
        self._monitor = ArmMonitor(joints, limits, int(p.max_state_age * NS), self.most_ahead)
        tracking = TrackingMonitor(joints, int(p.tracking_lag * NS), p.max_tracking_error, p.unit)
        self._supervisor = MotionSupervisor(self._player, self._monitor, tracking)
        partly = p.gripper_proportional
        self._grippers = Grippers(
            {name: Gripper(*end, dwell, partly) for name, end in ends.items()}
        )
        self._faults, self._offset = Faults(self.get_logger()), ClockOffset()
        self._record = PlaybackRecord(self.now())
        # when the arm was armed or disarmed, and the last tick; until when (steady clock) the
        # parameter `armed` still waits
        self._armed_at = self._last_tick = self._arms_until = 0
        self._is_simulated = bool(self.get_parameter("use_sim_time").value)
        self._publisher_fault = self._listener_fault = self._arming_fault = ""
        self._reported = ("", "")  # mode and reason in the last status
        parts = self._player, self._monitor, self._supervisor
        self._sink = make_sinks(self, limits, tool, *parts)
        self._supervisor.connect(self._sink)
        self._base = make_base(self, [*joints, *ends])
        self._command = self.advertise(topics.COMMAND)
        self._status = self.advertise(topics.COMMANDER_STATUS)
        self._diagnostics = self.advertise(topics.DIAGNOSTICS)
        self._joint_states = self.subscribe(
            topics.JOINT_STATES, self._on_joint_state, callback_group=RateCap()
        )
        heard: tuple[tuple[topics.Topic, Callable[[Any], None]], ...] = (
            (topics.ACTION_CHUNK, self._on_chunk),
            (topics.TASK_GOAL, self._on_task_goal),
            (topics.SURPRISE, self._on_surprise),
        )
        for topic, hear in heard:
            self.subscribe(topic, hear)
        for qos in topics.STOP_QOS:
            self.subscribe_with_info(topics.STOP, qos, self._on_stop_signal)
        self._watch = CommanderWatch(self, self._controllers(), self.steady())
        self._made.append((CommanderWatch.close, self._watch))
        answers = self._on_arm, self._on_stop
        for service, answer in zip(topics.COMMANDER.offers, answers, strict=True):
            self.offer(service, answer)
        self.parameters.changed = lambda names: setattr(self._player, "rules", self.params.rules())
        self.every(1.0 / p.rate, self._tick)
        self.every(0.05, self._check_graph, steady=True)
        self.every(0.05, self._arm_if_ready, steady=True)
        self.every(0.2, self._report, steady=True)
        self.every(1.0, self._diagnose, steady=True)

    def _controllers(self) -> tuple[CommandSink | MobileBase, ...]:
        return (*self._sink.sinks, self._base) if self._base else self._sink.sinks

    def start(self) -> None:
        self._set_armed(False)
        if self.params.armed:
            self._arms_until = self.steady() + ARMING_PATIENCE
            self._arm_if_ready()

    def stop(self) -> None:
        self._set_armed(False, "the commander is stopped")
        self._finish_braking()
        self._supervisor.end()
        # else the last words may die with the process
        for sink in self._controllers():
            sink.output.wait_for_all_acked(Duration(seconds=1))

    # -- inputs

    def _on_joint_state(self, message: JointState) -> None:
        now, monitor, stamp = self._keep_time(), self._monitor, to_ns(message.header.stamp)
        if stamp and not self._is_simulated:  # a simulation has one clock
            self._offset.add(stamp, now)
        steady = None if self._is_simulated else self.steady()
        if monitor.update(message.name, message.position, stamp, now, steady):
            self._start_over()
        elif monitor.contradicted_at == now:
            topic = self._joint_states.topic_name
            nodes = self.get_publishers_info_by_topic(topic)
            monitor.publishers = tuple(sorted(info.node_name for info in nodes))
            if self._supervisor.watches_return(now):
                self._stop_return(now, monitor.fault(now))
            self._supervisor.forget()
        if monitor.note:
            self.get_logger().info(f"joint states: {monitor.note}")

    def _on_chunk(self, message: ActionChunk) -> None:
        if self.state_id != State.PRIMARY_STATE_ACTIVE or self._arms_until:
            return
        self._record.arrived(message.number)
        self._take(message)

    def _take(self, message: ActionChunk) -> None:
        """Play a chunk, let it wait, or say why not."""
        now, player = self._keep_time(), self._player
        try:
            chunk = chunk_from(message)
            brakes = self._supervisor.drives_arm(now) and not self._armed
            if brakes:  # it would begin a dry run
                return
            if chunk.stamp < self._armed_at:  # answers what was seen before arming or a reset
                if now - self._armed_at < LATE:
                    return
                raise ValueError(
                    f"captured {(self._armed_at - chunk.stamp) / NS:.1f} s before the arm was "
                    "armed or reset, and comes so late: no stamp, or another clock?"
                )
            refusal = self._goal.refusal(message.instruction, chunk.stamp, self.steady())
            if fault := self._fault(now) or refusal:
                raise ValueError(fault)
            if self._must_wait(message, chunk, now):
                return
            if self._supervisor.load(now, chunk, message.number, message.strategy or DEFAULT):
                self._supervisor.send(self._keep_time())  # planning has taken its time
                self._report()
                taken = (self.now() - chunk.stamp) / NS
                self._record.began(taken, sum(message.latency_seconds))
                return
        except ValueError as error:
            player.reject(message.number, str(error))
        self.get_logger().warning(f"rejected {player.last_rejection}", throttle_duration_sec=1.0)

    def _must_wait(self, message: ActionChunk, chunk: model.ActionChunk, now: int) -> bool:
        """Keep a sound chunk that cannot be followed yet, in place of an older one.

        ValueError for one that is not sound.
        """
        older, player = self._waiting, self._player
        must = self._supervisor.is_bridging(now)
        if must:
            if older and to_ns(older.header.stamp) > chunk.stamp:
                raise ValueError("older than the chunk that waits")
            trial = copy.copy(player)  # planned, and not played
            how, measured = message.strategy or DEFAULT, self._monitor.measured
            if not trial.load(now, chunk, message.number, how, measured, trial.motion is None):
                raise ValueError(trial.last_rejection.partition(": ")[2])
        player.superseded += older is not None
        self._waiting = message if must else None
        return must

    def _drop_waiting(self, why: str) -> None:
        if self._waiting:
            self._player.reject(self._waiting.number, why)
            self.get_logger().warning(f"rejected {self._player.last_rejection}")
            self._waiting = None

    def _on_task_goal(self, message: TaskGoal) -> None:
        now, steady = self._keep_time(), self.steady()
        if why := self._goal.hear(message.active, message.instruction, now, steady):
            self._hold(why)

    def _on_surprise(self, message: Surprise) -> None:
        """What was captured before is not played any more: the policy has dropped it, too."""
        if message.alarm and message.reaction == Surprise.HOLD:
            self._goal.surprise(to_ns(message.header.stamp))
            self._hold("surprised: not what was predicted")

    def _on_arm(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        now = self.now()
        fault = "" if self.state_id == State.PRIMARY_STATE_ACTIVE else "the node is not active"
        if request.data and not fault:
            self._check_graph()
            fault = self._monitor.fault(now) or self._publisher_fault or self._supervisor.fault(now)
            fault = self._arming_fault or fault or self._monitor.why_not_arm(now)
            fault = STOPPED if self._stopped else fault
        if fault:
            response.success = False
            response.message = f"not armed: {fault}" if request.data else fault
            return response
        if request.data != self._armed:
            self._set_armed(request.data)
            self._grippers.forget()
            self._goal.forget()
        response.success, response.message = True, "armed" if request.data else "dry run"
        return response

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.state_id == State.PRIMARY_STATE_ACTIVE:
            self._set_armed(False, "stopped by ~/stop")
        response.success, response.message = True, "held; dry run until armed again"
        return response

    def _on_stop_topic(self, message: Bool) -> None:
        if message.data and not self._stopped and self.state_id == State.PRIMARY_STATE_ACTIVE:
            self._set_armed(False, STOPPED)
        self._stopped = message.data

    def _on_stop_signal(self, message: Bool, info: dict[str, Any]) -> None:
        self._watch.hear_stop(self._stop_signals, message.data, info)
        self._take_stop_signals()

    def _take_stop_signals(self) -> None:
        if self._stop_signals.stopped != self._stopped:
            self._on_stop_topic(Bool(data=self._stop_signals.stopped))

    # -- control

    def _arm_if_ready(self) -> None:
        """Do what the parameter `armed` asks for, once nothing of the graph is in its way."""
        if not self._arms_until:
            return
        self._check_graph()
        if fault := STOPPED if self._stopped else self._arming_fault:
            if self._stopped or self.steady() > self._arms_until:
                self._set_armed(False, fault)
            return
        self._set_armed(True)

    def _set_armed(self, armed: bool, why: str = "") -> None:
        waited, self._arms_until = self._arms_until, 0
        state, goes = ("armed", "commands go") if armed else ("dry run", "nothing goes")
        self._drop_waiting(why or f"{state} before it could be followed")
        self._hold(why or f"{state}: waiting for a chunk")
        if armed != self._armed or waited:
            words = f"{state}: {goes} to the controllers"
            self.get_logger().info(f"{why}; {words}" if why else words)
        self._armed_at = self.now()
        self._supervisor.arm(armed, self._armed_at)
        if not armed:
            self._sink.release()

    @property
    def _armed(self) -> bool:
        return self._supervisor.is_armed

    @property
    def _recovers_by_hand(self) -> bool:
        return self.params.recovery == "explicit"

    def _fault(self, now: int) -> str:
        """Why the arm must not be moved now."""
        fault = self._monitor.fault(now) or self._publisher_fault
        if not fault and self._armed:
            fault = self._listener_fault or self._supervisor.fault(now)
        return fault

    def _stop_return(self, now: int, why: str) -> None:
        """Brake and disarm: what is measured is not what the controller moves."""
        self.get_logger().error(f"holding: {why}")
        self._supervisor.brake_return(now)
        self._set_armed(False, why)
        self._supervisor.forget()

    def _hold(self, reason: str) -> None:
        self._supervisor.hold(self._keep_time(), reason)

    def _start_over(self) -> None:
        """The clock of the stamps, or the node's own too, went back: forget what was seen."""
        self.get_logger().warning(
            "the clock jumped back: holding until a chunk answers what is seen from now on"
        )
        now = self.now()
        jump, self._last_tick = min(0, now - self._last_tick), now
        self._monitor.forget()
        self._grippers.forget()
        self._supervisor.shift(jump)
        self._armed_at = now
        self._drop_waiting("the clock jumped back")
        self._give_up("the clock jumped back")

    def _keep_time(self) -> int:
        """Now, in ns, after whatever the clock did since the last tick.

        Asked before anything is planned: a message or call may come before the tick does.
        """
        now = self.now()
        if now < self._last_tick:
            self._start_over()
        self._resume_after_stall(now)
        return now

    def _tick(self) -> None:
        now, player, supervisor = self._keep_time(), self._player, self._supervisor
        self._last_tick = now
        supervisor.record(now)
        fault = self._fault(now)
        self._faults.set("arm", fault)
        if player.mode == HOLDING and (why := supervisor.return_fault(now)):
            self._stop_return(now, why)
        elif player.mode == PLAYING and (
            why := fault
            or self._goal.silence(self.steady())
            or ("" if self._waiting else player.end_reason(now))  # it is not over while one waits
        ):
            self._give_up(why)
        elif fault and self._armed and player.mode == HOLDING and self._recovers_by_hand:
            self._give_up(fault)  # between two chunks, too
        elif not self._monitor.fault(now) and supervisor.was_moved(now):
            self._give_up(fault)  # the arm was moved while it held: it holds there now
        supervisor.rest_at_arm(now)
        if not fault:
            supervisor.take_hold(now)
        if self._waiting and (fault or not supervisor.is_bridging(now)):
            waited, self._waiting = self._waiting, None
            self._take(waited)
        if self._base:
            self._base.drive(player.base_velocities(now), now, self._armed)
        if player.motion is None:
            return
        position, velocity = player.motion.at(now)
        names, positions, velocities = list(player.joints), position.tolist(), velocity.tolist()
        grippers = self._grippers.decide(player.gripper_positions(now), now)
        names += grippers
        positions += grippers.values()
        velocities += [0.0] * len(grippers)
        self._command.publish(command_message(names, positions, velocities, now))
        self._record.points += 1
        supervisor.point(position, velocity, grippers if self._armed else {}, now)
        if self._reported != (player.mode, self._reason):
            self._report()

    def _resume_after_stall(self, now: int) -> None:
        """After a stall, or a clock set forward, let a stream go on where it stopped, no step."""
        late = now - self._last_tick - int(2 * NS / self.params.rate)
        if late <= 0 or not self._last_tick or not self._sink.streams or self._is_simulated:
            return
        if self._supervisor.drives_arm(self._last_tick):
            self._supervisor.shift(late)
        self._last_tick += late  # without a stream, too: what begins afterwards is not late

    def _give_up(self, why: str) -> None:
        """Hold, and disarm with explicit recovery; a pause that the strategy makes is no fault."""
        loaded = self._player.loaded
        paused = loaded is not None and loaded.strategy.pauses_between_chunks and why == OVER
        if not paused:
            self.get_logger().warning(f"holding: {why}", throttle_duration_sec=1.0)
        if self._recovers_by_hand and self._armed and not paused:
            self._set_armed(False, why)
        else:
            self._hold(why)

    def _finish_braking(self) -> None:
        """Stream until the arm is at rest: at the end of a stream it would stop dead.

        The base, too.
        """
        motion, base, period = self._player.motion, self._base, 1.0 / self.params.rate
        began, now, end = time.monotonic(), self.now(), 0
        if motion and self._supervisor.is_sending and self._sink.streams:
            end = motion.end + int(2 * period * NS)
        while (at := now + int((time.monotonic() - began) * NS)) < end or (base and base.is_moving):
            if motion and at < end:
                self._sink.point(*motion.at(at), {}, at)
            if base:
                base.drive({}, at, armed=False)
            time.sleep(period)

    def _check_graph(self) -> None:
        """Note what the graph says; the watch has the words."""
        now, watch = self.steady(), self._watch
        watch.look(now)
        if watch.recalled(self._stop_signals):
            self._take_stop_signals()
        self._publisher_fault = watch.publisher_fault
        self._listener_fault = watch.stop_fault or watch.rival_fault or watch.listener_fault
        self._arming_fault = self.inputs.faults.now.get("clock", "") or watch.arming_fault(now)
        points = self._record.points if self._player.motion else None
        chunks = self._player.played + self._player.rejected + self._player.superseded
        watch.report(now, self._armed, points, chunks)

    @property
    def _reason(self) -> str:
        """Why nothing is played, in words; empty while something is."""
        if self._waiting and self._player.mode != PLAYING:
            return WAITS
        return self._player.reason

    def _report(self) -> None:
        now, player = self.now(), self._player
        self._reported = (player.mode, self._reason)
        self._status.publish(status_message(player, self._armed, now, self._reason))

    def _diagnose(self) -> None:
        now, player = self.now(), self._player
        fault, stamp = self._fault(now), self._monitor.stamp
        age = f"{(now - stamp) / NS:.3f}" if stamp else ""
        least, stamped = self._offset.seconds, self.params.trajectory_stamps
        if stamped and not self._sink.streams:
            self._faults.set("trajectory_stamps", self._offset.fault(CLOCKS))
        values = {
            "armed": self._armed,
            "mode": player.mode,
            "strategy": player.loaded.strategy.name if player.loaded else "",
            "remaining [s]": f"{player.remaining(now):.3f}",
            "joint states age [s]": age,
            "joint states age, least [s]": "" if least is None else f"{least:.3f}",
            **self._record.counts(now),
            "played": player.played,
            "rejected": player.rejected,
            "limited": player.limited,
            "superseded": player.superseded,
            "last rejection": player.last_rejection,
            "last limit": player.last_limit,
            **self._record.latencies(),
        }
        warnings = {**self.inputs.faults.now, **self._watch.faults.now}
        warning = "; ".join(f"{what}: {why}" for what, why in warnings.items())
        level = "error" if fault else "warn" if player.mode == HOLDING or warning else "ok"
        message = fault or warning or self._reason or player.mode
        name = f"{self.get_name()}: chunks"
        self._diagnostics.publish(diagnostics(now, name, level, message, values, "arm"))


def main(args: list[str] | None = None) -> int:
    """Run the commander until a signal comes."""
    return run([CommanderNode], args, checker("commander"))


if __name__ == "__main__":
    sys.exit(main())
