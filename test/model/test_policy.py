# SPDX-License-Identifier: Apache-2.0
"""The policy: observation in, chunk and future out, equal to the same steps of diffusers' parts."""

import dataclasses
import threading

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.names import hub_name
from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Observation, committed_rows
from cosmos3_ros.model.language.captions import tokenize
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.network.positions import generator_positions
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy
from cosmos3_ros.model.policy_batch import infer_batch

DROID_SIM = EMBODIMENTS["droid_sim"]

RNG = np.random.default_rng(0)
STAMP = 1_700_000_000_000_000_000
IMAGES = {view: RNG.integers(0, 256, (90, 120, 3), dtype=np.uint8) for view in DROID_SIM.views}
STATE = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.25], np.float32)
OBSERVATION = Observation(IMAGES, STATE, "put the red cube in the bowl", STAMP)


@pytest.fixture
def policy(model):
    return Cosmos3Policy(model)


def test_a_chunk_answers_its_observation(policy):
    prediction = policy.infer(OBSERVATION)
    chunk = prediction.chunk
    assert chunk.stamp == STAMP
    assert chunk.values.shape == (16, 8)
    assert chunk.names == DROID_SIM.action_names
    assert chunk.discrete == ("gripper",)
    assert chunk.step == DROID_SIM.step
    assert set(prediction.seconds) == {"compose", "text", "encode", "denoise"}
    future = policy.decode(prediction)
    assert future.frames.shape == (17, 160, 192, 3)
    assert (future.stamp, future.step) == (STAMP, chunk.step)


def test_policy_equals_the_same_steps_with_diffusers_parts(model, pair, far):
    # Released policies differ from diffusers' pipeline: a clean state row first, noise from numpy,
    # whole schedule.
    both = pair(TINY)
    weights = {hub_name(name): tensor for name, tensor in model.transformer.state_dict().items()}
    both.theirs.load_state_dict({**both.theirs.state_dict(), **weights})
    policy = Cosmos3Policy(model, deterministic=True, seed=3)
    got = policy.infer(OBSERVATION)

    vision = torch.from_numpy(
        np.random.RandomState(3).standard_normal((1, 48, 5, 10, 12)).astype(np.float32)
    )
    rows = torch.from_numpy(np.random.RandomState(3).standard_normal((17, 64)).astype(np.float32))
    video = torch.from_numpy(DROID_SIM.compose(IMAGES)).permute(2, 0, 1)[None, :, None] / 127.5 - 1
    vision[:, :, 0] = model.vae.encode(video)[:, :, 0]
    rows[:, 8:], rows[0, :8] = 0, torch.from_numpy(DROID_SIM.encode_state(STATE))
    clean = [torch.arange(5) > 0, torch.arange(17) > 0]
    ids = [
        torch.tensor(tokenize(model.tokenizer, text))
        for text in (policy.caption(OBSERVATION.instruction), "")
    ]
    schedulers = [
        UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        )
    ]
    schedulers.append(UniPCMultistepScheduler.from_config(schedulers[0].config))
    for scheduler in schedulers:
        scheduler.set_timesteps(4, sigmas=np.linspace(0.999, 0, 5)[:-1])
    for time in schedulers[0].timesteps:
        speeds = []
        for prompt in ids:
            text = torch.arange(len(prompt)).float().expand(3, -1)
            places = generator_positions(TINY, len(prompt), (5, 10, 12), 15.0, rows=17, first_row=0)
            place = torch.cat([text, places], dim=1)
            speeds.append(
                both.their_velocity(prompt, place, vision, clean[0], rows, clean[1], float(time), 8)
            )
        (vision_want, row_want), (vision_not, row_not) = speeds
        guided = [vision_not + 3 * (vision_want - vision_not), row_not + 3 * (row_want - row_not)]
        guided[1][:, 8:] = 0
        vision = schedulers[0].step(guided[0][None], time, vision[None], return_dict=False)[0][0]
        rows = schedulers[1].step(guided[1][None], time, rows[None], return_dict=False)[0][0]
    expected = torch.from_numpy(DROID_SIM.decode_actions(rows[1:, :8].numpy(), STATE))
    assert far(got.latents, vision) < 1e-4
    assert far(torch.from_numpy(got.chunk.values), expected) < 1e-4


