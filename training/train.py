# SPDX-License-Identifier: Apache-2.0
"""From a recipe to a trained checkpoint: data, video autoencoder, policy, reasoner. Resumes where it was stopped."""

from __future__ import annotations

import dataclasses
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ..model.config import TINY
from ..model.embodiment import find_embodiment
from ..model.policy import Cosmos3Policy
from ..model.prompt import tokenize
from ..model.tiny import write_tiny
from ..model.weights import Model, load_model
from .autoencoder import train_autoencoder
from .checkpoint import copy_checkpoint, replace, write_autoencoder
from .episodes import Clip
from .objective import Objective
from .optimise import Optimiser
from .reasoner import Tutor, train_reasoner, write_averages
from .recipe import Recipe
from .source import Source, make_clips
from .windows import Windows

Log = Callable[[dict[str, Any]], None]
EVERY = 50  # steps between two lines of the log


def train(recipe: Recipe, out: Path, tell: Callable[[str], None] = print) -> Path:
    """Train by the recipe; returns the checkpoint folder `out/checkpoint`. A second call goes on where the first ended.

    Writes out/log.jsonl and out/state.safetensors. ValueError for a recipe that fits neither data nor checkpoint.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu") if recipe.device == "auto" else recipe.device
    torch.manual_seed(recipe.seed)
    torch.set_float32_matmul_precision("high")
    folder, log = out / "checkpoint", _Log(out / "log.jsonl", tell)
    body = find_embodiment(recipe.embodiment)
    if not folder.exists():
        begin(recipe, folder)
    model = load_model(folder, device, torch.float32)
    assert model.vae is not None  # loaded with its generator
    for part in model.vae.module.modules():
        if isinstance(part, torch.nn.Conv3d):
            part.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # what tensor cores want
    taught = (out / "reasoner.done").exists()
    tutor = Tutor(model, recipe.reasoner) if recipe.reasoner and not taught else None
    source = Source(lambda: make_clips(recipe.data, body))
    try:
        if tutor is not None and not tutor.options.every:
            train_reasoner(tutor, out, log)
            (out / "reasoner.done").touch()
            tutor.close()  # the processes behind it would take time from the others
            tutor = None
        source.wait_for(recipe.data.warm_up)
        log({"stage": "data", "episodes": len(source.clips)})
        if recipe.autoencoder is not None and not (out / "autoencoder.done").exists():
            train_autoencoder(model.vae, lambda: source.clips, recipe.autoencoder, log)
            write_autoencoder(folder / "vae", model.vae)
            (out / "autoencoder.done").touch()
        train_policy(model, source, recipe, out, log, tutor)
    finally:
        source.close()
        if tutor is not None:
            tutor.close()
    return folder


def begin(recipe: Recipe, folder: Path) -> None:
    """Write the checkpoint that the training starts from."""
    config = dataclasses.replace(TINY, **recipe.size)
    if not recipe.start:
        write_tiny(folder, recipe.seed, config, recipe.embodiment)
        return
    copy_checkpoint(Path(recipe.start), folder)
    if recipe.size:
        with tempfile.TemporaryDirectory() as fresh:
            write_tiny(Path(fresh) / "towers", recipe.seed, config, recipe.embodiment)
            for part in ("transformer", "vision_encoder", "config.json"):
                replace(Path(fresh) / "towers" / part, folder / part)


def train_policy(
    model: Model, source: Source[Clip], recipe: Recipe, out: Path, log: Log, tutor: Tutor | None = None
) -> None:
    """Train the transformer on what the source gives, and write its averaged weights into the checkpoint.

    tutor: asks questions in between, from which text tower, lm_head and vision encoder learn too.
    """
    options, policy = recipe.policy, Cosmos3Policy(model, recipe.embodiment)
    assert model.vae is not None  # Cosmos3Policy has checked it
    transformer, body, device = model.transformer.train(), policy.embodiment, model.device
    for name, parameter in transformer.named_parameters():
        read = tutor is not None if name.startswith("head.") else options.text
        parameter.requires_grad_(read or not name.startswith(("head", "text", "embed")))
    objective = Objective(transformer, body, recipe.objective).to(device)
    eyes = {} if tutor is None else {"vision": tutor.eyes.requires_grad_(True)}
    optimiser = Optimiser({"transformer": transformer, "objective": objective, **eyes}, options)
    state = out / "state.safetensors"
    if state.exists():
        optimiser.resume(state)
    measure = torch.compile(objective, dynamic=False, mode=options.compile) if options.compile else objective
    windows, text, saved = Windows(model.vae, body, device), None, time.monotonic()
    while optimiser.progress < 1:
        if text is None or optimiser.step_number % options.refresh == 0:
            known = len(windows.instructions)
            windows.add(source.take())
            if text is None or len(windows.instructions) > known:
                captions = ["", *map(policy.caption, windows.instructions)]
                prompts = [tokenize(model.tokenizer, caption) for caption in captions]
                text = objective.read(prompts, windows.shape, int(body.state_row) + body.horizon)
            log({"stage": "policy", "step": optimiser.step_number, "windows": len(windows), "prompts": len(prompts)})
        batch = windows.draw(options.batch, recipe.objective.dropout)
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            losses = measure(batch, text)
        total = losses["total"]
        if tutor is not None and optimiser.step_number % tutor.options.every == 0:
            total = total + tutor.loss()
        total.backward()
        norm = optimiser.step()
        if optimiser.step_number % EVERY == 0 or optimiser.progress >= 1:
            numbers = {name: round(float(loss.detach()), 5) for name, loss in losses.items()}
            log(
                {
                    "stage": "policy",
                    "step": optimiser.step_number,
                    **numbers,
                    "norm": float(norm),
                    "rate": optimiser.share,
                    **(tutor.numbers() if tutor else {}),
                }
            )
        if time.monotonic() - saved > options.save or optimiser.progress >= 1:
            optimiser.save(state)
            write_averages(model, optimiser, out / "checkpoint")
            saved = time.monotonic()


class _Log:
    """One json object per line, with the seconds since the start; the same in words for the reader."""

    def __init__(self, file: Path, tell: Callable[[str], None]):
        file.parent.mkdir(parents=True, exist_ok=True)
        self._file, self._tell, self._began = file, tell, time.monotonic()

    def __call__(self, fields: dict[str, Any]) -> None:
        line = {"seconds": round(time.monotonic() - self._began, 1), **fields}
        with self._file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        self._tell(
            "  ".join(
                f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in line.items()
            )
        )
