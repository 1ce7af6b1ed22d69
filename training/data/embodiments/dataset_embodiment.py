# SPDX-License-Identifier: Apache-2.0
"""An embodiment for a LeRobot dataset, from its info.json and its statistics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ....model.embodiment.draft import Seen, draft_embodiment
from ....model.embodiment.spec import Embodiment
from ..lerobot.metadata import PICTURES, read_info
from ..lerobot_reader import Layout, camera_feature, make_layout, read_numbers
from .dataset_columns import feature_names, feature_units

_STATES = (  # features that hold a state, and those of the commands to it
    (
        ("observation.state.joint_positions", "observation.state.gripper_position"),
        ("action.joint_position", "action.gripper_position"),
    ),
    (("observation.state",), ("action",)),
)


@dataclasses.dataclass(frozen=True, slots=True)
class Drafted:
    """An embodiment, how its dataset is read, and what the recipe has to say for that."""

    embodiment: Embodiment
    layout: Layout
    features: dict[str, Any]  # `data.features` of a recipe; empty: the names are ours
    seen: tuple[Seen, ...]


def embodiment_of_dataset(folder: Path, name: str, small: bool = False) -> Drafted:
    """An embodiment as the dataset shows it, without statistics of the model's rows.

    ValueError if the dataset has no features of a kind that is known.
    """
    info = read_info(folder)
    features: Mapping[str, Any] = info["features"]
    state, action = _numbers(folder, features)
    names = feature_names(features, state)
    names = [own or f"joint_{number}" for number, own in enumerate(names, 1)]
    values = read_numbers(folder, info, state)
    low, high = np.min(values, axis=0), np.max(values, axis=0)
    units = feature_units(features, state)
    seen = [Seen(*each) for each in zip(names, low.tolist(), high.tolist(), units, strict=True)]
    cameras = {
        key: (
            int(feature["shape"][_axis(feature, "height", 0)]),
            int(feature["shape"][_axis(feature, "width", 1)]),
        )
        for key, feature in features.items()
        if feature.get("dtype") in PICTURES
    }
    views = {_view(key): key for key in sorted(cameras, key=lambda key: ("wrist" not in key, key))}
    embodiment = draft_embodiment(
        name, seen, {view: cameras[key] for view, key in views.items()}, info["fps"], small
    )
    if [column.name for column in embodiment.state] != names:
        raise ValueError(
            f"{folder}: state {list(state)} has grippers before joints {names}: an embodiment has "
            "one last, several behind their arms, and a dataset's columns are not reordered"
        )
    own = make_layout(embodiment, {})
    found: dict[str, Any] = {
        view: key for view, key in views.items() if camera_feature(view) != key
    }
    found |= {} if state == own.state else {"state": list(state)}
    found |= {} if action == own.action else {"action": list(action)}
    return Drafted(embodiment, make_layout(embodiment, found), found, tuple(seen))


def _numbers(folder: Path, features: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    for state, action in _STATES:
        if all(name in features for name in (*state, *action)):
            return state, action
    raise ValueError(
        f"{folder}: expected the features observation.state and action, or DROID's "
        f"{', '.join((*_STATES[0][0], *_STATES[0][1]))}; it has {sorted(features)}"
    )


def _view(key: str) -> str:
    """A view's name: of DROID's cameras ours, else the end of the feature's name."""
    for view in ("wrist", "exterior_1", "exterior_2"):
        if key == camera_feature(view):
            return view
    return key.rpartition(".")[2]


def _axis(feature: Mapping[str, Any], side: str, default: int) -> int:
    names = feature.get("names")
    return names.index(side) if isinstance(names, list) and side in names else default
