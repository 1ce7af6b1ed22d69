# SPDX-License-Identifier: Apache-2.0
"""Damaged checkpoint folders: a very small one, of which a file is damaged, gone or another one.

It has all that a checkpoint may have: shards with an index, scales, a vision encoder, a student's
levels, an embodiment. More than headers is read of one in `NUMBERS`.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import diffusers
import torch
from fuzz_damage import Draw, Tree, new_folder
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.checkpoint_io import loader, summary, tiny
from cosmos3_ros.model.checkpoint_io.student import Student, write_student
from cosmos3_ros.model.checkpoint_io.summary import report
from cosmos3_ros.model.checkpoint_io.surfaces import problems
from cosmos3_ros.model.checkpoint_io.trained_sampling import (
    TrainedSampling,
    write_trained_sampling,
)
from cosmos3_ros.model.checkpoint_io.trained_tasks import write_trained_tasks
from cosmos3_ros.model.checkpoint_io.yes_temperature import write_yes_temperature
from cosmos3_ros.model.language import vision_encoder
from cosmos3_ros.model.network.config import TINY

NUMBERS = 8  # of so many folders one is read as `cosmos3 inspect` reads it, with its weights
_KEPT = 50  # modules
_SMALLEST = dataclasses.replace(
    TINY, hidden=32, layers=2, heads=2, kv_heads=1, head_dim=16, mlp=32, vocab=300,
    rope_sections=(4, 2, 2),
)  # fmt: skip
_VAE: dict[str, Any] = {
    "base_dim": 4, "decoder_base_dim": 4, "dim_mult": [1], "temperal_downsample": [],
}  # fmt: skip
_VISION = {
    "depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2,
    "num_position_embeddings": 4, "deepstack_visual_indexes": [0],
}  # fmt: skip


def write_smallest(folder: Path) -> None:
    """A checkpoint of a few hundred kB with everything that a checkpoint may have."""
    with mock.patch.dict(tiny.VAE, _VAE), mock.patch.dict(tiny.VISION, _VISION):
        tiny.write_tiny(folder, config=_SMALLEST)
    write_student(folder, Student("teacher", 3.0, ("policy",)), (1.0, 0.5))
    write_yes_temperature(folder, 1.5)
    write_trained_tasks(folder, ["lift"])
    write_trained_sampling(folder, TrainedSampling(row_levels=True))
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 2]}))
    towers = folder / "transformer"
    whole = towers / "diffusion_pytorch_model.safetensors"
    tensors = load_file(whole)
    for name in [name for name in tensors if name.endswith("mlp.down_proj.weight")]:
        tensors[name] = tensors[name].to(torch.float8_e4m3fn)
        tensors[f"{name}_scale"] = torch.ones(len(tensors[name]), 1)
    whole.unlink()
    names = sorted(tensors)
    places: dict[str, str] = {}
    for part, chosen in enumerate((names[::2], names[1::2]), 1):
        file = f"diffusion_pytorch_model-{part:05d}-of-00002.safetensors"
        save_file({name: tensors[name] for name in chosen}, towers / file)
        places |= dict.fromkeys(chosen, file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (towers / f"{whole.name}.index.json").write_text(json.dumps(index))


class Checkpoints:
    """Damages a folder, and has every surface's checks look at it."""

    def __init__(self) -> None:
        folder = new_folder() / "checkpoint"
        write_smallest(folder)
        if not (found := report(folder, numbers=True)).loads:
            raise RuntimeError(f"the right folder is refused: {found.text}")
        self._tree = Tree(folder)

    def __call__(self, rng: Draw) -> None:
        """Refused in the words of the first thing that is wrong."""
        self._tree.damage(rng)
        try:
            with _modules_once():
                if rng.integers(NUMBERS) == 0:
                    lines = report(self._tree.folder, numbers=True).text.splitlines()
                    found = [line for line in lines if line.startswith("refused")]
                else:
                    found = [*problems(self._tree.folder)]
        finally:
            self._tree.restore()
        for words in found:
            raise ValueError(words)


@contextlib.contextmanager
def _modules_once() -> Iterator[None]:
    """Modules of the same sizes are made once: they have no weights, and nobody changes them."""
    with contextlib.ExitStack() as stack:
        for place, name in (
            (loader, "Transformer"),
            (summary, "Transformer"),
            (diffusers, "AutoencoderKLWan"),
            (vision_encoder, "VisionEncoder"),
        ):
            made = functools.partial(_made, getattr(place, name))
            stack.enter_context(mock.patch.object(place, name, made))
        yield


_MADE: dict[str, Any] = {}


def _made(kind: Any, *sizes: Any, **more: Any) -> Any:
    key = f"{kind.__name__} {sizes!r} {more!r}"
    if key not in _MADE:
        if len(_MADE) > _KEPT:
            _MADE.clear()
        _MADE[key] = kind(*sizes, **more)
    return _MADE[key]
