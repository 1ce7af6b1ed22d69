# SPDX-License-Identifier: Apache-2.0
"""Closed loop over the openpi socket: the arm goes exactly where it goes when driven in process."""

from typing import Any

import numpy as np
import openpi_loop as bench
import pytest

pytestmark = pytest.mark.sim


@pytest.mark.parametrize(("task", "seed"), [("drawer", 1), ("reach", 0)])
def test_the_arm_goes_where_it_goes_in_process(task: str, seed: int) -> None:
    from cosmos3_ros.model.policy import load_policy
    from cosmos3_ros.model.registry import embedded_checkpoint
    from cosmos3_ros.sim.env import Env
    from cosmos3_ros.training.evaluation.closed_loop import Trial

    policy = load_policy(embedded_checkpoint(), guidance=1.0, num_steps=2)
    env, trial = Env(), Trial("", task, seed, limit=2.0)

    def joints(way: Any) -> np.ndarray:
        bench.client_15_hz(way, env, trial, rows=6)
        return np.array(env.simulation.world.positions())

    with bench.served(policy) as remote:
        through = joints(remote)
    inside = joints(policy)
    start = env.simulation.layout.start
    env.close()
    assert np.abs(inside[:7] - start).max() > 0.1, "it moved"
    assert np.array_equal(through, inside)
