# SPDX-License-Identifier: Apache-2.0
"""A checkpoint as a policy of LeRobot, for its own `lerobot-eval --env.type=metaworld`.

As LeRobot's own conventions ask, class and processors are in the module of the config. What LeRobot
shows becomes an `Observation` as the world `metaworld` has it, and rows of a chunk become
Meta-World's actions; both by the code of that world. Nothing is normalized: the embodiment does it.

No `from __future__ import annotations`: the parser of LeRobot's options reads the types.
"""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from lerobot.configs.policies import PreTrainedConfig
from lerobot.policies.pretrained import PreTrainedPolicy
from lerobot.processor import PolicyProcessorPipeline
from lerobot.processor.converters import (
    policy_action_to_transition,
    transition_to_policy_action,
)
from torch import Tensor

from ....model.interface import NS, Observation, Policy
from ..metaworld_hand import CommandedHand
from ..metaworld_world import FPS, MetaWorld
from ..rollout import commands, match_views

PICTURE, TOLD, TASK = "observation.image", "observation.state", "task"  # as LeRobot calls them


@PreTrainedConfig.register_subclass("cosmos3")
@dataclasses.dataclass
class Cosmos3Config(PreTrainedConfig):
    """LeRobot's options `--policy.NAME=`; `checkpoint` is asked for.

    checkpoint: a folder in the Hub layout, or `ws://HOST:PORT` of `cosmos3 serve openpi`.
    embodiment: that of a server's checkpoint; a folder has its own. rows: of a chunk that are
    played before the policy is asked again, 0 for all. num_steps, guidance, seed: see
    `PolicyOptions`; the defaults are those of `cosmos3 eval`.
    """

    checkpoint: str = ""
    embodiment: str = "metaworld"
    rows: int = 0
    num_steps: int = 4
    guidance: float = 1.0
    seed: int = 0

    @property
    def observation_delta_indices(self) -> None:
        """Nothing but the present is seen."""
        return

    action_delta_indices = reward_delta_indices = observation_delta_indices

    def validate_features(self) -> None:
        """LeRobot's environment says which there are; `select_action` reads them."""

    def get_optimizer_preset(self) -> Any:
        """Raises NotImplementedError: LeRobot does not train it."""
        raise NotImplementedError(TRAINED_ELSEWHERE)

    get_scheduler_preset = get_optimizer_preset


TRAINED_ELSEWHERE = "a Cosmos 3 checkpoint is trained by `cosmos3 train`, LeRobot only plays it"


class Cosmos3Policy(PreTrainedPolicy):
    """Plays chunks of a checkpoint for LeRobot, one action after the other, in one environment."""

    config_class = Cosmos3Config
    name = "cosmos3"

    def __init__(self, config: Cosmos3Config, **kwargs: Any) -> None:
        """kwargs: what LeRobot says of datasets, which is not needed.

        Raises ValueError if the checkpoint is for another robot.
        """
        super().__init__(config)
        self.policy = load(config)
        embodiment = self.policy.embodiment
        (self._view,) = match_views(embodiment, MetaWorld)
        if not 0 <= config.rows <= embodiment.horizon:
            raise ValueError(f"policy.rows: expected 0 to {embodiment.horizon}, got {config.rows}")
        self._hand = CommandedHand()
        self.reset()

    def reset(self) -> None:
        """An episode begins; the noise begins again from its seed, as with `cosmos3 eval`."""
        self.policy.reset()
        self._steps = 0
        self._left: Iterator[np.ndarray] = iter(())

    def select_action(self, batch: dict[str, Any], **kwargs: Any) -> Tensor:
        """The next action of Meta-World, float32 [1, 4] within [-1, 1], on the CPU.

        batch: picture float [1, 3, H, W] within 0..1, the first four numbers of Meta-World's
        observation [1, 4], the instruction [1]. Raises ValueError for several environments at once.
        """
        told = batch[TOLD].double().cpu().numpy()
        if len(told) != 1:
            raise ValueError(f"eval.batch_size: expected 1, got {len(told)}")
        if not self._steps:
            self._hand.begin(told[0])
        command = next(self._left, None)
        if command is None:
            seen = self._observation(batch, told[0])
            chunk = self.policy.infer(seen).chunk
            self._left = commands(chunk, self._hand.command, FPS, self.config.rows)
            command = next(self._left)  # there is at least one
        self._steps += 1
        return torch.from_numpy(self._hand.take(self._hand.to_action(command))[None])

    def _observation(self, batch: dict[str, Any], told: np.ndarray) -> Observation:
        pixels = (batch[PICTURE][0].float().cpu() * 255).round().to(torch.uint8)
        picture = pixels.permute(1, 2, 0).contiguous().numpy()
        stamp = round(self._steps * NS / FPS)
        return Observation({self._view: picture}, self._hand.state(told), batch[TASK][0], stamp)

    def predict_action_chunk(self, batch: dict[str, Any], **kwargs: Any) -> Tensor:
        """Raises NotImplementedError: an action depends on those before it."""
        raise NotImplementedError("expected select_action: an action depends on those before it")

    def forward(self, batch: dict[str, Any]) -> tuple[Tensor, dict | None]:
        """Raises NotImplementedError: LeRobot does not train it."""
        raise NotImplementedError(TRAINED_ELSEWHERE)

    def get_optim_params(self) -> dict:
        """Raises NotImplementedError: LeRobot does not train it."""
        raise NotImplementedError(TRAINED_ELSEWHERE)


def load(config: Cosmos3Config) -> Policy:
    """The checkpoint's policy, in this process or a server's."""
    if not config.checkpoint:
        raise ValueError("policy.checkpoint: expected a folder, or ws://HOST:PORT of a server")
    if "://" in config.checkpoint:
        from ....model.embodiment.catalog import find_embodiment
        from ....serve.clients.policy_client import RemotePolicy

        return RemotePolicy(config.checkpoint, find_embodiment(config.embodiment), timeout=600.0)
    from ....model.runtime.device import resolve
    from ...evaluation.closed_loop import load_once

    device, dtype = resolve(config.device or "cpu", "auto")
    options = {name: getattr(config, name) for name in ("num_steps", "guidance", "seed")}
    return load_once(config.checkpoint, tuple(options.items()), device, dtype)


def make_cosmos3_pre_post_processors(
    config: Cosmos3Config, dataset_stats: Any = None
) -> tuple[PolicyProcessorPipeline, PolicyProcessorPipeline]:
    """What LeRobot puts before and behind the policy: nothing."""
    return PolicyProcessorPipeline(steps=[], name="policy_preprocessor"), PolicyProcessorPipeline(
        steps=[],
        name="policy_postprocessor",
        to_transition=policy_action_to_transition,
        to_output=transition_to_policy_action,
    )
