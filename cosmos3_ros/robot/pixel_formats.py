# SPDX-License-Identifier: Apache-2.0
"""The encodings of pixels that cameras use, and their colors. numpy and OpenCV, no messages."""

from __future__ import annotations

import cv2
import numpy as np

_TO_RGB = {  # OpenCV is twenty times as fast as indexing
    "bgr": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "mono": cv2.COLOR_GRAY2RGB,
}
COLOR = {f"{order}{bits}": (order, bits) for order in ("rgb", *_TO_RGB) for bits in (8, 16)}
PACKED = {  # two pixels in four bytes
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}
BAYER = {
    f"bayer_{pattern}{bits}": code
    for bits in (8, 16)
    for pattern, code in (
        ("rggb", cv2.COLOR_BayerRGGB2RGB),
        ("bggr", cv2.COLOR_BayerBGGR2RGB),
        ("gbrg", cv2.COLOR_BayerGBRG2RGB),
        ("grbg", cv2.COLOR_BayerGRBG2RGB),
    )
}
PLANES = {  # all of the luma, then pairs of chroma: of every second row and column, nv24 of all
    "nv12": cv2.COLOR_YUV2RGB_NV12,
    "nv21": cv2.COLOR_YUV2RGB_NV21,
    "nv24": cv2.COLOR_YUV2RGB_NV12,
}
_CV_TYPES = {
    "8U": "u1",
    "8S": "i1",
    "16U": "u2",
    "16S": "i2",
    "32S": "i4",
    "32F": "f4",
    "64F": "f8",
}
KNOWN = "rgb8, bgr8, mono8, nv12, yuyv, ..."


def layout(encoding: str) -> tuple[np.dtype, int]:
    """Scalar type and channels of a raw encoding; ValueError if it is not one."""
    if encoding in COLOR:
        order, bits = COLOR[encoding]
        return np.dtype(f"u{bits // 8}"), 1 if order == "mono" else len(order)
    if encoding in BAYER:
        return np.dtype("u2" if encoding.endswith("16") else "u1"), 1
    if encoding in PACKED:
        return np.dtype("u1"), 2
    depth, _, channels = encoding.partition("C")
    if depth in _CV_TYPES and channels in ("", "1", "2", "3", "4"):
        return np.dtype(_CV_TYPES[depth]), int(channels or 1)
    raise ValueError(
        f"image encoding {encoding!r} is not supported; expected one with colors: {KNOWN}"
    )


def is_depth(encoding: str) -> bool:
    """Whether an encoding is one number in each pixel, of more than a byte and without colors."""
    depth, _, channels = encoding.partition("C")
    return depth in _CV_TYPES and not depth.startswith("8") and channels in ("", "1")


def to_color(pixels: np.ndarray, order: str, bits: int) -> np.ndarray:
    """Pixels [H, W] or [H, W, C] of that order and depth as uint8 [H, W, 3] RGB, contiguous."""
    if bits == 16:
        pixels = _eight_bits(pixels)
    pixels = np.ascontiguousarray(pixels)
    return pixels if order == "rgb" else cv2.cvtColor(pixels, _TO_RGB[order])


def _eight_bits(pixels: np.ndarray) -> np.ndarray:
    return ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)


def demosaic(pixels: np.ndarray, encoding: str) -> np.ndarray:
    """The colors of one of BAYER [H, W], uint8 [H, W, 3] RGB; ValueError for less than 2 x 2."""
    if min(pixels.shape) < 2:
        raise ValueError(f"image of {list(pixels.shape)}: {encoding} repeats every 2 x 2 pixels")
    if encoding.endswith("16"):
        pixels = _eight_bits(pixels)
    return cv2.cvtColor(np.ascontiguousarray(pixels), BAYER[encoding])
