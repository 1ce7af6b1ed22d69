# SPDX-License-Identifier: Apache-2.0
"""A policy that draws several chunks in one batch, judges their futures, and answers the best."""

from __future__ import annotations

import dataclasses
import statistics
import time

import numpy as np

from ..embodiment import JOINTS
from ..interface import ActionChunk, Future, Observation, Prediction, Reasoner
from ..language.wanted_answers import parse_wanted
from ..policy import Cosmos3Policy
from ..policy_batch import infer_samples
from ..policy_options import PolicyOptions
from .choice import choose, disagreement, distances


@dataclasses.dataclass(slots=True)
class Counts:
    """What became of the chunks so far."""

    agreed: int = 0  # within the gate: the first sample, nothing was judged
    judged: int = 0
    late: int = 0  # not all futures within the budget: agreement alone decided


class BestOfPolicy:
    """A `Policy` around another, with the options `best_of` and those that begin with it.

    The first sample has the noise that the policy would have had alone. reasoner: is asked
    `best_of_questions`, on the same weights; None: there are none.
    """

    def __init__(
        self, policy: Cosmos3Policy, options: PolicyOptions, reasoner: Reasoner | None = None
    ) -> None:
        self.embodiment = policy.embodiment
        self.counts = Counts()
        self.reasoner = reasoner
        self._policy, self._options = policy, options
        self._wanted = parse_wanted(options.best_of_questions)
        if self._wanted and reasoner is None:
            raise ValueError("best_of_questions: expected none without a reasoner")
        if policy.model.team:
            raise ValueError("best_of: expected 1 where several processes share a policy")
        self._future_seconds = 0.0  # what judging one took, the last time

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        """The chunk of the sample that is chosen; the stage "judge" is there if it was judged."""
        samples = infer_samples(self._policy, observation, committed, self._options.best_of)
        apart = distances(self._compared(samples, observation))
        if disagreement(apart) <= self._options.best_of_gate:
            self.counts.agreed += 1
            return samples[0]
        began = time.perf_counter()
        wanted = self._judge(samples, observation) if self._wanted else None
        if self._wanted and wanted is None:
            self.counts.late += 1
        else:
            self.counts.judged += 1
        chosen = samples[choose(apart, wanted)]
        seconds = {**chosen.seconds, "judge": time.perf_counter() - began}
        return dataclasses.replace(chosen, seconds=seconds)

    @property
    def inner(self) -> Cosmos3Policy:
        """The policy that draws the samples."""
        return self._policy

    def check_instruction(self, instruction: str) -> None:
        """As of the policy inside."""
        self._policy.check_instruction(instruction)

    def decode(self, prediction: Prediction) -> Future:
        return self._policy.decode(prediction)

    def imagine(self, observation: Observation, candidate: ActionChunk) -> Prediction:
        """As of the policy inside: nothing is drawn, nothing is judged."""
        return self._policy.imagine(observation, candidate)

    def reset(self) -> None:
        self._policy.reset()

    def _compared(self, samples: list[Prediction], observation: Observation) -> np.ndarray:
        """What samples are compared by [N, H, D].

        Joints in rad or m; else the model's rows, in which no rotation has two names.
        """
        values = [sample.chunk.values for sample in samples]
        if self.embodiment.kind != JOINTS:
            values = [self.embodiment.encode_actions(one, observation.state) for one in values]
        return np.stack(values)

    def _judge(self, samples: list[Prediction], observation: Observation) -> list[float] | None:
        """Mean probability of the wanted answers about the end of each future; None: no time."""
        budget, began = self._options.best_of_budget, time.perf_counter()
        found = []
        for number, sample in enumerate(samples):
            since = time.perf_counter()
            left = (len(samples) - number) * self._future_seconds
            if budget and since - began + left > budget:
                self._future_seconds *= 0.9  # it may be quicker another time
                return None
            found.append(self._share(sample, observation.instruction))
            self._future_seconds = time.perf_counter() - since
        return found

    def _share(self, sample: Prediction, instruction: str) -> float:
        """Mean probability of the wanted answers about the last frame of its future."""
        assert self.reasoner  # it is there if there are questions
        views = [*self.embodiment.canvas.cut(self.decode(sample).frames[-1]).values()]
        return statistics.fmean(
            one.share(self.reasoner.ask(one.about(instruction), views, 1).yes)
            for one in self._wanted
        )
