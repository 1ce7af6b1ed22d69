# SPDX-License-Identifier: Apache-2.0
"""Trained weights back into a checkpoint folder, in the layout of the released ones."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from ..model.config import ModelConfig
from ..model.tiny import write_json
from ..model.vae import VideoAutoencoder
from ..model.weights import hub_name

SHARD = 14 * 2**20  # bytes
_NAME = "diffusion_pytorch_model"


def copy_checkpoint(start: Path, folder: Path) -> None:
    """A checkpoint folder to train in. Raises ValueError if `folder` has something in it."""
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected an empty or new folder")
    shutil.copytree(start, folder, dirs_exist_ok=True)


def replace(part: Path, old: Path) -> None:
    """Put a file or folder in the place of another."""
    if old.is_dir():
        shutil.rmtree(old)
    old.unlink(missing_ok=True)
    shutil.move(part, old)


def write_transformer(folder: Path, config: ModelConfig, tensors: Mapping[str, Tensor]) -> None:
    """All tensors of a Transformer, by our names, as bfloat16 shards; the time embedder stays float32."""
    write_json(folder / "config.json", config.to_json())
    kept = {
        hub_name(name): tensor.detach().to("cpu", torch.float32 if name.startswith("time.") else torch.bfloat16)
        for name, tensor in tensors.items()
    }
    write_tensors(folder, kept)


def write_autoencoder(folder: Path, vae: VideoAutoencoder) -> None:
    """Config and weights of the video autoencoder, as float32."""
    config = {name: value for name, value in dict(vae.module.config).items() if not name.startswith("_")}
    write_json(folder / "config.json", {"_class_name": "AutoencoderKLWan", **config})
    write_tensors(folder, {name: tensor.detach().float().cpu() for name, tensor in vae.module.state_dict().items()})


def write_vision(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """All tensors of a VisionEncoder that is not Edge's, by our names, as bfloat16."""
    kept = {name.removeprefix("visual."): tensor.detach().to("cpu", torch.bfloat16) for name, tensor in tensors.items()}
    write_tensors(folder, kept, "model")


def write_tensors(folder: Path, tensors: Mapping[str, Tensor], stem: str = _NAME) -> None:
    """One safetensors file, or shards with an index, small ones or 16 of a large model; older ones are removed."""
    for old in [*folder.glob("*.safetensors"), *folder.glob("*.safetensors.index.json")]:
        old.unlink()
    shards: list[dict[str, Tensor]] = [{}]
    limit = max(SHARD, sum(tensor.nbytes for tensor in tensors.values()) // 16)
    size = total = 0
    for name, tensor in tensors.items():
        if shards[-1] and size + tensor.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = tensor.contiguous()
        size, total = size + tensor.nbytes, total + tensor.nbytes
    if len(shards) == 1:
        save_file(shards[0], folder / f"{stem}.safetensors")
        return
    where: dict[str, str] = {}
    for number, shard in enumerate(shards, 1):
        file = f"{stem}-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file(shard, folder / file)
        where |= dict.fromkeys(shard, file)
    write_json(folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": where})
