# SPDX-License-Identifier: Apache-2.0
"""Random histories of the whole commander: does it ever move the arm wrongly, or stand silently?

The real node with a stepped clock (no traffic, no sleep), an arm that follows late, its controller,
encoders, a policy, an operator, and disturbances of all of them. Checked in every control period:

1. Begin at the arm: a motion that begins, and a streamed point, are no further from the true arm
   than `speed x (tracking_lag + age + 2 periods) + max_tracking_error`. speed: the fastest of set
   points and arm in the last `tracking_lag + age + 1 s`; age: of what the commander was last told
   rightly about the arm. While another publisher says something else, what that can say without
   being implausible is added. Never more than CAP rad and what is moved within `age` (joint states
   may be missing for `max_age`, an arm be pushed just then), unless encoders repeated old values
   under new stamps for longer than LIE: that an arm at rest is pushed cannot be known. Left
   out: a brake along the motion under way while the commander says that it does not know where the
   arm is, or that what is measured is not what the controller moves, and an arm that was put
   elsewhere at once until it was measured there.
2. Limits: motions keep those of position, speed, acceleration and jerk at every moment; streamed
   points step no further than the largest speed allows, but onto the arm where it stands.
3. After a stop only braking or the way back to the arm begins, the stream ends with it, and the
   arm is not armed while the stop stands.
4. No silent standstill: active, armed, with chunks that want motion, and the arm still for more
   than SILENCE, it has said why; but not while its set points do move, by less than a tracking
   error that is allowed. Undisturbed for 3 s and a cycle of the policy, it moves again.
5. No arm that nothing disturbs, and that follows its controller, is said not to follow.
6. No exception.

python bench/commander_histories.py --steps 1000000 --out bench/results/commander_histories.json
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import dataclasses
import json
import math
import os
import platform
import sys
import tempfile
import time
import traceback
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from commander_disturbances import DISTURBANCES
from commander_world import PERIOD, SUBSTEP, World
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.logging import LoggingSeverity, set_logger_level
from rclpy.parameter import Parameter
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import JointTrajectory

from cosmos3_ros.execution.chunk_player import HOLDING, PLAYING
from cosmos3_ros.execution.spline_motion import Limits, SplineMotion
from cosmos3_ros.model.interface import NS
from cosmos3_ros.nodes import commander_node
from cosmos3_ros.robot.joint_plausibility import differences, largest_change

CAP = 0.5  # rad
LIE = 1.0  # s
SILENCE = 1.0  # s
APART = 0.3  # rad: more than an arm is behind its controller
STILL = 0.003  # rad: an arm that moved less stands still
HISTORY = 3000  # control periods of one history
SINKS = ("joint_trajectory", "position_stream", "joint_command")


@dataclasses.dataclass(frozen=True)
class Violation:
    """What went wrong, and how to see it again."""

    rule: str
    seed: int
    step: int
    what: str
    disturbances: tuple[str, ...]  # those before it, with the step at which each began


class Recorder:
    """In place of a publisher."""

    def __init__(self, topic: Any, world: World) -> None:
        self.topic_name, self._world = topic.name, world

    def publish(self, message: Any) -> None:
        """Only the controller of trajectories listens."""
        if isinstance(message, JointTrajectory):
            self._world.controller.begin(message, self._world.clock)

    def get_subscription_count(self) -> int:
        return 1

    def wait_for_all_acked(self, timeout: Any) -> bool:
        return True


class Driven(commander_node.CommanderNode):
    """The commander with the clock, the graph and the outputs of a history."""

    def __init__(self, history: History, **parameters: Any) -> None:
        self.history, self.names, self.policies, self.listeners = history, ["driver"], 1, 1
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        super().__init__(parameter_overrides=overrides, enable_rosout=False)

    def now(self) -> int:
        return self.history.world.clock

    def steady(self) -> int:
        return self.history.world.time

    def advertise(self, topic: Any) -> Any:
        return Recorder(topic, self.history.world)

    def get_publishers_info_by_topic(self, topic: str, no_mangle: bool = False) -> Any:
        return [types.SimpleNamespace(node_name=name) for name in self.names]

    def _check_graph(self) -> None:
        self._publisher_fault = f"{self.policies} nodes publish" if self.policies > 1 else ""
        self._listener_fault = "" if self.listeners else "no controller listens"

    def setup(self) -> None:
        super().setup()
        history, sink = self.history, self._sink
        begin, point = sink.begin, sink.point
        sink.begin = lambda *motion: (history.on_begin(*motion), begin(*motion))
        sink.point = lambda *motion: (history.on_point(*motion), point(*motion))

    def deliver(self, kind: str, message: Any) -> None:
        (self._on_joint_state if kind == "state" else self._on_chunk)(message)

    def step(self, count: int) -> None:
        """What the timers do in one control period."""
        if count % 3 == 0:
            self._check_graph()
            self._arm_if_ready()
        self._tick()
        if count % 10 == 0:
            self._report()
        if count % 50 == 0:
            self._diagnose()

    def arm(self, wanted: bool) -> SetBool.Response:
        return self._on_arm(SetBool.Request(data=wanted), SetBool.Response())

    def is_active(self) -> bool:
        return bool(self.state_id == commander_node.State.PRIMARY_STATE_ACTIVE)


class Clock:
    """In place of the module `time` of the commander: braking at a transition takes world time."""

    def __init__(self, history: History) -> None:
        self._history = history

    def monotonic(self) -> float:
        return self._history.world.time / NS

    def sleep(self, seconds: float) -> None:
        for _ in range(round(seconds * NS / SUBSTEP)):
            self._history.world.advance()


def random_limits(random: np.random.Generator, joints: int) -> Limits:
    velocity = random.uniform(0.6, 2.0, joints)
    acceleration = velocity * random.uniform(2.0, 6.0, joints)
    upper = random.uniform(1.0, 3.0, joints)
    return Limits(-upper, upper, velocity, acceleration, 10 * acceleration)


def parameters_of(limits: Limits, joints: tuple[str, ...], folder: str) -> dict[str, Any]:
    """The limits as parameters of the commander; continuous joints stand in a description."""
    names = ("lower", "upper", "velocity", "acceleration", "jerk")
    values: dict[str, Any] = {name: getattr(limits, name).tolist() for name in names}
    if limits.continuous.any():
        parts = []
        for k, joint in enumerate(joints):
            kind = "continuous" if limits.continuous[k] else "revolute"
            ends = f'lower="{limits.lower[k]}" upper="{limits.upper[k]}"' if kind[0] == "r" else ""
            limit = f'<limit {ends} velocity="{limits.velocity[k]}" effort="9"/>'
            parts.append(f'<joint name="{joint}" type="{kind}">{limit}</joint>')
        path = Path(folder) / "robot.urdf"
        path.write_text(f'<robot name="r">{"".join(parts)}</robot>')
        values |= {"urdf": str(path), "lower": [], "upper": [], "velocity": []}
    return values | {"joints": list(joints)}


class History:
    """One random history of the commander and its world."""

    def __init__(self, seed: int, folder: str, only: tuple[str, ...] = ()) -> None:
        self.seed, self.count, self.violations = seed, 0, list[Violation]()
        self.random = random = np.random.default_rng(seed)
        joints = tuple(f"joint{k}" for k in range(1, int(random.integers(2, 4)) + 1))
        limits = random_limits(random, len(joints))
        if random.random() < 0.25:
            limits = dataclasses.replace(
                limits,
                lower=np.append(-np.inf, limits.lower[1:]),
                upper=np.append(np.inf, limits.upper[1:]),
            )
        self.world, self.limits = World(random, joints, limits), limits
        self.sink = SINKS[random.integers(len(SINKS))]
        self.recovery = str(random.choice(["automatic", "explicit"]))
        self.simulated = bool(random.random() < 0.3)
        self.disturbances = tuple(d for d in DISTURBANCES if not only or d.__name__ in only)
        self.seen: collections.Counter[str] = collections.Counter()
        self.log: list[str] = []
        self.answer = ""  # to the operator
        self.stalled_until = 0
        self._undo: list[tuple[int, str, Any]] = []  # when it ends, what it is
        self._next_disturbance, self._calm_since = NS, 0
        # clock, time, position
        self._last_point: tuple[int, int, np.ndarray] | None = None
        self._stop_stands = False  # by the topic
        self._stopped = False  # disarmed by whatever stop, since then not armed by the operator
        self._stop_motion_end = 0
        self._speeds: collections.deque[tuple[int, float]] = collections.deque(maxlen=150)
        self._before = (self.world.controller.set_point, self.world.arm.position)
        self._anchor, self._moved_at, self._word_at = self.world.arm.position, 0, 0
        self._led: list[tuple[int, np.ndarray]] = []  # time and set points [N] since then
        self._travel_from = self.world.arm.position
        self._suspicion, self._suspected_at, self._reason_before = 0.0, 0, ""
        self._apart_at = 0  # when the arm was last not at its controller's set point
        self._wanted: collections.deque[int] = collections.deque(maxlen=3)
        self._rejected, self._invented_at = 0, -10 * NS
        self._measured = collections.deque([self.world.arm.position], maxlen=4)
        commander_node.time = Clock(self)  # type: ignore[assignment]
        self.node = Driven(
            self,
            sink=self.sink,
            recovery=self.recovery,
            armed=bool(random.random() < 0.5),
            use_sim_time=self.simulated,
            **parameters_of(limits, joints, folder),
        )
        set_logger_level(self.node.get_logger().name, LoggingSeverity.FATAL)
        if self.node.trigger_configure() != TransitionCallbackReturn.SUCCESS:
            raise ValueError(self.node.failure)
        self.node.trigger_activate()

    # -- what disturbances do

    def stop_topic(self, stopped: bool) -> None:
        self.node._on_stop_topic(Bool(data=stopped))
        self._stop_stands = stopped
        self._note_stop()

    def stop_service(self) -> None:
        self.node._on_stop(Trigger.Request(), Trigger.Response())
        self._note_stop()

    def arm(self, wanted: bool) -> None:
        if wanted:
            response = self.node.arm(True)
            if response.success:
                self._stopped = False
                if self._stop_stands:
                    self.violate("stop", "armed while the stop stands")
        else:
            response = self.node.arm(False)
            self._note_stop()
        self.answer = str(response.message)

    def deactivate(self, clean_up: bool) -> None:
        self.node.trigger_deactivate()
        if clean_up:
            self.node.trigger_cleanup()
            self.node.trigger_configure()
        self._last_point = None

    def activate(self) -> None:
        self.node.trigger_activate()
        self._stopped = not self.node._armed

    def _note_stop(self) -> None:
        if self.node.is_active():
            self._stopped = True
            motion = self.node._player.motion
            self._stop_motion_end = motion.end if motion else 0
            if self.node._armed:
                self.violate("stop", "still armed after a stop")

    # -- what the commander does

    def on_begin(self, motion: SplineMotion, now: int) -> None:
        player = self.node._player
        self._check_away("begins", motion.at(now)[0])
        if not self.limits.allow(motion.points).all():
            self.violate("limits", f"a motion ({player.mode} {player.reason})")
        if self._stopped and player.mode != HOLDING:
            self.violate("stop", f"a motion begins after a stop: {player.mode}")

    def on_point(
        self, position: np.ndarray, velocity: np.ndarray, gripper: float | None, now: int
    ) -> None:
        world, player = self.world, self.node._player
        self._led.append((world.time, position))
        if self.sink == "joint_trajectory":
            return
        if self._stopped and player.motion is not None and now > player.motion.end + 2 * PERIOD:
            self.violate("stop", f"a point {(now - player.motion.end) / NS:.2f} s after the brake")
        last, self._last_point = self._last_point, (now, world.time, position)
        # by the world's time: the node's clock may have been set
        elapsed = 0 if last is None else max(now - last[0], world.time - last[1])
        still = last is None or world.time - last[1] > 3 * PERIOD
        paused = last is None or (still and world.time > self.stalled_until + NS)
        if player.mode == PLAYING or paused:
            self._check_away("streams", position)
        if last is not None and not paused and elapsed < 3 * NS:
            elapsed = elapsed if self.simulated else min(elapsed, 2 * PERIOD)
            most = 1.05 * self.limits.velocity * max(PERIOD, elapsed) / NS
            step = np.abs(differences(last[2], position, self.limits.continuous))
            onto = self._is_measured_there(position, most)
            if ((step > most) & ~onto).any():
                joint = int((step - most).argmax())
                self.violate(
                    "limits",
                    f"steps by {step[joint]:.3f}, most {most[joint]:.3f}, "
                    f"{player.mode} {player.reason}",
                )
        world.controller.point(position)

    def _check_away(self, what: str, begin: np.ndarray) -> None:
        world, node = self.world, self.node
        known = int(world.known_at.min())
        if known <= world.arm.put_at:
            return
        if node._player.mode == HOLDING and (
            node._monitor.fault(node.now()) or node._supervisor.is_disputed
        ):
            return
        age = (world.time - known) / NS
        window = world.time - int((node.params.tracking_lag + age + 1.0) * NS)
        speed = max((speed for when, speed in self._speeds if when >= window), default=0.0)
        bound = speed * (node.params.tracking_lag + age + 2 * PERIOD / NS)
        bound += node.params.max_tracking_error
        if world.time - self._invented_at < NS:
            interval = max(encoder.interval for encoder in world.encoders)
            bound += float(largest_change(self.limits.velocity, interval).max())
        away = float(world.away(begin).max())
        if away > (bound if age > LIE else min(bound, CAP + speed * age)):
            self.violate(
                "away",
                f"{what} {away:.3f} from the arm, bound {bound:.3f}, speed {speed:.2f}, "
                f"age {age:.2f}, {node._player.mode} {node._player.reason}",
            )

    def _is_measured_there(self, position: np.ndarray, most: np.ndarray) -> np.ndarray:
        """Whether this is a step at most from the measured arm, or from its range's near end."""
        measured = self.node._monitor.measured
        if measured is None:
            return np.zeros(len(position), bool)
        edge = np.clip(measured, self.limits.lower, self.limits.upper)
        near = np.zeros(len(position), bool)
        for place in (measured, edge):
            away = np.abs(differences(place, position, self.limits.continuous))
            near |= away < 0.01 + most
        return near & (np.ptp(np.array(self._measured), axis=0) < 0.02)

    def violate(self, rule: str, what: str) -> None:
        self.violations.append(Violation(rule, self.seed, self.count, what, tuple(self.log[-8:])))

    # -- time

    def run(self, steps: int) -> None:
        """So many control periods, or until an exception."""
        for _ in range(steps):
            self.count += 1
            try:
                self._step()
            except Exception as error:  # any is a violation
                where = traceback.extract_tb(error.__traceback__)[-1]
                self.violate(
                    "exception", f"{error!r} at {Path(where.filename).name}:{where.lineno}"
                )
                return

    def close(self) -> None:
        self.node.destroy_node()
        commander_node.time = time  # type: ignore[assignment]

    def _step(self) -> None:
        world = self.world
        self._disturb()
        if any(encoder.invents for encoder in world.encoders):
            self._invented_at = world.time
        end = world.time + PERIOD
        while world.time < end:
            world.advance()
            if world.time >= self.stalled_until:
                self._deliver()
        if world.time >= self.stalled_until and self.node.is_active():
            self.node.step(self.count)
        self._observe()

    def _deliver(self) -> None:
        found, node = self.world.arrived(), self.node
        for state in [item for kind, item in found if kind == "state"][-4:]:
            self.world.heard(*state)
            if node.is_in_use:
                node.deliver("state", state[0])
        for wild, message in [item for kind, item in found if kind == "chunk"]:
            if node.is_active():
                rejected = node._player.rejected
                node.deliver("chunk", message)
                if node._player.rejected > rejected:
                    self._word_at = self.world.time
                    self.seen["rejected"] += 1
                self.seen["chunks"] += 1
            if not wild:
                self._wanted.append(self.world.time)

    def _disturb(self) -> None:
        """Undo what is over; when it is time to, begin up to three disturbances."""
        world, random = self.world, self.random
        due = [item for item in self._undo if item[0] <= world.time]
        if due:
            self._undo = [item for item in self._undo if item[0] > world.time]
            for _, _, undo in reversed(due):
                undo()
            self._calm_since = world.time
        if world.time < self._next_disturbance:
            return
        if not self.disturbances:
            self._calm_since, self._next_disturbance = world.time, sys.maxsize
            return
        for _ in range(int(random.integers(1, 4))):
            chosen = self.disturbances[random.integers(len(self.disturbances))]
            name, running = chosen.__name__, {name for _, name, _ in self._undo}
            if name in running or len(running) > 3:
                continue
            lasts = 10 ** random.uniform(-1.0, 1.0 if random.random() < 0.3 else 0.3)
            undo = chosen(self, random)
            self._undo.append((world.time + int(lasts * NS), name, undo))
            self.log.append(f"{self.count}: {name} {lasts:.2f} s")
            self.seen[name] += 1
        self._calm_since = world.time
        self._next_disturbance = world.time + int(random.uniform(0.2, 3.0) * NS)
        if random.random() < 0.6:
            self._next_disturbance = sys.maxsize  # until it has moved again

    # -- what is seen

    def _observe(self) -> None:
        world, node = self.world, self.node
        set_point, where = world.controller.set_point, world.arm.position
        speed = max(
            np.abs(differences(before, after, self.limits.continuous)).max()
            for before, after in zip(self._before, (set_point, where), strict=True)
        ) / (PERIOD / NS)
        if node.is_active() and node._player.motion is not None:
            speed = max(speed, np.abs(node._player.motion.at(node.now())[1]).max())
        if world.time - world.arm.put_at > PERIOD:
            self._speeds.append((world.time, min(speed, 1.3 * float(self.limits.velocity.max()))))
        self._before = set_point, where
        if world.away(set_point).max() > APART:
            self._apart_at = world.time
        active = node.is_active()
        if np.abs(where - self._anchor).max() > STILL:
            self._anchor, self._moved_at, self._led = where, world.time, []
        if node.is_in_use and node._monitor.measured is not None:
            self._measured.append(node._monitor.measured)
        if self._stop_stands and active and node._armed:
            self.violate("stop", "armed while the stop stands")
        stalled = world.time < self.stalled_until
        if (
            stalled
            or not active
            or not node._armed
            or (node._player.mode != PLAYING and node._player.reason)
        ):
            self._word_at = world.time
        still, silent = world.time - self._moved_at, world.time - self._word_at
        keeps_coming = len(self._wanted) == 3 and world.time - self._wanted[0] < 3 * NS
        late = min(still, silent) > (SILENCE + 0.2) * NS and keeps_coming
        if late and not self._leads_within(node.params.max_tracking_error):
            self.violate("silent", f"{still / NS:.1f} s, {node._player.mode} {node._player.reason}")
            self._word_at = world.time
        self._recover(active)

    def _leads_within(self, limit: float) -> bool:
        """Whether set points moved lately, but no further than `limit` while the arm stands."""
        since = self.world.time - int(SILENCE * NS)
        lately = [point for when, point in self._led if when >= since]
        if not lately or np.ptp(lately, axis=0).max() <= STILL:
            return False
        return bool(np.ptp([point for _, point in self._led], axis=0).max() <= limit)

    def _recover(self, active: bool) -> None:
        """Undisturbed, an operator arms, and the arm moves within a while."""
        world, node = self.world, self.node
        if self._undo or self._next_disturbance != sys.maxsize:
            self._travel_from, self._suspicion = world.arm.position, 0.0
            self._suspected_at = -sys.maxsize
            return
        calm = world.time - max(self._calm_since, self.stalled_until)
        if active and not node._armed and self.count % 25 == 0 and calm > NS // 2:
            self.arm(True)
        if calm > NS // 2 and world.time - self._suspected_at > 20 * NS:
            # with two publishers or two clocks lately, the commander waits; it says so
            said = f"{node._fault(node.now())}{node._monitor.why_not_arm(node.now())}"
            suspects = "publishers" in said or "two clocks" in said
            self._suspicion, self._suspected_at = (10.0 * suspects), world.time
        if calm < 3 * NS:
            self._travel_from = world.arm.position
            self._reason_before = node._player.reason if node.is_in_use else ""
            return
        known = active and not self._suspicion and not node._monitor.fault(node.now())
        why = node._supervisor.fault(node.now()) if known else ""
        if known and node._player.reason != self._reason_before:
            why = why or node._player.reason
        # let go, an arm that was held or pushed returns to its controller's set point by itself
        if "does not follow" in why and world.time - self._apart_at > 3 * NS:
            self.violate("blamed", f"after {calm / NS:.1f} s calm: {why}")
        if (
            np.abs(differences(self._travel_from, world.arm.position, self.limits.continuous)).max()
            > 0.02
        ):
            self.seen["recovered"] += 1
            self._next_disturbance = world.time + int(self.random.uniform(0.0, 2.0) * NS)
        elif calm > (3.0 + world.policy.cycle + self._suspicion) * NS:
            player = node._player if node.is_in_use else None
            self.violate(
                "standstill",
                f"{calm / NS:.1f} s calm, armed {node._armed} {self.answer!r}, "
                f"fault {node._fault(node.now())!r}, "
                f"{player and (player.mode, player.reason, player.last_rejection)}",
            )
            self._next_disturbance = world.time


