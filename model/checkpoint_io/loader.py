# SPDX-License-Identifier: Apache-2.0
"""Loads checkpoint folders in the layout of the Hugging Face Hub.

A folder holds transformer/, vae/, text_tokenizer/, scheduler/ and, for the reasoner,
vision_encoder/. The tensors of the transformer have diffusers' names or those of NVIDIA's
framework, see `names`.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..acceleration.memory_budget import GIB, check_memory
from ..acceleration.optimize import optimize
from ..acceleration.options import GPU_FORMATS, RuntimeOptions
from ..acceleration.tensor_parallel import split_of
from ..language.chat import check_tokenizer
from ..loaded_model import Model
from ..media.lfs_pointer import check_pointer
from ..media.one_line import one_line
from ..network.config import ModelConfig, config_from_json
from ..network.transformer import Transformer
from ..runtime.device import default_dtype
from .foreign import find_checkpoint
from .json_file import read_block, read_json
from .names import EMBEDDING, HEAD, NO_PART_OF_TRANSFORMER, transformer_names
from .safetensors_io import read_headers
from .weights.module_plan import ModulePlan

if TYPE_CHECKING:
    from ..acceleration.tensor_parallel import TensorParallelSplit
    from ..autoencoder.vae import VideoAutoencoder
    from ..language.vision_encoder import Pixels, VisionEncoder
    from ..runtime.process_group import InferenceGroup

LOG = logging.getLogger("cosmos3_ros.model")
_PANIC = "PanicException"  # what Rust's libraries end with, which is no Exception
MAX_SIZE = 1 << 20  # of anything that a config.json counts: more is no network
# Of parts of which modules are made one by one, before a header is compared with them.
MAX_PARTS = {"depth": 256, "deepstack_visual_indexes": 256, "num_res_blocks": 16, "dim_mult": 16}


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
    the video autoencoder. download: see `foreign.find_folder`. host: prefixes of the transformer's
    parameters that stay in the host's memory, for `optimize.optimize`. team: the processes that
    share it.
    """
    folder = find_checkpoint(path, download)
    device = torch.device(device)
    dtype = dtype or default_dtype(device)
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    # what is quickly read and often wrong comes first
    tokenizer = load_tokenizer(folder / "text_tokenizer")
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json") if generator else {}
    index = read_json(folder / "model_index.json", optional=True)
    policy = read_block(folder / "checkpoint.json", "policy")
    transformer = load_transformer(
        folder / "transformer", device, dtype, reasoner, generator, host, split_of(team)
    )
    check_vocabulary(tokenizer, transformer.config)
    vision = vae = None
    if reasoner and (folder / "vision_encoder").is_dir():
        vision = load_vision(folder, device, dtype)
        check_placeholders(tokenizer, vision)
    if generator:
        vae = load_vae(folder / "vae", device, dtype)
        check_latents(vae.module, transformer.config)
    return Model(
        path=folder,
        config=transformer.config,
        transformer=transformer,
        tokenizer=tokenizer,
        vae=vae,
        vision=vision,
        scheduler=scheduler,
        index=index,
        policy_config=policy,
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
    download: bool = False,
) -> Model:
    """Load a checkpoint folder and optimize it; see `load_model` and `RuntimeOptions`.

    ValueError if it does not fit into the GPU's free memory. team: the processes that share the
    model, each of which calls this; download: see `foreign.find_folder`.
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
    folder = find_checkpoint(path, download)  # before memory is spoken of
    if device.startswith("cuda"):
        config = config_from_json(read_json(folder / "transformer" / "config.json"))
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
    model = load_model(folder, device, dtype, reasoner, generator, host=prefixes, team=team)
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


def plan_transformer(
    folder: Path,
    reasoner: bool = True,
    generator: bool = True,
    split: TensorParallelSplit | None = None,
) -> ModulePlan:
    """The towers asked for, still without weights, and where those lie in a transformer/ folder.

    split: this process' share of their layers.
    """
    config = config_from_json(read_json(folder / "config.json"))
    tensors = read_headers(folder)
    with torch.device("meta"):
        module = Transformer(config, reasoner, generator)
        whole = module if reasoner and generator and not split else Transformer(config)
    if split:
        split.apply(module)
    known = transformer_names(whole, tensors)
    skip = {known[ours] for ours in known.keys() - module.state_dict().keys()}
    skip |= {name for name in tensors if any(part in name for part in NO_PART_OF_TRANSFORMER)}
    names = {ours: known[ours] for ours in module.state_dict()}
    if reasoner and names[HEAD] not in tensors and ties_embeddings(folder):
        names[HEAD] = names[EMBEDDING]
    return ModulePlan(folder, module, tensors, names, skip, ("time.",), split)


def ties_embeddings(folder: Path) -> bool:
    """Whether a checkpoint's files say that lm_head is the table of embeddings.

    folder: its transformer/.
    """
    root = read_json(folder.parent / "config.json", optional=True)
    text = root.get("text_config")
    fields = (read_json(folder / "config.json"), root, text if isinstance(text, dict) else {})
    return any(each.get("tie_word_embeddings") is True for each in fields)


def load_transformer(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    reasoner: bool = True,
    generator: bool = True,
    host: Iterable[str] = (),
    split: TensorParallelSplit | None = None,
) -> Transformer:
    """The towers asked for, from a transformer/ folder; see `plan_transformer`."""
    plan = plan_transformer(folder, reasoner, generator, split)
    plan.fill(device, dtype, host)
    module = plan.module
    assert isinstance(module, Transformer)  # see `plan_transformer`
    if reasoner and not split and plan.names[HEAD] == plan.names[EMBEDDING]:
        assert isinstance(module.head, torch.nn.Linear)
        module.head.weight = module.get_parameter(EMBEDDING)
    return module


def plan_vae(folder: Path) -> ModulePlan:
    """diffusers' video autoencoder, still without weights, and where those lie in vae/."""
    from diffusers import AutoencoderKLWan

    file = folder / "config.json"
    fields = {key: value for key, value in read_json(file).items() if not key.startswith("_")}
    _check_sizes(file, fields)
    try:
        with torch.device("meta"):
            module: Any = AutoencoderKLWan(**fields)
    except Exception as error:  # whatever the library's code does with numbers that do not fit
        raise ValueError(f"{file}: not the fields of AutoencoderKLWan: {one_line(error)}") from None
    return ModulePlan(
        folder, module, read_headers(folder), {name: name for name in module.state_dict()}
    )


