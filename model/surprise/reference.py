# SPDX-License-Identifier: Apache-2.0
"""What is usual: how far the latents of undisturbed episodes are from those predicted. numpy only.

A residual is a latent that was seen minus the predicted one. Where the prediction moves, residuals
are larger and of another kind than where it stands still, so places are sorted by how much it
changes around them since the observed moment, and each sort is whitened by its own covariance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ..checkpoint_io.atomic_files import write_file
from ..embodiment.canvas import Canvas
from ..interface import Surprise
from .comparison import Comparison

FILE = "surprise.safetensors"  # in a checkpoint folder
LAYOUT = "1"  # of the file; read by no other
TAIL = 0.02  # share of the places of a sort whose residuals are the largest
TINY = 1e-12
MARKED = 1 << 16  # bytes at the end of a file of weights that tell it from others


@dataclasses.dataclass(frozen=True, slots=True)
class Reference:
    """The statistics of a checkpoint's residuals.

    views: names; places: int64 [h, w], the view that a place of the canvas belongs to, -1: none.
    edges: float32 [K, V, B - 1], of the change that sorts places, by latent (from 1) and view.
    whitening: float32 [K, V, B, C, C], residual @ whitening has unit variance. usual: float32
    [K, V, B], the mean square of a whitened residual that few places exceed. once: float32 [V], the
    excess of a view that undisturbed episodes show once in ten minutes. about: what it was made
    with, in words and numbers.
    """

    views: tuple[str, ...]
    places: np.ndarray
    edges: np.ndarray
    whitening: np.ndarray
    level: np.ndarray
    slope: np.ndarray
    once: np.ndarray
    about: Mapping[str, Any]

    def excess(self, comparison: Comparison) -> np.ndarray:
        """How rare so large a residual is at its place: float32 [h, w], about -log of its chance.

        0 where it is not among the largest.
        """
        latent = min(comparison.index, len(self.edges)) - 1
        energies, sorts = self.energies(comparison)
        grid = np.zeros(self.places.shape, np.float32)
        for view in range(len(self.views)):
            mine = self.places == view
            level, slope = self.level[latent, view], self.slope[latent, view]
            over = (np.log(energies[mine]) - level[sorts[mine]]) / slope[sorts[mine]]
            grid[mine] = np.maximum(over, 0.0)
        return grid

    def energies(self, comparison: Comparison) -> tuple[np.ndarray, np.ndarray]:
        """Mean squares of the whitened residuals [h, w], and the sort of each place [h, w]."""
        latent = min(comparison.index, len(self.edges)) - 1
        change, residual = change_of(comparison), residual_of(comparison)
        energies = np.ones(self.places.shape, np.float32)
        sorts = np.zeros(self.places.shape, np.int64)
        for view in range(len(self.views)):
            mine = self.places == view
            sorts[mine] = np.digitize(change[mine], self.edges[latent, view])
            whitening = self.whitening[latent, view][sorts[mine]]
            white = np.einsum("nc,ncd->nd", residual[mine], whitening)
            energies[mine] = (white**2).mean(-1) + TINY
        return energies, sorts

    def surprise(self, comparison: Comparison, stamp: int) -> Surprise:
        """How surprising a comparison is; stamp: of its last picture, ns."""
        grid = self.excess(comparison)
        once = np.append(self.once, 1.0)[self.places]  # -1: of no view
        grid = (grid / once).astype(np.float32)
        values = {
            name: float(grid[self.places == view].max(initial=0.0))
            for view, name in enumerate(self.views)
        }
        return Surprise(stamp, values, grid)


def residual_of(comparison: Comparison) -> np.ndarray:
    """What was seen minus what was predicted: float32 [h, w, C]."""
    return np.moveaxis(comparison.seen - comparison.predicted, 0, -1)


def change_of(comparison: Comparison) -> np.ndarray:
    """How much the prediction changes at and beside each place: float32 [h, w]."""
    return around(((comparison.predicted - comparison.begin) ** 2).mean(0))


def around(change: np.ndarray) -> np.ndarray:
    """The largest value among a place and its neighbors: [h, w] -> [h, w]."""
    rows, columns = change.shape
    padded = np.pad(change, 1, mode="edge")
    shifted = [padded[y : y + rows, x : x + columns] for y in range(3) for x in range(3)]
    return np.max(shifted, axis=0)


def places_of(canvas: Canvas, shape: tuple[int, int]) -> np.ndarray:
    """Which of the canvas' views each of h x w places belongs to, by its middle; -1: none."""
    middles = [
        (np.arange(count) + 0.5) * side / count
        for count, side in zip(shape, canvas.composite, strict=True)
    ]
    y, x = np.meshgrid(*middles, indexing="ij")
    found = np.full(shape, -1)
    for number, panel in enumerate(canvas.panels):
        inside = (y >= panel.top) & (y < panel.top + panel.height)
        inside &= (x >= panel.left) & (x < panel.left + panel.width)
        found[inside] = number
    return found


def weights_mark(checkpoint: Path) -> str:
    """What tells the weights of two trainings apart, by a little of each file: a hash."""
    mark = hashlib.sha256()
    for file in sorted(checkpoint.glob("*/*.safetensors")):
        if file.parent.name not in ("transformer", "vae"):
            continue
        with file.open("rb") as content:
            size = content.seek(0, 2)
            content.seek(max(0, size - MARKED))
            mark.update(f"{file.parent.name}/{file.name} {size}".encode() + content.read())
    return mark.hexdigest()[:16]


def write_reference(file: Path, reference: Reference) -> None:
    """Write it beside a checkpoint."""
    names = [field.name for field in dataclasses.fields(Reference)]
    arrays = {name: getattr(reference, name) for name in names if name not in ("views", "about")}
    about = json.dumps(dict(reference.about))
    metadata = {"layout": LAYOUT, "views": json.dumps(reference.views), "about": about}
    whole = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    write_file(file, lambda draft: save_file(whole, draft, metadata))


def read_reference(file: Path) -> Reference:
    """Read it; ValueError says in one line what is missing or wrong."""
    if not file.is_file():
        raise ValueError(f"surprise: missing file {file}: make it with `cosmos3 calibrate`")
    try:
        with safe_open(file, framework="numpy") as content:
            metadata = content.metadata() or {}
            names = content.keys()
            arrays = {name: content.get_tensor(name) for name in names}
    except SafetensorError as error:
        raise ValueError(f"{file}: not a safetensors file ({error})") from None
    if metadata.get("layout") != LAYOUT:
        raise ValueError(
            f"{file}: expected layout {LAYOUT}, got {metadata.get('layout')}: make it again with "
            "`cosmos3 calibrate`"
        )
    views, about = json.loads(metadata["views"]), json.loads(metadata["about"])
    return Reference(views=tuple(views), about=about, **arrays)
