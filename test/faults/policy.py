# SPDX-License-Identifier: Apache-2.0
"""The policy node of the fault table: a gentle swing, and instructions that go wrong."""

import sys
import time
from typing import Any

import numpy as np

from cosmos3_ros.model.interface import ActionChunk, Observation, Prediction
from cosmos3_ros.model.registry import Models
from cosmos3_ros.nodes.policy_node import PolicyNode
from cosmos3_ros.ros.node_runner import run


class Swing:
    """A policy around a policy: rows swing joint 1, or do what the instruction asks for."""

    def __init__(self, inner: Any) -> None:
        self._inner, self.embodiment = inner, inner.embodiment
        self.decode, self.reset = inner.decode, inner.reset

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        if observation.instruction == "fail":
            raise RuntimeError("the network failed")
        if observation.instruction == "be late":
            time.sleep(5.0)
        done = self._inner.infer(observation, committed)
        values = np.tile(observation.state, (len(done.chunk.values), 1))
        values[:, 0] = 0.3 * np.sin((done.chunk.times() % 10**13) / 1e9)
        if observation.instruction == "aside":
            values[:, 0] = observation.state[0] + np.linspace(0, 0.6, len(values) + 1)[1:]
        chunk = ActionChunk(
            values, done.chunk.names, done.chunk.stamp, done.chunk.step, done.chunk.discrete
        )
        return Prediction(chunk, done.seconds, done.latents)


models = Models(reasoner=False)
sys.exit(run([lambda: PolicyNode(lambda params: Swing(models.policy(params)))]))
