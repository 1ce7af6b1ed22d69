# SPDX-License-Identifier: Apache-2.0
"""The commander node: arms, plays chunks by time within limits, and holds the arm when anything goes quiet.

A process of its own without torch in it, so that a dying GPU process can never leave a robot moving.
"""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import State
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from . import topics
from .convert import chunk_from, command_message, header, to_time, trajectory_message
from .lifecycle import ManagedNode, run
from .model.interface import NS
from .motion import Limits
from .msg import ActionChunk, CommanderStatus
from .params import param
from .player import HOLDING, PLAYING, Player
from .robot import RobotMap

NEAR = 0.1  # rad or m: a resting arm this close to its set point goes on from the set point, else from where it is


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters of the commander. One value per arm joint, in the order of `joints`, for the limits."""

    autostart: bool = param(True, "configure and activate when the process starts")
    armed: bool = param(
        False, "true: commands go to the controllers from the start; false: dry run until ~/arm is called"
    )
    joints: list[str] = param([], "arm joints as in joint_states")
    gripper_joint: str = param("", "gripper joint as in joint_states; empty: none")
    gripper_open: float = param(0.0, "position of gripper_joint when open [rad or m]")
    gripper_closed: float = param(1.0, "position of gripper_joint when closed [rad or m]")
    lower: list[float] = param([], "lowest position of each arm joint [rad or m]")
    upper: list[float] = param([], "highest position of each arm joint [rad or m]")
    velocity: list[float] = param([], "largest speed of each arm joint [rad/s or m/s]")
    acceleration: list[float] = param([], "largest acceleration of each arm joint [rad/s^2 or m/s^2]")
    rate: float = param(50.0, "set points and checks per second [Hz]")
    trajectory_step: float = param(0.04, "time between two points of a published trajectory [s]")
    max_state_age: float = param(0.25, "joint states older than this: hold [s]")

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in ("joints", "lower", "upper", "velocity", "acceleration")}
        if len(set(counts.values())) != 1:
            raise ValueError(f"parameters joints and limits: expected equal lengths, got {counts}")
        for name in ("rate", "trajectory_step", "max_state_age"):
            if getattr(self, name) <= 0:
                raise ValueError(f"parameter {name!r}: expected a positive number, got {getattr(self, name)}")


class Commander(ManagedNode[Params]):
    """See the module."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("commander", Params, **kwargs)

    def setup(self) -> None:
        p = self.params
        if not p.joints:
            raise ValueError(
                "parameter 'joints' is empty: expected the arm's joints; give a robot file (config/<robot>.yaml)"
            )
        self._arm = RobotMap(tuple(p.joints))
        limits = Limits(*(np.array(values) for values in (p.lower, p.upper, p.velocity, p.acceleration)))
        self._player = Player(tuple(p.joints), limits, p.gripper_joint)
        self._measured: np.ndarray | None = None
        self._state_stamp = self._armed_at = 0
        self._armed = False
        self._gripper_sent: float | None = None
        self._state_fault = ""
        self._told = ("", "")
        self._trajectory = self.advertise(topics.TRAJECTORY)
        self._gripper = self.advertise(topics.GRIPPER)
        self._command = self.advertise(topics.COMMAND)
        self._status = self.advertise(topics.COMMANDER_STATUS)
        self._diagnostics = self.advertise(topics.DIAGNOSTICS)
        self.subscribe(topics.JOINT_STATES, self._on_joint_state)
        self.subscribe(topics.ACTION_CHUNK, self._on_chunk)
        arm, stop = topics.COMMANDER.offers
        self.offer(arm, self._on_arm)
        self.offer(stop, self._on_stop)
        self.every(1.0 / p.rate, self._tick)
        self.every(0.2, self._report)
        self.every(1.0, self._diagnose)

    def start(self) -> None:
        self._set_armed(self.params.armed)

    def stop(self) -> None:
        self._hold("the commander is stopped")
        self._armed = False

    # -- inputs ---------------------------------------------------------------------------------------------------

    def _on_joint_state(self, message: JointState) -> None:
        try:
            self._measured = self._arm.state(message.name, message.position).astype(np.float64)
        except ValueError as error:
            if self._state_fault != str(error):
                self.get_logger().error(f"joint state ignored: {error}")
            self._state_fault = str(error)
            return
        if self._state_fault:
            self.get_logger().info("joint states are good again")
            self._state_fault = ""
        self._state_stamp = self.now()

    def _on_chunk(self, message: ActionChunk) -> None:
        if self.state_id != State.PRIMARY_STATE_ACTIVE:
            return
        now = self.now()
        try:
            chunk = chunk_from(message)
            if chunk.stamp < self._armed_at:
                return  # answers what was seen before arming or a reset
            if fault := self._state_trouble(now):
                raise ValueError(fault)
        except ValueError as error:
            self._player.rejected += 1
            self._player.last_rejection = f"chunk {message.number}: {error}"
            self.get_logger().warning(f"chunk rejected: {error}", throttle_duration_sec=1.0)
            return
        if self._player.mode != PLAYING and not self._is_where_commanded(now):
            self._player.start_at(now, self._measured)
        if not self._player.load(now, chunk, message.number):
            self.get_logger().warning(f"rejected {self._player.last_rejection}", throttle_duration_sec=1.0)
            return
        self._send_motion(now)

    def _on_arm(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        fault = "the node is not active" if self.state_id != State.PRIMARY_STATE_ACTIVE else ""
        if request.data and not fault:
            fault = self._state_trouble(self.now())
        if fault:
            response.success, response.message = False, f"not armed: {fault}" if request.data else fault
            return response
        self._set_armed(request.data)
        response.success, response.message = True, "armed" if request.data else "dry run"
        return response

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        if self.state_id == State.PRIMARY_STATE_ACTIVE:
            self._set_armed(False)
        response.success, response.message = True, "held; dry run until armed again"
        return response

    # -- what it does -------------------------------------------------------------------------------------------------

    def _set_armed(self, armed: bool) -> None:
        self._hold("armed: waiting for a chunk" if armed else "dry run: waiting for a chunk")
        if armed != self._armed:
            self.get_logger().info(
                "armed: commands go to the controllers" if armed else "dry run: nothing goes to the controllers"
            )
        self._armed, self._armed_at, self._gripper_sent = armed, self.now(), None

    def _state_trouble(self, now: int) -> str:
        if self._measured is None:
            return f"no usable joint states{': ' + self._state_fault if self._state_fault else ''}"
        age = (now - self._state_stamp) / NS
        return (
            f"joint states are {age:.2f} s old, limit {self.params.max_state_age:.2f} s"
            if age > self.params.max_state_age
            else ""
        )

    def _is_where_commanded(self, now: int) -> bool:
        motion = self._player.motion
        if not self._armed or motion is None or self._measured is None:
            return False
        return now < motion.end or bool((np.abs(motion.at(now)[0] - self._measured) < NEAR).all())

    def _hold(self, reason: str) -> None:
        now = self.now()
        if self._player.hold(now, reason):
            self._send_motion(now)

    def _send_motion(self, now: int) -> None:
        if self._armed and self._player.motion:
            spacing = int(self.params.trajectory_step * NS)
            self._trajectory.publish(trajectory_message(self._player.motion, self._player.joints, now, spacing))

    def _tick(self) -> None:
        now = self.now()
        if self._player.mode == PLAYING and (fault := self._state_trouble(now)):
            self.get_logger().error(f"holding: {fault}")
            self._hold(fault)
        if self._player.tick(now):
            self.get_logger().warning("holding: the chunk is over and no newer one came", throttle_duration_sec=5.0)
        if self._player.motion is None:
            return
        position, velocity = self._player.motion.at(now)
        names, positions, velocities = list(self._player.joints), position.tolist(), velocity.tolist()
        gripper = self._player.gripper_position(now)
        if gripper is not None:
            names, positions, velocities = [*names, self._player.gripper], [*positions, gripper], [*velocities, 0.0]
            self._send_gripper(gripper)
        self._command.publish(command_message(names, positions, velocities, now))
        if self._told != (self._player.mode, self._player.reason):
            self._report()

    def _send_gripper(self, position: float) -> None:
        low, high = sorted((self.params.gripper_open, self.params.gripper_closed))
        position = min(max(position, low), high)
        if self._armed and (self._gripper_sent is None or abs(position - self._gripper_sent) > 0.01 * (high - low)):
            self._gripper.publish(Float64MultiArray(data=[position]))
            self._gripper_sent = position

    def _report(self) -> None:
        now, player = self.now(), self._player
        self._told = (player.mode, player.reason)
        status = CommanderStatus(
            header=header(now),
            armed=self._armed,
            mode=player.mode,
            reason=player.reason,
            remaining=player.remaining(now),
            played=player.played,
            rejected=player.rejected,
            limited=player.limited,
            last_rejection=player.last_rejection,
        )
        if player.loaded:
            status.chunk, status.chunk_stamp = player.loaded.number, to_time(player.loaded.chunk.stamp)
        self._status.publish(status)

    def _diagnose(self) -> None:
        now, player = self.now(), self._player
        fault = self._state_trouble(now)
        level = (
            DiagnosticStatus.ERROR
            if fault
            else DiagnosticStatus.WARN
            if player.mode == HOLDING
            else DiagnosticStatus.OK
        )
        values = {
            "armed": self._armed,
            "mode": player.mode,
            "remaining_s": f"{player.remaining(now):.3f}",
            "played": player.played,
            "rejected": player.rejected,
            "limited": player.limited,
            "last_rejection": player.last_rejection,
        }
        status = DiagnosticStatus(
            level=level,
            name=f"{self.get_name()}: chunks",
            message=fault or player.reason or player.mode,
            hardware_id="arm",
        )
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._diagnostics.publish(DiagnosticArray(header=header(now), status=[status]))


def main(args: list[str] | None = None) -> int:
    """Run the commander until a signal comes."""
    return run([Commander], args)


if __name__ == "__main__":
    sys.exit(main())
