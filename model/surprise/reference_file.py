# SPDX-License-Identifier: Apache-2.0
"""The file that a reference is kept in, surprise.safetensors: written, and read strictly."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file

from ..checkpoint_io.atomic_files import write_file
from ..checkpoint_io.safetensors_io import Stored, opened, read_header
from ..media.one_line import one_line
from .network import SurpriseNetwork
from .reference import Reference

FILE = "surprise.safetensors"  # in a checkpoint folder
LAYOUT = "2"  # of the file; read by no other
_SHOWN = 60  # characters of a value that an error repeats
_MOST = 64  # networks


def _are_names(value: Any) -> bool:
    """Whether it is a list of different texts that are not empty."""
    names = isinstance(value, list) and all(isinstance(name, str) and name for name in value)
    return names and 0 < len(value) == len({*value})


# What stands in the metadata beside the layout, as json: what is expected, and whether it is that.
_METADATA: Mapping[str, tuple[str, Callable[[Any], bool]]] = {
    "views": ("a list of different names", _are_names),
    "networks": (f"1 to {_MOST}", lambda value: type(value) is int and 1 <= value <= _MOST),
    "once": (
        "a finite number above 0",
        lambda value: type(value) in (int, float) and 0 < value < math.inf,
    ),
    "about": ("an object", lambda value: isinstance(value, dict)),
}


def write_reference(file: Path, reference: Reference) -> None:
    """Write it beside a checkpoint; the networks' weights as float16."""
    tensors = {
        f"{number}.{name}": weight.half().contiguous()
        for number, network in enumerate(reference.networks)
        for name, weight in network.state_dict().items()
    }
    tensors["places"] = torch.from_numpy(np.ascontiguousarray(reference.places))
    tensors["scale"] = torch.from_numpy(np.ascontiguousarray(reference.scale))
    metadata = {
        "layout": LAYOUT,
        "views": json.dumps(reference.views),
        "networks": str(len(reference.networks)),
        "once": repr(reference.once),
        "about": json.dumps(dict(reference.about)),
    }
    write_file(file, lambda draft: save_file(tensors, draft, metadata))


def check_reference(folder: Path) -> None:
    """ValueError if the reference beside a checkpoint, which may have none, cannot be read."""
    if (folder / FILE).is_file():
        read_reference(folder / FILE)


def read_reference(file: Path) -> Reference:
    """Read it; ValueError says in one line what is missing or wrong, and what was expected."""
    if not file.is_file():
        raise ValueError(f"surprise: missing file {file}: make it with `cosmos3 calibrate`")
    stored = read_header(file)
    with opened(file) as content:
        try:
            return _read(content, stored)
        except ValueError as error:
            raise ValueError(f"{file}: {error}: make it again with `cosmos3 calibrate`") from None


def _read(content: Any, stored: Mapping[str, Stored]) -> Reference:
    metadata = content.metadata() or {}
    if metadata.get("layout") != LAYOUT:
        raise ValueError(f"expected layout {LAYOUT}, got {metadata.get('layout')}")
    views, count, once, about = (_field(metadata, name) for name in _METADATA)
    _check_stored(stored, "places", "I64", ("rows", "columns"))
    _check_stored(stored, "scale", "F32", ("channels",))
    places, scale = (content.get_tensor(name).numpy() for name in ("places", "scale"))
    if not ((places >= -1) & (places < len(views))).all():
        raise ValueError(
            f"places: expected -1 to {len(views) - 1}, the numbers of views, got {places.min()} to "
            f"{places.max()}"
        )
    if not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError("scale: expected finite numbers above 0")
    networks = [_network(content, stored, each, len(scale), places.shape) for each in range(count)]
    if len(stored) > (expected := 2 + sum(len(each.state_dict()) for each in networks)):
        raise ValueError(f"expected {expected} tensors of {count} network(s), got {len(stored)}")
    return Reference(tuple(views), places, scale, tuple(networks), float(once), about)


def _field(metadata: Mapping[str, str], name: str) -> Any:
    expected, is_right = _METADATA[name]
    text = metadata.get(name)
    try:
        value = json.loads(text or "")
    except (ValueError, RecursionError):
        value = None
    if not is_right(value):
        got = "nothing" if text is None else one_line(text, _SHOWN)
        raise ValueError(f"metadata: {name}: expected {expected}, got {got}")
    return value


def _check_stored(
    stored: Mapping[str, Stored], name: str, dtype: str, shape: Sequence[int | str], why: str = ""
) -> None:
    """ValueError for a tensor that is missing or something else; a side with a name: 1 or more."""
    expected = f"{dtype} [{', '.join(map(str, shape))}]{why}"
    if name not in stored:
        raise ValueError(f"{name}: expected {expected}, it is missing")
    found = stored[name]
    same = len(found.shape) == len(shape) and all(
        side == wanted or (isinstance(wanted, str) and side > 0)
        for side, wanted in zip(found.shape, shape, strict=False)
    )
    if found.dtype != dtype or not same:
        raise ValueError(f"{name}: expected {expected}, got {found.dtype} {[*found.shape]}")


def _network(
    content: Any, stored: Mapping[str, Stored], number: int, channels: int, shape: tuple[int, ...]
) -> SurpriseNetwork:
    with torch.device("meta"):  # a wrong size costs no memory
        network = SurpriseNetwork(channels, shape)
    why = f" for {channels} channels and {shape[0]} x {shape[1]} places"
    weights = {}
    for name, parameter in network.state_dict().items():
        full = f"{number}.{name}"
        _check_stored(stored, full, "F16", tuple(parameter.shape), why)
        weights[name] = content.get_tensor(full).float()
        if not bool(torch.isfinite(weights[name]).all()):
            raise ValueError(f"{full}: expected finite numbers, it holds NaN or infinite ones")
    network.load_state_dict(weights, assign=True)
    return network.eval()
