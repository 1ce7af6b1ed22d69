# SPDX-License-Identifier: Apache-2.0
"""The policy node: aligned observations in, action chunks and predicted futures out.

Callbacks convert and store, one thread runs the network on the newest observation, another decodes
video.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from textwrap import shorten
from typing import Any

import numpy as np
from lifecycle_msgs.msg import State
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from ..execution.latency_window import LatencyWindow
from ..execution.observation_buffer import STATE, ObservationBuffer, Sample
from ..execution.progress import Progress
from ..execution.replanner import Replanner
from ..execution.stamp_judge import Verdict
from ..execution.surprise.alarm import HOLD, OFF, REPLAN
from ..model.embodiment import JOINTS, Embodiment
from ..model.embodiment.plausibility import check_pictures, check_states, doubts
from ..model.interface import NS, ActionChunk, Observation, Policy, Prediction, warm_up
from ..msg import CommanderStatus, Surprise
from ..robot.frozen_camera import FrozenCamera
from ..robot.frozen_joint import FrozenJoints
from ..robot.images import to_rgb
from ..robot.joint_map import check_mobile_base, map_joints
from ..robot.joint_states import JointStates
from ..robot.kinematics.tool_map import ToolMap
from ..robot.kinematics.vehicle import check_vehicle, vehicle_poses
from ..ros import topics
from ..ros.diagnostics import Faults, diagnostics
from ..ros.lifecycle import ManagedNode
from ..ros.messages import chunk_message, future_message, header, path_message, to_ns
from ..ros.rate_cap import RateCap
from ..ros.simulation_pause import Pause, PausingPolicy
from ..ros.worker_thread import LAST, Worker
from ..serve.clients.policy_client import RemotePolicy
from .imagine.world_services import Access, World, WorldServices
from .known_parameters import KNOWN
from .policy_params import Params
from .robot_description import receive_description
from .surprise.surprise_watch import Meter, SurpriseWatch

PATIENCE = NS // 2  # say why there is no inference only if it lasts
OVERDUE = 5.0  # seconds without an inference that is due, or three times what the slowest took
WORDS = 200  # characters of an instruction that the log shows
QUIET = NS // 10  # without a new image for so long: do not wait for one


class PolicyNode(ManagedNode[Params]):
    """See the module.

    `load` makes the policy from the parameters; it is called at configure, if it is not remote.
    """

    def __init__(
        self,
        load: Callable[[Params], Policy],
        measure: Callable[[Policy], Meter] | None = None,
        world: World | None = None,
        **kwargs: Any,
    ) -> None:
        """measure: what compares the policy's predictions with what comes, see `SurpriseWatch`.

        world: what else can be asked of a policy with weights here.
        """
        super().__init__("policy", Params, KNOWN, **kwargs)
        self._load, self._measure, self._world = load, measure, world
        self._surprise: SurpriseWatch | None = None
        self._remote: RemotePolicy | None = None
        self._workers: list[Worker[Any]] = []
        self._imagine: WorldServices | None = None

    def setup(self) -> None:
        p = self.params
        pause = Pause(self) if p.pause_simulation else None
        if pause:
            self._made.append((self.destroy_client, pause.client))
        began = time.monotonic()
        self._policy = self._make_policy()
        embodiment = self._policy.embodiment
        self._map(embodiment)
        self._joints = JointStates(p.joints)
        self._buffer = ObservationBuffer(
            embodiment.views,
            int(p.max_age * NS),
            int(p.max_skew * NS),
            self.most_ahead,
            self._joints,
        )
        self._cameras = {view: FrozenCamera() for view in embodiment.views}
        self._replanner = Replanner(p.plan())
        # last: number and stamp (ns) of the chunk that the commander plays
        self._instruction, self._number, self._episode, self._playing = p.instruction, 0, 0, (0, 0)
        self._begun_at = 0  # number of the last chunk of the episode before
        self._newest_image = 0  # when it came
        self._looked = -1  # the episode whose first observation is plausible
        self._is_waiting = False  # an observation is due and not there, or a better one is awaited
        # since when one has been due and could not be had; observations that came to nothing
        self._waiting_since = self._dropped = self._refused = 0
        self._left_out: dict[str, int] = {}  # messages of each stream at the last diagnostics
        self._stages: dict[str, LatencyWindow] = {}
        self._faults, self._progress = Faults(self.get_logger()), Progress()  # of inferences
        self._warm_up()
        if not p.vehicle_frame:  # candidates are positions of joints
            self._offer_world()
        self._surprise = self._watch_surprise()
        if pause:
            self._policy = PausingPolicy(self._policy, pause)
        output = topics.VEHICLE_PATH if p.vehicle_frame else topics.ACTION_CHUNK
        self._chunks, self._futures = self.advertise(output), self.advertise(topics.FUTURE)
        self._diagnostics = self.advertise(topics.DIAGNOSTICS)
        self._subscribe(embodiment.views)
        self._infer = Worker("infer", self._run, self._failed)
        self._decode = Worker("decode", self._decode_future, self._failed, LAST)
        self._workers = [self._infer, self._decode]
        self.parameters.changed = self._on_parameters
        self.every(QUIET / NS, self._plan_in_silence, steady=True)
        self.every(0.5, self._watch_inference, steady=True)
        self.every(1.0, self._diagnose, steady=True)
        self.get_logger().info(f"{embodiment.name} ready after {time.monotonic() - began:.1f} s")

    def _subscribe(self, views: Sequence[str]) -> None:
        p = self.params
        # first: of what is ready the executor takes the earliest subscription's, and pictures wait
        # for the joints of their moment
        if not p.vehicle_frame:
            self.subscribe(topics.JOINT_STATES, self._on_joint_state, callback_group=RateCap())
        if p.mobile_base:
            self.subscribe(topics.ODOMETRY, self._on_odometry, callback_group=RateCap())
        for view in views:
            self.subscribe(
                topics.camera(view, p.image_transport, p.image_reliability),
                self._on_image(view),
            )
        self.subscribe(topics.INSTRUCTION, self._on_instruction)
        self.subscribe(topics.COMMANDER_STATUS, self._on_commander)

    def _map(self, embodiment: Embodiment) -> None:
        """Tie the embodiment's numbers to the robot's joints, or to its tool and so to them."""
        p = self.params
        self._tool: ToolMap | None = None
        self._still = FrozenJoints(())
        if p.vehicle_frame:
            check_vehicle(embodiment, p.joints, p.mobile_base)
            return
        self._robot = map_joints(embodiment, p.joints, *p.grippers(), p.units)
        base = check_mobile_base(embodiment, p.joints, p.mobile_base)
        self._still = FrozenJoints(p.joints, (*self._robot.grippers, *base))
        if embodiment.kind != JOINTS:
            self._tool = ToolMap(embodiment, self._robot, p, receive_description(self, p.urdf))

    def _make_policy(self) -> Policy:
        """The policy server to ask, or else what is loaded."""
        self._remote = self.params.remote()
        if self._remote:
            return self._remote
        self.get_logger().info(f"loading {self.params.checkpoint or 'the embedded checkpoint'}")
        return self._load(self.params)

    def _offer_world(self) -> None:
        """What can be asked, of the policy itself: a simulation is not paused for it."""

        def spare() -> float:
            if not self._instruction:
                return math.inf if self._infer.idle else 0.0
            return self._replanner.spare(self.now()) if self._infer.idle else 0.0

        access = Access(
            observe=self._observation,
            convert=self._pictures,
            sample=lambda: self._buffer.sample(self.now()),
            spare=spare,
            why_not=lambda: "" if self._is_active else "the policy node is not active",
            instruction=lambda: self._instruction,
        )
        world = None if self._remote else self._world
        self._imagine = WorldServices(self, self._policy, world, self._robot, self._tool, access)

    @property
    def _is_active(self) -> bool:
        return self.state_id == State.PRIMARY_STATE_ACTIVE

    def _watch_surprise(self) -> SurpriseWatch | None:
        """What compares the predictions with what comes; None if nobody asked for it."""
        if self.params.surprise == OFF:
            return None
        if self._remote or self._measure is None:
            raise ValueError(
                f"parameter 'surprise' is {self.params.surprise!r}: expected off with policy_url, "
                "a server keeps its predictions"
            )
        if self.params.vehicle_frame:
            raise ValueError(
                f"parameter 'surprise' is {self.params.surprise!r}: expected off with "
                "vehicle_frame, no commander says what was driven"
            )
        self.subscribe(topics.COMMAND, self._on_command, callback_group=RateCap())
        publisher, meter = self.advertise(topics.SURPRISE), self._measure(self._policy)

        def publish(message: Surprise) -> None:
            self._faults.set("surprise", "")
            publisher.publish(message)

        def failed(error: Exception) -> None:
            self._faults.set("surprise", f"{type(error).__name__}: {error}")

        return SurpriseWatch(self._policy, meter, self.params, self._convert, publish, failed)

    def start(self) -> None:
        self._forget()
        if self._imagine:
            self._imagine.forget()
        self._number = 0
        if not self._instruction:
            self.get_logger().info("waiting for an instruction on cosmos3/instruction")

    def stop(self) -> None:
        if self._imagine:
            self._imagine.cancel()
        self._forget()

    def teardown(self) -> None:
        if self._remote:
            self._remote.close()
        while self._workers:
            self._workers.pop().close()
        if self._imagine:
            self._imagine.close()
        self._imagine = None
        if self._surprise:
            self._surprise.close()
        self._surprise = None
        self._remote = None
        self._policy = None  # type: ignore[assignment]  # gives the memory back

    def _warm_up(self) -> None:
        """Have the policy do what happens only once before the first real chunk."""
        if self._remote:
            self._greet()
            return
        if self.params.compile:
            self.get_logger().info(
                "warm-up: compiling; a minute or so the first time, less when it was done before"
            )
        # the second chunk records the CUDA graphs
        warm_up(self._policy, self.params.instruction or "wait", 1 + self.params.cuda_graphs)

    def _greet(self) -> None:
        """Say whether the policy server answers; one that does not yet may come later."""
        try:
            warm_up(self._policy)
        except (ValueError, OSError) as error:
            self._faults.set("no chunk", f"{type(error).__name__}: {error}")
        else:
            self.get_logger().info(f"asks {self.params.policy_url}")

    # -- inputs ------------------------------------------------------------------------------------

    def _on_image(self, view: str) -> Callable[[Image | CompressedImage], None]:
        def store(message: Image | CompressedImage) -> None:
            self._newest_image = now = self.now()
            self._cameras[view].look(message.data, now, self._joints.positions)
            self._store(view, message.header, message)
            if self.params.vehicle_frame and view == self._buffer.views[0]:
                self._store(STATE, message.header, np.zeros(1))  # without joints: one of no meaning
            if self._is_active:
                self._plan()

        return store

    def _on_joint_state(self, message: JointState) -> None:
        try:
            values = self._joints.read(message.name, message.position)
        except ValueError as error:
            self._faults.set("joint state ignored", str(error))
            return
        if not values:  # of another device, or of velocities
            return
        self._faults.set("joint state ignored", "")
        row = np.array([values.get(joint, np.nan) for joint in self._joints.joints])
        verdict = self._store(STATE, message.header, self._robot.to_policy(row))
        if not verdict.fault:
            self._joints.take(values, verdict.stamp)
            self._faults.set("frozen joint", self._still.look(row, verdict.stamp))
        if self._is_waiting and self._is_active:
            self._plan()

    def _on_command(self, message: JointState) -> None:
        """Set points: of joints that act by poses nothing can be said in the policy's columns."""
        if self._surprise and self._tool is None:
            at = dict(zip(message.name, message.position, strict=False))
            row = np.array([at.get(joint, np.nan) for joint in self._joints.joints])
            row = np.where(np.isnan(row), self._joints.positions, row)
            self._surprise.commanded(to_ns(message.header.stamp), self._robot.to_policy(row))

    def _on_odometry(self, message: Odometry) -> None:
        """Velocities are columns as others are, each measured at its own moment."""
        twist = message.twist.twist
        speeds = (twist.linear.x, twist.linear.y, twist.angular.z)
        known = {name: v for name, v in zip(self.params.mobile_base, speeds, strict=True) if name}
        self._on_joint_state(
            JointState(header=message.header, name=list(known), position=list(known.values()))
        )

    def _store(self, stream: str, message_header: Any, payload: Any) -> Verdict:
        verdict = self._buffer.add(stream, to_ns(message_header.stamp), self.now(), payload)
        if verdict.jumped:
            self.get_logger().warning(
                f"{stream}: the clock jumped back; everything older is forgotten"
            )
            self._forget()
            if self._imagine:
                self._imagine.forget()
        if verdict.note:
            self.get_logger().info(f"{stream}: {verdict.note}")
        if verdict.fault:
            self._faults.set(stream, verdict.fault)
        else:
            self._pass_on(stream, verdict.stamp, payload)
        return verdict

    def _pass_on(self, stream: str, stamp: int, payload: Any) -> None:
        """What was stored, for those that look at more than the newest of it."""
        if self._imagine and stream == STATE:
            self._imagine.joints(stamp, payload)
        elif self._imagine:
            self._imagine.picture(stream, stamp, payload)
        if self._surprise and stream != STATE:
            self._surprise.picture(stream, stamp, payload)

    def _on_instruction(self, message: String) -> None:
        self._instruct(message.data)

    def _on_commander(self, message: CommanderStatus) -> None:
        playing = message.mode == CommanderStatus.PLAYING
        self._playing = (message.chunk, to_ns(message.chunk_stamp)) if playing else (0, 0)
        if self._surprise:
            self._surprise.playing(message)

    def _on_parameters(self, names: set[str]) -> None:
        self._replanner.rules = self.params.plan()
        if self._surprise:
            self._surprise.alarm.rules = self.params.alarm()
        if "instruction" in names:
            self._instruct(self.params.instruction)

    def _instruct(self, instruction: str) -> None:
        """A new episode; told again before it had its first chunk, it is the same episode."""
        if instruction.strip() != self._instruction:
            self._instruction = instruction.strip()
            self.get_logger().info(f"instruction: {shorten(self._instruction or '(none)', WORDS)}")
        elif self._number == self._begun_at:
            return
        self._forget()

    def _forget(self) -> None:
        """A new episode: nothing seen or begun before counts any more."""
        self._buffer.clear()
        self._joints.forget()
        self._still.forget()
        for camera in self._cameras.values():
            camera.forget()
        self._infer.drop()
        self._episode, self._begun_at = self._episode + 1, self._number
        self._is_waiting, self._waiting_since = False, 0
        self._replanner.forget()
        self._policy.reset()
        if self._surprise:
            self._surprise.forget()

    # -- work --------------------------------------------------------------------------------------

    def _react(self, watch: SurpriseWatch) -> None:
        """Do what is to be done about an alarm, in the executor's thread."""
        self._replanner.rules = self.params.plan(self.params.surprise_horizon * watch.shortens)
        if not (stamp := watch.take_alarm()):
            return
        said = f"surprised ({watch.alarm.value:.1f}): not what was predicted"
        self.get_logger().warning(f"{said}; {self.params.surprise}")
        if self.params.surprise == REPLAN:
            self._replanner.hurry(stamp)
        elif self.params.surprise == HOLD:
            self._instruct("")

    def _plan(self) -> None:
        if self._surprise:
            self._react(self._surprise)
        now = self.now()
        if self._imagine:
            self._imagine.poll()
            if self._imagine.has_model:
                return
        if not self._instruction or not self._infer.idle or now < self._replanner.due():
            return
        sample = self._buffer.ready(now, self._replanner.answered_until())
        self._is_waiting = not isinstance(sample, Sample)
        if isinstance(sample, str):
            self._refused += not self._waiting_since
            self._waiting_since = self._waiting_since or now
            if now - self._waiting_since > PATIENCE:
                self._faults.set("no inference", sample)
            return
        self._waiting_since = 0
        self._faults.set("no inference", "")
        if sample:
            self._infer.submit((self._episode, self._instruction, sample))

    def _plan_in_silence(self) -> None:
        """Streams that stop must be noticed, and what is awaited may not come."""
        if self._is_waiting or self.now() - self._newest_image > QUIET:
            self._plan()

    def _run(self, job: tuple[int, str, Sample]) -> None:
        episode, instruction, sample = job
        began = self.now()
        observation = self._observation(instruction, sample)
        self._look_at(observation, episode)
        converted = self.now()
        if self._surprise:
            self._surprise.expect(sample.stamp)
        committed = self._replanner.committed(sample.stamp, *self._playing)
        prediction = self._policy.infer(observation, committed)
        self._faults.set("no chunk", "")
        if self._remote:
            self._faults.set("policy server", self._remote.note(committed is not None))
        if episode != self._episode or not self._is_active:
            self._dropped += 1
            return
        seconds = {
            "receive": (sample.received - sample.stamp) / NS,
            "wait": (began - sample.received) / NS,
            "convert": (converted - began) / NS,
            **prediction.seconds,
        }
        message = self._message(prediction.chunk, sample, instruction, seconds)
        self._number += 1
        self._chunks.publish(message)
        now = self.now()
        self._replanner.published(prediction.chunk, self._number, now)
        if self._surprise:
            self._surprise.predicted(self._number, observation, prediction)
        for stage, taken in {**seconds, "capture to publish": (now - sample.stamp) / NS}.items():
            self._stages.setdefault(stage, LatencyWindow()).add(taken)
        shows = prediction.latents is not None and self._futures.get_subscription_count()
        if shows and self._decode.idle:
            self._decode.submit((self._number, instruction, prediction))

    def _observation(self, instruction: str, sample: Sample) -> Observation:
        images = self._pictures(sample.images)
        return Observation(images, self._state(sample), instruction, sample.stamp)

    def _pictures(self, messages: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Messages of views as pictures uint8 [H, W, 3]; ValueError names one that is none."""
        return {view: self._convert(view, message) for view, message in messages.items()}

    def _state(self, sample: Sample) -> np.ndarray:
        """The embodiment's state, float32."""
        if self.params.vehicle_frame:
            return np.zeros(0, np.float32)
        return self._tool.state(sample.state) if self._tool else sample.state.astype(np.float32)

    def _message(
        self, chunk: ActionChunk, sample: Sample, instruction: str, seconds: dict[str, float]
    ) -> Any:
        """A policy's chunk for those who follow it; seconds: how long each stage took."""
        if frame := self.params.vehicle_frame:
            chunk = self._replanner.cut(chunk)
            path = path_message(vehicle_poses(chunk), chunk.times().tolist(), frame)
            path.header = header(chunk.stamp, frame)
            return path
        chunk = self._robot.chunk(self._joint_chunk(chunk, sample.state, seconds))
        return chunk_message(
            chunk,
            number=self._number + 1,
            instruction=instruction,
            embodiment=self._policy.embodiment.name,
            seconds=seconds,
            strategy=self._replanner.rules.strategy.name,
        )

    def _joint_chunk(
        self, chunk: ActionChunk, positions: np.ndarray, seconds: dict[str, float]
    ) -> ActionChunk:
        """The rows of a policy's chunk that can be executed, as rows of the robot's joints.

        positions: of the joints at its stamp, in rad; seconds: gets how long it took, if it did.
        """
        chunk = self._replanner.cut(chunk)
        if self._tool is None:
            return chunk
        began = time.monotonic()
        chunk = self._tool.chunk(chunk, positions)
        seconds["kinematics"] = time.monotonic() - began
        self._faults.set("out of reach", self._tool.note)
        return chunk

    def _look_at(self, observation: Observation, episode: int) -> None:
        """Refuse the first observation of an episode if it cannot be of this embodiment."""
        if self._looked == episode or not self.params.check_observation:
            return
        embodiment = self._policy.embodiment
        if not self.params.vehicle_frame:
            self._robot.check_grippers(self._joints.positions)
        check_states(observation.state, embodiment.state)
        check_pictures(observation.images)
        doubt = doubts(embodiment, observation.state, observation.images)
        self._faults.set("first observation", doubt)
        self._looked = episode

    def _convert(self, view: str, message: Image | CompressedImage) -> Any:
        try:
            return to_rgb(message)
        except ValueError as error:
            raise ValueError(f"camera {view}: {error}") from error

    def _decode_future(self, job: tuple[int, str, Prediction]) -> None:
        number, instruction, prediction = job
        began = time.monotonic()
        future = self._policy.decode(prediction)
        self._futures.publish(future_message(future, number=number, instruction=instruction))
        time.sleep(max(0.0, 1.0 / self.params.future_rate - (time.monotonic() - began)))

    def _failed(self, error: Exception) -> None:
        self._refused += 1
        self._faults.set("no chunk", f"{type(error).__name__}: {error}")

    def _watch_inference(self) -> None:
        """Say so if inferences are due and none ends, whatever the reason."""
        done = self._number + self._dropped + self._refused
        due = bool(self._instruction) and self.now() >= self._replanner.due()
        waited = self._progress.stands(done, self.steady(), due)
        if waited < max(OVERDUE, 3 * self._replanner.latency.quantile(1.0)):
            self._faults.set("overdue", "")
            return
        why = self._faults.now.get("no inference", "no set of images and joint states was found")
        why = why if self._infer.idle else "one is running"
        self._faults.set("overdue", f"no inference has ended for {waited:.0f} s: {why}")

    def _diagnose(self) -> None:
        now = self.now()
        self._look_at_streams()
        trouble, faults = self._buffer.faults(now), self._faults.now.copy()
        inputs = self.inputs.faults.now
        values = {
            "instruction": self._instruction,
            "strategy": self._replanner.rules.strategy.name,
            "chunks": self._number,
            "dropped": self._dropped,
            "refused": self._refused,
            "remaining rows": self._replanner.remaining(now),
            **{f"{name} age [s]": f"{age:.3f}" for name, age in self._buffer.ages(now).items()},
            **{f"{name} rate [Hz]": f"{rate:.1f}" for name, rate in self._buffer.rates().items()},
            **{f"{name} left out": count for name, count in self._left_out.items()},
            **(self._remote.status() if self._remote else {}),
        }
        for stage, window in self._stages.copy().items():
            values |= window.table(stage)
        message = "; ".join(f"{name}: {why}" for name, why in (trouble or faults | inputs).items())
        stops = trouble or faults.keys() & {"no inference", "no chunk", "overdue"}
        level = "error" if stops else "warn" if message else "ok"
        name = f"{self.get_name()}: observations"
        self._diagnostics.publish(diagnostics(now, name, level, message or "good", values))

    def _look_at_streams(self) -> None:
        """Say which cameras are frozen, and which stamps are good again."""
        for view, camera in self._cameras.items():
            self._faults.set(f"camera {view}", camera.fault())
        left_out = self._buffer.refused()
        for stream, count in left_out.items():
            if count == self._left_out.get(stream, 0):
                self._faults.set(stream, "")
        self._left_out = left_out
