# SPDX-License-Identifier: Apache-2.0
"""Reads the tensors of a checkpoint from its safetensors files, strictly.

Every tensor has to belong to a module, and every parameter of a module to a tensor.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import safe_open
from torch import nn

from .json_file import read_json

if TYPE_CHECKING:
    from ..acceleration.tensor_parallel import TensorParallelSplit

PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}


def find_tensors(folder: Path) -> dict[str, Path]:
    """Tensor name -> file, for a folder with one safetensors file, or several with an index."""
    index = sorted(folder.glob("*.safetensors.index.json"))
    files = sorted(folder.glob("*.safetensors"))
    if index:
        files = sorted(
            {folder / name for name in read_json(index[0]).get("weight_map", {}).values()}
        )
    if not files:
        pickles = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLES)
        found = f"; {pickles[0]} is a pickle, which is never opened" if pickles else ""
        raise ValueError(f"checkpoint: missing file {folder}/*.safetensors{found}")
    tensors: dict[str, Path] = {}
    for file in files:
        if not file.exists():
            raise ValueError(f"checkpoint: missing file {file}, which {index[0].name} names")
        tensors.update(dict.fromkeys(read_header(file), file))
    return tensors


def read_header(file: Path) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor in a safetensors file.

    ValueError if the file is damaged or cut off.
    """
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        text = content.read(length) if length <= size - 8 else b""
    try:
        fields = json.loads(text)
        fields.pop("__metadata__", None)
        shapes = {name: tuple(entry["shape"]) for name, entry in fields.items()}
        end = 8 + length + max((entry["data_offsets"][1] for entry in fields.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ValueError(f"{file}: not a safetensors file, its header is not readable") from None
    if end != size:
        raise ValueError(
            f"{file}: not a complete safetensors file, expected {end} bytes, got {size}"
        )
    return shapes


def fill(
    module: nn.Module,
    tensors: Mapping[str, Path],
    names: Mapping[str, str],
    device: torch.device,
    dtype: torch.dtype,
    skip: Collection[str] = (),
    keep: Iterable[str] = (),
    host: Iterable[str] = (),
    split: TensorParallelSplit | None = None,
) -> None:
    """Give a meta-device module its tensors, and switch it to inference.

    names: the module's names -> names in `tensors`; skip: names that may lie there unused; keep:
    prefixes of the module's names that become float32 whatever `dtype` is; host: prefixes of names
    that stay in the host's memory; split: how the module is split over several processes, each of
    which reads its share.
    """
    folder = next(iter(tensors.values())).parent
    _refuse(folder, "missing", [theirs for theirs in names.values() if theirs not in tensors])
    _refuse(folder, "unexpected", sorted(tensors.keys() - set(names.values()) - set(skip)))
    parameters = module.state_dict()
    loaded: dict[str, torch.Tensor] = {}
    stays = {ours: "cpu" if ours.startswith(tuple(host)) else str(device) for ours in names}
    for file, where in sorted({(tensors[theirs], stays[ours]) for ours, theirs in names.items()}):
        with safe_open(file, framework="pt", device=where) as content:
            for ours in (
                ours for ours, at in names.items() if (tensors[at], stays[ours]) == (file, where)
            ):
                expected, got = (
                    list(parameters[ours].shape),
                    content.get_slice(names[ours]).get_shape(),
                )
                if got != expected:
                    raise ValueError(f"{file}: {names[ours]} has shape {got}, expected {expected}")
                tensor = _read(content, names[ours], tensors, parameters[ours], split)
                tensor = tensor.to(torch.float32 if ours.startswith(tuple(keep)) else dtype)
                loaded[ours] = split.to_distributed(tensor, parameters[ours]) if split else tensor
    module.load_state_dict(loaded, strict=True, assign=True)
    module.requires_grad_(False).eval()


def _read(
    content: Any,
    name: str,
    tensors: Mapping[str, Path],
    parameter: torch.Tensor,
    split: TensorParallelSplit | None,
) -> torch.Tensor:
    """A tensor of an open file, or this process' share of it; FP8 weights are dequantized."""
    stored = content.get_slice(name)
    if split is None or stored.get_dtype() == "F8_E4M3":
        stored = _dequantized(content.get_tensor(name), name, tensors)
    return split.read_share(stored, parameter) if split else stored


def _dequantized(tensor: torch.Tensor, name: str, tensors: Mapping[str, Path]) -> torch.Tensor:
    """A weight in FP8 times its scale, which is stored beside it; any other tensor as it is."""
    if tensor.dtype != torch.float8_e4m3fn:
        return tensor
    if (scale := f"{name}_scale") not in tensors:
        raise ValueError(f"{tensors[name]}: {name} is in FP8, expected its scale {scale}, got none")
    with safe_open(tensors[scale], framework="pt", device=str(tensor.device)) as content:
        return tensor.float() * content.get_tensor(scale).float().reshape(-1, 1)


def _refuse(folder: Path, what: str, names: list[str]) -> None:
    if names:
        more = f" and {len(names) - 8} more" if len(names) > 8 else ""
        raise ValueError(f"{folder}: {len(names)} {what} tensor(s): {', '.join(names[:8])}{more}")
