# SPDX-License-Identifier: Apache-2.0
"""Two processes that share the guidance say what one says alone."""

import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from cosmos3_ros.model.embodiment import DROID_SIM
from cosmos3_ros.model.interface import ActionChunk, Observation
from cosmos3_ros.model.pair import Pair
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.tiny import tiny_checkpoint
from cosmos3_ros.model.weights import load_model

OPTIONS = {"num_steps": 2, "seed": 3, "soft_rows": 2}
STATE = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.25], np.float32)


def ask(policy):
    """Two chunks, the second with decided and soft rows."""
    rng = np.random.default_rng(0)
    images = {view: rng.integers(0, 256, (90, 120, 3), dtype=np.uint8) for view in DROID_SIM.views}
    first = policy.infer(Observation(images, STATE, "put the red cube in the bowl", 1)).chunk
    kept = ActionChunk(first.values[:5], first.names, first.stamp, first.step, first.discrete)
    return first.values, policy.infer(Observation(images, STATE, "open the drawer", 1), kept).chunk.values


def run(rank, meeting, said):
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=2)
    pair = Pair(torch.device("cpu"))
    policy = Cosmos3Policy(load_model(tiny_checkpoint(), reasoner=False), pair=pair, **OPTIONS)
    if rank:
        policy.follow()
    else:
        np.save(said, np.stack(ask(policy)))
        pair.leave()
    torch.distributed.destroy_process_group()


def test_two_processes_say_what_one_says(tmp_path):
    model = load_model(tiny_checkpoint(), reasoner=False)  # written before two processes want it
    said = tmp_path / "said.npy"
    command = [sys.executable, __file__, str(tmp_path / "meeting"), str(said)]
    paths = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    both = [subprocess.Popen([*command, rank], env=paths) for rank in "01"]
    try:
        assert [process.wait(timeout=300) for process in both] == [0, 0]
    finally:
        for process in both:
            process.kill()
            process.wait()
    for mine, alone in zip(np.load(said), ask(Cosmos3Policy(model, **OPTIONS)), strict=True):
        np.testing.assert_allclose(mine, alone, rtol=1e-5, atol=1e-5)


def test_nobody_follows_without_a_leader(model):
    with pytest.raises(ValueError, match="there is nobody to follow"):
        Cosmos3Policy(model).follow()


if __name__ == "__main__":
    run(int(sys.argv[3]), sys.argv[1], sys.argv[2])
