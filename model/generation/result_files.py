# SPDX-License-Identifier: Apache-2.0
"""Results as files: PNG, H.264 MP4 and a contact sheet, each with the request inside it.

Nobody finds half of a file, see `atomic_files`.
"""

from __future__ import annotations

import json
import os
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image, ImageDraw, PngImagePlugin

from ..checkpoint_io.atomic_files import write_file, write_text
from ..media.mp4 import H264, write_mp4

KEY = "cosmos3"  # of the request in a PNG; in an MP4 it is the comment
SHEET_FRAMES, SHEET_COLUMNS, SHEET_WIDTH = 8, 4, 320


def write_png(file: Path, picture: np.ndarray, about: dict[str, Any]) -> None:
    """Write uint8 [H, W, 3] with the request as a text chunk."""
    text = PngImagePlugin.PngInfo()
    text.add_itxt(KEY, json.dumps(about, ensure_ascii=False))
    image = Image.fromarray(picture)
    write_file(file, lambda draft: image.save(draft, format="png", pnginfo=text))


def write_video(file: Path, frames: np.ndarray, fps: float, about: dict[str, Any]) -> None:
    """Write uint8 [T, H, W, 3] with the request as the file's comment."""
    rate, codec = Fraction(fps).limit_denominator(1001), H264(crf=16, preset="medium")
    comment = json.dumps(about, ensure_ascii=False)
    write_file(file, lambda draft: write_mp4(draft, frames, rate, codec, comment))


def read_about(file: Path) -> dict[str, Any]:
    """The request inside a file that these functions wrote; {} if there is none."""
    if file.suffix == ".png":
        with Image.open(file) as image:
            text = image.info.get(KEY, "{}")
    else:
        with av.open(str(file)) as container:
            text = container.metadata.get("comment", "{}")
    found = json.loads(text)
    return found if isinstance(found, dict) else {}


def contact_sheet(frames: np.ndarray, fps: float) -> np.ndarray:
    """Up to eight frames, evenly from first to last, with their times: uint8 [H, W, 3]."""
    count = min(SHEET_FRAMES, len(frames))
    indices = np.linspace(0, len(frames) - 1, count).round().astype(int)
    height, width = frames.shape[1:3]
    scale = min(1.0, SHEET_WIDTH / width)
    size = (max(1, round(scale * width)), max(1, round(scale * height)))
    columns = min(SHEET_COLUMNS, count)
    sheet = Image.new("RGB", (columns * size[0], -(-count // columns) * size[1]))
    for place, index in enumerate(indices):
        tile = Image.fromarray(frames[index]).resize(size)
        ImageDraw.Draw(tile).text(
            (3, 2), f"{index / fps:.2f} s", fill="white", stroke_width=1, stroke_fill="black"
        )
        sheet.paste(tile, (place % columns * size[0], place // columns * size[1]))
    return np.asarray(sheet)


def write_report(file: Path, fields: dict[str, Any]) -> None:
    """Write a JSON object for people and for the next run."""
    write_text(file, json.dumps(fields, indent=2, ensure_ascii=False) + "\n")


def check_writable(folder: Path) -> None:
    """Make the folder if there is none; OSError names one that cannot be written into."""
    folder.mkdir(parents=True, exist_ok=True)
    probe = folder / f".write-{os.getpid()}"
    probe.touch()
    probe.unlink()
