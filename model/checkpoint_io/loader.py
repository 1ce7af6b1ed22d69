# SPDX-License-Identifier: Apache-2.0
"""Checkpoint folders in the Hub layout to a model, and what its tensors are called there.

The folder holds transformer/, vae/, text_tokenizer/, scheduler/ and, for the reasoner,
vision_encoder/. The tensors of the transformer may carry diffusers' names or those of NVIDIA's
framework.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..acceleration.tensor_parallel import split_of
from ..loaded_model import Model
from ..network.config import config_from_json
from ..network.transformer import Transformer
from ..runtime.device import default_dtype
from .safetensors_io import fill, find_tensors, read_json

if TYPE_CHECKING:
    from ..acceleration.tensor_parallel import Split
    from ..autoencoder.vae import VideoAutoencoder
    from ..runtime.process_group import InferenceGroup

# Ours: (diffusers, framework). The leaf (.weight, .bias) stays, except where a full name is given.
_OUTSIDE = {
    "embed": ("embed_tokens", "language_model.model.embed_tokens"),
    "head": ("lm_head", "language_model.lm_head"),
    "text.norm": ("norm", "language_model.model.norm"),
    "generator.norm": ("norm_moe_gen", "language_model.model.norm_moe_gen"),
    "vision_in": ("proj_in", "vae2llm"),
    "vision_out": ("proj_out", "llm2vae"),
    "time.first": ("time_embedder.linear_1", "time_embedder.mlp.0"),
    "time.second": ("time_embedder.linear_2", "time_embedder.mlp.2"),
    "action_in.weight": ("action_proj_in.fc.weight", "action2llm.fc.weight"),
    "action_in.bias": ("action_proj_in.bias.weight", "action2llm.bias.weight"),
    "action_out.weight": ("action_proj_out.fc.weight", "llm2action.fc.weight"),
    "action_out.bias": ("action_proj_out.bias.weight", "llm2action.bias.weight"),
    "action_embed": ("action_modality_embed", "action_modality_embed"),
}
_INSIDE = {
    "text.attention_norm": ("input_layernorm", "input_layernorm"),
    "text.mlp_norm": ("post_attention_layernorm", "post_attention_layernorm"),
    "text.attention.q": ("self_attn.to_q", "self_attn.q_proj"),
    "text.attention.k": ("self_attn.to_k", "self_attn.k_proj"),
    "text.attention.v": ("self_attn.to_v", "self_attn.v_proj"),
    "text.attention.out": ("self_attn.to_out", "self_attn.o_proj"),
    "text.attention.q_norm": ("self_attn.norm_q", "self_attn.q_norm"),
    "text.attention.k_norm": ("self_attn.norm_k", "self_attn.k_norm"),
    "text.attention.generator_k_norm": (
        "self_attn.k_norm_und_for_gen",
        "self_attn.k_norm_und_for_gen",
    ),
    "generator.attention_norm": ("input_layernorm_moe_gen", "input_layernorm_moe_gen"),
    "generator.mlp_norm": ("post_attention_layernorm_moe_gen", "post_attention_layernorm_moe_gen"),
    "generator.attention.q": ("self_attn.add_q_proj", "self_attn.q_proj_moe_gen"),
    "generator.attention.k": ("self_attn.add_k_proj", "self_attn.k_proj_moe_gen"),
    "generator.attention.v": ("self_attn.add_v_proj", "self_attn.v_proj_moe_gen"),
    "generator.attention.out": ("self_attn.to_add_out", "self_attn.o_proj_moe_gen"),
    "generator.attention.q_norm": ("self_attn.norm_added_q", "self_attn.q_norm_moe_gen"),
    "generator.attention.k_norm": ("self_attn.norm_added_k", "self_attn.k_norm_moe_gen"),
    **{f"text.mlp.{name}": (f"mlp.{name}_proj",) * 2 for name in ("gate", "up", "down")},
    **{
        f"generator.mlp.{name}": (f"mlp_moe_gen.{name}_proj",) * 2
        for name in ("gate", "up", "down")
    },
}
SOUND = ("audio_proj_", "audio_modality_embed", "sound2llm.", "llm2sound.", "sound_modality_embed")
_NO_PART_OF_TRANSFORMER = (*SOUND, "visual.", "model.projector.", ".weight_scale", ".input_scale")


def hub_name(ours: str, framework: bool = False) -> str:
    """What a parameter of our Transformer is called in a checkpoint."""
    form = int(framework)
    if ours in _OUTSIDE:
        return _OUTSIDE[ours][form]
    place, leaf = ours.rsplit(".", 1)
    if place in _OUTSIDE:
        return f"{_OUTSIDE[place][form]}.{leaf}"
    tower, _, number, inner = place.split(".", 3)
    prefix = "language_model.model." if framework else ""
    return f"{prefix}layers.{number}.{_INSIDE[f'{tower}.{inner}'][form]}.{leaf}"


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
                str(path), allow_patterns=["*.json", "*.jinja", "*.txt", "*.safetensors"]
            )
        )
    if not folder.is_dir():
        raise ValueError(f"checkpoint: no folder {folder}")
    device = torch.device(device)
    dtype = dtype or default_dtype(device)
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype
    split = split_of(team)
    transformer = load_transformer(
        folder / "transformer", device, dtype, reasoner, generator, host, split
    )
    vision = None
    if reasoner and (folder / "vision_encoder").is_dir():
        from ..language.vision_encoder import load_vision

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


def load_transformer(
    folder: Path,
    device: torch.device,
    dtype: torch.dtype,
    reasoner: bool = True,
    generator: bool = True,
    host: Iterable[str] = (),
    split: Split | None = None,
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
    skip |= {name for name in tensors if any(part in name for part in _NO_PART_OF_TRANSFORMER)}
    names = {ours: known[ours] for ours in module.state_dict()}
    fill(module, tensors, names, device, dtype, skip, ("time.",), host, split)
    return module


def transformer_names(module: Transformer, tensors: Collection[str]) -> dict[str, str]:
    """Our parameter names -> those of a checkpoint, whose form shows in the names of its tensors."""
    framework = [name for name in tensors if "language_model." in name]
    prefix = framework[0].split("language_model.")[0] if framework else ""
    return {ours: prefix + hub_name(ours, bool(framework)) for ours in module.state_dict()}


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


def load_tokenizer(folder: Path) -> Any:
    """transformers' tokenizer, from a text_tokenizer/ folder."""
    from transformers import AutoTokenizer

    read_json(folder / "tokenizer_config.json")
    return AutoTokenizer.from_pretrained(folder, local_files_only=True)
