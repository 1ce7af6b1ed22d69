# SPDX-License-Identifier: Apache-2.0
"""Names of the Transformer parameters in checkpoints of diffusers and of NVIDIA's framework."""

from __future__ import annotations

from collections.abc import Collection

from ..network.transformer import Transformer

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
HEAD, EMBEDDING = "head.weight", "embed.weight"  # which are one tensor where they are tied
# Parts of tensor names: of the sound heads, and of everything that `Transformer` does not hold.
SOUND = ("audio_proj_", "audio_modality_embed", "sound2llm.", "llm2sound.", "sound_modality_embed")
NO_PART_OF_TRANSFORMER = (*SOUND, "visual.", "model.projector.")


def hub_name(ours: str, framework: bool = False) -> str:
    """The name of a parameter of our Transformer in checkpoints of diffusers or the framework."""
    form = int(framework)
    if ours in _OUTSIDE:
        return _OUTSIDE[ours][form]
    module, leaf = ours.rsplit(".", 1)
    if module in _OUTSIDE:
        return f"{_OUTSIDE[module][form]}.{leaf}"
    tower, _, number, inner = module.split(".", 3)
    prefix = "language_model.model." if framework else ""
    return f"{prefix}layers.{number}.{_INSIDE[f'{tower}.{inner}'][form]}.{leaf}"


def transformer_names(module: Transformer, tensors: Collection[str]) -> dict[str, str]:
    """Our parameter names -> names in a checkpoint, whose form shows in its names `tensors`."""
    framework = [name for name in tensors if "language_model." in name]
    prefix = framework[0].split("language_model.")[0] if framework else ""
    return {ours: prefix + hub_name(ours, bool(framework)) for ours in module.state_dict()}
