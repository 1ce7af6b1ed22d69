# SPDX-License-Identifier: Apache-2.0
"""Several observations at once: the chunks of each alone, in their order."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
from torch import Tensor

from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.policy_batch import infer_batch


def observations(policy: Cosmos3Policy) -> list[Observation]:
    random, embodiment = np.random.default_rng(0), policy.embodiment
    return [
        Observation(
            {view: random.integers(0, 256, (90, 160, 3), np.uint8) for view in embodiment.views},
            random.normal(scale=0.3, size=len(embodiment.state)).astype(np.float32).clip(0, 1),
            instruction,
            stamp,
        )
        for stamp, instruction in enumerate(
            ("lift the cube", "open the drawer and look into it", "stop")
        )
    ]


@pytest.mark.parametrize(("guidance", "deterministic"), [(1.0, False), (3.0, True)])
def test_a_batch_says_what_each_says_alone(
    model: Model, guidance: float, deterministic: bool
) -> None:
    options = {"num_steps": 2, "guidance": guidance, "deterministic": deterministic}
    alone, together = (Cosmos3Policy(model, **options) for _ in range(2))
    asked = observations(alone)
    expected = [alone.infer(observation) for observation in asked]
    for one, other in zip(infer_batch(together, asked), expected, strict=True):
        assert (
            np.abs(one.chunk.values - other.chunk.values).max()
            < 1e-4 * np.abs(other.chunk.values).max()
        )
        assert (one.chunk.stamp, one.chunk.names) == (other.chunk.stamp, other.chunk.names)
        assert (one.latents - other.latents).abs().max() < 1e-3 * other.latents.abs().max()
        assert together.decode(one).frames.shape == alone.decode(other).frames.shape
    assert np.abs(expected[0].chunk.values - expected[1].chunk.values).max() > 0.01, (
        "they differ at all"
    )


def test_what_is_wrong_is_named(model: Model) -> None:
    policy = Cosmos3Policy(model, num_steps=1)
    first, second, _ = observations(policy)
    with pytest.raises(ValueError, match="observations: expected at least one"):
        infer_batch(policy, [])
    with pytest.raises(ValueError, match="missing view"):
        infer_batch(policy, [first, Observation({}, second.state, "go", 0)])
    with pytest.raises(ValueError, match="expected 8 values"):
        infer_batch(policy, [first, Observation(second.images, second.state[:3], "go", 0)])


def test_policies_on_one_model_take_turns(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """In two threads: one ends before the other begins, for recordings share their memory."""
    first, second = Cosmos3Policy(model, num_steps=1), Cosmos3Policy(model, num_steps=1)
    inside, go_on, order = threading.Event(), threading.Event(), list[str]()

    def watched(policy: Cosmos3Policy, name: str) -> Callable[[Tensor], Tensor]:
        encode = policy.encode

        def function(canvas: Tensor) -> Tensor:
            order.append(f"{name} begins")
            inside.set()
            assert go_on.wait(20)
            seen = encode(canvas)
            order.append(f"{name} ends")
            return seen

        return function

    asked = observations(first)
    monkeypatch.setattr(first, "encode", watched(first, "first"))
    monkeypatch.setattr(second, "encode", watched(second, "second"))
    threads = [threading.Thread(target=first.infer, args=(asked[0],))]
    threads.append(threading.Thread(target=infer_batch, args=(second, asked[1:2])))
    threads[0].start()
    assert inside.wait(20)
    threads[1].start()
    threads[1].join(0.2)
    go_on.set()
    for thread in threads:
        thread.join(20)
    assert order == ["first begins", "first ends", "second begins", "second ends"]
