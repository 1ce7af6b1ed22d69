# SPDX-License-Identifier: Apache-2.0
"""Two processes that share the guidance say what one says alone."""

import datetime
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


def meet(rank, meeting):
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{meeting}", rank=rank, world_size=2, timeout=datetime.timedelta(minutes=3)
    )
    pair = Pair(torch.device("cpu"))
    return Cosmos3Policy(load_model(tiny_checkpoint(), reasoner=False), pair=pair, **OPTIONS), pair


@pytest.mark.slow
def test_two_processes_say_what_one_says(model, tmp_path):
    command = [sys.executable, __file__, str(tmp_path / "meeting")]
    other = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)})
    try:
        policy, pair = meet(0, tmp_path / "meeting")
        together = ask(policy)
        pair.leave()
        assert other.wait(timeout=60) == 0
    finally:
        other.kill()
        other.wait()
        torch.distributed.destroy_process_group()
    for mine, alone in zip(together, ask(Cosmos3Policy(model, **OPTIONS)), strict=True):
        np.testing.assert_allclose(mine, alone, rtol=1e-5, atol=1e-5)


def test_nobody_follows_without_a_leader(model):
    with pytest.raises(ValueError, match="there is nobody to follow"):
        Cosmos3Policy(model).follow()


if __name__ == "__main__":
    torch.set_num_threads(1)
    meet(1, sys.argv[1])[0].follow()
    torch.distributed.destroy_process_group()
