# SPDX-License-Identifier: Apache-2.0
"""Every mode of the generator against diffusers' pipeline on the same weights and noise."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from diffusers.pipelines.cosmos.pipeline_cosmos3_omni import CosmosActionCondition
from PIL import Image

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.diffusion.denoiser import Denoiser
from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.generator import ACTION_MODES, ActionRequest, Generator, Request
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.network.kv_cache import Prompts
from cosmos3_ros.model.network.transformer import Transformer

# What diffusers does when it makes a Karras schedule.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

PROMPT = "Put the red cube in the bowl"
SIZE, FRAMES, FPS, STEPS, SCALE, SEED = (48, 64), 5, 15.0, 3, 3.0, 5
PIXELS = np.random.default_rng(0).integers(0, 256, (FRAMES, *SIZE, 3), dtype=np.uint8)
VALUES = np.random.default_rng(1).normal(size=(FRAMES - 1, 10)).astype(np.float32)
MODES = ("text_to_image", "text_to_video", "image_to_video", "video_to_video", *ACTION_MODES)


def picture(frame):
    return Image.fromarray(frame)


def request(mode, **change):
    common = {
        "fps": FPS,
        "steps": STEPS,
        "guidance": Guidance(SCALE),
        "seed": SEED,
        "size": SIZE,
        **change,
    }
    if mode in ACTION_MODES:
        values = VALUES if mode == "forward_dynamics" else None
        action = ActionRequest(mode, FRAMES - 1, 8, 10, "256", "concat_view", values=values)
        known = {"video": PIXELS} if mode == "inverse_dynamics" else {"image": PIXELS[0]}
        return Request(PROMPT, action=action, **known, **common)
    known = {"image_to_video": {"image": PIXELS[0]}, "video_to_video": {"video": PIXELS}}.get(
        mode, {}
    )
    return Request(PROMPT, frames=1 if mode == "text_to_image" else FRAMES, **known, **common)


def arguments(mode):
    """The same request in diffusers' words."""
    common = {
        "prompt": PROMPT,
        "fps": FPS,
        "num_inference_steps": STEPS,
        "guidance_scale": SCALE,
        "generator": torch.Generator().manual_seed(SEED),
    }
    if mode not in ACTION_MODES:
        common |= {
            "num_frames": 1 if mode == "text_to_image" else FRAMES,
            "height": SIZE[0],
            "width": SIZE[1],
        }
        known = {
            "image_to_video": {"image": picture(PIXELS[0])},
            "video_to_video": {"video": [*map(picture, PIXELS)]},
        }
        return common | known.get(mode, {})
    known = (
        {"video": [*map(picture, PIXELS)]}
        if mode == "inverse_dynamics"
        else {"image": picture(PIXELS[0])}
    )
    if mode == "forward_dynamics":
        known["raw_actions"] = torch.from_numpy(VALUES)
    place = {"domain_name": "droid_lerobot", "resolution_tier": 256, "view_point": "concat_view"}
    return common | {
        "action": CosmosActionCondition(mode=mode, chunk_size=FRAMES - 1, **place, **known)
    }


@pytest.fixture(scope="module")
def folder(config, write):
    return write(config)


@pytest.fixture(scope="module")
def both(folder, pipeline):
    return pipeline(folder), Generator(load_model(folder, reasoner=False), reference=True)


@pytest.mark.parametrize("mode", MODES)
def test_latents_actions_and_frames_of_every_mode_equal_diffusers(both, far, mode):
    theirs, ours = both
    steps = []

    def note(pipeline, step, time, state):
        steps.append(state["latents"])
        return {}

    expected = theirs(**arguments(mode), output_type="np", callback_on_step_end=note)
    got = ours.generate(request(mode))
    assert far(got.latents, steps[-1]) < 1e-4
    video = ours._vae.decode(got.latents)[0].permute(1, 2, 3, 0) / 2 + 0.5
    assert far(video, torch.from_numpy(expected.video)) < 1e-4
    assert ours.decode(got).shape == expected.video.shape
    if mode in ("policy", "inverse_dynamics"):
        assert far(torch.from_numpy(got.actions), expected.action[0]) < 1e-4
    else:
        assert got.actions is None


@pytest.mark.parametrize("steps", [1, 2, 6])
@pytest.mark.parametrize("kind", ["native", "flow", "karras"])
def test_schedules_of_checkpoints_equal_diffusers(write, pipeline, far, kind, steps):
    folder = write(TINY)
    flow = {} if kind == "karras" else {"use_karras_sigmas": False, "flow_shift": 5.0}
    theirs = pipeline(folder, native=kind == "native", system=True, **flow)
    model = load_model(folder, reasoner=False)
    model.scheduler |= flow
    model.index |= {"use_native_flow_schedule": kind == "native", "default_use_system_prompt": True}
    expected = theirs(
        **{**arguments("text_to_video"), "num_inference_steps": steps}, output_type="latent"
    ).video
    got = Generator(model, reference=True).generate(request("text_to_video", steps=steps))
    assert far(got.latents, expected) < 1e-4


def test_two_passes_in_one_batch_give_the_same(model, far):
    generator = Generator(model)
    alone = generator.generate(request("policy"))
    together = generator.generate(request("policy", guidance=Guidance(SCALE, batched=True)))
    assert far(together.latents, alone.latents) < 1e-4
    assert far(torch.from_numpy(together.actions), torch.from_numpy(alone.actions)) < 1e-4


