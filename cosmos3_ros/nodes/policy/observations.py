# SPDX-License-Identifier: Apache-2.0
"""What the policy node has seen: messages of cameras and joints in, observations out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from nav_msgs.msg import Odometry
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Header

from ...execution.observation_buffer import STATE, ObservationBuffer, Sample
from ...execution.stamp_judge import Verdict
from ...model.embodiment import Embodiment
from ...model.embodiment.plausibility import check_pictures, check_states, doubts
from ...model.interface import NS, Observation
from ...robot.frozen_camera import FrozenCamera
from ...robot.frozen_joint import FrozenJoints
from ...robot.images import to_rgb
from ...robot.joint_states import JointStates
from ...ros.diagnostics import Faults
from ...ros.lifecycle import ManagedNode
from ...ros.messages import to_ns
from ..policy_params import Params
from .robot import Robot


class Observations:
    """Keeps what comes, says what is wrong with it, and puts observations together.

    jumped: called when the clock jumped back, so that nothing that was seen before counts;
    stored: called with stream, stamp (ns) and payload of all that can be believed.

    Used from one executor thread; `observation` and `check` from the network's.
    """

    def __init__(
        self,
        node: ManagedNode[Params],
        embodiment: Embodiment,
        robot: Robot,
        faults: Faults,
        jumped: Callable[[], None],
        stored: Callable[[str, int, Any], None],
    ) -> None:
        p = node.params
        self._node, self._embodiment, self._robot, self._faults = node, embodiment, robot, faults
        self._jumped, self._stored = jumped, stored
        self.joints = JointStates(p.joints)
        self.buffer = ObservationBuffer(
            embodiment.views,
            int(p.max_age * NS),
            int(p.max_skew * NS),
            node.most_ahead,
            self.joints,
        )
        self.newest_image = 0  # when it came, ns
        self._cameras = {view: FrozenCamera() for view in embodiment.views}
        self._still = FrozenJoints(p.joints, robot.resting)
        self._left_out: dict[str, int] = {}  # messages of each stream when last looked at
        self._checked = -1  # the episode whose first observation is plausible

    def forget(self) -> None:
        """A new episode: nothing seen before counts any more."""
        self.buffer.clear()
        self.joints.forget()
        self._still.forget()
        for camera in self._cameras.values():
            camera.forget()

    # -- messages in

    def picture(self, view: str, message: Image | CompressedImage) -> None:
        """Take a picture of a view."""
        self.newest_image = now = self._node.now()
        self._cameras[view].look(message.data, now, self.joints.positions)
        self._store(view, message.header, message)
        if self._node.params.vehicle_frame and view == self.buffer.views[0]:
            self._store(STATE, message.header, np.zeros(1))  # without joints: one of no meaning

    def joint_state(self, message: JointState) -> bool:
        """Take positions of joints; whether it was a message about them."""
        return self._take(message.header, message.name, message.position)

    def odometry(self, message: Odometry) -> bool:
        """Take velocities: columns as others are, each measured at its own moment."""
        twist, base = message.twist.twist, self._node.params.mobile_base
        speeds = (twist.linear.x, twist.linear.y, twist.angular.z)
        known = {name: speed for name, speed in zip(base, speeds, strict=True) if name}
        return self._take(message.header, [*known], [*known.values()])

    def _take(self, header: Header, names: Sequence[str], positions: Sequence[float]) -> bool:
        try:
            values = self.joints.read(names, positions)
        except ValueError as error:
            self._faults.set("joint state ignored", str(error))
            return False
        if not values:  # of another device, or of velocities
            return False
        self._faults.set("joint state ignored", "")
        row = np.array([values.get(joint, np.nan) for joint in self.joints.joints])
        verdict = self._store(STATE, header, self._robot.to_policy(row))
        if not verdict.fault:
            self.joints.take(values, verdict.stamp)
            self._faults.set("frozen joint", self._still.look(row, verdict.stamp))
        return True

    def _store(self, stream: str, header: Header, payload: Any) -> Verdict:
        verdict = self.buffer.add(stream, to_ns(header.stamp), self._node.now(), payload)
        if verdict.jumped:
            self._node.get_logger().warning(
                f"{stream}: the clock jumped back; everything older is forgotten"
            )
            self._jumped()
        if verdict.note:
            self._node.get_logger().info(f"{stream}: {verdict.note}")
        if verdict.fault:
            self._faults.set(stream, verdict.fault)
        else:
            self._stored(stream, verdict.stamp, payload)
        return verdict

    # -- observations out

    def observation(self, instruction: str, sample: Sample) -> Observation:
        """A sample as what the policy is asked; ValueError names a message that is no picture."""
        images = self.pictures(sample.images)
        return Observation(images, self._robot.state(sample), instruction, sample.stamp)

    def pictures(self, messages: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Messages of views as pictures uint8 [H, W, 3]; ValueError names one that is none."""
        return {view: convert(view, message) for view, message in messages.items()}

    def check(self, observation: Observation, episode: int) -> None:
        """ValueError if the first observation of an episode cannot be of this embodiment."""
        if self._checked == episode or not self._node.params.check_observation:
            return
        self._robot.check(self.joints.positions)
        check_states(observation.state, self._embodiment.state)
        check_pictures(observation.images)
        doubt = doubts(self._embodiment, observation.state, observation.images)
        self._faults.set("first observation", doubt)
        self._checked = episode

    # -- diagnostics

    def look_at_streams(self) -> None:
        """Say which cameras are frozen, and which stamps are good again since this was called."""
        for view, camera in self._cameras.items():
            self._faults.set(f"camera {view}", camera.fault())
        left_out = self.buffer.refused()
        for stream, count in left_out.items():
            if count == self._left_out.get(stream, 0):
                self._faults.set(stream, "")
        self._left_out = left_out

    def status(self, now: int) -> dict[str, Any]:
        """Ages at `now` (ns), rates and unusable messages of the streams, for /diagnostics."""
        return {
            **{f"{name} age [s]": f"{age:.3f}" for name, age in self.buffer.ages(now).items()},
            **{f"{name} rate [Hz]": f"{rate:.1f}" for name, rate in self.buffer.rates().items()},
            **{f"{name} left out": count for name, count in self._left_out.items()},
        }


def convert(view: str, message: Image | CompressedImage) -> np.ndarray:
    """A message as a picture, uint8 [H, W, 3]; ValueError names the view and what is wrong."""
    try:
        return to_rgb(message)
    except ValueError as error:
        raise ValueError(f"camera {view}: {error}") from error
