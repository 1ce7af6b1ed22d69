# SPDX-License-Identifier: Apache-2.0
"""Which features of a LeRobot dataset are state, action and pictures, by whatever names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ....model.embodiment.droid_names import droid_image_name
from ....model.embodiment.spec import JOINTS, Embodiment
from ....model.embodiment.units import Column
from ..ground_truth import TRUTH_FEATURE


@dataclasses.dataclass(frozen=True, slots=True)
class Layout:
    """Which features of a dataset are state, action and images."""

    state: tuple[str, ...]  # features, together in the order of the embodiment's columns
    action: tuple[str, ...]
    cameras: Mapping[str, str]  # view -> feature
    # its numbers for open and for closed; None: as it says, else as the embodiment has them
    gripper: tuple[float, float] | None = None
    units: tuple[str, ...] = ()  # of each state column, likewise
    instruction: str = ""  # for episodes without a task
    truth: str = TRUTH_FEATURE  # where things are, if the dataset has it

    def units_of(self, columns: Sequence[Column], state: Sequence[Column]) -> tuple[str, ...]:
        """`units` for columns of the state or of the action, by their names; "": not given."""
        if len(self.units) != len(state):
            return self.units
        names = [column.name for column in state]
        known = dict(zip(names, self.units, strict=True))
        return tuple(known.get(column.name, "") for column in columns)


def camera_feature(view: str) -> str:
    """The feature of a view; the names of DROID's cameras are DROID's."""
    return f"observation.images.{droid_image_name(view)}"


def number_features(embodiment: Embodiment) -> dict[str, tuple[str, slice]]:
    """Feature: (which numbers of an episode, their columns), named as DROID's for its kind of arm.

    That is joints and then grippers; poses, arms that have each its gripper behind its joints, and
    states of other columns than the actions' are one feature as with LeRobot.
    """
    arm, width = len(embodiment.action) - len(embodiment.discrete), len(embodiment.action)
    mixed = any(column.gripper for column in embodiment.action[:arm])
    if embodiment.kind != JOINTS or mixed or not embodiment.same_columns:
        parts = {
            "observation.state": ("states", embodiment.state),
            "action": ("actions", embodiment.action),
        }
        return {
            name: (field, slice(0, len(columns)))
            for name, (field, columns) in parts.items()
            if columns
        }
    features = {
        "observation.state.joint_positions": ("states", slice(0, arm)),
        "observation.state.gripper_position": ("states", slice(arm, width)),
        "action.joint_position": ("actions", slice(0, arm)),
        "action.gripper_position": ("actions", slice(arm, width)),
    }
    return {
        name: (field, part) for name, (field, part) in features.items() if part.stop > part.start
    }


def make_layout(
    embodiment: Embodiment,
    features: Mapping[str, Any],
    gripper: Sequence[float] = (),
    instruction: str = "",
    units: Sequence[str] = (),
) -> Layout:
    """The layout of this package's own datasets, except for what `features` names.

    features: "state", "action" or a view -> name or names; gripper: what it says when open and
    when closed; units: of each state column. Raises ValueError.
    """
    known = ("state", "action", *embodiment.views)
    if unknown := sorted(set(map(str, features)) - set(known)):
        raise ValueError(f"features: unknown {unknown}, expected some of {list(known)}")
    for key, value in features.items():
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list | tuple) or not all(isinstance(one, str) for one in names):
            raise ValueError(f"features.{key}: expected a name or a list of them, got {value!r}")
    named = {
        key: (value,) if isinstance(value, str) else tuple(value) for key, value in features.items()
    }
    if wrong := [view for view in embodiment.views if len(named.get(view, ("",))) != 1]:
        raise ValueError(
            f"features: expected one name for each camera, got {[named[view] for view in wrong]}"
        )
    if len(gripper) not in (0, 2) or len({*gripper}) == 1:
        raise ValueError(
            f"gripper: expected what it says when open and when closed, got {list(gripper)}"
        )
    own = {
        kind: tuple(
            name for name, (field, _) in number_features(embodiment).items() if field == f"{kind}s"
        )
        for kind in known
    }
    cameras = {
        view: named[view][0] if view in named else camera_feature(view) for view in embodiment.views
    }
    return Layout(
        named.get("state", own["state"]),
        named.get("action", own["action"]),
        cameras,
        (float(gripper[0]), float(gripper[1])) if gripper else None,
        tuple(units),
        instruction,
    )


def usual_features(features: Mapping[str, Any], embodiment: Embodiment) -> dict[str, Any]:
    """What LeRobot's own recordings call the state, the action and the cameras, where ours lack.

    features: of info.json. The result is for `make_layout`.
    """
    own, found = make_layout(embodiment, {}), {}
    single = ("observation.image",) if len(embodiment.views) == 1 else ()
    for kind, name, ours in (
        ("state", "observation.state", own.state),
        ("action", "action", own.action),
    ):
        if name in features and not all(our in features for our in ours):
            found[kind] = name
    for view, camera in own.cameras.items():
        if camera not in features:
            usual = [name for name in (f"observation.images.{view}", *single) if name in features]
            found.update({view: usual[0]} if usual else {})
    return found
