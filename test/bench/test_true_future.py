# SPDX-License-Identifier: Apache-2.0
"""bench/true_future.py: the policy that is shown what the expert would do."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.expert import Expert

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def true_future(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCH))
    yield __import__("true_future")
    sys.modules.pop("true_future", None)


@pytest.mark.sim
def test_its_chunk_is_what_the_expert_would_do(true_future):
    live = Env()
    seen = live.reset("lift", 3)
    expert = Expert(live.simulation)
    for _ in range(16):
        seen = live.step(expert.act())
    policy = load_policy(EMBEDDED, num_steps=4, guidance=1.0)
    foreseeing = true_future.Foreseeing(Dynamics(policy), live, Env())
    before = live.simulation.positions()
    chunk = foreseeing.infer(seen).chunk
    assert np.array_equal(live.simulation.positions(), before)  # only the copy has moved
    copy = Env(views=())
    copy.go_on_from(live.simulation)
    expert, rows = Expert(copy.simulation, moving=True), []
    for _ in range(len(chunk.values)):
        rows.append(expert.act())
        copy.move(rows[-1])
    moved = np.abs(np.stack(rows)[:, :7] - seen.state[:7]).max()
    assert moved > 0.1  # rad
    assert np.abs(chunk.values - np.stack(rows))[:, :7].mean() < 0.015
