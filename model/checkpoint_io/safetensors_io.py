# SPDX-License-Identifier: Apache-2.0
"""Finds the tensors of a checkpoint in its safetensors files, by their headers. No torch."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from ..media.lfs_pointer import check_pointer
from ..media.one_line import is_plain, one_line
from .json_file import read_json

PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl"}
MAX_HEADER = 100_000_000  # bytes, as the format has it
MAX_NAME = 256  # characters


@dataclasses.dataclass(frozen=True, slots=True)
class Stored:
    """A tensor as the header of its file describes it."""

    file: Path
    dtype: str  # as safetensors writes it: "BF16", "F8_E4M3", ...
    shape: tuple[int, ...]


def find_tensors(folder: Path) -> dict[str, Path]:
    """Tensor name -> file, for a folder with one safetensors file, or several with an index."""
    return {name: stored.file for name, stored in read_headers(folder).items()}


def read_headers(folder: Path) -> dict[str, Stored]:
    """The tensors of a folder with one safetensors file, or several with an index.

    Hidden files, which other systems leave beside them, are none of it. ValueError names a file
    that is missing or broken, and a tensor that two files have.
    """
    index = sorted(folder.glob("[!.]*.safetensors.index.json"))
    if len(index) > 1:
        raise ValueError(f"{folder}: expected one index, got {index[0].name} and {index[1].name}")
    files = _indexed(index[0]) if index else sorted(folder.glob("[!.]*.safetensors"))
    if not files:
        pickles = sorted(file.name for file in folder.glob("*") if file.suffix in PICKLES)
        found = f"; {pickles[0]} is a pickle, which is never opened" if pickles else ""
        raise ValueError(f"checkpoint: missing file {folder}/*.safetensors{found}")
    tensors: dict[str, Stored] = {}
    for file in files:
        if not file.is_file():
            named = f", which {index[0].name} names" if index else ""
            raise ValueError(f"checkpoint: missing file {file}{named}")
        held = read_header(file)
        if twice := sorted(held.keys() & tensors.keys()):
            raise ValueError(
                f"{folder}: {twice[0]} is in {tensors[twice[0]].file.name} and in {file.name}, "
                "expected one of them"
            )
        tensors |= held
    return tensors


def _indexed(index: Path) -> list[Path]:
    """The files that an index names, beside it."""
    places = read_json(index).get("weight_map")
    names = {str(name) for name in places.values()} if isinstance(places, dict) else set()
    if not names or any(Path(name).name != name or not _plain(name) for name in names):
        raise ValueError(
            f"{index}: weight_map: expected the names of tensors and of their files beside it"
        )
    return sorted(index.parent / name for name in names)


def _plain(name: str) -> bool:
    """Whether a name of a file or of a tensor is one that systems and refusals can hold."""
    return len(name) < MAX_NAME and is_plain(name)


def read_header(file: Path) -> dict[str, Stored]:
    """The tensors of a safetensors file; ValueError if it is damaged, cut off, or a pointer."""
    check_pointer(file)
    size = file.stat().st_size
    with file.open("rb") as content:
        length = int.from_bytes(content.read(8), "little")
        text = content.read(length) if length <= min(size - 8, MAX_HEADER) else b""
    try:
        fields = json.loads(text)
        fields.pop("__metadata__", None)
        if not all(map(_plain, fields)):
            raise ValueError
        stored = {
            name: Stored(file, str(entry["dtype"]), tuple(map(int, entry["shape"])))
            for name, entry in fields.items()
        }
        end = 8 + length + max((entry["data_offsets"][1] for entry in fields.values()), default=0)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise ValueError(f"{file}: not a safetensors file, its header is not readable") from None
    if end != size:
        raise ValueError(
            f"{file}: not a complete safetensors file, expected {end} bytes, got {size}"
        )
    # The library compares sizes, shapes and places; for numpy, it reserves no memory for them.
    with opened(file, framework="np"):
        return stored


@contextlib.contextmanager
def opened(file: Path, device: str = "cpu", framework: str = "pt") -> Iterator[Any]:
    """A safetensors file to read tensors from; ValueError if the library refuses it."""
    try:
        with safe_open(file, framework=framework, device=device) as content:
            yield content
    except SafetensorError as error:
        raise ValueError(f"{file}: not a safetensors file ({one_line(error)})") from None


def count(stored: Mapping[str, Stored]) -> int:
    """How many numbers some tensors hold."""
    return sum(math.prod(each.shape) for each in stored.values())
