# SPDX-License-Identifier: Apache-2.0
"""The commander node: arms, plays chunks by time within limits, and holds the arm when anything goes quiet.

A process of its own without torch in it, so that a dying GPU process can never leave a robot
moving.
"""

from __future__ import annotations

import sys
import time
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.duration import Duration
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger

from ..execution.arm_monitor import Guard
from ..execution.chunk_player import HOLDING, OVER, PLAYING, Player
from ..model.interface import NS
from ..msg import ActionChunk
from ..ros import topics
from ..ros.command_sinks import SINKS, Gripper
from ..ros.diagnostics import Faults, Window, diagnostics
from ..ros.lifecycle import ManagedNode, run
from ..ros.messages import chunk_from, command_message, status_message, to_ns
from ..ros.realtime import hurry
from .commander_params import Params

STOPPED = "stopped by cosmos3/stop"
# rad or m: a resting arm this close to its set point goes on from the set point, else from where it
# is
NEAR = 0.1


class Commander(ManagedNode[Params]):
    """See the module."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("commander", Params, **kwargs)
        self._stopped = False  # by the topic; outlives a cleanup

    def setup(self) -> None:
        p = self.params
        hurry(p.realtime_priority)
        self._player = Player(tuple(p.joints), p.limits(), p.gripper_joint, p.rules())
        self._guard = Guard(tuple(p.joints), int(p.max_state_age * NS), p.max_tracking_error)
        self._gripper = Gripper(p.gripper_open, p.gripper_closed, int(p.gripper_dwell * NS))
        self._faults = Faults(self.get_logger())
        self._latency, self._delivery = Window(), Window()
        # set points until now, and until the last diagnosis
        self._points, self._counted = 0, (0, self.now())
        # chunks that never came, and the number of the last one that did
        self._lost = self._newest = 0
        self._armed = self._sending = False
        self._armed_at = self._last_tick = self._let_go_at = 0
        self._crowd = self._deaf = ""  # what is wrong with the nodes around
        self._told = ("", "")
        self._sink = SINKS[p.sink](self.advertise, tuple(p.joints), p.gripper_joint)
        self._command = self.advertise(topics.COMMAND)
        self._status = self.advertise(topics.COMMANDER_STATUS)
        self._diagnostics = self.advertise(topics.DIAGNOSTICS)
        self.subscribe(topics.JOINT_STATES, self._on_joint_state)
        self._chunks = self.subscribe(topics.ACTION_CHUNK, self._on_chunk)
        self.subscribe(topics.STOP, self._on_stop_topic)
        arm, stop = topics.COMMANDER.offers
        self.offer(arm, self._on_arm)
        self.offer(stop, self._on_stop)
        self.parameters.changed = lambda names: setattr(self._player, "rules", self.params.rules())
        self.every(1.0 / p.rate, self._tick)
        self.every(0.05, self._look_around)
        self.every(0.2, self._report)
        self.every(1.0, self._diagnose)

    def start(self) -> None:
        self._set_armed(self.params.armed and not self._stopped, STOPPED if self._stopped else "")

    def stop(self) -> None:
        self._set_armed(False, "the commander is stopped")
        self._finish_braking()
        self._sending, self._last_tick = False, 0
        # else the last words may die with the process
        self._sink.output.wait_for_all_acked(Duration(seconds=1))

    # -- inputs
    # -------------------------------------------------------------------------------------------------------

    def _on_joint_state(self, message: JointState) -> None:
        if self._guard.take(
            message.name, message.position, to_ns(message.header.stamp), self.now()
        ):
            self._start_over()

    def _on_chunk(self, message: ActionChunk) -> None:
        if self.state_id != State.PRIMARY_STATE_ACTIVE:
            return
        now, player = self.now(), self._player
        self._lost += max(0, message.number - self._newest - 1) if self._newest else 0
        self._newest = message.number
        try:
            chunk = chunk_from(message)
            if chunk.stamp < self._armed_at or (self._leads(now) and not self._armed):
                # answers what was seen before arming or a reset, or would begin a dry run in
                # mid-brake
                return
            if fault := self._fault(now):
                raise ValueError(fault)
        except ValueError as error:
            player.reject(message.number, str(error))
        else:
            self._begin_where_it_is(now)
            if player.load(
                now, chunk, message.number, message.strategy or "replace", self._guard.measured
            ):
                self._send_motion(now)
                self._report()
                taken = (self.now() - chunk.stamp) / NS
                self._latency.add(taken)
                self._delivery.add(taken - sum(message.latency_seconds))
                return
        self.get_logger().warning(f"rejected {player.last_rejection}", throttle_duration_sec=1.0)

    def _on_arm(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        now = self.now()
        fault = "" if self.state_id == State.PRIMARY_STATE_ACTIVE else "the node is not active"
        if request.data and not fault:
            fault = (
                STOPPED
                if self._stopped
                else self._guard.trouble(now) or self._crowd or self._astray(now)
            )
        if fault:
            response.success, response.message = (
                False,
                f"not armed: {fault}" if request.data else fault,
            )
            return response
        if request.data != self._armed:
            self._set_armed(request.data)
            self._gripper.forget()
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

    # -- what it does
    # -------------------------------------------------------------------------------------------------

    def _set_armed(self, armed: bool, why: str = "") -> None:
        self._hold(
            why or ("armed: waiting for a chunk" if armed else "dry run: waiting for a chunk")
        )
        if armed != self._armed:
            words = (
                "armed: commands go to the controllers"
                if armed
                else "dry run: nothing goes to the controllers"
            )
            self.get_logger().info(f"{why}; {words}" if why else words)
        if self._armed and not armed and self._player.motion:
            self._let_go_at = self._player.motion.end
        now = self.now()
        self._armed, self._armed_at, self._sending = armed, now, self._leads(now)

    def _leads(self, now: int) -> bool:
        """Whether the controllers follow the player's motion: it was sent, and the arm is armed or still braking."""
        return self._sending and (self._armed or now < self._let_go_at)

    def _fault(self, now: int) -> str:
        """Why the arm must not be moved now."""
        fault = self._guard.trouble(now) or self._crowd
        if not fault and self._armed:
            fault = self._deaf or self._astray(now)
        return fault

    def _astray(self, now: int) -> str:
        """How far the arm is from where it is led, if that is too far.

        (An arm that brakes is led until it rests.)
        """
        motion = self._player.motion
        return self._guard.astray(motion.at(now)[0]) if motion and self._leads(now) else ""

    def _begin_where_it_is(self, now: int) -> None:
        """A resting arm goes on from the set point it was sent if it is there, else from where it was measured."""
        player, guard = self._player, self._guard
        if player.mode == PLAYING or guard.measured is None:
            return
        commanded = player.motion.at(now)[0] if self._leads(now) and player.motion else None
        if commanded is None or not (now < player.motion.end or guard.is_at(commanded, NEAR)):  # type: ignore[union-attr]
            player.start_at(now, guard.measured)
            self._sending = False

    def _hold(self, reason: str) -> None:
        now = self.now()
        if self._player.hold(now, reason):
            self._send_motion(now)

    def _send_motion(self, now: int) -> None:
        if self._armed and self._player.motion:
            self._sink.begin(self._player.motion, now)
            self._sending = True

    def _start_over(self) -> None:
        """Stamps, or the node's own clock with them, went back: nothing seen before counts any more."""
        self.get_logger().warning(
            "the clock jumped back: holding until a chunk answers what is seen from now on"
        )
        now = self.now()
        jump, self._last_tick = min(0, now - self._last_tick), now
        self._guard.forget()
        self._gripper.forget()
        self._player.shift(jump)
        self._let_go_at += jump
        self._armed_at = now
        self._give_up("the clock jumped back")

    def _tick(self) -> None:
        now, player = self.now(), self._player
        if now < self._last_tick:
            self._start_over()
        self._wait_for_the_arm(now)
        self._last_tick = now
        fault = self._fault(now)
        self._faults.set("arm", fault)
        if player.mode == PLAYING and (why := fault or player.due(now)):
            self._give_up(why)
        elif (
            fault and self._armed and player.mode == HOLDING and self.params.recovery == "explicit"
        ):
            self._give_up(fault)  # between two chunks, too
        if player.motion is None:
            return
        position, velocity = player.motion.at(now)
        names, positions, velocities = list(player.joints), position.tolist(), velocity.tolist()
        gripper = self._gripper.decide(player.gripper_position(now), now)
        if gripper is not None:
            names, positions, velocities = (
                [*names, player.gripper],
                [*positions, gripper],
                [*velocities, 0.0],
            )
        self._command.publish(command_message(names, positions, velocities, now))
        self._points += 1
        if self._leads(now):
            self._sink.point(position, velocity, gripper, now)
        if self._told != (player.mode, player.reason):
            self._report()

    def _wait_for_the_arm(self, now: int) -> None:
        """After a stall, or when the clock was set forward, a stream goes on where it stopped: no step for the arm."""
        late = now - self._last_tick - int(2 * NS / self.params.rate)
        if late <= 0 or not self._last_tick or not self._leads(self._last_tick):
            return
        if self.params.sink != "joint_trajectory" and not self.get_parameter("use_sim_time").value:
            self._player.shift(late)
            self._let_go_at += late

    def _give_up(self, why: str) -> None:
        """Hold.

        With explicit recovery disarm, unless waiting between two chunks is how they are played.
        """
        player = self._player
        paused = player.loaded is not None and player.loaded.strategy == "sync" and why == OVER
        if not paused:
            self.get_logger().warning(f"holding: {why}", throttle_duration_sec=1.0)
        if self.params.recovery == "explicit" and self._armed and not paused:
            self._set_armed(False, why)
        else:
            self._hold(why)

    def _finish_braking(self) -> None:
        """A controller that is streamed to would stop dead if the stream ended before the arm is at rest."""
        motion, period = self._player.motion, 1.0 / self.params.rate
        if motion is None or not self._sending or self.params.sink == "joint_trajectory":
            return
        began, now = time.monotonic(), self.now()
        while (at := now + int((time.monotonic() - began) * NS)) < motion.end + int(
            2 * period * NS
        ):
            self._sink.point(*motion.at(at), None, at)
            time.sleep(period)

    def _look_around(self) -> None:
        policies = self.count_publishers(self._chunks.topic_name)
        self._crowd = (
            f"{policies} nodes publish {self._chunks.topic_name}, expected one"
            if policies > 1
            else ""
        )
        listens = self._sink.output.get_subscription_count() > 0
        self._deaf = "" if listens else f"no controller listens on {self._sink.output.topic_name}"

    def _report(self) -> None:
        now, player = self.now(), self._player
        self._told = (player.mode, player.reason)
        self._status.publish(status_message(player, self._armed, now))

    def _diagnose(self) -> None:
        now, player = self.now(), self._player
        fault, (points, since) = self._fault(now), self._counted
        self._counted = self._points, now
        values = {
            "armed": self._armed,
            "mode": player.mode,
            "strategy": player.loaded.strategy if player.loaded else "",
            "remaining [s]": f"{player.remaining(now):.3f}",
            "joint states age [s]": f"{(now - self._guard.stamp) / NS:.3f}"
            if self._guard.stamp
            else "",
            "set points": self._points,
            "set points rate [Hz]": f"{(self._points - points) * NS / max(1, now - since):.1f}",
            "lost": self._lost,
            "played": player.played,
            "rejected": player.rejected,
            "limited": player.limited,
            "last rejection": player.last_rejection,
            "last limit": player.last_limit,
            **self._delivery.table("publish to motion"),
            **self._latency.table("capture to motion"),
        }
        level = "error" if fault else "warn" if player.mode == HOLDING else "ok"
        name, message = f"{self.get_name()}: chunks", fault or player.reason or player.mode
        self._diagnostics.publish(diagnostics(now, name, level, message, values, "arm"))


def main(args: list[str] | None = None) -> int:
    """Run the commander until a signal comes."""
    return run([Commander], args)


if __name__ == "__main__":
    sys.exit(main())