def test_noise_is_fresh_per_chunk_unless_told_otherwise(model, policy):
    first, second = (policy.infer(OBSERVATION).chunk.values for _ in range(2))
    assert not np.array_equal(first, second)
    policy.reset()
    assert np.array_equal(policy.infer(OBSERVATION).chunk.values, first)
    fixed = Cosmos3Policy(model, deterministic=True)
    assert np.array_equal(
        fixed.infer(OBSERVATION).chunk.values, fixed.infer(OBSERVATION).chunk.values
    )


@pytest.mark.parametrize("late", [0, 11_000_000], ids=["on-time", "jitter"])
def test_committed_rows_come_back_unchanged_and_aligned_by_time(policy, late):
    old = policy.infer(OBSERVATION).chunk
    now = STAMP + 5 * old.step + late
    committed = old.rows(now - late, now + 4 * old.step)
    new = policy.infer(dataclasses.replace(OBSERVATION, stamp=now), committed).chunk
    shared = [time for time in new.times() if time <= committed.end]
    assert len(shared) == (4 if not late else 3)
    for time in shared:
        np.testing.assert_array_equal(new.at(int(time)), committed.at(int(time)))


def test_committed_rows_shape_what_follows(model):
    policy = Cosmos3Policy(model, deterministic=True)
    free = policy.infer(OBSERVATION).chunk
    held = ActionChunk(np.tile(STATE, (6, 1)), free.names, STAMP, free.step, free.discrete)
    bound = policy.infer(OBSERVATION, held).chunk
    assert np.array_equal(bound.values[:6], held.values)
    assert not np.allclose(bound.values[6:], free.values[6:])


def test_rows_of_the_past_are_ignored(policy):
    old = policy.infer(OBSERVATION).chunk
    gone = old.rows(STAMP, STAMP + 3 * old.step)
    assert committed_rows(gone, policy.embodiment, STAMP + 3 * old.step) == {}


def test_a_state_wider_than_the_commands_is_known_whole_and_nothing_else_is(tmp_path, write):
    """Seven numbers of state, four of a command; committed rows among them."""
    folder = write(TINY)
    (folder / "embodiment.yaml").unlink()
    model = load_model(folder, reasoner=False)
    model.policy_config.clear()
    body = EMBODIMENTS["metaworld"]
    policy = Cosmos3Policy(model, body, num_steps=2, soft_rows=2)
    state = np.array([0.1, 0.6, 0.2, 0.5, 0.12, 0.65, 0.25], np.float32)
    picture = RNG.integers(0, 256, (96, 96, 3), dtype=np.uint8)
    seen = Observation({"corner2": picture}, state, "push the puck", STAMP)
    held = np.tile(np.float32([0.15, 0.7, 0.2, -0.5]), (5, 1))
    committed = ActionChunk(held, body.action_names, STAMP, body.step)
    _, noise, row_noise = policy.draw_noise()
    inputs = policy.denoiser_input(
        torch.zeros(1, *policy.latent_shape), state, noise, row_noise, kept=dict(enumerate(held))
    )
    assert np.array_equal(inputs.actions[0, 0, :7].numpy(), body.encode_state(state))
    assert not inputs.actions[0, 1:, 4:].any()
    assert inputs.clean_actions()[0, :, 4:].all()
    assert not inputs.clean_actions()[0, 6:, :4].any()
    assert np.array_equal(inputs.actions[0, 1:4, :4].numpy(), body.encode_actions(held, state)[:3])
    chunk = policy.infer(seen, committed).chunk
    assert chunk.values.shape == (16, 4)
    assert chunk.discrete == ()
    assert np.array_equal(chunk.values[:3], held[:3])  # the last two are soft
    other = dataclasses.replace(seen, state=state + np.float32([0, 0, 0, 0.3, 0, 0, 0]))
    assert not np.array_equal(policy.infer(other, committed).chunk.values, chunk.values)
    assert policy.imagine(seen, chunk).chunk.values.shape == (16, 4)


