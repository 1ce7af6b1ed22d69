# SPDX-License-Identifier: Apache-2.0
"""A complete checkpoint of random weights in the released layout, small enough for a CPU."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..embodiment import EMBODIMENTS, Embodiment, find_embodiment
from ..language.captions import action_json, action_plain, framing
from ..network.config import TINY, ModelConfig
from ..network.transformer import Transformer
from .atomic_files import write_safetensors
from .json_file import write_json
from .names import hub_name
from .own_embodiment import write_own

# Per latent channel, as the released autoencoder has them.
LATENTS_MEAN = [
    -0.2289, -0.0052, -0.1323, -0.2339, -0.2799, 0.0174, 0.1838, 0.1557,
    -0.1382, 0.0542, 0.2813, 0.0891, 0.157, -0.0098, 0.0375, -0.1825,
    -0.2246, -0.1207, -0.0698, 0.5109, 0.2665, -0.2108, -0.2158, 0.2502,
    -0.2055, -0.0322, 0.1109, 0.1567, -0.0729, 0.0899, -0.2799, -0.123,
    -0.0313, -0.1649, 0.0117, 0.0723, -0.2839, -0.2083, -0.052, 0.3748,
    0.0152, 0.1957, 0.1433, -0.2944, 0.3573, -0.0548, -0.1681, -0.0667,
]  # fmt: skip
LATENTS_STD = [
    0.4765, 1.0364, 0.4514, 1.1677, 0.5313, 0.499, 0.4818, 0.5013,
    0.8158, 1.0344, 0.5894, 1.0901, 0.6885, 0.6165, 0.8454, 0.4978,
    0.5759, 0.3523, 0.7135, 0.6804, 0.5833, 1.4146, 0.8986, 0.5659,
    0.7069, 0.5338, 0.4889, 0.4917, 0.4069, 0.4999, 0.6866, 0.4093,
    0.5709, 0.6065, 0.6415, 0.4944, 0.5726, 1.2042, 0.5458, 1.6887,
    0.3971, 1.06, 0.3943, 0.5537, 0.5444, 0.4089, 0.7468, 0.7744,
]  # fmt: skip
# Cells of 16 x 16 pixels and 4 frames, as released; but the first patch is 4 x 4, which halves the
# time on a CPU.
VAE: dict[str, Any] = {
    "base_dim": 32,
    "decoder_base_dim": 24,
    "z_dim": 48,
    "dim_mult": [1, 2, 2],
    "num_res_blocks": 1,
    "attn_scales": [],
    "temperal_downsample": [True, True],
    "is_residual": True,
    "in_channels": 48,
    "out_channels": 48,
    "patch_size": 4,
    "scale_factor_spatial": 16,
    "scale_factor_temporal": 4,
    "latents_mean": LATENTS_MEAN,
    "latents_std": LATENTS_STD,
}
SCHEDULER = {
    "_class_name": "UniPCMultistepScheduler",
    "num_train_timesteps": 1000,
    "solver_order": 2,
    "prediction_type": "flow_prediction",
    "use_flow_sigmas": True,
    "use_karras_sigmas": True,
    "sigma_max": 200.0,
    "sigma_min": 0.147,
    "flow_shift": 1.0,
    "final_sigmas_type": "zero",
}
INDEX = {
    "_class_name": "Cosmos3OmniPipeline",
    "transformer": ["diffusers", "Cosmos3OmniTransformer"],
    "vae": ["diffusers", "AutoencoderKLWan"],
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_tokenizer": ["transformers", "PreTrainedTokenizerFast"],
    "enable_safety_checker": False,
    "default_use_system_prompt": False,
}
VISION: dict[str, Any] = {
    "model_type": "qwen3_vl",
    "depth": 4,
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_heads": 4,
    "in_channels": 3,
    "patch_size": 16,
    "temporal_patch_size": 2,
    "spatial_merge_size": 2,
    "num_position_embeddings": 64,
    "deepstack_visual_indexes": [0, 1, 2],
    "hidden_act": "gelu_pytorch_tanh",
}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
SPECIAL += ["<|vision_pad|>", "<|image_pad|>", "<|video_pad|>", "<think>", "</think>"]
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n"
    "{% if message.content is string %}{{ message.content }}{% else %}"
    "{% for part in message.content %}{% if part.type == 'text' %}{{ part.text }}"
    "{% else %}<|vision_start|><|{{ part.type }}_pad|><|vision_end|>{% endif %}{% endfor %}"
    "{% endif %}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = (
    "Put the red, green, blue or yellow cube in the bowl. Open and close the drawer. Push, pull, "
    "pick up, lift, move, place and stack the blocks. Reach the target with the gripper of the "
    "robot arm. What do you see? What should happen next? Yes. No. There is a table, a plate, a "
    "cup and a banana; on the left, on the right, in front of, behind, above, below. You are a "
    "helpful assistant. Describe the image and the video. user assistant system 0 1 2 "
    "3 4 5 6 7 8 9 10 "
)

# Embodiments of whose captions the vocabulary is made. Not all: with each that is added, the random
# checkpoints that tests are about would be other ones.
_SPOKEN_OF = (
    *("agibot", "av", "bridge", "droid_joint_pos", "droid_midtrain", "droid_nano_base"),
    *("droid_sim", "droid_single_view", "libero", "robomind_franka_dual", "robotwin"),
    *("six_axis", "two_arms_sim", "umi"),
)


def _sources() -> list[Path]:
    """The files that decide what is written: of the packages that this module imports."""
    model = Path(__file__).parents[1]
    folders = ("autoencoder", "checkpoint_io", "embodiment", "language", "network", "runtime")
    files = {path for folder in folders for path in (model / folder).glob("*.py")}
    return sorted(files | {*(model / "embodiment" / "data").glob("*.yaml")})


def user_cache() -> Path:
    """Where this package keeps what it can make again; ValueError for a user without a home."""
    try:
        return Path.home() / ".cache" / "cosmos3_ros"
    except RuntimeError:  # as in a container with any user number
        raise ValueError(
            "no home folder: expected HOME in the environment of a user who is in no passwd file"
        ) from None


def tiny_checkpoint() -> Path:
    """The folder of the tiny checkpoint in the user's cache, written at the first call."""
    sources = b"".join(path.read_bytes() for path in _sources())
    folder = user_cache() / f"tiny-{hashlib.sha256(sources).hexdigest()[:12]}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        draft = Path(tempfile.mkdtemp(dir=folder.parent, prefix="draft-"))
        try:
            # inside, as readable as other files; renamed, so that nobody ever sees half of it
            write_tiny(draft / "whole")
            os.rename(draft / "whole", folder)
        except OSError:
            if not folder.exists():  # else somebody else was faster
                raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return folder


