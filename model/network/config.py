# SPDX-License-Identifier: Apache-2.0
"""Sizes of the two-tower network: presets, and transformer/config.json of a checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True, slots=True)
class ModelConfig:
    """Sizes and constants of one Cosmos 3 network; both towers share them."""

    hidden: int = 4096
    layers: int = 36
    heads: int = 32
    kv_heads: int = 8
    head_dim: int = 128
    mlp: int = 12288
    vocab: int = 151936
    rope_theta: float = 5e6
    rope_sections: tuple[int, int, int] = (24, 20, 20)
    norm_eps: float = 1e-6
    # "silu" (gated MLP) or "relu2" (Edge: plain MLP, and RMSNorm that rounds after its weight).
    activation: str = "silu"
    text_qk_norm: bool = True
    # The generator sees the text's keys through a norm of its own (Edge).
    text_key_norm_for_generator: bool = False
    latent_channels: int = 48
    patch: int = 2
    # Columns of an action row; 0: the checkpoint has no action heads.
    action_width: int = 64
    domains: int = 32
    sound: bool = False
    base_fps: float = 24.0
    fps_modulation: bool = True
    reset_spatial: bool = True
    temporal_margin: int = 15000
    temporal_compression: int = 4
    timestep_scale: float = 0.001

    def __post_init__(self) -> None:
        if self.activation not in ("silu", "relu2"):
            raise ValueError(
                f"ModelConfig.activation: expected 'silu' or 'relu2', got {self.activation!r:.60}"
            )
        if self.heads % self.kv_heads:
            raise ValueError(
                f"ModelConfig.heads: {self.heads} is no multiple of kv_heads {self.kv_heads}"
            )
        if sum(self.rope_sections) * 2 != self.head_dim:
            raise ValueError(
                f"ModelConfig.rope_sections: {self.rope_sections} do not add up to "
                f"{self.head_dim // 2}"
            )

    @property
    def patch_width(self) -> int:
        """Numbers in one vision token: patch * patch * latent_channels."""
        return self.patch * self.patch * self.latent_channels

    def to_json(self) -> dict[str, Any]:
        """The content of a Hub-layout transformer/config.json."""
        fields = {theirs: getattr(self, ours) for theirs, ours in _JSON_NAMES.items()}
        fields["rope_axes_dim"] = list(self.rope_sections)
        fields["action_gen"] = self.action_width > 0
        return {
            "_class_name": "Cosmos3OmniTransformer",
            **fields,
            "patch_latent_dim": self.patch_width,
        }


_JSON_NAMES = {
    "hidden_size": "hidden",
    "num_hidden_layers": "layers",
    "num_attention_heads": "heads",
    "num_key_value_heads": "kv_heads",
    "head_dim": "head_dim",
    "intermediate_size": "mlp",
    "vocab_size": "vocab",
    "rope_theta": "rope_theta",
    "rms_norm_eps": "norm_eps",
    "hidden_act": "activation",
    "qk_norm_for_text": "text_qk_norm",
    "use_und_k_norm_for_gen": "text_key_norm_for_generator",
    "latent_channel": "latent_channels",
    "latent_patch_size": "patch",
    "action_dim": "action_width",
    "num_embodiment_domains": "domains",
    "sound_gen": "sound",
    "base_fps": "base_fps",
    "enable_fps_modulation": "fps_modulation",
    "unified_3d_mrope_reset_spatial_ids": "reset_spatial",
    "unified_3d_mrope_temporal_modality_margin": "temporal_margin",
    "temporal_compression_factor": "temporal_compression",
    "timestep_scale": "timestep_scale",
}
_FILE = "transformer/config.json"
_DEFAULTS = ModelConfig()
MAX_SIZE = 1 << 24  # of anything that is counted there; more is no network
_MOST = {"num_hidden_layers": 256}
_MAY_BE_ZERO = ("action_dim", "unified_3d_mrope_temporal_modality_margin")


def config_from_json(fields: Mapping[str, Any]) -> ModelConfig:
    """Read a Hub-layout transformer/config.json.

    Absent fields keep the Nano defaults, unsupported ones raise.
    """
    if fields.get("attention_bias"):
        raise ValueError(f"{_FILE}: attention_bias true is not supported, expected false")
    ours = {
        name: _checked(key, fields[key], getattr(_DEFAULTS, name))
        for key, name in _JSON_NAMES.items()
        if fields.get(key) is not None
    }
    if not fields.get("action_gen"):
        ours["action_width"] = 0
    scaling = fields.get("rope_scaling") or {}
    inner = scaling.get("mrope_section") if isinstance(scaling, Mapping) else None
    sections = fields.get("rope_axes_dim") or inner or (24, 20, 20)
    known = isinstance(sections, list | tuple) and len(sections) == 3
    if not known or not all(type(part) is int and part > 0 for part in sections):
        raise ValueError(
            f"{_FILE}: rope_axes_dim: expected three positive numbers, got {sections!r:.60}"
        )
    # As the released code reads it: the extra norm exists only where the text tower has no key
    # norm.
    extra = bool(ours.get("text_key_norm_for_generator")) and not ours.get("text_qk_norm", True)
    return ModelConfig(
        **{**ours, "rope_sections": tuple(sections), "text_key_norm_for_generator": extra}
    )


def _checked(key: str, value: Any, default: Any) -> Any:
    """A value of config.json that is of the default's type, and that a network may have."""
    kind = type(default)
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        raise ValueError(f"{_FILE}: {key}: expected {kind.__name__}, got {value!r:.60}")
    least = 0 if key in _MAY_BE_ZERO else 1
    if kind is int and not least <= value <= _MOST.get(key, MAX_SIZE):
        raise ValueError(
            f"{_FILE}: {key}: expected {least} to {_MOST.get(key, MAX_SIZE)}, got {value}"
        )
    if kind is float and not (math.isfinite(value) and value > 0):
        raise ValueError(f"{_FILE}: {key}: expected a positive number, got {value}")
    return value


NANO = ModelConfig()
SUPER = dataclasses.replace(NANO, hidden=5120, layers=64, heads=64, mlp=25600)
EDGE = ModelConfig(
    hidden=2048,
    layers=28,
    heads=16,
    mlp=9216,
    vocab=131072,
    rope_theta=1e8,
    norm_eps=1e-5,
    activation="relu2",
    text_qk_norm=False,
    text_key_norm_for_generator=True,
)
TINY = ModelConfig(
    hidden=192,
    layers=6,
    heads=6,
    kv_heads=2,
    head_dim=32,
    mlp=512,
    vocab=1024,
    rope_sections=(6, 5, 5),
)
PRESETS = {"nano": NANO, "super": SUPER, "edge": EDGE, "tiny": TINY}