@pytest.mark.parametrize("name", ["libero", "bridge", "umi", "av", "droid_midtrain"])
def test_every_embodiment_runs(name, tmp_path, write):
    embodiment = EMBODIMENTS[name]
    folder = write(TINY)
    (folder / "embodiment.yaml").unlink()  # of another
    model = load_model(folder, reasoner=False)
    model.policy_config |= {
        "embodiment": name,
        "domain_name": embodiment.domain,
        "action_chunk_size": 4,
        "conditioning_fps": embodiment.fps,
    }
    policy = Cosmos3Policy(model, name, num_steps=1)
    state = np.zeros(len(embodiment.state), np.float32)
    if embodiment.state:
        state[6] = 1.0
    images = {view: RNG.integers(0, 256, (60, 80, 3), dtype=np.uint8) for view in embodiment.views}
    chunk = policy.infer(Observation(images, state, "go", STAMP)).chunk
    assert chunk.values.shape == (4, len(embodiment.action))
    assert chunk.step == pytest.approx(1e9 / embodiment.fps, abs=1)


def test_the_plain_prompt_and_the_shipped_schedule_are_options(model):
    policy = Cosmos3Policy(
        model, prompt_format="plain", schedule="checkpoint", guidance=1.0, num_steps=2, horizon=8
    )
    assert policy.caption("Go.").startswith("Go. This video contains")
    assert policy.schedule.times == (995, 128)
    assert policy.infer(OBSERVATION).chunk.values.shape == (8, 8)


def test_future_is_decoded_while_the_next_chunk_is_made(model):
    policy = Cosmos3Policy(model, deterministic=True)
    prediction = policy.infer(OBSERVATION)
    alone = policy.decode(prediction).frames
    beside = []
    thread = threading.Thread(target=lambda: beside.append(policy.decode(prediction).frames))
    thread.start()
    again = [policy.infer(OBSERVATION).chunk.values for _ in range(3)]
    thread.join()
    assert np.array_equal(beside[0], alone)
    assert all(np.array_equal(values, prediction.chunk.values) for values in again)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"state": STATE[:7]}, r"state of droid_sim: expected 8 values"),
        (
            {"images": {"wrist": IMAGES["wrist"]}},
            r"missing view\(s\) \['exterior_1', 'exterior_2'\]",
        ),
        ({"instruction": "go " * 5000}, "tokens, expected at most 4096"),
    ],
)
def test_bad_observations_are_refused_before_anything_is_computed(
    policy, monkeypatch, change, message
):
    monkeypatch.setattr(policy._vae, "encode", lambda video: pytest.fail("encoded"))
    with pytest.raises(ValueError, match=message):
        policy.infer(dataclasses.replace(OBSERVATION, **change))


def test_committed_rows_of_another_robot_are_refused(policy):
    other = ActionChunk(np.zeros((2, 1), np.float32), ("x",), STAMP, 1)
    with pytest.raises(ValueError, match=r"committed.names: expected \('panda_joint1'"):
        policy.infer(OBSERVATION, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"embodiment": "spot"}, "embodiment: unknown 'spot', expected one of"),
        ({"embodiment": "droid_joint_pos"}, "trained for droid_sim, got droid_joint_pos"),
        (
            {"embodiment": "libero"},
            "libero is of domain 'libero', the checkpoint of 'droid_lerobot'",
        ),
        ({"horizon": 17}, "horizon: expected at most 16 rows as trained, got 17"),
        ({"num_steps": 0}, "num_steps: expected at least 1, got 0"),
        ({"prompt_format": "xml"}, "'json' or 'plain', got 'xml'"),
        ({"schedule": "fast"}, "'flow' or 'checkpoint', got 'fast'"),
        ({"guidance": float("nan")}, "guidance and shift: expected finite"),
    ],
)
def test_bad_options_are_refused(model, options, message):
    with pytest.raises(ValueError, match=message):
        Cosmos3Policy(model, **options)


def test_a_checkpoint_that_cannot_be_a_policy_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="without its generator"):
        Cosmos3Policy(dataclasses.replace(model, vae=None))
    with pytest.raises(ValueError, match=r"embodiment: .* names none, expected one of"):
        Cosmos3Policy(dataclasses.replace(model, path=tmp_path, policy_config={}))
    narrow = dataclasses.replace(model.config, action_width=6)
    with pytest.raises(
        ValueError, match="needs 8 action channels in domain 8, the checkpoint has 6 channels"
    ):
        Cosmos3Policy(dataclasses.replace(model, config=narrow))


