# SPDX-License-Identifier: Apache-2.0
"""What a robot file says about recordings of that robot: embodiment, joints, topics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import yaml

from ..model.embodiment import find_embodiment
from ..model.embodiment.spec import JOINTS, Embodiment
from . import topic_names
from .joint_map import JointMap
from .robot_file import find_robot_file, read_remappings


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedRobot:
    """A robot whose recordings can be made into demonstrations."""

    name: str
    embodiment: Embodiment
    joints: JointMap
    topics: Mapping[str, str]  # name in this package -> name in the bag


def read_robot(robot: str) -> RecordedRobot:
    """A robot file by name or path.

    ValueError if recordings of that robot cannot be made into demonstrations.
    """
    path = find_robot_file(robot)
    remapped = dict(read_remappings(path))
    try:
        fields = yaml.safe_load(path.read_text())["/**/policy"]["ros__parameters"]
        embodiment, joints = find_embodiment(fields["embodiment"]), tuple(fields["joints"])
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"robot file {path}: expected a policy section with embodiment and joints ({error})"
        ) from None
    if embodiment.kind != JOINTS:
        raise ValueError(
            f"robot file {path}: {embodiment.name} acts by {embodiment.kind}, "
            "expected an embodiment with joint targets"
        )
    if len(joints) != len(embodiment.state):
        raise ValueError(
            f"robot file {path}: {len(joints)} joints {list(joints)} "
            f"for {len(embodiment.state)} state columns"
        )
    gripper = (
        fields.get("gripper_joint", ""),
        fields.get("gripper_open", 0.0),
        fields.get("gripper_closed", 1.0),
    )
    cameras = [
        topic_names.camera(view, transport)
        for view in embodiment.views
        for transport in ("raw", "compressed")
    ]
    names = (*topic_names.RECORDED, *cameras)
    topics = {name: "/" + remapped.get(name, name).lstrip("/") for name in names}
    return RecordedRobot(path.stem, embodiment, JointMap(joints, *gripper), topics)
