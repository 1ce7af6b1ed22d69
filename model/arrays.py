# SPDX-License-Identifier: Apache-2.0
"""Checks of arrays that cross the border of the model, rows of one width, the unit of clocks."""

from __future__ import annotations

import numpy as np

NS = 1_000_000_000  # nanoseconds per second


def check_image(name: str, image: np.ndarray) -> None:
    """Raise ValueError unless `image` is uint8 [H, W, 3]."""
    if (
        not isinstance(image, np.ndarray)
        or image.dtype != np.uint8
        or image.ndim != 3
        or image.shape[2] != 3
    ):
        got = (
            f"{image.dtype} {list(image.shape)}"
            if isinstance(image, np.ndarray)
            else type(image).__name__
        )
        raise ValueError(f"{name}: expected a uint8 array [H, W, 3] (RGB), got {got}")


def check_array(name: str, array: np.ndarray, ndim: int) -> None:
    """Raise ValueError unless `array` is float32, of `ndim` dimensions and finite."""
    if not isinstance(array, np.ndarray) or array.dtype != np.float32 or array.ndim != ndim:
        got = (
            f"{array.dtype} {list(array.shape)}"
            if isinstance(array, np.ndarray)
            else type(array).__name__
        )
        raise ValueError(f"{name}: expected a float32 array with {ndim} dimension(s), got {got}")
    if not np.isfinite(array).all():
        count = int((~np.isfinite(array)).sum())
        raise ValueError(f"{name}: expected finite values, got {count} NaN or infinite")


def widened(rows: np.ndarray, width: int) -> np.ndarray:
    """Rows [..., D] with zeros behind their last columns, [..., width]; as they are if D is it."""
    missing = width - rows.shape[-1]
    return np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, missing)]) if missing else rows