def write_tiny(
    path: str | Path,
    seed: int = 0,
    config: ModelConfig = TINY,
    embodiment: Embodiment | str = "droid_sim",
) -> None:
    """Write a complete checkpoint of random weights into an empty or new folder.

    config: sizes of the two towers; embodiment: what its policy is for, also by name or file.
    ValueError if there is no such embodiment, or something in the folder.
    """
    folder = Path(path)
    robot = find_embodiment(embodiment) if isinstance(embodiment, str) else embodiment
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: expected an empty or new folder")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _write_transformer(folder / "transformer", config)
        _write_vae(folder / "vae")
        _write_vision(folder, config)
    ids = write_tokenizer(folder / "text_tokenizer", config.vocab)
    write_json(folder / "scheduler" / "scheduler_config.json", SCHEDULER)
    write_json(folder / "model_index.json", INDEX)
    write_own(folder, robot)
    root = {
        "architectures": ["Cosmos3ForConditionalGeneration"],
        "model_type": "cosmos3_omni",
        **_text_json(config),
    }
    write_json(
        folder / "config.json",
        {**root, "vision_config": {**VISION, "out_hidden_size": config.hidden}, **ids},
    )


def write_tokenizer(folder: Path, vocab: int) -> dict[str, int]:
    """A byte-level BPE of at most `vocab` tokens with Qwen's special tokens.

    Returns the ids a config.json names.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=SPECIAL,
        initial_alphabet=alphabet,
        show_progress=False,
        min_frequency=1,
    )
    bpe.train_from_iterator([WORDS, WORDS.lower(), *_captions()], trainer)
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>", chat_template=CHAT
    )
    tokenizer.save_pretrained(folder)
    special = {
        "vision_start": SPECIAL[3],
        "vision_end": SPECIAL[4],
        "image": SPECIAL[6],
        "video": SPECIAL[7],
    }
    # they come first
    return {f"{name}_token_id": SPECIAL.index(token) for name, token in special.items()}


def _captions() -> list[str]:
    settings = [
        (e.horizon + 1, e.fps, e.canvas.size, framing(e.viewpoint, e.view_description))
        for e in (EMBODIMENTS[name] for name in _SPOKEN_OF)
    ]
    return [form("", *setting) for setting in settings for form in (action_json, action_plain)]


def _write_transformer(folder: Path, config: ModelConfig) -> None:
    module = Transformer(config)
    for name, parameter in module.named_parameters():
        if parameter.dim() > 1:
            nn.init.normal_(
                parameter, std=1.0 if name == "embed.weight" else 0.5 / config.hidden**0.5
            )
    write_json(folder / "config.json", config.to_json())
    tensors = {hub_name(name): tensor.contiguous() for name, tensor in module.state_dict().items()}
    write_safetensors(folder / "diffusion_pytorch_model.safetensors", tensors)


def _write_vae(folder: Path) -> None:
    from diffusers import AutoencoderKLWan

    module: Any = AutoencoderKLWan(**VAE)
    write_json(folder / "config.json", {"_class_name": "AutoencoderKLWan", **VAE})
    write_safetensors(folder / "diffusion_pytorch_model.safetensors", module.state_dict())


def _write_vision(folder: Path, config: ModelConfig) -> None:
    """The weights of the vision encoder, and the two preprocessor files."""
    from transformers.models.qwen3_vl.configuration_qwen3_vl import Qwen3VLVisionConfig
    from transformers.models.qwen3_vl.modeling_qwen3_vl import Qwen3VLVisionModel

    module = Qwen3VLVisionModel(Qwen3VLVisionConfig(**{**VISION, "out_hidden_size": config.hidden}))
    (folder / "vision_encoder").mkdir(parents=True, exist_ok=True)
    write_safetensors(folder / "vision_encoder" / "model.safetensors", module.state_dict())
    cut = {
        "patch_size": 16,
        "temporal_patch_size": 2,
        "merge_size": 2,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    areas = {"": (32 * 32, 256 * 256), "video_": (32 * 32, 16 * 128 * 128)}
    for name, (least, most) in areas.items():
        size = {"shortest_edge": least, "longest_edge": most}
        write_json(folder / f"{name}preprocessor_config.json", {**cut, "size": size})


def _text_json(config: ModelConfig) -> dict[str, Any]:
    """The text tower as transformers describes it."""
    rope = {
        "rope_type": "default",
        "rope_theta": config.rope_theta,
        "mrope_section": list(config.rope_sections),
        "mrope_interleaved": True,
    }
    text = {
        "model_type": "qwen3_vl_text",
        "hidden_size": config.hidden,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.kv_heads,
        "head_dim": config.head_dim,
        "intermediate_size": config.mlp,
        "vocab_size": config.vocab,
        "rms_norm_eps": config.norm_eps,
        "rope_theta": config.rope_theta,
        "rope_scaling": rope,
        "rope_parameters": rope,
        "tie_word_embeddings": False,
    }
    return {"text_config": text, "tie_word_embeddings": False}
