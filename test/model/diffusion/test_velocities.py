# SPDX-License-Identifier: Apache-2.0
"""Steps of the action rows alone, each way against a plain computation of every pass."""

import dataclasses
import warnings

import numpy as np
import pytest
import torch

from cosmos3_ros.model.checkpoint_io.trained_sampling import TrainedSampling
from cosmos3_ros.model.diffusion import denoiser
from cosmos3_ros.model.diffusion.conditioning import DenoiserInput
from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.diffusion.sampler import Solver, fixed_schedule, flow_schedule
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.loaded_model import Model
from cosmos3_ros.model.network.kv_cache import KVCache, Prompts
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.policy_batch import infer_batch

ALL = TrainedSampling(row_levels=True, hidden_rows=True, no_future=True)
STATE = np.array([0, -0.6, 0, -2.5, 0, 1.9, 0, 0], np.float32)


@pytest.fixture(scope="module")
def small(write) -> Model:
    """A random network whose text, video and rows tell on each other."""
    from cosmos3_ros.model.checkpoint_io.loader import load_model
    from cosmos3_ros.model.network.config import TINY

    return load_model(write(dataclasses.replace(TINY, layers=3)), reasoner=False)


def trained(model: Model, sampling: TrainedSampling) -> Model:
    """The same weights, with another word on what they were trained for."""
    policy = {**model.policy_config, "sampling": sampling.names()}
    return dataclasses.replace(model, policy_config=policy)


