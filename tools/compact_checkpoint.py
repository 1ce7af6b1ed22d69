# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of a policy as this repository keeps a second one: half as large, no reasoner.

    tools/run.sh .venv python tools/compact_checkpoint.py out/metaworld/checkpoint FOLDER

Matrices of the transformer become INT8 with a scale for each row (the largest magnitude is 127),
what is left of it stays; the autoencoder becomes float16. The vision encoder and what describes it,
the calibration of surprise and the state of the training are left out.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from cosmos3_ros.model.checkpoint_io.safetensors_io import find_tensors, opened
from cosmos3_ros.training.stages.checkpoint_writer import write_tensors

KEPT = (
    "model_index.json",
    "checkpoint.json",
    "embodiment.yaml",
    "scheduler",
    "text_tokenizer",
    "transformer/config.json",
    "vae/config.json",
)


def rounded(name: str, weight: Tensor) -> Iterator[tuple[str, Tensor]]:
    """A matrix [rows, columns] as INT8 and its scales float32 [rows, 1]; anything else as it is."""
    if weight.ndim != 2 or name.startswith("time_embedder."):  # kept in float32, as in training
        yield name, weight
        return
    scale = weight.float().abs().amax(1, keepdim=True).clamp(min=1e-12) / 127
    yield name, (weight.float() / scale).round().to(torch.int8)
    yield f"{name}_scale", scale


def compact(source: Path, folder: Path) -> None:
    """Write the compact copy of a checkpoint; ValueError if `folder` has something in it."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected an empty or new folder")
    for part in KEPT:
        (folder / part).parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (source / part).is_dir() else shutil.copyfile
        copy(source / part, folder / part)
    transformer = _tensors(source / "transformer")
    towers = (pair for name, weight in transformer for pair in rounded(name, weight))
    write_tensors(folder / "transformer", dict(towers))
    halves = {name: weight.half() for name, weight in _tensors(source / "vae")}
    write_tensors(folder / "vae", halves)


def _tensors(folder: Path) -> Iterator[tuple[str, Tensor]]:
    for file in sorted(set(find_tensors(folder).values())):
        with opened(file) as content:
            for name in content.keys():  # noqa: SIM118  (no dict)
                yield name, content.get_tensor(name)


def main() -> None:
    """Write the compact copy that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("folder", type=Path)
    chosen = parser.parse_args()
    compact(chosen.checkpoint, chosen.folder)


if __name__ == "__main__":
    main()
