# SPDX-License-Identifier: Apache-2.0
"""Whether a training can go on from a checkpoint, before anything of it is copied."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from ..model.checkpoint_io.foreign import check_family
from ..model.checkpoint_io.json_file import read_block, read_json
from ..model.checkpoint_io.loader import (
    check_latents,
    check_vocabulary,
    load_tokenizer,
    plan_transformer,
    plan_vae,
)
from ..model.checkpoint_io.own_embodiment import (
    check_channels,
    choose_embodiment,
    own_embodiment,
)
from ..model.checkpoint_io.surfaces import check_scheduler_file, check_vision
from ..model.embodiment import Embodiment, find_embodiment
from ..model.network.config import TINY, ModelConfig, config_from_json
from .recipe import Recipe

_PARTS = {
    "transformer": "the network",
    "vae": "the video autoencoder",
    "text_tokenizer": "the tokenizer",
    "scheduler": "the noise schedule",
}


def check_start(recipe: Recipe) -> None:
    """ValueError of one line if `recipe.start` lacks what the recipe goes on from.

    Reads headers and json files alone. Rounded weights (INT8, FP8, NVFP4) may be a start: they are
    read as the numbers that they stand for, and what is trained is written as bfloat16.
    """
    if not recipe.start:
        return
    folder = Path(recipe.start)
    _check_parts(recipe, folder)
    try:
        check_family(folder)
        _check_network(recipe, folder)
    except (ValueError, OSError) as error:
        said = str(error).removeprefix("checkpoint: ")
        raise ValueError(f"start: {folder} cannot be gone on from: {said}") from None


def _check_parts(recipe: Recipe, folder: Path) -> None:
    """ValueError for the first folder that is not there."""
    if not folder.is_dir():
        raise ValueError(f"start: no folder {folder}, expected that of a checkpoint")
    needed = dict(_PARTS)
    if recipe.size:
        del needed["transformer"]  # it begins at random
    elif recipe.reasoner:
        needed["vision_encoder"] = "the vision encoder, with which `reasoner` learns to answer"
    for part, what in needed.items():
        if not (folder / part).is_dir():
            raise ValueError(f"start: {folder} has no {part}/, expected a checkpoint with {what}")


def _check_network(recipe: Recipe, folder: Path) -> None:
    """ValueError for a part that cannot be read, or does not fit the others or the embodiment."""
    if not recipe.size:
        plan_transformer(folder / "transformer").check()
        check_vision(folder)
    config = _config(recipe, folder)
    check_vocabulary(load_tokenizer(folder / "text_tokenizer"), config)
    autoencoder = plan_vae(folder / "vae")
    autoencoder.check()
    check_latents(autoencoder.module, config)
    check_scheduler_file(folder)
    if recipe.policy.steps:
        check_channels(embodiment_of(recipe), config)
    elif recipe.distill and recipe.video is None:
        policy = read_block(folder / "checkpoint.json", "policy")
        check_channels(choose_embodiment(folder, policy, recipe.embodiment), config)


def _config(recipe: Recipe, folder: Path) -> ModelConfig:
    if recipe.size:
        return dataclasses.replace(TINY, **recipe.size)
    return config_from_json(read_json(folder / "transformer" / "config.json"))


def embodiment_of(recipe: Recipe) -> Embodiment:
    """What the recipe trains for; that of `start`, with its statistics, if it is the one named."""
    about = read_json(Path(recipe.start) / "checkpoint.json", optional=True)
    if (name := recipe.embodiment) == (about.get("policy") or {}).get("embodiment"):
        return own_embodiment(Path(recipe.start), about["policy"]) or find_embodiment(name)
    return find_embodiment(name)
