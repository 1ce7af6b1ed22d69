# SPDX-License-Identifier: Apache-2.0
"""Several samples of one observation: drawn as the policy draws, judged, and one answered."""

import time
from collections.abc import Sequence

import numpy as np
import pytest

from cosmos3_ros.model.best_of.best_of_policy import BestOfPolicy
from cosmos3_ros.model.best_of.choice import choose, distances
from cosmos3_ros.model.interface import Answer, ForwardDynamics, Observation
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.model_params import PolicyModelParams
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.policy_batch import infer_samples
from cosmos3_ros.model.policy_options import PolicyOptions
from cosmos3_ros.model.registry import Models


class Judge:
    """A reasoner that answers each question with the next probability of yes."""

    def __init__(self, *yes: float, takes: float = 0.0) -> None:
        self.yes, self.takes = [*yes], takes
        self.asked: list[tuple[str, list[tuple[int, ...]], int]] = []

    def ask(
        self, question: str, images: Sequence[np.ndarray] = (), max_tokens: int = 128
    ) -> Answer:
        self.asked.append((question, [image.shape for image in images], max_tokens))
        time.sleep(self.takes)
        return Answer("", yes=self.yes[(len(self.asked) - 1) % len(self.yes)])


def observation(policy: Cosmos3Policy, stamp: int = 0) -> Observation:
    random, embodiment = np.random.default_rng(0), policy.embodiment
    images = {view: random.integers(0, 256, (90, 160, 3), np.uint8) for view in embodiment.views}
    state = random.uniform(0, 0.3, len(embodiment.state)).astype(np.float32)
    return Observation(images, state, "lift the cube", stamp)


def make(model: Model, judge: Judge | None = None, **options: object) -> BestOfPolicy:
    inner = Cosmos3Policy(model, num_steps=1, guidance=1.0)
    return BestOfPolicy(inner, PolicyOptions(num_steps=1, guidance=1.0, **options), judge)


def test_samples_are_what_the_policy_draws_with_other_noise(model: Model) -> None:
    options = {"num_steps": 2, "guidance": 3.0, "soft_rows": 1}
    alone, several = (Cosmos3Policy(model, **options) for _ in range(2))
    seen = observation(alone)
    first = alone.infer(seen)
    found = infer_samples(several, seen, None, 3)
    assert np.abs(found[0].chunk.values - first.chunk.values).max() < 1e-4
    assert (found[0].latents - first.latents).abs().max() < 1e-3 * first.latents.abs().max()
    apart = distances(np.stack([each.chunk.values for each in found]))
    assert apart[np.triu_indices(3, 1)].min() > 0.01, "they differ"
    later = observation(alone, 4 * alone.embodiment.step)
    committed = first.chunk.rows(0, later.stamp + 3 * alone.embodiment.step)
    wanted = alone.infer(later, committed)
    again = infer_samples(several, later, committed, 3)
    assert np.abs(again[0].chunk.values - wanted.chunk.values).max() < 1e-4, "the noise goes on"
    for each in again:  # two of three are frozen, one is soft
        assert np.array_equal(each.chunk.values[:2], wanted.chunk.values[:2])


def test_of_samples_that_agree_the_first_is_played_unjudged(model: Model) -> None:
    judge = Judge(0.5)
    policy = make(model, judge, best_of=3, best_of_gate=1e6, best_of_questions=("Is it up?",))
    seen = observation(policy._policy)
    alone = Cosmos3Policy(model, num_steps=1, guidance=1.0).infer(seen)
    found = policy.infer(seen)
    assert np.abs(found.chunk.values - alone.chunk.values).max() < 1e-4
    assert (judge.asked, policy.counts.agreed, "judge" in found.seconds) == ([], 1, False)