def test_guidance_only_inside_its_interval(model, monkeypatch):
    calls = []
    whole = Transformer.velocity

    def counted(self, latents, time, *rest, **more):
        calls.append(float(time))
        return whole(self, latents, time, *rest, **more)

    monkeypatch.setattr(Transformer, "velocity", counted)
    guidance = Guidance(3.0, interval=(960, 1001))
    Generator(model).generate(request("text_to_video", steps=4, shift=5.0, guidance=guidance))
    assert calls == [999, 999, 937, 833, 624]
    # The bounds are outside: a time equal to one of them is not guided.
    assert not Guidance(3.0, interval=(937, 1001)).applies(937)
    assert not Guidance(1.0).applies(999)


def test_only_pixels_that_condition_are_encoded(model, monkeypatch):
    frames = []
    monkeypatch.setattr(
        model.vae, "encode", lambda video: frames.append(video.shape[2]) or _zeros(model, video)
    )
    for mode in MODES:
        Generator(model).generate(request(mode, steps=1))
    # image and video to video, policy, forward and inverse dynamics
    assert frames == [1, 5, 1, 1, 5]


def _zeros(model, video):
    _, _, frames, height, width = video.shape
    return torch.zeros(
        1, model.config.latent_channels, 1 + (frames - 1) // 4, height // 16, width // 16
    )


def test_what_is_known_stays(model):
    got = Generator(model).generate(request("video_to_video"))
    video = torch.from_numpy(PIXELS).permute(3, 0, 1, 2)[None] / 127.5 - 1.0
    assert torch.equal(got.latents, model.vae.encode(video))


def test_a_distilled_student_follows_its_own_levels(write, far):
    folder = write(TINY)
    file = folder / "scheduler" / "scheduler_config.json"
    levels = [1.0, 0.9375, 0.83333, 0.625]
    student = {"fixed_step_sampler_config": {"t_list": levels, "sample_type": "sde"}}
    file.write_text(json.dumps({**json.loads(file.read_text()), **student}))
    model = load_model(folder, reasoner=False)
    asked = request("text_to_image", guidance=Guidance(1.0))
    got = Generator(model).generate(asked)

    reader = Denoiser(model)
    start = Generator(model)._input(asked, Generator(model)._condition(asked))
    text = reader.read(f"{PROMPT}. This image is of 48x64 resolution.")
    sample, prompts = start.latents, Prompts((text,))
    for step, (now, after) in enumerate(zip(levels, [*levels[1:], 0.0], strict=True)):
        with torch.no_grad():
            rope, time = reader._rope(start, prompts), torch.tensor([1000 * now])
            guess = (
                sample
                - now
                * model.transformer.velocity(sample, time, prompts, rope, ~start.clean_frames)[0]
            )
        torch.manual_seed(SEED + step)
        sample = (1 - after) * guess + after * torch.randn_like(guess)
    assert far(got.latents, sample) < 1e-5


def test_text_is_read_once_per_prompt(model, monkeypatch):
    generator, reads = Generator(model), []
    whole = model.transformer.prefill
    monkeypatch.setattr(
        model.transformer, "prefill", lambda ids: reads.append(ids.shape[1]) or whole(ids)
    )
    for prompt in ("one cube", "one cube", "two cubes", "one cube"):
        generator.generate(dataclasses.replace(request("text_to_image", steps=2), prompt=prompt))
    assert len(reads) == 3  # two prompts and the empty one


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": " "}, "prompt: expected a sentence"),
        ({"size": (48, 60)}, r"multiples of 16, got 1 and \(48, 60\)"),
        ({"image": PIXELS[0].astype(np.float32)}, r"image: expected a uint8 array \[H, W, 3\]"),
        ({"image": PIXELS[0], "video": PIXELS}, "at most one of them"),
        ({"video": PIXELS}, r"known: latents \(0, 1\) do not fit into 1 frames"),
        ({"fps": 0.0}, "fps: expected a positive number"),
        (
            {"action": ActionRequest("policy", 4, 8, 10)},
            "image or video: expected one of them for policy",
        ),
    ],
)
def test_bad_requests_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        Request(**{"prompt": PROMPT, "size": SIZE, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"mode": "wam"}, "action.mode: expected one of"),
        ({"mode": "polcy"}, r"got 'polcy', did you mean 'policy'\?"),
        ({"rows": 0}, "action.rows: expected at least 1"),
        ({"tier": "300"}, "action.tier: expected one of"),
        ({"mode": "forward_dynamics"}, "action.values: expected for forward_dynamics"),
        ({"mode": "forward_dynamics", "values": VALUES[:2]}, r"expected \[4, 10\], got \[2, 10\]"),
        ({"mode": "forward_dynamics", "values": np.full((4, 10), np.nan)}, "finite"),
    ],
)
def test_bad_actions_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        ActionRequest(**{"mode": "policy", "rows": 4, "domain": 8, "width": 10, **change})


def test_more_channels_than_the_checkpoint_has_are_refused(model):
    wide = ActionRequest("policy", 4, 8, 65)
    with pytest.raises(
        ValueError, match="65 channels in domain 8, the checkpoint has 64 channels in 32 domains"
    ):
        Generator(model).generate(Request(PROMPT, image=PIXELS[0], action=wide))
