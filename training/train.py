# SPDX-License-Identifier: Apache-2.0
"""From a recipe to a trained checkpoint: data, video autoencoder, policy, reasoner.

Resumes where it was stopped.
"""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from ..model.autoencoder.vae import VideoAutoencoder
from ..model.checkpoint_io.loader import Model, load_model, load_vae
from ..model.checkpoint_io.safetensors_io import read_json
from ..model.checkpoint_io.tiny import policy_json, write_json, write_tiny
from ..model.embodiment import find_embodiment
from ..model.language.captions import tokenize
from ..model.network.config import TINY, ModelConfig
from ..model.policy import Cosmos3Policy, fit_embodiment, load_policy
from .data.background_loader import BackgroundLoader
from .data.clip_source import make_clips
from .data.episodes import Clip
from .optim.fsdp import recompute, shard, shard_part, widen
from .optim.lora import adapt
from .optim.optimizer import Optimizer
from .optim.process_group import TrainingGroup, join
from .options import AutoencoderOptions, DecoderOptions
from .recipe import Recipe, write_recipe
from .stages.autoencoder import train_autoencoder
from .stages.checkpoint_writer import copy_checkpoint, replace, write_autoencoder
from .stages.flow_matching_loss import Objective
from .stages.forward_dynamics import Imagination
from .stages.latent_encoder import Encoder, Feed
from .stages.reasoner import ReasonerTrainer, train_reasoner, write_averages
from .stages.window_dataset import Windows

Log = Callable[[dict[str, Any]], None]
EVERY = 50  # steps between two lines of the log
# bytes of a transformer that is trained in float32 whatever learns: there is room, and it is exact
SMALL = 2**30


def train(recipe: Recipe, out: Path, tell: Callable[[str], None] = print) -> Path:
    """Train by the recipe; returns the checkpoint folder `out/checkpoint`.

    A second call goes on where the first ended.

    Writes recipe.yaml, log.jsonl and state.safetensors beside it, and with LoRA the folder adapter.
    All processes that torchrun started train together. ValueError for a recipe that fits neither
    data nor checkpoint.
    """
    crew = join(recipe.device)
    if recipe.policy.shard and crew.size == 1:
        raise ValueError(
            "policy.shard: expected several processes (start them with torchrun), got one"
        )
    torch.manual_seed(recipe.seed + crew.rank)
    torch.set_float32_matmul_precision("high")
    folder, body = out / "checkpoint", find_embodiment(recipe.embodiment)
    log: Log = _Log(out / "log.jsonl", tell) if crew.leads else lambda _: None
    if crew.leads:
        begin(recipe, folder)
    crew.wait()
    model = load(recipe, folder, crew)
    if recipe.decoder is not None:
        check_decoder(recipe.decoder, model, recipe.embodiment)
    taught, drawn, redrawn = (
        crew.agree((out / f"{part}.done").exists())
        for part in ("reasoner", "autoencoder", "decoder")
    )
    tutor = (
        ReasonerTrainer(model, recipe.reasoner, crew) if recipe.reasoner and not taught else None
    )
    keep = recipe.decoder.clips if recipe.decoder is not None else 0
    source = BackgroundLoader(
        lambda: make_clips(recipe.data, body, crew.rank, crew.size), keep, lambda clip: clip.whole
    )
    try:
        if tutor is not None and not tutor.options.every:
            train_reasoner(tutor, out, log)
            (out / "reasoner.done").touch()
            tutor.close()  # the processes behind it would take time from the others
            tutor = None
        source.wait_for(recipe.data.warm_up)
        log({"stage": "data", "episodes": len(source.clips), "processes": crew.size})
        if recipe.autoencoder is not None and not drawn:
            draw(model, source, recipe.autoencoder, out, log, crew)
        if recipe.policy.steps:
            train_policy(model, source, recipe, out, log, tutor, crew)
    finally:
        source.close()
        if tutor is not None:
            tutor.close()
    # without the experts' processes, which would take time from it
    if recipe.decoder is not None and not redrawn:
        redraw(recipe, source.latest, out, log, crew)
    crew.wait()  # until the checkpoint is written
    if crew.leads:
        tell(f"wrote {folder}")
    return folder


