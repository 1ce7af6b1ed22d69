# SPDX-License-Identifier: Apache-2.0
"""Devices and dtypes by name."""

from __future__ import annotations

import torch

from ..embodiment.table import nearest

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def resolve_device(device: str) -> str:
    """The device with `auto` decided: a GPU if there is one. ValueError if it does not exist."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.split(":", maxsplit=1)[0] not in ("cpu", "cuda"):
        close = nearest(device, ("auto", "cpu", "cuda"))
        raise ValueError(
            f"parameter 'device': expected auto, cpu, cuda or cuda:N, got {device!r}{close}"
        )
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(
            f"parameter 'device' is {device!r}, but torch sees no CUDA GPU here; expected cpu or "
            "auto"
        )
    return device


def default_dtype(device: str | torch.device) -> torch.dtype:
    """float32 on a CPU, bfloat16 elsewhere."""
    return torch.float32 if torch.device(device).type == "cpu" else torch.bfloat16


def resolve(device: str, dtype: str) -> tuple[str, str]:
    """Device and dtype with `auto` decided; ValueError if they do not exist here."""
    device = resolve_device(device)
    if dtype == "auto":
        return device, next(name for name in DTYPES if DTYPES[name] is default_dtype(device))
    if dtype not in DTYPES:
        raise ValueError(
            f"parameter 'dtype': expected auto, {' or '.join(DTYPES)}, got {dtype!r}"
            f"{nearest(dtype, ('auto', *DTYPES))}"
        )
    return device, dtype
