# SPDX-License-Identifier: Apache-2.0
"""LoRA: a product of two thin matrices learns beside each frozen one.

Merged into checkpoints, shared in PEFT's layout.

Own code instead of peft: it is short, and the frozen weights keep the names by which they are
loaded and written.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from ...model.checkpoint_io.atomic_files import write_safetensors
from ...model.checkpoint_io.json_file import write_json
from ...model.checkpoint_io.names import hub_name
from ...model.network.transformer import Transformer
from ..options import LoraOptions

_FILE = "adapter_model.safetensors"


class LoraLinear(nn.Linear):
    """x @ (W + scale * B @ A).T; W keeps its name, and B begins at zero."""

    def __init__(self, base: nn.Linear, options: LoraOptions):
        super().__init__(base.in_features, base.out_features, base.bias is not None, device="meta")
        self.weight, self.bias, self.scale = base.weight, base.bias, options.scale
        self.lora_A = nn.Linear(base.in_features, options.r, bias=False, device=base.weight.device)
        self.lora_B = nn.Linear(options.r, base.out_features, bias=False, device=base.weight.device)
        nn.init.zeros_(self.lora_B.weight)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) + self.scale * self.lora_B(self.lora_A(x))


def adapt(transformer: Transformer, options: LoraOptions) -> None:
    """Freeze all but new adapters and what is trained in full.

    ValueError for a target that fits nothing.
    """
    transformer.requires_grad_(False)
    layers = {
        hub_name(f"{name}.weight"): name
        for name, part in transformer.named_modules()
        if type(part) is nn.Linear
    }
    saved = [
        name
        for name, _ in transformer.named_parameters()
        if _fits(hub_name(name), options.modules_to_save)
    ]
    for target in options.target_modules:
        if not any(_fits(theirs, [target]) for theirs in layers):
            raise ValueError(
                f"lora.target_modules: {target!r} fits none of "
                f"{sorted({_leaf(name) for name in layers})}"
            )
    for theirs, ours in layers.items():
        if _fits(theirs, options.target_modules):
            parent, _, leaf = ours.rpartition(".")
            layer = transformer.get_submodule(ours)
            assert isinstance(layer, nn.Linear)
            setattr(transformer.get_submodule(parent), leaf, LoraLinear(layer, options))
    for name in saved:
        transformer.get_parameter(name).requires_grad_(True)


def merge(tensors: Mapping[str, Tensor], options: LoraOptions) -> dict[str, Tensor]:
    """Merge the adapters into the tensors: W + scale * B @ A, in float32."""
    merged = {name: tensor for name, tensor in tensors.items() if "lora_" not in name}
    for name in tensors:
        prefix, found, _ = name.rpartition("lora_A.weight")
        if found:
            product = tensors[f"{prefix}lora_B.weight"].float() @ tensors[name].float()
            merged[f"{prefix}weight"] = tensors[f"{prefix}weight"].float() + options.scale * product
    return merged


def write_adapter(
    folder: Path, base: str, tensors: Mapping[str, Tensor], options: LoraOptions
) -> None:
    """Write adapters and fully trained tensors as peft does for diffusers' transformer of `base`.

    tensors: by the names of this package.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {f"base_model.model.{_adapter_name(name)}": tensor for name, tensor in tensors.items()}
    write_safetensors(
        folder / _FILE,
        {name: tensor.detach().float().cpu().contiguous() for name, tensor in kept.items()},
    )
    fixed = {
        "peft_type": "LORA",
        "task_type": None,
        "lora_dropout": 0.0,
        "bias": "none",
        "fan_in_fan_out": False,
    }
    fixed |= {"inference_mode": True, "base_model_name_or_path": base}
    write_json(folder / "adapter_config.json", fixed | dataclasses.asdict(options))


def _adapter_name(ours: str) -> str:
    prefix, adapter, leaf = ours.partition("lora_")
    return (
        f"{hub_name(f'{prefix}weight').removesuffix('weight')}{adapter}{leaf}"
        if adapter
        else hub_name(ours)
    )


def _fits(name: str, ends: Collection[str]) -> bool:
    """Whether a parameter belongs to one of the modules, or is one of them."""
    return any(f".{end}." in f".{name}." for end in ends)


def _leaf(name: str) -> str:
    return name.removesuffix(".weight").rsplit(".", 1)[-1]
