# SPDX-License-Identifier: Apache-2.0
"""The node `sim`: a simulated arm, or two, with a robot's topics, controllers and cameras.

Physics, rendering and publishing happen in the main thread; a second one spins and only puts what
arrives into a queue.
"""

from __future__ import annotations

import concurrent.futures
import dataclasses
import functools
import queue
import sys
import time
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import rclpy
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from ..model.interface import NS
from ..msg import TaskStatus
from ..robot.images import encode, fill
from ..ros import topics
from ..ros.arguments import check_given, init
from ..ros.messages import header, to_time
from ..ros.parameters import Parameters
from ..ros.shutdown_signal import Stop, ignore_stop_signals
from ..ros.spin_thread import spinning
from ..sim.emulated_controllers import ArmController, Robot, State
from ..sim.layout import cameras_of, mounts_of
from ..sim.real_time_pace import Pace
from ..sim.scene_file.scene_simulation import SceneSimulation
from ..sim.scene_file.schema import read_scene
from ..sim.simulation import Simulation
from ..sim.tasks import find
from ..srv import ResetTask
from .known_parameters import KNOWN, checker
from .sim_messages import camera_info, joint_state, trajectory
from .sim_params import Params

STATUS_PER_SECOND = 5


@dataclasses.dataclass(frozen=True)
class _Arm:
    """One arm of the scene, as its topics have it."""

    group: str  # of its topics; "": the only arm
    joints: tuple[str, ...]
    finger: str  # its gripper's joint; "": none

    @property
    def names(self) -> tuple[str, ...]:
        """Its joints in joint_states."""
        return (*self.joints, self.finger) if self.finger else self.joints


class OneArm(Protocol):
    """A simulation of one arm, and perhaps a gripper, with all that the node asks of it."""

    @property
    def rate(self) -> int:
        """Ticks per second."""

    @property
    def task(self) -> str:
        """That of the running episode."""

    @property
    def seed(self) -> int:
        """That of the running episode."""

    @property
    def views(self) -> tuple[str, ...]:
        """Of the cameras."""

    @property
    def arm(self) -> tuple[str, ...]:
        """The arm's joints."""

    @property
    def finger(self) -> str:
        """The gripper's joint; empty: none."""

    @property
    def opened(self) -> float:
        """The gripper's position when open, rad or m."""

    @property
    def start(self) -> np.ndarray:
        """Where the arm begins, rad or m [D]."""

    @property
    def instruction(self) -> str:
        """What is to be done, in words."""

    @property
    def success(self) -> bool:
        """Whether that has been done."""

    @property
    def elapsed(self) -> int:
        """Since the episode began, ns."""

    def reset(self, task: str, seed: int, wording: int = 0) -> None:
        """Begin an episode; ValueError for what cannot be."""

    def tick(self, arm: np.ndarray, finger: np.ndarray) -> None:
        """Go on for a tick, towards these positions of the joints and of the gripper [1]."""

    def positions(self) -> np.ndarray:
        """What is measured of arm and gripper, rad or m."""

    def velocities(self) -> np.ndarray:
        """Theirs, rad/s or m/s."""

    def size(self, view: str) -> tuple[int, int]:
        """Height and width of a view's pictures."""

    def intrinsics(self, view: str) -> np.ndarray:
        """Camera matrix [3, 3], pixels; zeros: not known."""

    def render(self, view: str) -> np.ndarray:
        """A picture, uint8 [H, W, 3]."""

    def close(self) -> None:
        """Free what it holds."""