def load(recipe: Recipe, folder: Path, crew: TrainingGroup) -> Model:
    """The model as its training needs it: float32, but a large transformer on a GPU, most of which stays, bfloat16.

    One that will be cut into shards stays in the host's memory, which the files are mapped into.
    """
    place = torch.device("cpu") if recipe.policy.shard else crew.device
    start = Path(recipe.start) if recipe.lora else folder  # in `folder` there may be merged weights
    small = (
        sum(file.stat().st_size for file in (start / "transformer").glob("*.safetensors")) < SMALL
    )
    wide = small or crew.device.type == "cpu" or recipe.text or recipe.reasoner is not None
    model = load_model(start, place, torch.float32 if wide else torch.bfloat16)
    model.vae = load_autoencoder(folder, crew.device)
    return model


def load_autoencoder(folder: Path, device: torch.device) -> VideoAutoencoder:
    """The checkpoint's autoencoder as its training needs it."""
    vae = load_vae(folder / "vae", device, torch.float32)
    for part in vae.module.modules():
        if isinstance(part, torch.nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # what tensor cores want
    return vae


def draw(
    model: Model,
    source: BackgroundLoader[Clip],
    options: AutoencoderOptions,
    out: Path,
    log: Log,
    crew: TrainingGroup,
) -> None:
    """Train the video autoencoder, in the first process alone, and give it to the others."""
    folder = out / "checkpoint" / "vae"
    assert model.vae is not None  # loaded by `load`
    if crew.leads:
        train_autoencoder(model.vae, lambda: source.clips, options, log)
        write_autoencoder(folder, model.vae)
        (out / "autoencoder.done").touch()
    crew.wait()
    if not crew.leads:
        model.vae = load_vae(folder, crew.device, torch.float32)


def check_decoder(options: DecoderOptions, model: Model, embodiment: str) -> None:
    """ValueError now rather than after the policy's training."""
    assert model.vae is not None  # loaded by `load`
    frames = Encoder(model.vae, fit_embodiment(model, embodiment)).frames
    if options.frames != frames:
        raise ValueError(
            f"decoder.frames: expected {frames}, those of a chunk, got {options.frames}"
        )


def redraw(recipe: Recipe, clips: Sequence[Clip], out: Path, log: Log, crew: TrainingGroup) -> None:
    """Train the decoder once more, with what the trained generator imagines, in the first process alone."""
    folder = out / "checkpoint"
    assert recipe.decoder is not None  # `train` asks
    if crew.leads:
        vae, steps = load_autoencoder(folder, crew.device), recipe.decoder.future_steps
        policy = load_policy(folder, recipe.embodiment, crew.device, future_steps=steps)
        begun = {name: tensor.clone() for name, tensor in vae.module.state_dict().items()}
        train_autoencoder(vae, lambda: clips, recipe.decoder, log, Imagination(policy))
        for name, tensor in vae.module.state_dict().items() if recipe.decoder.kept else ():
            tensor.lerp_(begun[name], recipe.decoder.kept)
        write_autoencoder(folder / "vae", vae)
        (out / "decoder.done").touch()
    crew.wait()


def begin(recipe: Recipe, folder: Path) -> None:
    """Write the checkpoint that the training starts from, unless it is there, and the recipe beside it."""
    config = dataclasses.replace(TINY, **recipe.size)
    if not folder.exists() and recipe.start:
        _begin_from(recipe, folder, config)
    elif not folder.exists():
        write_tiny(folder, recipe.seed, config, recipe.embodiment)
    write_recipe(folder.parent / "recipe.yaml", recipe)


def _begin_from(recipe: Recipe, folder: Path, config: ModelConfig) -> None:
    """From a copy, if there is a size with towers of random weights."""
    copy_checkpoint(Path(recipe.start), folder)
    about = read_json(folder / "checkpoint.json", optional=True)
    if not about.get("policy"):
        write_json(
            folder / "checkpoint.json",
            {**about, "policy": policy_json(find_embodiment(recipe.embodiment))},
        )
    if recipe.size:
        with tempfile.TemporaryDirectory() as fresh:
            write_tiny(Path(fresh) / "towers", recipe.seed, config, recipe.embodiment)
            for part in ("transformer", "vision_encoder", "config.json"):
                replace(Path(fresh) / "towers" / part, folder / part)


def train_policy(
    model: Model,
    source: BackgroundLoader[Clip],
    recipe: Recipe,
    out: Path,
    log: Log,
    tutor: ReasonerTrainer | None = None,
    crew: TrainingGroup | None = None,
) -> None:
    """Train the transformer on what the source gives, and write its averaged weights into the checkpoint.

    tutor: asks questions in between, from which text tower, lm_head and vision encoder learn too.
    crew: the processes that train together, each on what its own source gives.
    """
    crew, options, state = crew or TrainingGroup(), recipe.policy, out / "state.safetensors"
    objective, optimizer, policy = prepare(model, recipe, tutor, crew)
    if state.exists():
        optimizer.resume(state)
    measure = (
        torch.compile(objective, dynamic=False, mode=options.compile)
        if options.compile
        else objective
    )
    body = policy.embodiment
    place = recipe.data.encoder
    vae = load_autoencoder(out / "checkpoint", torch.device(place)) if place else model.vae
    assert vae is not None  # Cosmos3Policy has checked it
    feed = Feed(Encoder(vae, body), source, beside=bool(place))
    windows, text, saved = Windows(feed.shape, crew.device), None, optimizer.spent
    while optimizer.progress < 1:
        if text is None or optimizer.step_number % options.refresh == 0:
            known = len(windows.instructions)
            windows.add(feed.take())
            if text is None or len(windows.instructions) > known:
                captions = ["", *map(policy.caption, windows.instructions)]
                prompts = [tokenize(model.tokenizer, caption) for caption in captions]
                text = objective.read(prompts, windows.shape, int(body.state_row) + body.horizon)
            log(
                {
                    "stage": "policy",
                    "step": optimizer.step_number,
                    "windows": len(windows),
                    "prompts": len(prompts),
                }
            )
        for _ in range(options.accumulate):
            batch = windows.draw(options.batch, recipe.objective.dropout)
            with torch.autocast(
                crew.device.type, torch.bfloat16, enabled=crew.device.type == "cuda"
            ):
                losses = measure(batch, text)
            (losses["total"] / options.accumulate).backward()
        if tutor is not None and optimizer.step_number % tutor.options.every == 0:
            tutor.loss().backward()
        norm = optimizer.step()
        if optimizer.step_number % EVERY == 0 or optimizer.progress >= 1:
            means = [loss.detach().float() for loss in losses.values()]
            crew.average(means)
            numbers = {
                name: round(float(mean), 5) for name, mean in zip(losses, means, strict=True)
            }
            numbers |= {
                "norm": float(norm),
                "rate": optimizer.share,
                **(tutor.numbers() if tutor else {}),
            }
            log({"stage": "policy", "step": optimizer.step_number, **numbers})
        if optimizer.spent - saved > options.save or optimizer.progress >= 1:
            optimizer.save(state)
            write_averages(model, optimizer, out / "checkpoint", recipe.lora)
            saved = optimizer.spent
    feed.close()


def prepare(
    model: Model, recipe: Recipe, tutor: ReasonerTrainer | None, crew: TrainingGroup
) -> tuple[Objective, Optimizer, Cosmos3Policy]:
    """Choose which weights learn, and put the transformer where it will."""
    transformer, options = model.transformer.train(), recipe.policy
    if recipe.lora is not None:
        adapt(transformer, recipe.lora)
    for name, parameter in transformer.named_parameters() if recipe.lora is None else ():
        read = tutor is not None if name.startswith("head.") else recipe.text
        parameter.requires_grad_(read or not name.startswith(("head", "text", "embed")))
    if options.recompute:
        recompute(transformer)
    policy = Cosmos3Policy(model, recipe.embodiment)
    objective = Objective(transformer, policy.embodiment, recipe.objective).to(crew.device)
    adapters = [parameter for name, parameter in transformer.named_parameters() if "lora_" in name]
    # which began at random
    crew.spread([parameter.detach() for parameter in (*objective.parameters(), *adapters)])
    if options.shard:
        shard(transformer, crew)
        shard_part(objective, crew)
    widen(transformer)
    vision_encoder = {} if tutor is None else {"vision": tutor.vision_encoder.requires_grad_(True)}
    return (
        objective,
        Optimizer(
            {"transformer": transformer, "objective": objective, **vision_encoder}, options, crew
        ),
        policy,
    )


class _Log:
    """One json object per line, with the seconds since the start.

    The same in words for the reader.
    """

    def __init__(self, file: Path, tell: Callable[[str], None]):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._tell, self._began = file, tell, time.monotonic()

    def __call__(self, fields: dict[str, Any]) -> None:
        line = {"seconds": round(time.monotonic() - self._began, 1), **fields}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._tell(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
                for name, value in line.items()
            )
        )
