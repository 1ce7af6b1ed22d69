# SPDX-License-Identifier: Apache-2.0
"""The policy node: aligned observations in, action chunks and, if somebody subscribes, predicted futures out.

Callbacks convert and store, one thread runs the network on the newest observation, another decodes video.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from lifecycle_msgs.msg import State
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import String

from . import topics
from .buffer import STATE, ObservationBuffer, Sample
from .convert import chunk_message, future_message, header, to_ns
from .images import to_rgb
from .lifecycle import ManagedNode
from .model.interface import NS, Observation, Policy, Prediction
from .params import param
from .robot import RobotMap
from .worker import Worker

PATIENCE = NS // 2  # say why there is no inference only if it lasts


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters of the policy node."""

    autostart: bool = param(True, "configure and activate when the process starts")
    checkpoint: str = param("", "checkpoint folder in the Hub layout; empty: the embedded one")
    device: str = param("auto", "cpu, cuda, cuda:1, ...; auto: cuda if there is one")
    dtype: str = param("auto", "float32 or bfloat16; auto: bfloat16 on a GPU, float32 on a CPU")
    threads: int = param(0, "CPU threads of the network; 0: as torch chooses")
    embodiment: str = param("", "what the columns of state and action mean; empty: the checkpoint's own")
    instruction: str = param("", "what to do, in words; empty: wait for the topic cosmos3/instruction", live=True)
    joints: list[str] = param([], "robot joint of each state column, as in joint_states, in the embodiment's order")
    gripper_joint: str = param("", "the one of `joints` that is the gripper; empty: none")
    gripper_open: float = param(0.0, "position of gripper_joint when open [rad or m]")
    gripper_closed: float = param(1.0, "position of gripper_joint when closed [rad or m]")
    image_transport: str = param("raw", "raw or compressed")
    max_age: float = param(0.5, "refuse to infer from anything older than this [s]")
    max_skew: float = param(0.05, "refuse to infer from views and joint states further apart than this [s]")
    replan: float = param(0.5, "begin the next chunk this long after the observation of the last one, or when done [s]")
    num_steps: int = param(4, "denoising steps per chunk")
    guidance: float = param(3.0, "classifier-free guidance scale; 1: none, half the work")
    shift: float = param(5.0, "shift of the flow schedule")
    seed: int = param(0, "seed of the noise; every chunk draws on from it")
    prompt_format: str = param("json", "json or plain: how the checkpoint was trained to read instructions")
    future_rate: float = param(2.0, "at most this many predicted futures per second [Hz]")

    def __post_init__(self) -> None:
        if self.image_transport not in ("raw", "compressed"):
            raise ValueError(f"parameter 'image_transport': expected raw or compressed, got {self.image_transport!r}")
        for name in ("max_age", "max_skew", "future_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(f"parameter {name!r}: expected a positive number, got {getattr(self, name)}")


class PolicyNode(ManagedNode[Params]):
    """See the module. `load` makes the policy from the parameters; it is called at configure."""

    def __init__(self, load: Callable[[Params], Policy], **kwargs: Any) -> None:
        super().__init__("policy", Params, **kwargs)
        self._load = load
        self._workers: list[Worker[Any]] = []

    def setup(self) -> None:
        p = self.params
        self.get_logger().info(f"loading {p.checkpoint or 'the embedded checkpoint'}")
        began = time.monotonic()
        self._policy = self._load(p)
        embodiment = self._policy.embodiment
        self._robot = self._check_robot()
        self._buffer = ObservationBuffer(embodiment.views, int(p.max_age * NS), int(p.max_skew * NS))
        self._instruction, self._number, self._next, self._episode = p.instruction, 0, 0, 0
        self._waiting_since = 0  # since when an observation has been due and could not be had
        self._dropped = self._refused = 0
        self._latencies: list[float] = []
        self._faults: dict[str, str] = {}
        self._warm_up()
        self._chunks = self.advertise(topics.ACTION_CHUNK)
        self._futures = self.advertise(topics.FUTURE)
        self._diagnostics = self.advertise(topics.DIAGNOSTICS)
        for view in embodiment.views:
            self.subscribe(topics.camera(view, p.image_transport), self._on_image(view))
        self.subscribe(topics.JOINT_STATES, self._on_joint_state)
        self.subscribe(topics.INSTRUCTION, self._on_instruction)
        self._infer = Worker("infer", self._run, self._failed)
        self._decode = Worker("decode", self._imagine, self._failed)
        self._workers = [self._infer, self._decode]
        self.parameters.changed = self._on_parameters
        self.every(0.1, self._plan)  # besides after every image: notices streams that have stopped
        self.every(1.0, self._diagnose)
        self.get_logger().info(f"{embodiment.name} ready after {time.monotonic() - began:.1f} s")

    def start(self) -> None:
        self._forget()
        self._number = 0
        if not self._instruction:
            self.get_logger().info("waiting for an instruction on cosmos3/instruction")

    def stop(self) -> None:
        self._forget()

    def teardown(self) -> None:
        while self._workers:
            self._workers.pop().close()
        self._policy = None  # type: ignore[assignment]  # gives the memory back

    def _check_robot(self) -> RobotMap:
        p, embodiment = self.params, self._policy.embodiment
        if len(p.joints) != len(embodiment.state):
            columns = [column.name for column in embodiment.state]
            raise ValueError(
                f"parameter 'joints' has {len(p.joints)} names {p.joints}, but embodiment {embodiment.name} has "
                f"{len(columns)} state columns {columns}"
            )
        return RobotMap(tuple(p.joints), p.gripper_joint, p.gripper_open, p.gripper_closed)

    def _warm_up(self) -> None:
        """One chunk of a grey picture, so that the first real one is not late; its result is thrown away."""
        embodiment = self._policy.embodiment
        grey = {view: np.full((180, 320, 3), 128, np.uint8) for view in embodiment.views}
        state = np.zeros(len(embodiment.state), np.float32)
        self._policy.infer(Observation(grey, state, self.params.instruction or "wait", 0))
        self._policy.reset()

    # -- inputs -------------------------------------------------------------------------------------------------------

    def _on_image(self, view: str) -> Callable[[Image | CompressedImage], None]:
        def store(message: Image | CompressedImage) -> None:
            self._store(view, message.header, message)
            if self.state_id == State.PRIMARY_STATE_ACTIVE:
                self._plan()

        return store

    def _on_joint_state(self, message: JointState) -> None:
        try:
            state = self._robot.state(message.name, message.position)
        except ValueError as error:
            self._fault(STATE, str(error))
            return
        self._fault(STATE, "")
        self._store(STATE, message.header, state)
        if self._waiting_since:  # perhaps only for this
            self._plan()

    def _store(self, stream: str, message_header: Any, payload: Any) -> None:
        if self._buffer.add(stream, to_ns(message_header.stamp), self.now(), payload):
            self.get_logger().warning(f"{stream}: the clock jumped back; everything older is forgotten")
            self._forget()

    def _on_instruction(self, message: String) -> None:
        self._instruct(message.data)

    def _on_parameters(self, names: set[str]) -> None:
        if "instruction" in names:
            self._instruct(self.params.instruction)

    def _instruct(self, instruction: str) -> None:
        if instruction.strip() != self._instruction:
            self._instruction = instruction.strip()
            self.get_logger().info(f"instruction: {self._instruction or '(none)'}")
        self._forget()

    def _forget(self) -> None:
        """A new episode: nothing seen or begun before counts any more."""
        self._buffer.clear()
        self._infer.drop()
        self._episode += 1
        self._next = self._waiting_since = 0
        self._policy.reset()

    def _fault(self, what: str, why: str) -> None:
        """Say once when something goes wrong and once when it is good again."""
        before = self._faults.get(what, "")
        if why and not before:
            self.get_logger().warning(f"{what}: {why}")
        elif before and not why:
            self.get_logger().info(f"{what}: good again")
        self._faults[what] = why

    # -- work ---------------------------------------------------------------------------------------------------------

    def _plan(self) -> None:
        now = self.now()
        if not self._instruction or now < self._next or not self._infer.idle:
            return
        sample = self._buffer.sample(now)
        if isinstance(sample, str):
            self._refused += 1
            self._waiting_since = self._waiting_since or now
            if now - self._waiting_since > PATIENCE:
                self._fault("no inference", sample)
            return
        self._waiting_since = 0
        self._fault("no inference", "")
        if sample.stamp >= self._next:
            self._next = sample.stamp + int(self.params.replan * NS)
            self._infer.submit((self._episode, self._instruction, sample))

    def _run(self, job: tuple[int, str, Sample]) -> None:
        episode, instruction, sample = job
        began = self.now()
        images = {view: self._convert(view, message) for view, message in sample.images.items()}
        observation = Observation(images, sample.state, instruction, sample.stamp)
        converted = self.now()
        prediction = self._policy.infer(observation)
        if episode != self._episode or self.state_id != State.PRIMARY_STATE_ACTIVE:
            self._dropped += 1
            return
        self._number += 1
        seconds = {
            "receive": (sample.received - sample.stamp) / NS,
            "wait": (began - sample.received) / NS,
            "convert": (converted - began) / NS,
            **prediction.seconds,
        }
        chunk = self._robot.chunk(prediction.chunk)
        self._chunks.publish(
            chunk_message(
                chunk,
                number=self._number,
                instruction=instruction,
                embodiment=self._policy.embodiment.name,
                seconds=seconds,
            )
        )
        self._latencies = [*self._latencies[-99:], (self.now() - sample.stamp) / NS]
        if self._futures.get_subscription_count() and self._decode.idle:
            self._decode.submit((self._number, instruction, prediction))

    def _convert(self, view: str, message: Image | CompressedImage) -> Any:
        try:
            return to_rgb(message)
        except ValueError as error:
            raise ValueError(f"camera {view}: {error}") from error

    def _imagine(self, job: tuple[int, str, Prediction]) -> None:
        number, instruction, prediction = job
        began = time.monotonic()
        future = self._policy.decode(prediction)
        self._futures.publish(future_message(future, number=number, instruction=instruction))
        time.sleep(max(0.0, 1.0 / self.params.future_rate - (time.monotonic() - began)))

    def _failed(self, error: Exception) -> None:
        self._refused += 1
        self.get_logger().error(f"no chunk: {type(error).__name__}: {error}", throttle_duration_sec=1.0)

    def _diagnose(self) -> None:
        now = self.now()
        trouble = self._buffer.trouble(now)
        latencies = sorted(self._latencies)
        values = {
            "instruction": self._instruction,
            "chunks": self._number,
            "dropped": self._dropped,
            "refused": self._refused,
            "latency_p50_s": f"{latencies[len(latencies) // 2]:.3f}" if latencies else "",
            "latency_p95_s": f"{latencies[int(len(latencies) * 0.95)]:.3f}" if latencies else "",
            **{f"age_s {name}": f"{age:.3f}" for name, age in self._buffer.ages(now).items()},
        }
        message = "; ".join(f"{name}: {why}" for name, why in trouble.items())
        level = DiagnosticStatus.ERROR if trouble else DiagnosticStatus.OK
        status = DiagnosticStatus(
            level=level, name=f"{self.get_name()}: observations", message=message or "good", hardware_id=""
        )
        status.values = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
        self._diagnostics.publish(DiagnosticArray(header=header(now), status=[status]))