@contextlib.contextmanager
def ros() -> Iterator[str]:
    """ROS, and a folder for robot descriptions."""
    rclpy.init(args=[])
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield folder
    finally:
        rclpy.shutdown()


def run(steps: int, seed: int, history: int = HISTORY) -> dict[str, Any]:
    """So many control periods in histories of their own seeds, beginning with `seed`."""
    began, found, seen = time.monotonic(), list[Violation](), collections.Counter[str]()
    with ros() as folder:
        for number in range(math.ceil(steps / history)):
            one = History(seed + number, folder)
            one.run(history)
            found += one.violations
            first = {v.rule: v for v in reversed(one.violations)}
            for violation in first.values():
                print(violation, file=sys.stderr, flush=True)
            seen.update(one.seen | {"steps": one.count, "histories": 1})
            seen.update(played=one.node._player.played if one.node.is_in_use else 0)
            one.close()
    counts = {rule: sum(v.rule == rule for v in found) for rule in RULES}
    return {
        "counts": dict(sorted(seen.items())),
        "violations": counts,
        "first": [dataclasses.asdict(v) for v in found[:20]],
        "minutes": round((time.monotonic() - began) / 60, 2),
    }


RULES = ("away", "limits", "stop", "silent", "standstill", "blamed", "exception")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=100_000, help="control periods")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    found = run(args.steps, args.seed)
    facts = {
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python", *sys.argv]),
        "device": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {"python": platform.python_version(), "numpy": np.__version__},
        "load average": os.getloadavg()[1],
    }
    print("| rule | violations |\n| --- | ---: |")
    for rule, count in found["violations"].items():
        print(f"| {rule} | {count} |")
    print(found["counts"], found["minutes"])
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(facts | found, indent=2) + "\n")
    return int(any(found["violations"].values()))


if __name__ == "__main__":
    sys.exit(main())
