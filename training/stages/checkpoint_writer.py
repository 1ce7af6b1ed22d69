# SPDX-License-Identifier: Apache-2.0
"""Trained weights back into a checkpoint folder, in the layout of the released ones."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from ...model.autoencoder.vae import VideoAutoencoder
from ...model.checkpoint_io.atomic_files import copy_tree, write_safetensors
from ...model.checkpoint_io.json_file import read_json, write_json
from ...model.checkpoint_io.names import SOUND, hub_name
from ...model.checkpoint_io.safetensors_io import find_tensors
from ...model.network.config import ModelConfig, config_from_json

SHARD = 14 * 2**20  # bytes
_NAME = "diffusion_pytorch_model"


def copy_checkpoint(start: Path, folder: Path) -> None:
    """A checkpoint folder to train in, also of a start that nobody may change.

    Raises ValueError if `start` is none, or `folder` has something in it.
    """
    if not start.is_dir():
        raise ValueError(f"start: no folder {start}")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected an empty or new folder")
    if folder.exists():
        folder.rmdir()
    copy_tree(start, folder)


def replace(part: Path, old: Path) -> None:
    """Put a file or folder in the place of another."""
    if old.is_dir():
        shutil.rmtree(old)
    old.unlink(missing_ok=True)
    shutil.move(part, old)


def write_transformer(folder: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """All tensors of a Transformer, by our names, as bfloat16 shards.

    The time embedder stays float32.

    Of a checkpoint that is there already, a config that says the same and the heads for sound are
    kept.
    """
    file = folder / "config.json"
    if not file.exists() or config_from_json(read_json(file)) != config:
        write_json(file, config.to_json())
    kept = {
        hub_name(name): tensor.detach().to(
            "cpu", torch.float32 if name.startswith("time.") else torch.bfloat16
        )
        for name, tensor in tensors.items()
    }
    write_tensors(folder, kept | _sound(folder))


def _sound(folder: Path) -> dict[str, Tensor]:
    there = find_tensors(folder) if any(folder.glob("*.safetensors")) else {}
    tensors = {}
    for name, file in there.items():
        if name.startswith(SOUND):
            with safe_open(file, framework="pt") as content:
                tensors[name] = content.get_tensor(name)
    return tensors


def write_autoencoder(folder: Path, vae: VideoAutoencoder) -> None:
    """Config and weights of the video autoencoder, as float32."""
    config = {
        name: value for name, value in dict(vae.module.config).items() if not name.startswith("_")
    }
    write_json(folder / "config.json", {"_class_name": "AutoencoderKLWan", **config})
    write_tensors(
        folder,
        {name: tensor.detach().float().cpu() for name, tensor in vae.module.state_dict().items()},
    )


def write_vision(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """All tensors of a VisionEncoder that is not Edge's, by our names, as bfloat16."""
    kept = {
        name.removeprefix("visual."): tensor.detach().to("cpu", torch.bfloat16)
        for name, tensor in tensors.items()
    }
    write_tensors(folder, kept, "model")


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], stem: str = _NAME) -> None:
    """Write one safetensors file, or shards with an index, in place of older files.

    Shards have SHARD bytes, or a 16th of a large model. An index of all folders of the checkpoint
    is updated if there is one.
    """
    draft = folder / ".draft"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    _write_shards(draft, tensors, stem)
    for old in [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]:
        old.unlink()
    for file in draft.iterdir():
        file.replace(folder / file.name)
    draft.rmdir()
    everything = folder.parent / "model.safetensors.index.json"
    index = read_json(everything, optional=True)
    places = index.get("weight_map", {})
    others = {
        name: place for name, place in places.items() if not place.startswith(f"{folder.name}/")
    }
    if len(others) < len(places):
        own = {name: f"{folder.name}/{file.name}" for name, file in find_tensors(folder).items()}
        write_json(everything, {**index, "weight_map": others | own})


def _write_shards(folder: Path, tensors: Mapping[str, Tensor], stem: str) -> None:
    shards: list[dict[str, Tensor]] = [{}]
    limit = max(SHARD, sum(tensor.nbytes for tensor in tensors.values()) // 16)
    size = total = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > limit:
            shards.append({})
            size = 0
        if not bool(torch.isfinite(tensor).all()):
            raise ValueError(f"{folder.parent.name}: not written, {name} is not finite")
        shards[-1][name] = tensor.contiguous()
        size, total = size + tensor.nbytes, total + tensor.nbytes
    if len(shards) == 1:
        write_safetensors(folder / f"{stem}.safetensors", shards[0])
        return
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        write_safetensors(folder / file, shard)
        where |= dict.fromkeys(shard, file)
    write_json(
        folder / f"{stem}.safetensors.index.json",
        {"metadata": {"total_size": total}, "weight_map": where},
    )
