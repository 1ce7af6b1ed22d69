# SPDX-License-Identifier: Apache-2.0
"""Looks on while episodes are played: what was predicted beside what came, disturbed or not."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from ....execution.surprise.due_pictures import PictureKeeper
from ....execution.surprise.played_rows import PlayedRows
from ....model.interface import NS, Observation, Prediction
from ....model.policy import Cosmos3Policy
from ....model.surprise.comparison import ClipComparer, Comparison
from ....sim.disturbances import Disturbance
from ....sim.env import ACTIONS_PER_SECOND, Env
from ....sim.real_time_pace import TICKS_PER_SECOND
from ..closed_loop import Probe

AFTER = 1.3  # s that an episode goes on after a disturbance


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """A comparison, and when its last picture was taken, s since the beginning."""

    seconds: float
    comparison: Comparison


class SurpriseProbe(Probe):
    """Compares every future of an episode, as far as it was played.

    disturbance: of the episode, None: none. began: when it did, s; NaN if it did not.
    """

    def __init__(self, policy: Cosmos3Policy, disturbance: Disturbance | None = None) -> None:
        assert policy.model.vae is not None  # a policy has one
        self._policy, self._disturbance = policy, disturbance
        embodiment = policy.embodiment
        self._keeper = PictureKeeper(embodiment.views, embodiment.step, policy.model.vae.temporal)
        self._comparers: dict[int, ClipComparer] = {}
        self._number, self._played = 0, PlayedRows()
        self._width = len(embodiment.action_names)
        self._moves = [
            column
            for column, name in enumerate(embodiment.action_names)
            if name not in embodiment.discrete
        ]
        self.seen: list[Seen] = []

    @property
    def began(self) -> float:
        ticks = self._disturbance.began if self._disturbance else None
        return math.nan if ticks is None else ticks / TICKS_PER_SECOND

    def inferred(self, observation: Observation, prediction: Prediction) -> None:
        self._number += 1
        self._keeper.expect(observation.stamp)
        self._keeper.predicted(self._number, prediction)
        self._comparers[self._number] = ClipComparer(self._policy, observation, prediction)

    def playing(self, number: int, base: int, now: int) -> None:
        self._keeper.playing(number, base, now)

    def tick(self, env: Env, targets: np.ndarray) -> np.ndarray:
        simulation = env.simulation
        ticks = simulation.ticks
        if ticks % (TICKS_PER_SECOND // ACTIONS_PER_SECOND) == 0:
            observation = env.observe()
            row = np.full(self._width, 0.0)
            row[self._moves] = targets
            self._played.add(observation.stamp, row)
            for view, picture in observation.images.items():
                self._keeper.add(view, observation.stamp, picture)
            self._compare()
        if self._disturbance is None:
            return targets
        return self._disturbance.tick(simulation.world, simulation.layout, ticks, targets)

    def _compare(self) -> None:
        for due in self._keeper.take():
            last = due.moments[-1]
            played = self._played.of(due.prediction.chunk, due.base, last) if due.index else None
            comparison = self._comparers[due.number].add(due.pictures, played)
            if comparison:
                self.seen.append(Seen(last / NS, comparison))

    def goes_on(self, solved: bool, now: int) -> bool:
        if math.isnan(self.began):
            return not solved
        return now < (self.began + AFTER) * NS
