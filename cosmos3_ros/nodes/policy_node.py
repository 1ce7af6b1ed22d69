# SPDX-License-Identifier: Apache-2.0
"""The policy node: aligned observations in, action chunks and predicted futures out.

Callbacks convert and store, one thread runs the network on the newest observation, another decodes
video.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from textwrap import shorten
from typing import Any

from lifecycle_msgs.msg import State
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from ..execution.observation_buffer import STATE, Sample
from ..execution.replanner import Replanner
from ..execution.surprise.alarm import HOLD, REPLAN
from ..model.interface import NS, Policy, Prediction, warm_up
from ..msg import CommanderStatus
from ..ros import topics
from ..ros.diagnostics import Faults, diagnostics
from ..ros.lifecycle import ManagedNode
from ..ros.messages import future_message, to_ns
from ..ros.rate_cap import RateCap
from ..ros.simulation_pause import Pause, PausingPolicy
from ..ros.worker_thread import LAST, Worker
from ..serve.clients.policy_client import RemotePolicy
from .imagine.world_services import Access, World, WorldServices
from .known_parameters import KNOWN
from .policy.inference_record import InferenceRecord
from .policy.observations import Observations
from .policy.robot import JointRobot, make_robot
from .policy_params import Params
from .surprise.surprise_watch import Meter, SurpriseWatch
from .surprise.watch_topics import watch_surprise

PATIENCE = NS // 2  # say why there is no inference only if it lasts
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
        self._faults, self._record = Faults(self.get_logger()), InferenceRecord()
        self._robot = make_robot(self, embodiment, self._faults)
        self._seen = Observations(
            self, embodiment, self._robot, self._faults, self._on_jump, self._pass_on
        )
        self._replanner = Replanner(p.plan())
        # last: number and stamp (ns) of the chunk that the commander plays
        self._instruction, self._number, self._episode, self._playing = p.instruction, 0, 0, (0, 0)
        self._begun_at = 0  # number of the last chunk of the episode before
        self._is_waiting = False  # an observation is due and not there, or a better one is awaited
        self._waiting_since = 0  # since when one has been due and could not be had, ns
        self._warm_up()
        if isinstance(self._robot, JointRobot):  # candidates are positions of joints
            self._offer_world(self._robot)
        measure = None if self._remote else self._measure
        self._surprise = watch_surprise(
            self, self._policy, measure, self._robot, self._seen.joints, self._faults
        )
        if pause:
            self._policy = PausingPolicy(self._policy, pause)
        self._chunks = self.advertise(self._robot.output)
        self._futures = self.advertise(topics.FUTURE)
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

    def _make_policy(self) -> Policy:
        """The policy server to ask, or else what is loaded."""
        self._remote = self.params.remote()
        if self._remote:
            return self._remote
        self.get_logger().info(f"loading {self.params.checkpoint or 'the embedded checkpoint'}")
        return self._load(self.params)

    def _offer_world(self, robot: JointRobot) -> None:
        """What can be asked, of the policy itself: a simulation is not paused for it."""

        def spare() -> float:
            if not self._instruction:
                return math.inf if self._infer.idle else 0.0
            return self._replanner.spare(self.now()) if self._infer.idle else 0.0

        access = Access(
            observe=self._seen.observation,
            convert=self._seen.pictures,
            sample=lambda: self._seen.buffer.sample(self.now()),
            spare=spare,
            why_not=lambda: "" if self._is_active else "the policy node is not active",
            instruction=lambda: self._instruction,
        )
        world = None if self._remote else self._world
        self._imagine = WorldServices(self, self._policy, world, robot.joints, robot.tool, access)

    @property
    def _is_active(self) -> bool:
        return self.state_id == State.PRIMARY_STATE_ACTIVE

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
        def take(message: Image | CompressedImage) -> None:
            self._seen.picture(view, message)
            if self._is_active:
                self._plan()

        return take

    def _on_joint_state(self, message: JointState) -> None:
        if self._seen.joint_state(message):
            self._plan_if_awaited()

    def _on_odometry(self, message: Odometry) -> None:
        if self._seen.odometry(message):
            self._plan_if_awaited()

    def _on_jump(self) -> None:
        """The clock jumped back."""
        self._forget()
        if self._imagine:
            self._imagine.forget()

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
        self._seen.forget()
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
        sample = self._seen.buffer.ready(now, self._replanner.answered_until())
        self._is_waiting = not isinstance(sample, Sample)
        if isinstance(sample, str):
            self._record.refused += not self._waiting_since
            self._waiting_since = self._waiting_since or now
            if now - self._waiting_since > PATIENCE:
                self._faults.set("no inference", sample)
            return
        self._waiting_since = 0
        self._faults.set("no inference", "")
        if sample:
            self._infer.submit((self._episode, self._instruction, sample))

    def _plan_if_awaited(self) -> None:
        """Joints of the moment of pictures that came before may be all that was missing."""
        if self._is_waiting and self._is_active:
            self._plan()

    def _plan_in_silence(self) -> None:
        """Streams that stop must be noticed, and what is awaited may not come."""
        if self._is_waiting or self.now() - self._seen.newest_image > QUIET:
            self._plan()

    def _run(self, job: tuple[int, str, Sample]) -> None:
        episode, instruction, sample = job
        began = self.now()
        observation = self._seen.observation(instruction, sample)
        self._seen.check(observation, episode)
        converted = self.now()
        if self._surprise:
            self._surprise.expect(sample.stamp)
        committed = self._replanner.committed(sample.stamp, *self._playing)
        prediction = self._policy.infer(observation, committed)
        self._faults.set("no chunk", "")
        if self._remote:
            self._faults.set("policy server", self._remote.note(committed is not None))
        if episode != self._episode or not self._is_active:
            self._record.dropped += 1
            return
        seconds = {
            "receive": (sample.received - sample.stamp) / NS,
            "wait": (began - sample.received) / NS,
            "convert": (converted - began) / NS,
            **prediction.seconds,
        }
        message = self._robot.message(
            self._replanner.cut(prediction.chunk),
            sample,
            seconds,
            number=self._number + 1,
            instruction=instruction,
            strategy=self._replanner.rules.strategy.name,
        )
        self._number += 1
        self._chunks.publish(message)
        now = self.now()
        self._replanner.published(prediction.chunk, self._number, now)
        if self._surprise:
            self._surprise.predicted(self._number, observation, prediction)
        self._record.add({**seconds, "capture to publish": (now - sample.stamp) / NS})
        shows = prediction.latents is not None and self._futures.get_subscription_count()
        if shows and self._decode.idle:
            self._decode.submit((self._number, instruction, prediction))

    def _decode_future(self, job: tuple[int, str, Prediction]) -> None:
        number, instruction, prediction = job
        began = time.monotonic()
        future = self._policy.decode(prediction)
        self._futures.publish(future_message(future, number=number, instruction=instruction))
        time.sleep(max(0.0, 1.0 / self.params.future_rate - (time.monotonic() - began)))

    def _failed(self, error: Exception) -> None:
        self._record.refused += 1
        self._faults.set("no chunk", f"{type(error).__name__}: {error}")

    def _watch_inference(self) -> None:
        """Say so if inferences are due and none ends, whatever the reason."""
        due = bool(self._instruction) and self.now() >= self._replanner.due()
        slowest = self._replanner.latency.quantile(1.0)
        waited = self._record.overdue(self._number, self.steady(), due, slowest)
        if not waited:
            self._faults.set("overdue", "")
            return
        why = self._faults.now.get("no inference", "no set of images and joint states was found")
        why = why if self._infer.idle else "one is running"
        self._faults.set("overdue", f"no inference has ended for {waited:.0f} s: {why}")

    def _diagnose(self) -> None:
        now = self.now()
        self._seen.look_at_streams()
        trouble, faults = self._seen.buffer.faults(now), self._faults.now.copy()
        inputs = self.inputs.faults.now
        values = {
            "instruction": self._instruction,
            "strategy": self._replanner.rules.strategy.name,
            "chunks": self._number,
            "dropped": self._record.dropped,
            "refused": self._record.refused,
            "remaining rows": self._replanner.remaining(now),
            **self._seen.status(now),
            **(self._remote.status() if self._remote else {}),
            **self._record.latencies(),
        }
        message = "; ".join(f"{name}: {why}" for name, why in (trouble or faults | inputs).items())
        stops = trouble or faults.keys() & {"no inference", "no chunk", "overdue"}
        level = "error" if stops else "warn" if message else "ok"
        name = f"{self.get_name()}: observations"
        self._diagnostics.publish(diagnostics(now, name, level, message or "good", values))
