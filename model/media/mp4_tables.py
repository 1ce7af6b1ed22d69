# SPDX-License-Identifier: Apache-2.0
"""How many samples the tables of an mp4 name, before ffmpeg reserves memory for each of them.

It does so from the count alone: 50 bytes in a file of 2 kB make it take gigabytes. Boxes are those
of ISO/IEC 14496-12; of all others, and of what is no mp4, nothing is read.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import BinaryIO

_NESTED = {
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"mvex", b"edts", b"udta",
    b"dinf", b"tref", b"wave", b"ipro", b"sinf", b"schi",
}  # fmt: skip
# Bytes of a box before the number of its samples: version and flags, and what else stands there.
_COUNTED = {b"stsz": 8, b"stz2": 8, b"trun": 4}
_WIDE = 16  # bytes of a header with a size of 64 bits
_MOST = 1_000_000  # boxes that are looked at


def count_samples(source: Path | bytes) -> tuple[int, int]:
    """Samples that the tables of an mp4 name, and the bytes of the file; (0, bytes) of others."""
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as content:
        size = content.seek(0, os.SEEK_END)
        ends, place, samples = [size], 0, 0
        for _ in range(_MOST):
            while len(ends) > 1 and place + 8 > ends[-1]:
                place = ends.pop()
            length, kind, header = _box(content, place, ends[-1])
            if length < header:
                break
            if kind in _NESTED:
                ends.append(min(place + length, ends[-1]))
                place += header
                continue
            if kind in _COUNTED:
                content.seek(place + header + _COUNTED[kind])
                samples += int.from_bytes(content.read(4))
            place += length
        return samples, size


def _box(content: BinaryIO, place: int, end: int) -> tuple[int, bytes, int]:
    """Length of the box at a place, its kind, and the length of its header; 0 where there is none.

    A length of 0 says that the box goes on to the end, as ffmpeg reads it.
    """
    content.seek(place)
    head = content.read(_WIDE)
    if place >= end or len(head) < 8:
        return 0, b"", 8
    length, kind, header = int.from_bytes(head[:4]), head[4:8], 8
    if length == 1 and len(head) == _WIDE:
        length, header = int.from_bytes(head[8:]), _WIDE
    return length or end - place, kind, header
