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
    seen, commands = _seen(folder, info, state, "joint"), _seen(folder, info, action, "command")
    names = [each.name for each in seen]
    if len(commands) == len(seen):  # of the joints that the state is of, whatever they are called
        commands = []
    cameras = {
        key: (
            int(feature["shape"][_axis(feature, "height", 0)]),
            int(feature["shape"][_axis(feature, "width", 1)]),
        )
        for key, feature in features.items()
        if feature.get("dtype") in PICTURES
    }
    views = {_view(key): key for key in sorted(cameras, key=lambda key: ("wrist" not in key, key))}
    pictures = {view: cameras[key] for view, key in views.items()}
    embodiment = draft_embodiment(name, seen, pictures, info["fps"], small, commands=commands)
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


def _seen(folder: Path, info: dict[str, Any], names: tuple[str, ...], unnamed: str) -> list[Seen]:
    """The columns of these features with their ranges; unnamed: what those without a name are."""
    features: Mapping[str, Any] = info["features"]
    columns = feature_names(features, names)
    columns = [own or f"{unnamed}_{number}" for number, own in enumerate(columns, 1)]
    values = read_numbers(folder, info, names)
    low, high = np.min(values, axis=0), np.max(values, axis=0)
    units = feature_units(features, names)
    return [Seen(*each) for each in zip(columns, low.tolist(), high.tolist(), units, strict=True)]


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