def load_vae(folder: Path, device: torch.device, dtype: torch.dtype) -> VideoAutoencoder:
    """The video autoencoder, from a vae/ folder."""
    from ..autoencoder.vae import VideoAutoencoder

    plan = plan_vae(folder)
    plan.fill(device, dtype)
    return VideoAutoencoder(plan.module)


def plan_vision(folder: Path) -> ModulePlan:
    """The vision encoder of a checkpoint folder, still without weights, and where those lie.

    It is described by vision_encoder/, config.json and the two preprocessor files.
    """
    from ..language.vision_encoder import VisionEncoder, pixels_from_json

    file = folder / "config.json"
    fields = read_json(file)
    image, video = (
        read_json(folder / f"{name}preprocessor_config.json") for name in ("", "video_")
    )
    vision = fields.get("vision_config") or {}
    _check_sizes(file, vision if isinstance(vision, dict) else {})
    try:
        kind = vision.get("model_type", fields.get("model_type"))
        with torch.device("meta"):
            pixels = pixels_from_json(image, video, edge="edge" in str(kind))
            encoder = VisionEncoder(fields, pixels)
        _check_patches(vision, pixels)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    except Exception as error:  # as above
        raise ValueError(f"{file}: not the fields of a vision encoder: {one_line(error)}") from None
    tensors = read_headers(folder / "vision_encoder")
    # Edge keeps transformers' full names
    whole = any(name.startswith("model.") for name in tensors)
    names = {
        ours: f"model.{ours}" if whole else ours.removeprefix("visual.")
        for ours in encoder.state_dict()
    }
    return ModulePlan(folder / "vision_encoder", encoder, tensors, names)


