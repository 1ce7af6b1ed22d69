# SPDX-License-Identifier: Apache-2.0
"""Training on a folder of clips: learned by heart, generated again, stopped and gone on with."""

import dataclasses
import json
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.generator import Generator, Request
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.training.clips.clip_reader import read_clips
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.options import LoraOptions, PolicyTrainingOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.stages.checkpoint_writer import replace, write_transformer
from cosmos3_ros.training.train import train
from cosmos3_ros.training.video import video_stage
from cosmos3_ros.training.video.video_dataset import VideoDataset
from cosmos3_ros.training.video.video_loss import video_loss
from cosmos3_ros.training.video_options import VideoOptions


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A checkpoint as wide as a patch, in bfloat16 as released ones are, whose latents tell."""
    folder = tmp_path_factory.mktemp("start") / "small"
    config = dataclasses.replace(TINY, layers=2, mlp=256)
    write_tiny(folder, config=config)
    transformer = load_model(folder, dtype=torch.float32).transformer
    write_transformer(folder / "transformer", config, transformer.state_dict())
    replace(copytree(EMBEDDED / "vae", tmp_path_factory.mktemp("vae") / "vae"), folder / "vae")
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Two videos of 5 frames, each of colored tiles of its own that move."""
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(0)
    with (folder / "captions.jsonl").open("w") as file:
        for name in ("red cube", "blue bowl"):
            tiles = random.integers(0, 256, (2, 2, 3)).repeat(16, 0).repeat(16, 1)
            frames = [np.roll(tiles, 4 * number, 1).astype(np.uint8) for number in range(5)]
            write_video(folder / f"{name}.mp4", frames, 10)
            file.write(json.dumps({"video": f"{name}.mp4", "caption": name}) + "\n")
    return folder


def make_recipe(start, clips, lora=None, **options):
    given = {"batch": 4, "warmup": 1, "warm_up": 2, "rate": 4e-3, "refresh": 1000, **options}
    video = VideoOptions(clips=str(clips), size=(32, 32), frames=5, shift=3.0, **given)
    idle = PolicyTrainingOptions(steps=0)
    return Recipe(str(start), device="cpu", policy=idle, video=video, lora=lora, seed=3)


def test_clips_are_learned_by_heart_and_generated(tmp_path, start, clips):
    """The caption decides which of the two is made of noise."""
    recipe = make_recipe(
        start,
        clips,
        steps=120,
        batch=16,
        dropout=0.0,
        modes=(0.8, 0.2, 0.0),
        average=0.05,
        text=True,
    )
    folder = train(recipe, tmp_path, lambda _: None)
    generator = Generator(load_model(folder, dtype=torch.float32))
    windows = VideoDataset(generator.model.vae, generator.model.tokenizer, torch.device("cpu"))
    windows.add(read_clips(recipe.video))
    real = dict(zip(("red cube", "blue bowl"), windows.latents(), strict=True))
    for name, wanted in real.items():
        request = Request(name, 5, (32, 32), 10.0, steps=8, shift=3.0, guidance=Guidance(1.0))
        made = generator.generate(request).latents[0]
        errors = {other: float((made - one).square().mean()) for other, one in real.items()}
        assert min(errors, key=errors.__getitem__) == name, errors
        assert errors[name] < 0.5 * max(errors.values()), errors
        assert errors[name] < 0.6 * float(wanted.square().mean()), errors
    torch.manual_seed(0)
    before = load_model(start, dtype=torch.float32).transformer
    with torch.no_grad():
        batch = windows.draw(64, 0.0)
        old, new = (
            float(video_loss(transformer, batch, windows.prompts, recipe.video))
            for transformer in (before, generator.model.transformer)
        )
    assert new < 0.7 * old


@pytest.mark.parametrize("digits", ["float32", "bfloat16"])
def test_a_stopped_training_goes_on_exactly(
    tmp_path, start, tiny_small, clips, monkeypatch, digits
):
    """Also if its start has more digits than the checkpoint that is written in between."""
    start = start if digits == "bfloat16" else tiny_small
    whole = make_recipe(start, clips, steps=4, save=0.0)
    train(whole, tmp_path / "whole", lambda _: None)
    step, calls = video_stage.Optimizer.step, []

    def failing(self):
        calls.append(1)
        if len(calls) == 3:
            raise InterruptedError
        return step(self)

    monkeypatch.setattr(video_stage.Optimizer, "step", failing)
    with pytest.raises(InterruptedError):
        train(whole, tmp_path / "parts", lambda _: None)
    monkeypatch.undo()
    train(whole, tmp_path / "parts", lambda _: None)
    one, two = (load_file(tmp_path / part / "video.safetensors") for part in ("whole", "parts"))
    assert set(one) == set(two)
    for name, tensor in one.items():
        assert torch.equal(tensor, two[name]), name
    assert not any("action_" in name for name in one)  # nothing is said about actions


def test_adapters_alone(tmp_path, start, clips):
    lora = LoraOptions(r=2, modules_to_save=())
    folder = train(make_recipe(start, clips, lora, steps=2), tmp_path, lambda _: None)
    kept = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert all("lora_" in name for name in kept)
    before, after = (
        load_model(path, dtype=torch.float32).transformer.state_dict() for path in (start, folder)
    )
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed
    assert all(name.startswith("generator.layers") for name in changed)


def test_what_is_wrong_with_clips_is_said_before_anything_is_written(tmp_path, start, clips):
    wrong = copytree(clips, tmp_path / "clips")
    (wrong / "captions.jsonl").write_text('{"video": "none.mp4", "caption": "x"}')
    with pytest.raises(ValueError, match=r"captions.jsonl:1: video: no such video 'none.mp4'"):
        train(make_recipe(start, wrong), tmp_path / "out", lambda _: None)
    assert not (tmp_path / "out").exists()
    short = make_recipe(start, clips, steps=1)
    long = dataclasses.replace(short, video=dataclasses.replace(short.video, frames=9))
    with pytest.raises(ValueError, match=r"got none of 2 clips that are shorter"):
        train(long, tmp_path / "long", lambda _: None)
