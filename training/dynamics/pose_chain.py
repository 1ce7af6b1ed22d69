# SPDX-License-Identifier: Apache-2.0
"""Poses of robots without a state: the model counts them from where a window begins.

Of all other embodiments commands stay as they are. numpy only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.rotations import pose_to_transform, transform_to_pose
from ...model.embodiment.spec import POSES


def carried_to(values: np.ndarray, led: np.ndarray | None, embodiment: Embodiment) -> np.ndarray:
    """Commands [N, D] of a window, counted from the clip's beginning as `led` is, float32.

    led: the command [D] that led to where the window begins; None: nothing was before.
    """
    return _moved(values, led, embodiment, lambda pose: pose)


def counted_from(values: np.ndarray, led: np.ndarray | None, embodiment: Embodiment) -> np.ndarray:
    """The inverse of `carried_to`: commands [N, D] counted from where `led` led."""
    return _moved(values, led, embodiment, np.linalg.inv)


def _moved(
    values: np.ndarray,
    led: np.ndarray | None,
    embodiment: Embodiment,
    change: Callable[[np.ndarray], np.ndarray],
) -> np.ndarray:
    if led is None or embodiment.kind != POSES or embodiment.state:
        return values
    moved = values.astype(np.float64)
    for part in embodiment.parts:
        if not part.gripper:
            base = change(pose_to_transform(led[part.columns].astype(np.float64)))
            poses = pose_to_transform(moved[:, part.columns])
            moved[:, part.columns] = transform_to_pose(base @ poses)
    return moved.astype(np.float32)