class SimNode(Node):
    """See the module. Raises ValueError for a wrong parameter and RuntimeError without OpenGL.

    make: the simulation that the parameters ask for.
    """

    def __init__(self, make: Callable[[Params], Simulation | OneArm] | None = None) -> None:
        super().__init__("sim")
        given = {name: setting.value for name, setting in self._parameter_overrides.items()}
        check_given("sim", given, KNOWN["sim"], KNOWN)
        self.params = Parameters(self, Params, locked=lambda: True).values
        p = self.params
        self._simulation = (make or _simulation)(p)
        self._rate = self._simulation.rate
        p.check_rates(self._rate)
        # up to a nanosecond too short; stamps count ticks and do not drift
        period = NS // self._rate
        self._arms = _arms_of(self._simulation, p.task)
        self._views = _views_of(self._simulation, p.task)
        self._names = [name for arm in self._arms for name in arm.names]
        from_desired = p.interpolate_from_desired_state
        self._robots = tuple(
            Robot(ArmController(arm.joints, period, from_desired), arm.finger) for arm in self._arms
        )
        self._ticks = self._episode = 0
        self._told_success = self._ended = False
        self._inbox: queue.SimpleQueue[tuple[str, Callable[[], None]]] = queue.SimpleQueue()
        self._pace = Pace(period, p.real_time_factor, time.monotonic_ns())
        self._advertise()
        self._reset(p.task, p.seed)
        self._simulation.render(self._views[0])  # now, to say at once that there is no OpenGL
        self._pace = Pace(period, p.real_time_factor, time.monotonic_ns())
        for arm, robot in zip(self._arms, self._robots, strict=True):
            self._obey(arm.group, robot)
        self.create_service(ResetTask, "sim/reset_task", self._on_reset)

    def _advertise(self) -> None:
        """Everything is reliable, so that best-effort and reliable subscribers both match."""

        def advertise(topic: topics.Topic) -> Any:
            return self.create_publisher(topic.type, topic.name, topics.RELIABLE)

        self._states = advertise(topics.JOINT_STATES)
        self._status = advertise(topics.SIM_STATUS)
        self._sim_clock = advertise(topics.CLOCK) if self.params.publish_clock else None
        self._raw = {view: advertise(topics.camera(view, "raw")) for view in self._views}
        self._compressed = {
            view: advertise(topics.camera(view, "compressed")) for view in self._views
        }
        name = topics.SIM_CAMERA_INFO.name
        self._infos = {
            view: self.create_publisher(CameraInfo, name.replace("<view>", view), topics.RELIABLE)
            for view in self._views
        }

    def _obey(self, group: str, robot: Robot) -> None:
        """Listen to what an arm's controllers are told."""

        def on_trajectory(message: JointTrajectory) -> None:
            robot.arm.follow(trajectory(message), self.now())

        def on_positions(message: Float64MultiArray) -> None:
            robot.arm.stream(message.data, self.now())

        def on_joint_command(message: JointState) -> None:
            robot.command(message.name, message.position, self.now())

        self._listen(topics.TRAJECTORY.of(group), on_trajectory)
        self._listen(topics.POSITIONS.of(group), on_positions)
        self._listen(topics.GRIPPER.of(group), lambda message: robot.grip(message.data))
        self._listen(topics.JOINT_COMMAND.of(group), on_joint_command)

    def _listen(self, topic: topics.Topic, handle: Callable[[Any], None]) -> None:
        def put(message: Any) -> None:
            self._inbox.put((topic.name, functools.partial(handle, message)))

        self.create_subscription(topic.type, topic.name, put, topic.qos)

    # -- in the spinning thread --------------------------------------------------------------------

    def _on_reset(
        self, request: ResetTask.Request, response: ResetTask.Response
    ) -> ResetTask.Response:
        """Wait for the main thread: commands that came before a reset must not act after it.

        It takes 0.3 s at most.
        """
        done: concurrent.futures.Future[None] = concurrent.futures.Future()
        task = request.task or self._simulation.task
        # the next one of the last that a message can hold is the first
        seed = request.seed if request.seed >= 0 else (self._simulation.seed + 1) % 2**63

        def reset() -> None:
            try:
                self._reset(task, seed)
                done.set_result(None)
            except ValueError as error:
                done.set_exception(error)

        self._inbox.put(("sim/reset_task", reset))
        while not concurrent.futures.wait([done], timeout=0.1).done:
            if self._ended:
                response.success, response.message = False, "the simulation is ending"
                return response
        if error := done.exception():
            response.success, response.message = False, str(error)
            return response
        response.success, response.instruction = True, self._simulation.instruction
        response.stamp = to_time(self._reset_at)
        return response

    # -- in the main thread ------------------------------------------------------------------------

    def run(self, stopped: Stop) -> None:
        """Simulate until `stopped`."""
        try:
            while not stopped.is_set():
                self._advance()
                if wait := self._pace.tick(time.monotonic_ns()):
                    stopped.wait(wait)
                self._publish()
        finally:
            self._ended = True

    def close(self) -> None:
        """Free the OpenGL context."""
        self._simulation.close()

    def now(self) -> int:
        """Stamp of the newest tick, ns: simulated time with publish_clock, else its system time."""
        return (
            self._ticks * NS // self._rate
            if self._sim_clock
            else self._system_time + self._pace.due
        )

    def _advance(self) -> None:
        self._take()
        joints, fingers, begin = [], [], 0
        positions, velocities = self._simulation.positions(), self._simulation.velocities()
        for arm, robot in zip(self._arms, self._robots, strict=True):
            part = slice(begin, begin + len(arm.joints))
            target, finger = robot.update(self.now(), State(positions[part], velocities[part]))
            joints.append(target)
            fingers.append(finger)
            begin += len(arm.names)
        self._simulation.tick(np.concatenate(joints), np.array(fingers))
        self._ticks += 1

    def _publish(self) -> None:
        stamp = self.now()
        if self._sim_clock:
            self._sim_clock.publish(Clock(clock=to_time(stamp)))
        if self._is_due(self.params.joint_rate):
            self._states.publish(joint_state(*self._measured(), stamp))
        if self._is_due(self.params.camera_rate):
            self._publish_images(stamp)
        if self._is_due(STATUS_PER_SECOND) or self._simulation.success != self._told_success:
            self._publish_status(stamp)

    def _measured(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        """Joints, their positions and velocities."""
        return self._names, self._simulation.positions(), self._simulation.velocities()

    def _is_due(self, rate: float) -> bool:
        return self._ticks % round(self._rate / rate) == 0

    def _take(self) -> None:
        while not self._inbox.empty():
            name, handle = self._inbox.get()
            try:
                handle()
            except ValueError as error:
                self.get_logger().warning(f"{name} refused: {error}", throttle_duration_sec=1.0)

    def _reset(self, task: str, seed: int) -> None:
        if _arms_of(self._simulation, task) != self._arms:
            arms = [arm.joints[0] for arm in self._arms]
            raise ValueError(f"task {task!r} is for other arms than those that begin with {arms}")
        self._simulation.reset(task, seed, self.params.wording)
        # each time anew: the system's clock may be set
        self._system_time = time.time_ns() - time.monotonic_ns()
        self._reset_at = self.now()
        starts = np.split(self._simulation.start, len(self._robots))
        for robot, start in zip(self._robots, starts, strict=True):
            robot.hold(start, self._simulation.opened, self._reset_at)
        self._episode += 1
        self._told_success = False
        self.get_logger().info(
            f"episode {self._episode}: {task}, seed {seed}: {self._simulation.instruction!r}"
        )

    def _publish_images(self, stamp: int) -> None:
        for view in self._views:
            head = header(stamp, f"{view}_optical_frame")
            raw, compressed = (
                pubs[view].get_subscription_count() > 0 for pubs in (self._raw, self._compressed)
            )
            image = self._simulation.render(view) if raw or compressed else None
            if image is not None and raw:
                self._raw[view].publish(fill(Image(header=head), image, "rgb8"))
            if image is not None and compressed:
                message = encode(image, self.params.jpeg_quality)
                message.header = head
                self._compressed[view].publish(message)
            k = self._simulation.intrinsics(view)
            self._infos[view].publish(camera_info(head, k, *self._simulation.size(view)))

    def _publish_status(self, stamp: int) -> None:
        simulation = self._simulation
        if simulation.success and not self._told_success:
            self.get_logger().info(
                f"episode {self._episode}: solved after {simulation.elapsed / NS:.1f} s"
            )
        self._told_success = simulation.success
        message = TaskStatus(
            header=header(stamp),
            task=simulation.task,
            seed=simulation.seed,
            instruction=simulation.instruction,
            episode=self._episode,
            elapsed=simulation.elapsed / NS,
            success=simulation.success,
            real_time_factor=self._pace.measure(time.monotonic_ns()),
        )
        self._status.publish(message)


def _simulation(p: Params) -> Simulation | OneArm:
    """DROID's robot, or that of a scene file."""
    if p.env:
        raise ValueError(
            f"parameter 'env' is {p.env!r}: expected the executable world, which plays it"
        )
    if p.scene:
        return SceneSimulation(read_scene(p.scene))
    return Simulation(p.image_height, p.image_width, p.distractors)


def _arms_of(simulation: Simulation | OneArm, task: str) -> tuple[_Arm, ...]:
    """The arms that a task is for."""
    if not isinstance(simulation, Simulation):
        return (_Arm("", simulation.arm, simulation.finger),)
    mounts = mounts_of(find(task).kind)
    return tuple(_Arm(mount.group, mount.joints, mount.finger) for mount in mounts)


def _views_of(simulation: Simulation | OneArm, task: str) -> tuple[str, ...]:
    """The cameras of a task's scene."""
    if not isinstance(simulation, Simulation):
        return simulation.views
    return tuple(camera.view for camera in cameras_of(find(task).kind))


def main(args: list[str] | None = None, make_node: Callable[[], SimNode] = SimNode) -> int:
    """Run the node until SIGINT or SIGTERM (exit code 0); 2: a wrong parameter; 1: no OpenGL."""
    stopped = Stop().on_signals().on_parent_end()
    if stopped.is_set():  # during the imports
        return 0
    try:
        init(args, checker("sim"))
        node = make_node()
    except (ValueError, RuntimeError) as error:
        print(f"error: {error}", file=sys.stderr)
        rclpy.try_shutdown()
        return 2 if isinstance(error, ValueError) else 1
    try:
        with spinning(node):
            node.run(stopped)
    finally:
        node.close()
        node.destroy_node()
        rclpy.try_shutdown()
        ignore_stop_signals()
    return 0


if __name__ == "__main__":
    sys.exit(main())
