# SPDX-License-Identifier: Apache-2.0
"""Training of the networks that tell a disturbance, and what undisturbed episodes make them say.

They learn of undisturbed comparisons, of the same with a disturbance made up (`synthetic`), and, if
there are some, of episodes that were disturbed. Of these it is known when it happened, not where:
within a second something somewhere is to be noticed (multiple-instance learning).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ....model.surprise.comparison import Comparison
from ....model.surprise.network import SurpriseNetwork, evidence
from ....model.surprise.reference import Reference
from .episodes import WatchedEpisode
from .synthetic import Region, disturb
from .training_size import NETWORKS, STEPS

UNDISTURBED, MADE_UP, DISTURBED = 160, 160, 24  # comparisons of a batch, and disturbed episodes
RATE, DECAY, NOISE = 3e-3, 0.1, 0.2
LEAST, SOON = 0.05, 1.0  # s after a disturbance began in which it is to be noticed
FOLDS = 4  # every fourth episode is kept from the training: the threshold is theirs
TOP, FEWEST = 0.01, 8  # share and number of the values that tell how often a larger one comes
RARE = 600.0  # s in which an undisturbed episode is to reach 1 once
NEVER = -30.0  # a logit


def fit(
    episodes: Sequence[WatchedEpisode],
    views: tuple[str, ...],
    places: np.ndarray,
    about: Mapping[str, Any] | None = None,
    steps: int = STEPS,
    networks: int = NETWORKS,
    tell: Callable[[str], None] = lambda words: None,
    device: torch.device | str = "cpu",
) -> Reference:
    """The reference of episodes, most of them undisturbed; the networks are trained on `device`.

    ValueError if there are too few of them.
    """
    taught, kept = split(episodes)
    if not kept:
        raise ValueError(
            f"episodes: expected at least {FOLDS} with something undisturbed to compare, got "
            f"{len(taught)}"
        )
    scale = np.array(
        [seen.comparison.seen.std((1, 2)) for episode in taught for seen in episode.before()]
    ).mean(0)
    scale = np.maximum(scale, 1e-6).astype(np.float32)
    trained = []
    for number in range(networks):
        trained.append(train(taught, places, scale, steps, number, device))
        tell(f"network {number + 1}/{networks}")
    draft = Reference(views, places, scale, tuple(trained), 1.0, dict(about or {}))
    return dataclasses.replace(draft, once=_once(draft, kept))


def split(
    episodes: Sequence[WatchedEpisode],
) -> tuple[list[WatchedEpisode], list[WatchedEpisode]]:
    """Those that are trained with, and every fourth one that has something undisturbed."""
    useful = [episode for episode in episodes if episode.before()]
    taught = [episode for number, episode in enumerate(useful) if number % FOLDS != FOLDS - 1]
    return taught, useful[FOLDS - 1 :: FOLDS]


def _once(reference: Reference, kept: Sequence[WatchedEpisode]) -> float:
    """What undisturbed episodes exceed once in RARE seconds, nats."""
    values, seconds = [], 0.0
    for episode in kept:
        before = [seen.comparison for seen in episode.before()]
        values += [*reference.nats(before)[1].max(1)]
        seconds += episode.undisturbed_seconds
    chance = seconds / len(values) / RARE
    return max(_exceeded(np.array(values), chance), 1e-3)


def _exceeded(values: np.ndarray, chance: float) -> float:
    """What a value exceeds by this chance: the largest of them go on as an exponential.

    Or what so many of these values do exceed, if that is more: a few are far above the others.
    """
    values = np.sort(values)
    top = values[-max(FEWEST, round(TOP * len(values))) :]
    slope = max(float((top - top[0]).mean()), 1e-3)
    extrapolated = top[0] + slope * max(0.0, np.log(len(top) / len(values) / chance))
    return float(max(extrapolated, values[-1 - min(int(chance * len(values)), len(values) - 1)]))


def train(
    episodes: Sequence[WatchedEpisode],
    places: np.ndarray,
    scale: np.ndarray,
    steps: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> SurpriseNetwork:
    """One network, on a CPU; the seed is that of its beginning and of what it is shown."""
    device = torch.device(device)
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        return _Training(episodes, places, scale, seed, device).run(steps).cpu()


class _Training:
    """What is drawn from, and what is learned of it."""

    def __init__(
        self,
        episodes: Sequence[WatchedEpisode],
        places: np.ndarray,
        scale: np.ndarray,
        seed: int,
        device: torch.device,
    ) -> None:
        self.random = np.random.default_rng(seed)
        self.scale, self.regions = scale, Region.all_of(places)
        self.undisturbed = [seen.comparison for one in episodes for seen in one.before()]
        soon = [
            [s.comparison for s in one.seen if LEAST < s.seconds - one.began <= SOON]
            for one in episodes
        ]
        self.disturbed = [comparisons for comparisons in soon if comparisons]
        self.inside = torch.from_numpy(places >= 0).to(device)
        self.network = SurpriseNetwork(len(scale), places.shape).to(device)

    def run(self, steps: int) -> SurpriseNetwork:
        """All steps."""
        optimizer = torch.optim.AdamW(self.network.parameters(), RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, RATE, total_steps=steps, pct_start=0.15
        )
        for _ in range(steps):
            optimizer.zero_grad()
            self._loss().backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        return self.network.eval()

    def _loss(self) -> Tensor:
        quiet = evidence(self._drawn(UNDISTURBED), self.scale)
        made_up, where = disturb(
            evidence(self._drawn(MADE_UP), self.scale), len(self.scale), self.regions, self.random
        )
        really = [evidence(group, self.scale) for group in self._some_disturbed()]
        told = torch.cat([quiet, made_up, *really]).to(self.inside.device)
        logits = self.network(told + NOISE * torch.randn_like(told))
        logits = logits.masked_fill(~self.inside, NEVER)
        of_quiet, of_made_up, *of_really = logits.split([*map(len, (quiet, made_up, *really))])
        loss = 2 * functional.softplus(_any(of_quiet)).mean()
        loss = loss + 0.5 * self._made_up_loss(of_made_up, where.to(told.device))
        if of_really:
            noticed = torch.cat([_any(group[None]) for group in of_really])
            loss = loss + functional.softplus(-noticed).mean()
        return loss

    @staticmethod
    def _made_up_loss(logits: Tensor, where: Tensor) -> Tensor:
        """The places that are disturbed are to be noticed, and none that are not beside them."""
        there = where.flatten(1).any(1)
        noticed = _any(logits.masked_fill(~where, NEVER)[there])
        near = functional.max_pool2d(where[:, None].float(), 3, 1, 1)[:, 0] > 0
        elsewhere = functional.softplus(_any(logits.masked_fill(near, NEVER))).mean()
        return functional.softplus(-noticed).sum() / len(logits) + elsewhere

    def _drawn(self, count: int) -> list[Comparison]:
        chosen = self.random.integers(0, len(self.undisturbed), count)
        return [self.undisturbed[number] for number in chosen]

    def _some_disturbed(self) -> list[list[Comparison]]:
        count = min(DISTURBED, len(self.disturbed))
        chosen = self.random.permutation(len(self.disturbed))[:count]
        return [self.disturbed[number] for number in chosen]


def _any(logits: Tensor) -> Tensor:
    """The logit that at least one of the places is disturbed: [N, ...] -> [N]."""
    return logits.flatten(1).logsumexp(1)
