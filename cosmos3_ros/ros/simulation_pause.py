# SPDX-License-Identifier: Apache-2.0
"""A policy that pauses a simulation during each inference, as in synchronous evaluations.

Through the service set_simulation_state of simulation_interfaces, which Isaac Sim and Gazebo offer.
"""

from __future__ import annotations

import threading
from typing import Any

from rclpy.node import Node

from ..model.interface import ActionChunk, Future, Observation, Policy, Prediction
from .apt_packages import apt_install

PATIENCE = 2.0  # seconds for the simulation to answer


class Pause:
    """Stops and starts a simulation. `node` is spun by another thread.

    ValueError without simulation_interfaces.
    """

    def __init__(self, node: Node) -> None:
        try:
            from simulation_interfaces.srv import SetSimulationState
        except ImportError:
            raise ValueError(
                "parameter 'pause_simulation' needs the package simulation_interfaces, which is "
                f"not installed: {apt_install('simulation_interfaces')}"
            ) from None
        self.client: Any = node.create_client(SetSimulationState, "set_simulation_state")
        self._log = node.get_logger()

    def set(self, paused: bool) -> None:
        """Ask, and wait until it is so.

        What goes wrong is logged, and the policy goes on without.
        """
        if not self.client.service_is_ready():
            self._log.warning(
                f"nobody offers {self.client.srv_name}: the simulation is not paused", once=True
            )
            return
        request = self.client.srv_type.Request()
        request.state.state = request.state.STATE_PAUSED if paused else request.state.STATE_PLAYING
        answered = threading.Event()
        answer: Any = self.client.call_async(request)
        answer.add_done_callback(lambda _: answered.set())
        word = "paused" if paused else "played"
        if not answered.wait(PATIENCE):
            self.client.remove_pending_request(answer)
            self._log.warning(f"the simulation did not say within {PATIENCE:g} s that it is {word}")
        elif answer.result().result.result not in (1, 101):  # RESULT_OK, ALREADY_IN_TARGET_STATE
            self._log.warning(
                f"the simulation cannot be {word}: {answer.result().result.error_message}"
            )


class PausingPolicy:
    """A `Policy` around another, during whose inference the simulation is paused."""

    def __init__(self, policy: Policy, pause: Pause) -> None:
        self.embodiment = policy.embodiment
        self._policy, self._pause = policy, pause

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        self._pause.set(True)
        try:
            return self._policy.infer(observation, committed)
        finally:
            self._pause.set(False)

    def decode(self, prediction: Prediction) -> Future:
        return self._policy.decode(prediction)

    def reset(self) -> None:
        self._policy.reset()