def load_vision(folder: Path, device: torch.device, dtype: torch.dtype) -> VisionEncoder:
    """The vision encoder of a checkpoint folder, see `plan_vision`."""
    plan = plan_vision(folder)
    plan.fill(device, dtype)
    encoder: Any = plan.module
    return encoder.to(device)


def _check_patches(vision: Mapping[str, Any], pixels: Pixels) -> None:
    """ValueError if the preprocessor cuts pictures otherwise than the encoder reads them."""
    names = {
        "patch_size": "patch",
        "temporal_patch_size": "temporal",
        "spatial_merge_size": "merge",
    }
    for theirs, ours in names.items():
        if (said := vision.get(theirs)) is not None and said != getattr(pixels, ours):
            raise ValueError(
                f"preprocessor_config.json: {ours} is {getattr(pixels, ours)}, expected {said} as "
                f"{theirs} of vision_config in config.json"
            )


def _check_sizes(file: Path, fields: dict[str, Any]) -> None:
    """ValueError for a size that no network has, before one is made of it."""
    for name, value in fields.items():
        sizes = value if isinstance(value, list) else [value]
        if any(isinstance(size, int) and abs(size) > MAX_SIZE for size in sizes):
            raise ValueError(f"{file}: {name}: expected at most {MAX_SIZE}, got {value!r:.60}")
        parts, most = len(value) if isinstance(value, list) else value, MAX_PARTS.get(name)
        if most and isinstance(parts, int) and parts > most:
            raise ValueError(f"{file}: {name}: expected at most {most} parts, got {parts}")


def load_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer, from a text_tokenizer/ folder.

    ValueError if it cannot be read, or cannot write what policy and reasoner ask of it.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    config = read_json(folder / "tokenizer_config.json")
    for file in sorted(folder.iterdir()):
        if file.is_file():
            check_pointer(file)
    if not any((folder / name).is_file() for name in ("tokenizer.json", "vocab.json")):
        raise ValueError(f"checkpoint: missing file {folder / 'tokenizer.json'}")
    # transformers 5 calls it so; by the older name transformers 4 finds it, too
    fast = config.get("tokenizer_class") == "TokenizersBackend"
    reader = PreTrainedTokenizerFast if fast else AutoTokenizer
    try:
        tokenizer = reader.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except BaseException as error:  # whatever the libraries' code does with files that do not fit
        if not isinstance(error, Exception) and type(error).__name__ != _PANIC:
            raise
        raise ValueError(
            f"{folder}: transformers reads no tokenizer from it: {one_line(error)}"
        ) from None
    try:
        check_tokenizer(tokenizer)
    except ValueError as error:
        raise ValueError(f"{folder}: {error}") from None
    return tokenizer


def check_vocabulary(tokenizer: Any, config: ModelConfig) -> None:
    """ValueError if a tokenizer has tokens that the network has no embedding for."""
    last = max(tokenizer.get_vocab().values())
    if last >= config.vocab:
        raise ValueError(
            f"text_tokenizer: has token {last}, expected at most {config.vocab - 1}: the network "
            f"has {config.vocab} embeddings"
        )


def check_placeholders(tokenizer: Any, vision: VisionEncoder) -> None:
    """ValueError if config.json names tokens around pictures that the tokenizer has not."""
    known = {*tokenizer.get_vocab().values()}
    for name, number in dataclasses.asdict(vision.media).items():
        if number not in known:
            raise ValueError(
                f"config.json: the token of {name} is {number}, which text_tokenizer/ does not have"
            )


def check_latents(autoencoder: Any, config: ModelConfig) -> None:
    """ValueError if the network reads other latents than the video autoencoder makes."""
    if autoencoder.config.z_dim != config.latent_channels:
        raise ValueError(
            f"vae/config.json: z_dim is {autoencoder.config.z_dim}, expected "
            f"{config.latent_channels} as latent_channel of transformer/config.json"
        )
