# SPDX-License-Identifier: Apache-2.0
"""The policy node of test_pose_embodiments: leads the tool to a place, as any embodiment says."""

import sys
from typing import Any

import numpy as np

from cosmos3_ros.model.embodiment import POSES, find_embodiment
from cosmos3_ros.model.interface import ActionChunk, Observation, Prediction
from cosmos3_ros.nodes.policy_node import PolicyNode
from cosmos3_ros.ros.node_runner import run

SPEED = 0.2  # m/s


class Leader:
    """Straight to GOAL in the base's frame, the hand as it is; without a state along WAY."""

    def __init__(self, name: str, goal: list[float]) -> None:
        self.embodiment, self._goal = find_embodiment(name), np.array(goal)

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        kind = self.embodiment
        rows = np.arange(1, kind.horizon + 1)[:, None]
        if kind.kind == POSES:
            values = np.tile(observation.state, (kind.horizon, 1)).astype(np.float64)
            gap = self._goal - values[0, :3]
            far = max(float(np.linalg.norm(gap)), 1e-9)
            values[:, :3] += np.minimum(rows * SPEED / kind.fps, far) * gap / far
            # through the model's own rows, as a network gives them
            inside = kind.encode_actions(values, observation.state)
            values = kind.decode_actions(inside, observation.state)
        else:
            values = np.zeros((kind.horizon, len(kind.action)), np.float32)
            values[:, :3] = self._goal  # a direction
        chunk = ActionChunk(
            values.astype(np.float32), kind.action_names, observation.stamp, kind.step,
            kind.discrete,
        )  # fmt: skip
        return Prediction(chunk)

    def decode(self, prediction: Prediction) -> Any:
        raise NotImplementedError("nobody looks")

    def reset(self) -> None: ...


name, *goal = sys.argv[1].split(",")
leader = Leader(name, [float(number) for number in goal])
sys.exit(run([lambda: PolicyNode(lambda params: leader)], sys.argv[1:]))