def test_the_future_that_is_judged_best_is_played(model: Model) -> None:
    judge = Judge(0.2, 0.9, 0.9, 0.1, 0.3, 0.3)  # wanted: 0.2 and 0.1, 0.9 and 0.9, 0.3 and 0.7
    questions = ("Is '{instruction}' done?", "Is it on the floor? no")
    policy = make(model, judge, best_of=3, best_of_questions=questions)
    seen = observation(policy._policy)
    samples = infer_samples(Cosmos3Policy(model, num_steps=1, guidance=1.0), seen, None, 3)
    found = policy.infer(seen)
    assert np.abs(found.chunk.values - samples[1].chunk.values).max() < 1e-6
    assert policy.counts.judged == 1
    assert found.seconds["judge"] > 0
    assert [question for question, _, _ in judge.asked[:2]] == [
        "Is 'lift the cube' done?",
        "Is it on the floor?",
    ]
    panels = policy.embodiment.canvas.panels
    shapes = [(panel.height, panel.width, 3) for panel in panels]
    assert {(tuple(shapes), tokens) for _, shapes, tokens in judge.asked} == {(tuple(shapes), 1)}
    assert policy.decode(found).frames.shape[0] == policy.embodiment.horizon + 1


def test_where_time_is_over_agreement_decides(model: Model) -> None:
    judge = Judge(0.9, 0.1, 0.1, 0.1, 0.1, takes=0.1)
    options = {"best_of": 5, "best_of_questions": ("Is it up?",), "best_of_budget": 0.15}
    policy = make(model, judge, **options)
    seen = observation(policy._policy)
    samples = infer_samples(Cosmos3Policy(model, num_steps=1, guidance=1.0), seen, None, 5)
    medoid = choose(distances(np.stack([each.chunk.values for each in samples])))
    found = policy.infer(seen)
    assert np.array_equal(found.chunk.values, samples[medoid].chunk.values)
    assert (policy.counts.late, policy.counts.judged) == (1, 0)
    assert len(judge.asked) <= 2
    policy.infer(seen)
    assert len(judge.asked) <= 2, "what took too long is not begun again at once"


def test_what_does_not_fit_is_named(model: Model) -> None:
    with pytest.raises(ValueError, match="best_of: expected at least 1, got 0"):
        PolicyOptions(best_of=0)
    with pytest.raises(ValueError, match="best_of: expected at most 64, got 65"):
        PolicyOptions(best_of=65)
    with pytest.raises(ValueError, match="best_of_questions: expected none where best_of is 1"):
        PolicyOptions(best_of_questions=("Is it up?",))
    with pytest.raises(ValueError, match="best_of_gate: expected 0 or more, got -1"):
        PolicyOptions(best_of=2, best_of_gate=-1.0)
    with pytest.raises(ValueError, match="best_of_questions: expected a question"):
        PolicyOptions(best_of=2, best_of_questions=("lift it",))
    with pytest.raises(ValueError, match="best_of_questions: expected none without a reasoner"):
        make(model, None, best_of=2, best_of_questions=("Is it up?",))
    with pytest.raises(ValueError, match="best_of: expected 1, `BestOfPolicy` draws"):
        Cosmos3Policy(model, best_of=2)


def test_a_node_gets_one_that_judges_with_the_weights_of_its_policy() -> None:
    params = PolicyModelParams(
        device="cpu", num_steps=1, guidance=1.0, best_of=2, best_of_questions=("Is it open?",)
    )
    models = Models(reasoner=False)
    policy = models.policy(params)
    assert isinstance(policy, BestOfPolicy)
    assert isinstance(policy, ForwardDynamics)
    seen = observation(policy._policy)
    found = policy.infer(seen)
    assert found.seconds["judge"] > 0
    assert found.chunk.values.shape == (policy.embodiment.horizon, len(policy.embodiment.action))
    with pytest.raises(ValueError, match="expected placement both for the reasoner, got 'policy'"):
        models.policy(
            PolicyModelParams(best_of=2, best_of_questions=("Is it?",), placement="policy")
        )