def make(model: Model, **options) -> Cosmos3Policy:
    settings = {"num_steps": 4, "guidance": 3.0, "deterministic": True, "horizon": 8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that are not trained at all
        return Cosmos3Policy(model, **(settings | options))


def observation(policy: Cosmos3Policy, instruction: str = "lift the cube") -> Observation:
    rng = np.random.default_rng(3)
    pictures = {
        view: rng.integers(0, 256, (90, 160, 3), dtype=np.uint8) for view in policy.embodiment.views
    }
    return Observation(pictures, STATE, instruction, 10**9)


class Recorder:
    """What a policy gave its denoiser, to compute it again."""

    def __init__(self, policy: Cosmos3Policy, monkeypatch: pytest.MonkeyPatch):
        whole = policy.denoiser.run
        self.inputs: DenoiserInput
        self.texts: tuple[KVCache, KVCache]

        def run(inputs, text, negative, *rest, **more):
            self.inputs, self.texts = inputs, (text, negative)
            self.latents, self.actions = whole(inputs, text, negative, *rest, **more)
            return self.latents, self.actions

        monkeypatch.setattr(policy.denoiser, "run", run)


def plain(policy: Cosmos3Policy, inputs: DenoiserInput, texts: tuple[KVCache, KVCache]):
    """Latents and rows without kept keys: each step is a pass over all tokens.

    In a step of the rows alone the video is what it was in the last full step, with the time it had
    there; with `hide_rows` it does not depend on the rows, so that nothing is stale.
    """
    schedule, guidance = policy.schedule, policy.guidance
    full = policy.options.full_steps or tuple(range(len(schedule.times)))
    video = Solver(inputs.latents, schedule.thinned(full), inputs.clean_latents())
    rows = Solver(inputs.actions, schedule, inputs.clean_actions())

    def ask(text: KVCache, seen: torch.Tensor, seen_time: float, time: float):
        prompts = Prompts((text,))
        with torch.no_grad():
            return policy.model.transformer.velocity(
                seen,
                torch.tensor([seen_time]),
                prompts,
                policy.denoiser._rope(inputs, prompts),
                ~inputs.clean_frames,
                rows.sample,
                ~inputs.clean_rows,
                torch.tensor([inputs.domain]),
                row_time=torch.tensor([time]),
                hide_rows=inputs.hide_rows,
            )

    difference: list[torch.Tensor] = []
    seen = inputs.latents, 0.0
    for step, time in enumerate(schedule.times):
        if step in full:
            seen = video.sample, time
        told = ask(texts[0], *seen, time)
        if guidance.applies(time):
            other = ask(texts[1], *seen, time)
            moved = [no + guidance.scale * (yes - no) for yes, no in zip(told, other, strict=True)]
            difference = [new - yes for new, yes in zip(moved, told, strict=True)]
            told = moved
        elif guidance.reuse and difference:
            told = [yes + more for yes, more in zip(told, difference, strict=True)]
        if step in full:
            video.step(told[0])
        rows.step(inputs.guide(rows.sample, told[1], time))
    return video.sample, rows.sample


WAYS = {
    "all guided": {},
    "without guidance": {"guidance": 1.0},
    "first only": {"guided_steps": 1},
    "first only, reused": {"guided_steps": 1, "reuse_guidance": True},
    "later ones only": {"guidance_interval": (0.0, 900.0)},
    "in one pass": {"batched_guidance": True},
    "in one pass, first two": {"batched_guidance": True, "guided_steps": 2},
    "soft rows": {"soft_rows": 2},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("full_steps", [(0,), (0, 3), (0, 2)])
def test_where_the_video_does_not_look_at_the_rows_nothing_is_lost(
    small, far, way, full_steps, monkeypatch
):
    """Committed rows, soft rows, the state and every kind of guidance, to 1e-5."""
    policy = make(trained(small, ALL), full_steps=full_steps, **WAYS[way])
    recorder, seen = Recorder(policy, monkeypatch), observation(policy)
    first = policy.infer(seen).chunk
    later = dataclasses.replace(seen, stamp=seen.stamp + 3 * first.step)
    for prediction in (None, policy.infer(later, first)):
        latents, actions = plain(policy, recorder.inputs, recorder.texts)
        assert recorder.inputs.hide_rows
        assert far(recorder.latents, latents) < 1e-5
        assert far(recorder.actions, actions) < 1e-5
        if prediction is not None and "soft_rows" not in WAYS[way]:
            kept = first.values[3:]
            assert np.array_equal(prediction.chunk.values[: len(kept)], kept)


def test_all_steps_full_is_the_exact_answer_to_the_last_bit(small):
    seen = observation(make(small))
    for options in WAYS.values():
        exact, full = make(small, **options), make(small, full_steps=(0, 1, 2, 3), **options)
        said, again = exact.infer(seen), full.infer(seen)
        assert np.array_equal(said.chunk.values, again.chunk.values)
        assert torch.equal(said.latents, again.latents)


@pytest.mark.parametrize("hidden", [False, True])
def test_rows_alone_on_the_input_of_the_pass_say_what_the_pass_says(small, far, hidden):
    policy = make(trained(small, ALL if hidden else TrainedSampling()))
    inputs, model = policy._blank, policy.model.transformer
    assert inputs.hide_rows is hidden
    texts = [policy.denoiser.read(text) for text in ("lift the cube", "")]
    prompts, kept = Prompts(tuple(texts)), []
    rope = policy.denoiser._rope(inputs, prompts)
    actions, time = inputs.actions.expand(2, -1, -1), torch.full((2,), 833.0)
    domain = torch.full((2,), inputs.domain)
    noisy_rows, count = ~inputs.clean_rows, actions.shape[1]
    with torch.no_grad():
        _, wanted = model.velocity(
            inputs.latents.expand(2, -1, -1, -1, -1), time, prompts, rope, ~inputs.clean_frames,
            actions, noisy_rows, domain, hide_rows=hidden, kept=kept,
        )  # fmt: skip
        last = (rope[0][:, -count:], rope[1][:, -count:])
        before = [[pair[0].clone() for pair in layer] for layer in kept]
        got = model.row_velocity(actions, time, last, noisy_rows, domain, kept)
        other = model.row_velocity(actions + 1, time, last, noisy_rows, domain, kept)
    assert far(got, wanted) < 1e-6
    assert far(other, wanted) > 0.01
    for layer, was in zip(kept, before, strict=True):
        for (keys, _), old in zip(layer, was, strict=True):
            assert torch.equal(keys[:, :-count], old[:, :-count]), "only the rows' own are written"


def test_stale_video_keys_are_those_of_the_last_full_step(small, far):
    """Without the mask: by hand, with the keys of the text and the video taken out of a pass."""
    policy = make(small, full_steps=(0,), guidance=1.0, num_steps=2)
    inputs, model = policy._blank, policy.model.transformer
    text = policy.denoiser.read("lift the cube")
    latents, actions = policy.denoiser.run(
        inputs, text, text, policy.schedule, Guidance(1.0), 0, (0,)
    )
    prompts = Prompts((text,))
    rope, domain = policy.denoiser._rope(inputs, prompts), torch.tensor([inputs.domain])
    count = inputs.actions.shape[1]
    kept: list = []
    with torch.no_grad():
        vision, action = model.velocity(
            inputs.latents, torch.tensor([policy.schedule.times[0]]), prompts, rope,
            ~inputs.clean_frames, inputs.actions, ~inputs.clean_rows, domain, kept=kept,
        )  # fmt: skip
        rows = Solver(inputs.actions, policy.schedule, inputs.clean_actions())
        rows.step(action)
        # the text tower's cache grows by the video: rows then are all that is new
        longer = KVCache(
            [pairs[0][0][:, :-count] for pairs in kept], [pairs[0][1][:, :-count] for pairs in kept]
        )
        noisy = (~inputs.clean_rows)[None, :, None]
        time = model.time(torch.tensor([policy.schedule.times[1]]))[:, None]
        x = model.action_in(rows.sample, domain) + model.action_embed + time * noisy
        last = (rope[0][:, -count:], rope[1][:, -count:])
        for number, layer in enumerate(model.generator.layers):
            x = layer.generate(x, last, longer.for_generator(number), None)
        rows.step(model.action_out(model.generator.norm(x), domain) * noisy)
    video = Solver(inputs.latents, policy.schedule.thinned((0,)), inputs.clean_latents())
    video.step(vision)
    assert far(actions, rows.sample) < 1e-6
    assert far(latents, video.sample) < 1e-6


def test_without_future_tokens_the_first_pass_is_enough(small, far, monkeypatch):
    """Frame 0 is known, so that its keys stay what they are if it does not look at the rows."""
    asked = {"future_tokens": False, "guidance": 3.0}
    every, first = (make(trained(small, ALL), full_steps=steps, **asked) for steps in ((), (0,)))
    recorder, seen = Recorder(first, monkeypatch), observation(first)
    wanted, got = every.infer(seen), first.infer(seen)
    assert recorder.inputs.latents.shape[2] == 1
    assert np.abs(got.chunk.values - wanted.chunk.values).max() < 1e-5
    assert far(recorder.actions, plain(first, recorder.inputs, recorder.texts)[1]) < 1e-5
    assert np.abs(make(small).infer(seen).chunk.values - got.chunk.values).max() > 1e-3
    future = first.decode(got)
    assert len(future.frames) == first.embodiment.horizon + 1
    assert np.ptp(future.frames[-1]) > 0, "imagined from the rows"


@pytest.mark.parametrize("options", [{"full_steps": (0,)}, {"full_steps": (0, 3)}, {}])
@pytest.mark.parametrize("future_tokens", [True, False])
def test_a_batch_answers_as_each_alone(small, options, future_tokens):
    policy = make(trained(small, ALL), future_tokens=future_tokens, **options)
    texts = ("lift the cube", "open", "lift the cube")
    seen = [observation(policy, text) for text in texts]
    for got, each in zip(infer_batch(policy, seen), seen, strict=True):
        wanted = policy.infer(each)
        assert np.abs(got.chunk.values - wanted.chunk.values).max() < 1e-5
        frames = [policy.decode(one).frames.astype(int) for one in (got, wanted)]
        assert np.abs(frames[0] - frames[1]).max() <= 1


def test_a_chunk_of_known_rows_is_forward_dynamics_in_every_step(small, monkeypatch):
    policy, exact = (make(trained(small, ALL), full_steps=steps) for steps in ((0,), ()))
    seen = observation(policy)
    chunk = exact.infer(seen).chunk
    recorder = Recorder(policy, monkeypatch)
    got = policy.infer(seen, chunk)
    assert recorder.inputs.decided
    assert not recorder.inputs.hide_rows
    assert torch.equal(got.latents, exact.infer(seen, chunk).latents)
    other = dataclasses.replace(chunk, values=chunk.values + 0.2)
    assert not torch.equal(got.latents, exact.infer(seen, other).latents)


def test_refused_by_name(small):
    for wrong in ((1, 3), (0, 4), (0, 2, 1), (0, 0), (-1, 0)):
        with pytest.raises(ValueError, match=r"full_steps: expected rising steps that begin with"):
            make(small, full_steps=wrong)
    with pytest.raises(ValueError, match="full_steps: expected none for a few-step student"):
        denoiser.check_full_steps((0,), fixed_schedule([1.0, 0.5], "ode"))
    denoiser.check_full_steps((), fixed_schedule([1.0, 0.5], "sde"))
    denoiser.check_full_steps((0, 1), flow_schedule(2))
