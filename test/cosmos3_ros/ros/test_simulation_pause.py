# SPDX-License-Identifier: Apache-2.0
"""Time stands still during an inference, where simulation_interfaces is installed.

Elsewhere that is said.
"""

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Future, Observation, Prediction

DROID_SIM = EMBODIMENTS["droid_sim"]

pytestmark = pytest.mark.ros

INSTALLED = importlib.util.find_spec("simulation_interfaces") is not None
PAUSED, PLAYING = 2, 1


class Still:
    """A policy that stays where it is, and notes when it is asked."""

    embodiment = DROID_SIM

    def __init__(self, diary: list[Any]) -> None:
        self._diary = diary

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        self._diary.append("infer")
        values = np.tile(observation.state, (DROID_SIM.horizon, 1))
        chunk = ActionChunk(
            values, DROID_SIM.action_names, observation.stamp, DROID_SIM.step, DROID_SIM.discrete
        )
        return Prediction(chunk)

    def decode(self, prediction: Prediction) -> Future:
        self._diary.append("decode")
        return Future(np.zeros((1, 8, 8, 3), np.uint8), 0, 1)

    def reset(self) -> None:
        self._diary.append("reset")


@pytest.fixture
def diary() -> list[Any]:
    return []


@pytest.fixture
def policy(watcher: Any, diary: list[Any]) -> Iterator[Any]:
    """The policy that pauses, asking through the node that is spun."""
    from cosmos3_ros.ros.simulation_pause import Pause, PausingPolicy

    pause = Pause(watcher)
    yield PausingPolicy(Still(diary), pause)
    watcher.destroy_client(pause.client)


def observation() -> Observation:
    image = np.zeros((8, 8, 3), np.uint8)
    return Observation(dict.fromkeys(DROID_SIM.views, image), np.zeros(8, np.float32), "wait", 0)


@pytest.mark.skipif(INSTALLED, reason="simulation_interfaces is installed")
def test_without_the_package_configure_says_what_to_install(start: Any) -> None:
    from cosmos3_ros.robot.robot_file import config_folder

    robot = config_folder() / "droid_sim.yaml"
    node = start(
        "policy",
        "--ros-args",
        "--params-file",
        robot,
        "-p",
        "pause_simulation:=true",
        "-p",
        "num_steps:=1",
    )
    assert node.process.wait(60) == 1
    assert "-simulation-interfaces" in node.output


@pytest.mark.skipif(not INSTALLED, reason="simulation_interfaces is not installed")
def test_the_simulation_is_paused_during_an_inference(
    watcher: Any, policy: Any, diary: list[Any], wait_until: Any
) -> None:
    from simulation_interfaces.srv import SetSimulationState

    policy.infer(observation())  # nobody there: goes on without
    assert diary == ["infer"]

    def obey(request: Any, response: Any) -> Any:
        diary.append(request.state.state)
        response.result.result = 1
        return response

    watcher.create_service(SetSimulationState, "set_simulation_state", obey)
    wait_until(policy._pause.client.service_is_ready, "the service")
    policy.infer(observation())
    assert diary[1:] == [PAUSED, "infer", PLAYING]
    policy.reset()
    policy.decode(policy.infer(observation()))
    assert diary[4:] == ["reset", PAUSED, "infer", PLAYING, "decode"]


@pytest.mark.skipif(not INSTALLED, reason="simulation_interfaces is not installed")
def test_it_plays_on_after_a_failed_inference(
    watcher: Any, policy: Any, diary: list[Any], wait_until: Any
) -> None:
    from simulation_interfaces.srv import SetSimulationState

    def refuse(request: Any, response: Any) -> Any:
        diary.append(request.state.state)
        response.result.result, response.result.error_message = 103, "not now"
        return response

    watcher.create_service(SetSimulationState, "set_simulation_state", refuse)
    wait_until(policy._pause.client.service_is_ready, "the service")
    policy._policy = None  # so that infer fails
    with pytest.raises(AttributeError):
        policy.infer(observation())
    assert diary == [PAUSED, PLAYING]
