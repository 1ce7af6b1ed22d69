# SPDX-License-Identifier: Apache-2.0
"""PSNR and SSIM of predicted frames, in all and where something moved, beside a copy."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Iterable, Sequence

import cv2
import numpy as np

LATER = (0.5, 1.0, 2.0)  # s after the observed frame
_MOVED = 10  # of 255
_LEAST = 0.01  # share of the pixels
_EDGE = 5  # pixels: half the window of SSIM


@dataclasses.dataclass(frozen=True, slots=True)
class Likeness:
    """How near a frame comes to the real one of that time, `seconds` after the observed one.

    PSNR in dB, SSIM up to 1.

    copy_...: the observed frame in its place. ..._moved: where the real frame differs from the
    observed one by more than 10 of 255 in some color, NaN if that is less than 1 % of the picture.
    (There the copy is wrong by definition.)
    """

    seconds: float
    psnr: float
    copy_psnr: float
    psnr_moved: float
    copy_psnr_moved: float
    ssim: float
    copy_ssim: float
    ssim_moved: float
    copy_ssim_moved: float


def compare(frames: np.ndarray, real: np.ndarray, fps: float) -> list[Likeness]:
    """One Likeness for each of LATER that the clip reaches. frames, real: uint8 [T, H, W, 3].

    real[0] was observed.
    """
    if frames.shape != real.shape:
        raise ValueError(
            f"frames: expected {list(real.shape)} as really seen, got {list(frames.shape)}"
        )
    indices = [index for later in LATER if (index := math.floor(later * fps + 0.5)) < len(real)]
    return [_compare(frames[index], real[index], real[0], index / fps) for index in indices]


def _compare(frame: np.ndarray, real: np.ndarray, observed: np.ndarray, seconds: float) -> Likeness:
    moved = (np.abs(real.astype(int) - observed) > _MOVED).any(axis=2)
    moved = moved if moved.mean() >= _LEAST else np.zeros_like(moved)
    psnrs = [psnr(picture, real, where) for where in (None, moved) for picture in (frame, observed)]
    maps = [ssim_map(picture, real) for picture in (frame, observed)]
    inner = moved[_EDGE:-_EDGE, _EDGE:-_EDGE]
    ssims = [float(each.mean()) for each in maps]
    ssims += [float(each[inner].mean()) if inner.any() else math.nan for each in maps]
    return Likeness(seconds, *psnrs, *ssims)


def psnr(a: np.ndarray, b: np.ndarray, where: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio of two uint8 pictures, dB.

    At most 58.9, the noise of 8 bits. where: bool [H, W].
    """
    difference = a.astype(float) - b
    if where is not None:
        difference = difference[where]
    if not difference.size:
        return math.nan
    return decibels(max(float((difference**2).mean()), 1 / 12), 255)


def decibels(square: float, peak: float) -> float:
    """Peak signal-to-noise ratio in dB of a mean squared error, for values that span `peak`."""
    return 10 * math.log10(peak**2 / square)


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM around every pixel not near the edge, mean over the colors: [H - 10, W - 10].

    Wang, Bovik, Sheikh, Simoncelli, "Image quality assessment", IEEE Trans. Image Processing 13(4),
    2004: Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03.
    """

    def blur(x: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(x, (2 * _EDGE + 1, 2 * _EDGE + 1), 1.5)[_EDGE:-_EDGE, _EDGE:-_EDGE]

    x, y = a.astype(float), b.astype(float)
    mean_x, mean_y = blur(x), blur(y)
    variance = blur(x * x) - mean_x**2 + blur(y * y) - mean_y**2
    covariance = blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    ratio = (
        (2 * mean_x * mean_y + c1)
        * (2 * covariance + c2)
        / ((mean_x**2 + mean_y**2 + c1) * (variance + c2))
    )
    return ratio.mean(axis=2)


def averages(likenesses: Iterable[Likeness]) -> list[dict[str, float | int | None]]:
    """Means by time.

    `moved` of those in which something moved. windows, windows_moved: how many there are.
    """
    everything, rows = list(likenesses), []
    for seconds in sorted({one.seconds for one in everything}):
        some = [dataclasses.asdict(one) for one in everything if one.seconds == seconds]
        row: dict[str, float | int | None] = {"windows": len(some)}
        row["windows_moved"] = sum(math.isfinite(one["psnr_moved"]) for one in some)
        row |= {name: _mean([one[name] for one in some]) for name in some[0]}
        rows.append(row)
    return rows


def _mean(values: Sequence[float]) -> float | None:
    known = [value for value in values if math.isfinite(value)]
    return statistics.fmean(known) if known else None
