# SPDX-License-Identifier: Apache-2.0
"""Embodiments that are a vehicle: their poses are its own, and no joint is moved or measured."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...model.embodiment import POSES, Embodiment
from ...model.embodiment.rotations import pose_to_transform
from ...model.interface import ActionChunk


def check_vehicle(embodiment: Embodiment, joints: Sequence[str], base: Sequence[str] = ()) -> None:
    """ValueError if an embodiment is not one pose without a state, or if joints are given.

    base: velocities of a mobile base, of which there are none either.
    """
    parts = embodiment.parts
    if embodiment.kind != POSES or embodiment.state or len(parts) != 1:
        names = [column.name for column in embodiment.action]
        told = [column.name for column in embodiment.state]
        raise ValueError(
            f"parameter 'vehicle_frame': expected an embodiment of one pose without a state, but "
            f"{embodiment.name} acts by {embodiment.kind}, {names}, and is told {told}"
        )
    for name, given in (("joints", joints), ("mobile_base", base)):
        if given:
            raise ValueError(
                f"parameter {name!r} is {[*given]}: expected none with 'vehicle_frame', for "
                f"{embodiment.name} has no joints"
            )


def vehicle_poses(chunk: ActionChunk) -> np.ndarray:
    """Where a chunk leads the vehicle, seen from where it was at its stamp: [H, 4, 4]."""
    return pose_to_transform(chunk.values.astype(np.float64))
