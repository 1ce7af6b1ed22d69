# SPDX-License-Identifier: Apache-2.0
"""All that the policy node can be asked about the world model, by services and an action."""

from __future__ import annotations

import dataclasses
import traceback
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from rclpy.action import ActionServer
from rclpy.callback_groups import ReentrantCallbackGroup

from ...execution.candidates.candidate import CandidateReader
from ...execution.observation_buffer import Sample
from ...execution.recent.recent_samples import RecentSamples
from ...model.interface import NS, ActionChunk, GeneratesVideo, InverseDynamics, Observation, Policy
from ...robot.joint_map import JointMap
from ...robot.kinematics.tool_map import ToolMap
from ...ros import topics
from ...ros.lifecycle import ManagedNode
from ..policy_params import Params
from .imagination import Around
from .imagine_service import Asking, ImagineService
from .infer_service import Body, InferService
from .spare_time import SpareTime
from .video_action import VideoAction


@dataclasses.dataclass(frozen=True, slots=True)
class World:
    """What makes the parts of the world model that a policy itself has not."""

    dynamics: Callable[[Policy], InverseDynamics]
    generator: Callable[[Policy, int], GeneratesVideo]  # for at most so many frames


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """The policy node's own, for `WorldServices`; called in its thread, but for the first two."""

    observe: Callable[[str, Sample], Observation]  # of an instruction
    convert: Callable[[Mapping[str, Any]], dict[str, np.ndarray]]  # pictures of messages, by view
    sample: Callable[[], Sample | str]  # the newest one, or why there is none
    spare: Callable[[], float]  # s for which the policy need begin no chunk
    why_not: Callable[[], str]  # why the node cannot answer now, "" if it can
    instruction: Callable[[], str]  # the one that it follows


class WorldServices:
    """~/imagine, ~/infer_actions and ~/generate_video of a node, until its cleanup.

    world: None: there are no weights here; tool: where the embodiment acts by poses or twists.
    """

    def __init__(
        self,
        node: ManagedNode[Params],
        policy: Policy,
        world: World | None,
        robot: JointMap,
        tool: ToolMap | None,
        access: Access,
    ) -> None:
        self._node, self._policy, self._world = node, policy, world
        self._robot, self._tool, self._access = robot, tool, access
        self._asking = Asking(policy, access.why_not, access.instruction, self._log)
        self._around = Around(access.sample, access.observe)
        self._turns = SpareTime(access.spare, self._wake, node.params.imagine_patience)
        self._clips = node.advertise(topics.IMAGINED)
        self.recent: RecentSamples | None = None
        self._video: VideoAction | None = None
        self._offer_imagine()
        if node.params.recent_seconds:
            self._offer_infer()
        if node.params.generate_frames:
            self._offer_video()

    @property
    def has_model(self) -> bool:
        """Whether one of them computes: the policy is to begin no chunk then."""
        return self._turns.is_computing

    def poll(self) -> None:
        """Begin or go on with what waits, if there is room for it."""
        self._turns.poll()
        if self._video:
            self._video.poll()

    def picture(self, view: str, stamp: int, message: Any) -> None:
        """Take a picture of a view, of a stamp (ns) that can be believed."""
        if self.recent:
            self.recent.picture(view, stamp, message)

    def joints(self, stamp: int, row: np.ndarray) -> None:
        """Take positions of joints in the policy's units, NaN for those that are not told."""
        if self.recent:
            self.recent.state(stamp, row)

    def forget(self) -> None:
        """Nothing was seen: the clock jumped, or the node begins anew."""
        if self.recent:
            self.recent.clear()

    def cancel(self) -> None:
        """Give up what waits or is computed."""
        self._turns.cancel("the policy node was stopped")

    def close(self) -> None:
        """Wait for the end of what is computed."""
        self._turns.close()

    def _offer_imagine(self) -> None:
        p, policy = self._node.params, self._policy
        limits = tuple(p.lower), tuple(p.upper)
        reader = CandidateReader(policy.embodiment, self._robot, *limits, self._tool)
        service = ImagineService(
            policy, reader, self._around, self._asking, self._turns, self._clips.publish
        )
        if why := service.warm_up(1 + p.cuda_graphs):
            self._node.get_logger().info(f"~/imagine is not answered: {why}")
        self._node.offer(
            topics.POLICY.offers[0], service.answer, callback_group=ReentrantCallbackGroup()
        )

    def _offer_infer(self) -> None:
        p, embodiment = self._node.params, self._policy.embodiment
        self.recent = RecentSamples(
            embodiment.views,
            p.recent_seconds,
            embodiment.step,
            int(p.max_age * NS),
            int(p.max_skew * NS),
        )
        body = Body(self._access.convert, self._access.observe, self._to_robot, self._node.now)
        dynamics = self._weights("recent_seconds").dynamics(self._policy)
        service = InferService(dynamics, embodiment, self.recent, body, self._asking, self._turns)
        service.warm_up(1 + p.cuda_graphs)
        self._node.offer(
            topics.POLICY.offers[1], service.answer, callback_group=ReentrantCallbackGroup()
        )

    def _offer_video(self) -> None:
        world, frames = self._weights("generate_frames"), self._node.params.generate_frames
        generator, embodiment = world.generator(self._policy, frames), self._policy.embodiment
        self._video = video = VideoAction(
            generator, embodiment, self._around, self._asking, self._turns, self._clips.publish
        )
        video.warm_up()
        action = topics.POLICY.offers[2]
        self._node.serve(
            ActionServer(
                self._node,
                action.type,
                action.name,
                video.execute,
                callback_group=ReentrantCallbackGroup(),
                goal_callback=video.accept,
                cancel_callback=video.cancel,
            )
        )

    def _weights(self, parameter: str) -> World:
        if self._world is None:
            raise ValueError(
                f"parameter {parameter!r}: expected 0 without a checkpoint in the node's process"
            )
        return self._world

    def _to_robot(self, chunk: ActionChunk, positions: np.ndarray) -> ActionChunk:
        """Commands of the embodiment after these positions, in the robot's names and units."""
        return self._robot.chunk(self._tool.chunk(chunk, positions) if self._tool else chunk)

    def _wake(self) -> None:
        if self._node.executor:
            self._node.executor.wake()

    def _log(self, error: Exception) -> None:
        lines = "".join(traceback.format_exception(error))
        self._node.get_logger().error(f"what was asked for was not done\n{lines}")
