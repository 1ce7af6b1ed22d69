# SPDX-License-Identifier: Apache-2.0
"""Loads checkpoint folders in the layout of the Hugging Face Hub.

A folder holds transformer/, vae/, text_tokenizer/, scheduler/ and, for the reasoner,
vision_encoder/. The tensors of the transformer have diffusers' names or those of NVIDIA's
framework, see `names`.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..acceleration.memory_budget import GIB, check_memory
from ..acceleration.optimize import optimize
from ..acceleration.options import GPU_FORMATS, RuntimeOptions
from ..acceleration.tensor_parallel import split_of
from ..loaded_model import Model
from ..network.config import config_from_json
from ..network.transformer import Transformer
from ..runtime.device import default_dtype
from .foreign import check_family
from .json_file import read_json
from .names import NO_PART_OF_TRANSFORMER, transformer_names
from .safetensors_io import fill, find_tensors

if TYPE_CHECKING:
    from ..acceleration.tensor_parallel import TensorParallelSplit
    from ..autoencoder.vae import VideoAutoencoder
    from ..language.vision_encoder import VisionEncoder
    from ..runtime.process_group import InferenceGroup

LOG = logging.getLogger("cosmos3_ros.model")


def load_model(
    path: str | Path,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | str | None = None,
    reasoner: bool = True,
    generator: bool = True,
    download: bool = False,
    host: Iterable[str] = (),
    team: InferenceGroup | None = None,
) -> Model:
    """Load a checkpoint folder; ValueError names whatever is missing, unexpected or unreadable.

    dtype: by default float32 on a CPU, bfloat16 elsewhere; the time embedder stays float32.
    reasoner=False leaves out lm_head and vision encoder, generator=False the generator tower and
    the video autoencoder. download: if there is no such folder, take `path` for the name of a
    repository on the Hugging Face Hub and fetch it. host: prefixes of the transformer's parameters
    that stay in the host's memory, for `optimize.optimize`. team: the processes that share it.
    """
    folder = Path(path)
    if not folder.is_dir() and download:
        from huggingface_hub import snapshot_download

        folder = Path(
            snapshot_download(
                str(path), allow_patterns=["*.json", "*.yaml", "*.jinja", "*.txt", "*.safetensors"]
            )
        )
    if not folder.is_dir():
        raise ValueError(f"checkpoint: no folder {folder}")
    check_family(folder)
    device = torch.device(device)
    dtype = dtype or default_dtype(device)
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    split = split_of(team)
    transformer = load_transformer(
        folder / "transformer", device, dtype, reasoner, generator, host, split
    )
    vision = None
    if reasoner and (folder / "vision_encoder").is_dir():
        vision = load_vision(folder, device, dtype)
    return Model(
        path=folder,
        config=transformer.config,
        transformer=transformer,
        tokenizer=load_tokenizer(folder / "text_tokenizer"),
        vae=load_vae(folder / "vae", device, dtype) if generator else None,
        vision=vision,
        scheduler=read_json(folder / "scheduler" / "scheduler_config.json") if generator else {},
        index=read_json(folder / "model_index.json", optional=True),
        policy_config=read_json(folder / "checkpoint.json", optional=True).get("policy", {}),
        team=team,
        lock=team.lock if team else threading.Lock(),
    )


def load_fast(
    path: str | Path,
    device: str,
    dtype: torch.dtype,
    runtime: RuntimeOptions,
    reasoner: bool = True,
    generator: bool = True,
    team: InferenceGroup | None = None,
) -> Model:
    """Load a checkpoint folder and optimize it; see `load_model` and `RuntimeOptions`.

    ValueError if it does not fit into the GPU's free memory. team: the processes that share the
    model, each of which calls this.
    """
    if team and runtime.graphs:
        raise ValueError(
            "RuntimeOptions.graphs: expected False for a model that several processes share, "
            "got True"
        )
    split = split_of(team)
    if split and runtime.placement == "policy":
        raise ValueError(
            "RuntimeOptions.placement: expected 'both' or 'reasoner' where layers are split, "
            "got 'policy'"
        )
    if runtime.placement != "both":
        reasoner, generator = runtime.placement == "reasoner", runtime.placement == "policy"
    check_family(Path(path))  # before memory is spoken of
    if device.startswith("cuda"):
        config = config_from_json(read_json(Path(path) / "transformer" / "config.json"))
        free = torch.cuda.mem_get_info(device)[0] / GIB
        check_memory(config, runtime, free, split.ranks if split else 1)
    else:
        warn_of_slow_formats(runtime)
    # Towers to be quantized or kept off the GPU are loaded into the host's memory, so that they
    # never lie on the GPU as a whole; a rank's share of a split tower does.
    quantized = [
        tower for tower in ("generator", "text") if getattr(runtime, tower) != "none" and not split
    ]
    host = {*quantized, *(["text"] if runtime.placement == "policy" else [])}
    prefixes = [f"{tower}.layers." for tower in host]
    model = load_model(path, device, dtype, reasoner, generator, host=prefixes, team=team)
    optimize(model, runtime, device)
    return model


def warn_of_slow_formats(runtime: RuntimeOptions) -> None:
    """Say which of the weight formats are made for GPUs, to somebody who has a CPU."""
    towers = {"weights": runtime.generator, "text_weights": runtime.text}
    slow = [f"{name} {kind!r}" for name, kind in towers.items() if kind in GPU_FORMATS]
    if slow:
        LOG.warning(
            "warning: %s on a CPU: less memory, but many times slower than 'none', "
            "see docs/performance.md",
            " and ".join(slow),
        )


def load_transformer(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    reasoner: bool = True,
    generator: bool = True,
    host: Iterable[str] = (),
    split: TensorParallelSplit | None = None,
) -> Transformer:
    """The towers asked for, from a transformer/ folder.

    split: this process' share of their layers.
    """
    config = config_from_json(read_json(folder / "config.json"))
    tensors = find_tensors(folder)
    with torch.device("meta"):
        module, whole = Transformer(config, reasoner, generator), Transformer(config)
    if split:
        split.apply(module)
    known = transformer_names(whole, tensors)
    skip = {known[ours] for ours in known.keys() - module.state_dict().keys()}
    skip |= {name for name in tensors if any(part in name for part in NO_PART_OF_TRANSFORMER)}
    names = {ours: known[ours] for ours in module.state_dict()}
    fill(module, tensors, names, device, dtype, skip, ("time.",), host, split)
    return module


def load_vae(folder: Path, device: torch.device, dtype: torch.dtype) -> VideoAutoencoder:
    """The video autoencoder, from a vae/ folder."""
    from diffusers import AutoencoderKLWan

    from ..autoencoder.vae import VideoAutoencoder

    fields = {
        key: value
        for key, value in read_json(folder / "config.json").items()
        if not key.startswith("_")
    }
    with torch.device("meta"):
        module: Any = AutoencoderKLWan(**fields)
    fill(module, find_tensors(folder), {name: name for name in module.state_dict()}, device, dtype)
    return VideoAutoencoder(module)


def load_vision(folder: Path, device: torch.device, dtype: torch.dtype) -> VisionEncoder:
    """The vision encoder of a checkpoint folder.

    It is described by vision_encoder/, config.json and the two preprocessor files.
    """
    from ..language.vision_encoder import VisionEncoder, pixels_from_json

    fields = read_json(folder / "config.json")
    kind = (fields.get("vision_config") or {}).get("model_type", fields.get("model_type"))
    image, video = (
        read_json(folder / f"{name}preprocessor_config.json") for name in ("", "video_")
    )
    with torch.device("meta"):
        encoder = VisionEncoder(fields, pixels_from_json(image, video, edge="edge" in str(kind)))
    tensors = find_tensors(folder / "vision_encoder")
    # Edge keeps transformers' full names
    whole = any(name.startswith("model.") for name in tensors)
    names = {
        ours: f"model.{ours}" if whole else ours.removeprefix("visual.")
        for ours in encoder.state_dict()
    }
    fill(encoder, tensors, names, device, dtype)
    return encoder.to(device)


def load_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer, from a text_tokenizer/ folder."""
    from transformers import AutoTokenizer

    read_json(folder / "tokenizer_config.json")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
