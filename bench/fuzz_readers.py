# SPDX-License-Identifier: Apache-2.0
"""Damaged files for each reader: none may end in a traceback, take long or fill the memory.

python bench/fuzz_readers.py [--inputs 100000] [--reader pictures] [--seed 0] [--out fuzz.json]

Files are cut off, bytes and bits are changed, pieces are exchanged, JSON loses and changes fields.
A refusal is a ValueError of one line. Inputs are numbered: --seed and the number give one again.
What is done stands in --journal FILE, see fuzz_parts.py.
"""

from __future__ import annotations

import argparse
import io
import json
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
from fuzz_parts import add_options, in_parts
from PIL import Image
from result_file import report

from cosmos3_ros.model.checkpoint_io.json_file import read_json
from cosmos3_ros.model.checkpoint_io.safetensors_io import read_headers
from cosmos3_ros.model.checkpoint_io.surfaces import problems
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.checkpoint_io.weights.stored_weight import layout_of
from cosmos3_ros.model.language.media_file import read_clip
from cosmos3_ros.model.media.mp4 import H264, write_mp4
from cosmos3_ros.model.media.picture import decode_picture
from cosmos3_ros.model.network.config import config_from_json

SLOWEST = 20.0  # seconds for one input, on a computer that does other things too
# What JSON may hold where something else was expected.
VALUES = (
    None,
    True,
    -1,
    0,
    3,
    10**30,
    1e308,
    float("nan"),
    "",
    "x" * 99,
    [],
    [1, "a"],
    {},
    {"a": 1},
)


def harm(data: bytes, rng: np.random.Generator) -> bytes:
    """Some bytes, damaged as disks, networks and people do."""
    held = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        if not held:
            break
        place, kind = int(rng.integers(len(held))), rng.integers(5)
        if kind == 0:
            del held[place:]
        elif kind == 1:
            held[place] = int(rng.integers(256))
        elif kind == 2:
            held[place] ^= 1 << int(rng.integers(8))
        elif kind == 3:
            held[place : place + 64] = bytes(min(64, len(held) - place))
        else:
            other = int(rng.integers(len(held)))
            held[place : place + 16] = held[other : other + 16]
    return bytes(held)


def harm_json(data: bytes, rng: np.random.Generator) -> bytes:
    """JSON of which a field is gone or something else; one in four is damaged as bytes are."""
    if rng.integers(4) == 0:
        return harm(data, rng)
    fields = json.loads(data)
    place = fields
    while True:
        keys = [*place] if isinstance(place, dict) else [*range(len(place))]
        if not keys:
            return harm(data, rng)
        key = keys[int(rng.integers(len(keys)))]
        if not isinstance(place[key], dict | list) or rng.integers(2):
            break
        place = place[key]
    if rng.integers(3) == 0:
        del place[key]
    else:
        place[key] = VALUES[int(rng.integers(len(VALUES)))]
    return json.dumps(fields).encode()


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
    file = Path(tempfile.mkdtemp()) / "config.json"

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
    folder = Path(tempfile.mkdtemp())

    def read(data: bytes) -> None:
        (folder / "a.safetensors").write_bytes(data)
        stored = read_headers(folder)
        for name in stored:
            if name.endswith(".weight"):
                layout_of(name, stored)

    return [save(held)], read


class Folders:
    """The tiny checkpoint, of which one file is damaged, gone or under another name."""

    def __init__(self) -> None:
        self._source, self._folder = tiny_checkpoint(), Path(tempfile.mkdtemp()) / "checkpoint"
        self._files = [each for each in sorted(self._source.rglob("*")) if each.is_file()]

    def __call__(self, rng: np.random.Generator) -> None:
        """Damage one of the files, then have every surface's checks look at the folder."""
        shutil.rmtree(self._folder, ignore_errors=True)
        chosen = self._files[int(rng.integers(len(self._files)))]
        for file in self._files:
            copy = self._folder / file.relative_to(self._source)
            copy.parent.mkdir(parents=True, exist_ok=True)
            if file is not chosen:
                copy.symlink_to(file)
            elif (kind := rng.integers(4)) == 1:
                copy.with_name(f"other-{copy.name}").symlink_to(file)
            elif kind > 1:
                data = file.read_bytes()
                json_like = file.suffix == ".json" and len(data) < 1 << 20
                copy.write_bytes(harm_json(data, rng) if json_like else harm(data[: 1 << 22], rng))
        if found := problems(self._folder):
            raise ValueError(next(iter(found)))


READERS = {"pictures": pictures, "videos": videos, "configs": configs, "tensors": tensors}


def inputs(reader: str) -> Callable[[np.random.Generator], None]:
    """What makes a damaged input of a kind and has it read."""
    if reader == "folders":
        return Folders()
    files, read = READERS[reader]()
    change = harm_json if reader == "configs" else harm

    def once(rng: np.random.Generator) -> None:
        read(change(files[int(rng.integers(len(files)))], rng))

    return once


def run(reader: str, count: int, seed: int = 0) -> dict[str, Any]:
    """Read `count` damaged inputs; an exception that is no refusal is a failure, with its number.

    Returns how many were read and refused, the slowest [s], and by how much memory grew [MiB].
    """
    return read(reader, inputs(reader), range(count), seed)


def read(
    reader: str, once: Callable[[np.random.Generator], None], numbers: range, seed: int
) -> dict[str, Any]:
    """As `run`, for the inputs of these numbers; once: of `inputs`."""
    found = {"read": 0, "refused": 0, "slowest": 0.0}
    before = _peak()
    for number in numbers:
        since = time.perf_counter()
        try:
            once(np.random.default_rng([seed, number]))
            found["read"] += 1
        except ValueError as error:
            if type(error).__name__ in ("UnicodeDecodeError", "JSONDecodeError") or not str(error):
                raise AssertionError(f"{reader}: input {number} of seed {seed}") from error
            found["refused"] += 1
        except Exception as error:
            raise AssertionError(f"{reader}: input {number} of seed {seed}") from error
        found["slowest"] = max(found["slowest"], time.perf_counter() - since)
    return {**found, "slowest": round(found["slowest"], 3), "grown": round(_peak() - before)}


def _peak() -> float:
    """Most memory that this process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def kinds() -> Iterator[str]:
    """The names of all readers."""
    yield from (*READERS, "folders")


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
    report(command, ("pillow", "av", "safetensors", "transformers"), chosen.out, readers=found)


if __name__ == "__main__":
    main()