def test_load_policy_takes_only_what_control_needs(tmp_path):
    write_tiny(tmp_path, embodiment="droid_sim")
    policy = load_policy(tmp_path, num_steps=2)
    assert policy.embodiment.name == "droid_sim"
    assert policy.model.vision is None
    assert policy.model.transformer.head is None


def test_the_future_may_be_imagined_again_for_the_rows_as_decided(model):
    """Then it is what forward dynamics say of the same chunk, begun without noise."""
    options = {"num_steps": 3, "deterministic": True}
    plain, again = (Cosmos3Policy(model, **options, future_steps=steps) for steps in (0, 2))
    together, decided = plain.infer(OBSERVATION), again.infer(OBSERVATION)
    assert np.array_equal(together.chunk.values, decided.chunk.values)
    forward = Cosmos3Policy(model, num_steps=2, guidance=1.0)
    seed, noise, rows = forward.draw_noise()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(forward, "draw_noise", lambda: (seed, torch.zeros_like(noise), rows))
        expected = forward.infer(OBSERVATION, committed=together.chunk)
    latents = again._imagine(decided.latents)
    assert (latents - expected.latents).abs().max() < 1e-4 * expected.latents.abs().max()
    assert (latents - together.latents).abs().max() > 0.01 * latents.abs().max(), (
        "they differ at all"
    )
    frames, others = again.decode(decided).frames, forward.decode(expected).frames
    assert np.abs(frames.astype(int) - others).max() <= 1


def test_a_candidate_is_imagined_as_the_same_rows_of_a_chunk_are(model):
    policy = Cosmos3Policy(model, num_steps=3, deterministic=True, future_steps=1)
    decided = policy.infer(OBSERVATION)
    wanted = policy.decode(decided)
    before = policy._seeds.bit_generator.state
    imagined = policy.imagine(OBSERVATION, decided.chunk)
    assert policy._seeds.bit_generator.state == before, "the next chunk is as it would have been"
    assert np.array_equal(imagined.chunk.values, decided.chunk.values)
    future = policy.decode(imagined)
    assert (future.stamp, future.step) == (wanted.stamp, wanted.step)
    assert np.abs(future.frames.astype(int) - wanted.frames).max() <= 1
    other = dataclasses.replace(decided.chunk, values=decided.chunk.values + np.float32(0.5))
    changed = policy.decode(policy.imagine(OBSERVATION, other)).frames
    assert np.abs(changed.astype(int) - wanted.frames).max() > 1, "it matters what is done"


def test_a_candidate_of_another_rate_and_length_is_a_function_of_time(model):
    policy = Cosmos3Policy(model, num_steps=1)
    embodiment, state = policy.embodiment, OBSERVATION.state
    step = 3 * embodiment.step
    rows = np.stack([state, state + np.float32(0.3)])
    chunk = ActionChunk(rows, embodiment.action_names, OBSERVATION.stamp, step, embodiment.discrete)
    values = policy.imagine(OBSERVATION, chunk).chunk.values
    assert values.shape == (embodiment.horizon, len(state))
    assert np.allclose(values[:3, 0], state[0]), "not before its first row is due"
    assert values[3:6, 0] == pytest.approx(state[0] + 0.3 * np.array([1, 2, 3]) / 3)
    assert np.allclose(values[6:], rows[1])
    with pytest.raises(ValueError, match=r"candidate.names: expected \("):
        policy.imagine(
            OBSERVATION, dataclasses.replace(chunk, names=tuple("abcdefgh")[:8], discrete=())
        )


def test_where_a_future_cannot_be_imagined_again_it_is_said(model):
    with pytest.raises(ValueError, match="future_steps: expected 0 or more, got -1"):
        Cosmos3Policy(model, future_steps=-1)
    with pytest.raises(
        ValueError, match="future_steps: expected 0 where several processes share a policy"
    ):
        Cosmos3Policy(dataclasses.replace(model, team=object()), future_steps=1)
    with pytest.raises(ValueError, match="expected a policy with future_steps 0"):
        infer_batch(Cosmos3Policy(model, future_steps=1), [OBSERVATION])
