# SPDX-License-Identifier: Apache-2.0
"""Damaged files for each reader: none may end in a traceback, take long or fill the memory.

python bench/fuzz_readers.py [--inputs 100000] [--reader pictures] [--seed 0] [--out fuzz.json]

Files are cut off, bytes and bits are changed, pieces are exchanged, tables lose and change fields,
folders lose and change files. A refusal is a ValueError of one line. Inputs are numbered: --seed
and the number give one again. What is done stands in --journal FILE, see fuzz_parts.py.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import av
import numpy as np
from fuzz_damage import harm, harm_header, harm_json, new_folder, pick
from fuzz_parts import add_options, in_parts
from PIL import Image
from result_file import report

from cosmos3_ros.model.checkpoint_io.json_file import read_json
from cosmos3_ros.model.checkpoint_io.safetensors_io import read_headers
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.checkpoint_io.weights.stored_weight import layout_of
from cosmos3_ros.model.language.media_file import read_clip
from cosmos3_ros.model.media.mp4 import H264, write_mp4
from cosmos3_ros.model.media.one_line import is_plain
from cosmos3_ros.model.media.picture import decode_picture
from cosmos3_ros.model.network.config import config_from_json

SLOWEST = 20.0  # seconds for one input, on a computer that does other things too
HANG = 60  # seconds after which an input is given up
LONGEST = 3000  # characters of a refusal
# ValueErrors of libraries, which nobody worded.
_NOT_WORDED = (UnicodeDecodeError, UnicodeEncodeError, json.JSONDecodeError)


def pictures() -> tuple[list[bytes], Callable[[bytes], object]]:
    """Files of all formats and depths."""
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 4), np.uint8)
    image = Image.fromarray(pixels)
    found = []
    for kind, mode in (
        ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L"), ("JPEG", "RGB"), ("JPEG", "CMYK"),
        ("JPEG", "L"), ("WEBP", "RGBA"), ("BMP", "RGB"), ("TIFF", "RGB"), ("TIFF", "L"),
    ):  # fmt: skip
        exif = Image.Exif()
        exif[0x0112] = 6
        file = io.BytesIO()
        image.convert(mode).save(file, kind, **({} if kind == "BMP" else {"exif": exif}))
        found.append(file.getvalue())
    file = io.BytesIO()
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(file, "PNG")
    return [*found, file.getvalue()], lambda data: decode_picture(data, "it", most=1 << 20)


def videos() -> tuple[list[bytes], Callable[[bytes], object]]:
    """Short films of all containers; an mp4 has its index at its end, or in pieces."""
    frames = [np.full((32, 48, 3), 20 * number, np.uint8) for number in range(9)]
    film = io.BytesIO()
    write_mp4(film, frames, 10, H264(key_every=4))
    found = [film.getvalue()]
    pieces = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    for kind, codec, options in (
        ("mp4", "libx264", pieces), ("matroska", "libx264", {}), ("webm", "libvpx", {}),
        ("avi", "mpeg4", {}),
    ):  # fmt: skip
        film = io.BytesIO()
        with av.open(film, "w", format=kind, options=options) as container:
            stream = container.add_stream(codec, rate=10, options={"g": "4"})
            stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())
        found.append(film.getvalue())
    return found, lambda data: read_clip(data, "it", most=1000)


def configs() -> tuple[list[bytes], Callable[[bytes], object]]:
    """transformer/config.json."""
    file = new_folder() / "config.json"

    def read(data: bytes) -> None:
        file.write_bytes(data)
        config_from_json(read_json(file))

    return [(tiny_checkpoint() / "transformer" / "config.json").read_bytes()], read


def tensors() -> tuple[list[bytes], Callable[[bytes], object]]:
    """A small safetensors file with scales: header, names, dtypes and layouts."""
    import torch
    from safetensors.torch import save

    weight = torch.ones(16, 32)
    held = {
        "a.weight": weight.to(torch.float8_e4m3fn), "a.weight_scale": torch.ones(16, 1),
        "b.weight": weight.to(torch.int8), "b.weight_scale_inv": torch.ones(2, 2),
        "c.weight": weight.bfloat16(), "d.weight": torch.ones(16, 16, dtype=torch.uint8),
        "d.weight_scale": torch.ones(16, 2).to(torch.float8_e4m3fn),
        "d.weight_scale_2": torch.ones(()),
    }  # fmt: skip
    folder = new_folder()

    def read(data: bytes) -> None:
        (folder / "a.safetensors").write_bytes(data)
        stored = read_headers(folder)
        for name in stored:
            if name.endswith(".weight"):
                layout_of(name, stored)

    return [save(held)], read


READERS = {"pictures": pictures, "videos": videos, "configs": configs, "tensors": tensors}
# What damages folders itself, imported where it is asked for.
FOLDERS = {
    "folders": ("fuzz_checkpoints", "Checkpoints"),
    "datasets": ("fuzz_datasets", "Datasets"),
    "recipes": ("fuzz_recipes", "Recipes"),
}


class HangError(BaseException):
    """An input that took longer than `HANG`; nothing that reads it can take this for its own."""


def inputs(reader: str) -> Callable[[np.random.Generator], None]:
    """What makes a damaged input of a kind and has it read."""
    if reader in FOLDERS:
        module, name = FOLDERS[reader]
        made: Callable[[np.random.Generator], None] = getattr(import_module(module), name)()
        return made
    files, read = READERS[reader]()
    change = {"configs": harm_json, "tensors": harm_header}.get(reader, harm)

    def once(rng: np.random.Generator) -> None:
        read(change(pick(rng, files), rng))

    return once


def run(reader: str, count: int, seed: int = 0) -> dict[str, Any]:
    """Read `count` damaged inputs; AssertionError for one that was neither read nor refused.

    Returns how many were, the slowest [s], and by how much memory grew [MiB].
    """
    found = read(reader, inputs(reader), range(count), seed)
    assert not found["findings"], found["findings"]
    return found


def read(
    reader: str, once: Callable[[np.random.Generator], None], numbers: range, seed: int
) -> dict[str, Any]:
    """As `run`, for the inputs of these numbers, with what was neither; once: of `inputs`."""
    found: dict[str, Any] = {"read": 0, "refused": 0, "slowest": 0.0, "findings": []}
    before = _peak()
    usual = signal.signal(signal.SIGALRM, _hang)
    for number in numbers:
        since = time.perf_counter()
        signal.alarm(HANG)
        try:
            once(np.random.default_rng([seed, number]))
            found["read"] += 1
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # panics of Rust's libraries are no Exception
            if wrong := why_no_refusal(error):
                found["findings"].append(f"{reader}: input {number} of seed {seed}: {wrong}")
            else:
                found["refused"] += 1
        finally:
            signal.alarm(0)
        found["slowest"] = max(found["slowest"], time.perf_counter() - since)
    signal.signal(signal.SIGALRM, usual)
    return {**found, "slowest": round(found["slowest"], 3), "grown": round(_peak() - before)}


def why_no_refusal(error: BaseException) -> str:
    """Why an error is no ValueError of one line that can be printed; "" if it is one."""
    words = str(error)
    what = f"{type(error).__name__}: {words[:300]!r}"
    if not isinstance(error, ValueError) or isinstance(error, _NOT_WORDED):
        return what
    if len(words.splitlines()) != 1 or len(words) > LONGEST:
        return f"{len(words)} characters in {len(words.splitlines())} lines: {what}"
    return "" if is_plain(words) else f"not printable: {what}"


def _hang(*_: Any) -> None:
    raise HangError(f"more than {HANG} s")


def _peak() -> float:
    """Most memory that this process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def kinds() -> Iterator[str]:
    """The names of all readers."""
    yield from (*READERS, *FOLDERS)


def main() -> None:
    """Fuzz one reader or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    add_options(parser, 100_000, 1000)
    parser.add_argument("--reader", choices=[*kinds()], action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    found = {}
    for kind in chosen.reader or kinds():
        once = inputs(kind)

        def part(first: int, count: int, kind: str = kind, once: Any = once) -> dict[str, Any]:
            return read(kind, once, range(first, first + count), chosen.seed)

        found[kind] = in_parts(kind, part, chosen)
    command = " ".join(["python bench/fuzz_readers.py", *sys.argv[1:]])
    packages = ("pillow", "av", "safetensors", "transformers", "pyarrow", "PyYAML")
    report(command, packages, chosen.out, readers=found)


if __name__ == "__main__":
    main()
