# SPDX-License-Identifier: Apache-2.0
"""From the bytes of a picture to the pixels that people see: upright, RGB of 8 bit.

Whatever of it cannot be had as it is (cut off, damaged, depth) is refused in words. Pillow decodes.
"""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Collection
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

from .lfs_pointer import POINTER, is_pointer

FORMATS = ("png", "jpeg", "webp", "bmp", "tiff")
MAX_PIXELS = 1 << 27  # more than the cameras of phones have
_SIXTEEN = ("I;16", "I;16B", "I;16L", "I;16N")
_FLIP = Image.Transpose
_TURNS = {  # by EXIF's orientation
    2: _FLIP.FLIP_LEFT_RIGHT,
    3: _FLIP.ROTATE_180,
    4: _FLIP.FLIP_TOP_BOTTOM,
    5: _FLIP.TRANSPOSE,
    6: _FLIP.ROTATE_270,
    7: _FLIP.TRANSVERSE,
    8: _FLIP.ROTATE_90,
}
# Of a JPEG, without those that stand inside of a scan (stuffed bytes, restarts) or fill gaps.
_MARKER = re.compile(rb"\xff[^\x00\x01\xd0-\xd8\xff]", re.DOTALL)
# What Pillow's plugins raise for bytes that are not what they should be.
_ERRORS = (
    OSError,
    SyntaxError,
    EOFError,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def decode_picture(
    data: bytes,
    what: str,
    formats: Collection[str] = FORMATS,
    most: int = MAX_PIXELS,
    camera: bool = False,
) -> np.ndarray:
    """The bytes of a picture file as uint8 [H, W, 3] RGB, upright.

    what: its name in the words of a refusal; most: pixels; camera: see `to_rgb`. ValueError says
    what is wrong with it.
    """
    return to_rgb(open_picture(data, what, formats, most), what, camera)


def open_picture(
    data: bytes, what: str, formats: Collection[str] = FORMATS, most: int = MAX_PIXELS
) -> Image.Image:
    """A picture decoded as a whole and turned upright, in the mode of its file.

    Of several pictures in a file it is the first. `PictureError` for bytes that are none in one
    of these formats, cut off or damaged, ValueError for more pixels than `most`.
    """
    about = f"({len(data)} bytes)"
    if is_pointer(data):
        raise PictureError(f"{what}: {POINTER}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sizes, which are checked below; of odd tags
            image = Image.open(io.BytesIO(data), formats=[*formats])
            width, height = image.size
            if not 0 < width * height <= most:
                raise _TooLargeError
            if damage := _damage(data):
                raise PictureError(f"{what} is damaged: {damage} {about}")
            if image.format == "PNG":
                image.verify()  # sums of its chunks, which decoding leaves out
                image = Image.open(io.BytesIO(data), formats=[*formats])
            image.load()  # which turns TIFF by itself, and takes the tag away
            turn = _TURNS.get(_orientation(image))
            return image.transpose(turn) if turn is not None else image
    except PictureError:
        raise
    except _TooLargeError:
        raise ValueError(f"{what}: expected 1 to {most} pixels, got {width} x {height}") from None
    except Image.UnidentifiedImageError:
        raise PictureError(
            f"{what} does not decode as a picture, expected {', '.join(formats)} {about}"
        ) from None
    except _ERRORS as error:
        words = str(error) or type(error).__name__
        raise PictureError(f"{what} is damaged: {words} {about}") from None


def is_picture(file: Path, formats: Collection[str] = FORMATS) -> bool:
    """Whether a file begins like a picture in one of these formats, whole or not."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.open(file, formats=[*formats]).close()
    except Image.UnidentifiedImageError:
        return False
    except _ERRORS:  # so much of it was understood
        return True
    return True


def to_rgb(image: Image.Image, what: str, camera: bool = False) -> np.ndarray:
    """The pixels of a decoded picture as uint8 [H, W, 3] RGB.

    Transparency is on white, 16 bit become 8. camera: of a robot's camera, whose transparency means
    nothing, and whose gray of 16 bit is depth, which is refused.
    """
    if image.mode in _SIXTEEN or (image.mode == "I" and image.format == "PNG"):
        if camera:
            raise ValueError(f"{what} holds one channel of 16 bit: depth, not colors")
        numbers = np.asarray(image).astype(np.uint32)
        gray = (numbers >> 8).astype(np.uint8)
        gray[numbers == image.info.get("transparency")] = 255  # a number, if one is transparent
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise ValueError(f"{what} holds one channel of 32 bit: numbers, not colors")
    try:
        if image.has_transparency_data and not camera:
            over = image.convert("RGBA")
            image = Image.new("RGBA", over.size, "white")
            image.alpha_composite(over)
        return np.array(image.convert("RGB"))
    except _ERRORS as error:
        raise ValueError(f"{what} has no colors that are known here: {error}") from None


def _orientation(image: Image.Image) -> int:
    """EXIF's orientation, 1 (upright) where it says none; its other tags may be damaged."""
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except _ERRORS:
        return 1


def _damage(data: bytes) -> str:
    """What is missing of a JPEG or PNG file, in words; "" for what is whole or something else."""
    if data.startswith(b"\x89PNG"):
        return "" if b"IEND" in data else "its end is missing"
    if not data.startswith(b"\xff\xd8"):
        return ""
    end = _end_of_jpeg(data)
    return "its end is missing" if not end else "pixels are missing" * _has_holes(data[:end])


def _end_of_jpeg(data: bytes) -> int:
    """Bytes up to the end of a JPEG, without what may follow it; 0 if it has none.

    Segments are skipped by their lengths: a thumbnail in one has an end of its own.
    """
    place = 2
    while marker := _MARKER.search(data, place):
        if marker[0] == b"\xff\xd9":
            return marker.end()
        place = marker.end() + max(2, int.from_bytes(data[marker.end() : marker.end() + 2], "big"))
    return 0


class PictureError(ValueError):
    """Bytes that are no picture, or a damaged one."""


class _TooLargeError(Exception):
    """More pixels than are wanted."""


def _has_holes(jpeg: bytes) -> bool:
    """Whether data inside a JPEG are missing, which libjpeg paints over with a warning."""
    try:
        import av  # its decoder tells
    except ImportError:
        return False
    decoder = av.CodecContext.create("mjpeg", "r")
    decoder.options, decoder.thread_count = {"err_detect": "explode"}, 1
    try:
        decoder.decode(av.Packet(jpeg))
    except av.error.InvalidDataError:
        return True
    except av.error.FFmpegError:  # kinds of JPEG that it does not know
        pass
    return False
