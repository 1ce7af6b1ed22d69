# SPDX-License-Identifier: Apache-2.0
"""Training of the policy: one episode is learned by heart."""

import numpy as np
import torch

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training.data.background_loader import BackgroundLoader
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.options import (
    ObjectiveOptions,
    PolicyTrainingOptions,
)
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.stages.policy import train_policy

DROID_SIM = EMBODIMENTS["droid_sim"]


def test_one_episode_is_learned_by_heart(tmp_path, tiny_small, episode):
    """The action loss falls to less than a tenth, and the policy then says what was done."""
    made, losses = episode(17), []
    policy = load_policy(tiny_small)
    recipe = Recipe(
        policy=PolicyTrainingOptions(
            steps=220, batch=16, rate=4e-3, warmup=10, refresh=1000, average=0.02
        ),
        objective=ObjectiveOptions(vision=0.1, modes=(1.0, 0.0, 0.0), prefix=0.0, dropout=0.0),
    )
    torch.manual_seed(0)
    (tmp_path / "checkpoint").mkdir()
    for file in tiny_small.iterdir():
        (tmp_path / "checkpoint" / file.name).symlink_to(file)
    (tmp_path / "checkpoint" / "transformer").unlink()
    (tmp_path / "checkpoint" / "transformer").mkdir()
    source = BackgroundLoader(lambda: (make_clip(part, DROID_SIM, 17) for part in [made]))
    source.wait_for(1)
    train_policy(policy.model, source, recipe, tmp_path, losses.append)
    source.close()
    actions = [line["action"] for line in losses if "action" in line]
    assert actions[-1] < 0.1 * 2.0  # noise and rows of unit spread: 2 at the beginning
    trained = load_policy(tmp_path / "checkpoint", guidance=1.0)
    first = Observation(
        {v: made.views[v][0] for v in made.views}, made.states[0], made.instructions[0], 0
    )
    said = trained.infer(first).chunk.values
    assert np.abs(said[:, :7] - made.actions[:16, :7]).mean() < 0.02
    assert np.abs(said[:, 7] - made.actions[:16, 7]).mean() < 0.15
