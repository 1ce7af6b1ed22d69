# SPDX-License-Identifier: Apache-2.0
"""What a robot file says about recordings of that robot: embodiment, joints, topics."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model.embodiment import find_embodiment
from ..model.embodiment.plausibility import check_states
from ..model.embodiment.spec import Embodiment
from ..model.embodiment.units import Column, to_si
from ..model.option_fields import coerce
from . import topic_names
from .joint_map import (
    JointGroup,
    JointMap,
    check_mobile_base,
    joint_groups,
    map_joints,
    of_grippers,
)
from .parameter_file import read_sections
from .robot_file import (
    embodiment_of,
    find_robot_file,
    read_parameters,
    read_remappings,
    urdf_of,
)
from .urdf import read_limits

# of the commander, which compares them with positions of the topics
THRESHOLDS = ("max_jump", "max_tracking_error", "clip")
FASTEST = 4 * math.pi  # no joint of an arm is faster, whatever its limit, rad/s


@dataclasses.dataclass(frozen=True, slots=True)
class RecordedRobot:
    """A robot whose recordings can be made into demonstrations."""

    name: str
    embodiment: Embodiment
    joints: JointMap
    groups: tuple[JointGroup, ...]  # which of them have controllers of their own
    topics: Mapping[str, str]  # name in this package -> name in the bag
    # limits of the joints [D] in the units of its topics, a second; infinite: not known
    velocity: np.ndarray
    # its joints that are velocities of a mobile base: forward, to the left, turning; "": none
    base: tuple[str, ...] = ()

    @property
    def heard(self) -> tuple[str, ...]:
        """The topics of sensors and states but cameras, by their names in this package."""
        return (*topic_names.HEARD, topic_names.ODOMETRY) if any(self.base) else topic_names.HEARD

    @property
    def commands(self) -> Mapping[str, JointGroup]:
        """The topics of commands by their names in this package, and whose each is.

        In the order in which they are believed; what is for all joints comes with a group of all.
        """
        everything = JointGroup("", self.joints.joints)
        return {
            group.named(name): group
            for name in topic_names.COMMANDS
            for group in (self.groups if name in topic_names.OF_GROUPS else (everything,))
        }


def read_robot(robot: str) -> RecordedRobot:
    """A robot file by name or path.

    ValueError if recordings of that robot cannot be made into demonstrations.
    """
    path = find_robot_file(robot)
    remapped = dict(read_remappings(path))
    fields = read_parameters(path, "policy")
    try:
        name = embodiment_of(path, read_sections(path), "policy")
        embodiment = find_embodiment(name or fields["embodiment"])
        joints = map_joints(
            embodiment,
            coerce("joints", list[str], fields["joints"]),
            *_grippers(fields),
            coerce("units", list[str], fields.get("units", [])),
            coerce("led_joints", list[str], fields.get("led_joints", [])),
        )
        groups = _groups(path, joints)
        base = coerce("mobile_base", list[str], fields.get("mobile_base", []))
        check_mobile_base(embodiment, joints.joints, base)
    except KeyError as error:
        raise ValueError(
            f"robot file {path}: expected a policy section with embodiment and joints ({error})"
        ) from None
    except ValueError as error:
        raise ValueError(f"robot file {path}: {error}") from None
    cameras = [
        topic_names.camera(view, transport)
        for view in embodiment.views
        for transport in ("raw", "compressed")
    ]
    velocity = _velocity(path, joints)
    found = RecordedRobot(path.stem, embodiment, joints, groups, {}, velocity, tuple(base))
    names = (*found.heard, *found.commands, *topic_names.SHOWN, *cameras)
    topics = {name: "/" + remapped.get(name, name).lstrip("/") for name in names}
    return dataclasses.replace(found, topics=topics)


def _grippers(fields: Mapping[str, Any]) -> tuple[list[str], list[float], list[float]]:
    """The grippers of the policy's section, and what they say when open and when closed."""

    def either(one: str, each: str, kind: Any) -> list[Any]:
        alone = fields.get(one)
        alone = None if alone is None else coerce(one, kind | None, alone)
        return of_grippers(f"{one}, {each}", alone, coerce(each, list[kind], fields.get(each, [])))

    return (
        either("gripper_joint", "gripper_joints", str),
        either("gripper_open", "grippers_open", float),
        either("gripper_closed", "grippers_closed", float),
    )


def _groups(path: pathlib.Path, joints: JointMap) -> tuple[JointGroup, ...]:
    """The groups of the commander's section; without any, all joints are one."""
    fields = read_parameters(path, "commander")
    groups = coerce("groups", list[str], fields.get("groups", []))
    if not groups:
        arm = tuple(joint for joint in joints.joints if joint not in joints.grippers)
        return (JointGroup("", arm, next(iter(joints.grippers), "")),)
    return joint_groups(
        coerce("joints", list[str], fields.get("joints", [])),
        groups,
        coerce("gripper_joint", str, fields.get("gripper_joint", "")),
        coerce("gripper_joints", list[str], fields.get("gripper_joints", [])),
    )


def _velocity(path: pathlib.Path, joints: JointMap) -> np.ndarray:
    """The speed limits of the commander's section or its robot description, where there are some.

    Grippers have none: what they say of themselves is often only open or closed.
    """
    fields = read_parameters(path, "commander")
    # what the topics count for 1 rad or 1 m
    counted = {
        joint: abs(column.span) for joint, column in zip(joints.joints, joints.units, strict=True)
    }
    try:
        arm = coerce("joints", list[str], fields.get("joints", []))
        speeds = coerce("velocity", list[float], fields.get("velocity", []))
    except ValueError as error:
        raise ValueError(f"robot file {path}: {error}") from None
    if urdf := urdf_of(path, fields.get("urdf", "")) or str(fields.get("urdf", "")):
        with contextlib.suppress(ValueError):  # of another computer, or a topic
            described = [
                limit.velocity * counted.get(joint, 1.0)
                for joint, limit in zip(arm, read_limits(urdf, arm), strict=True)
            ]
            speeds = [*map(min, speeds, described)] if speeds else described
    known = dict(zip(arm, speeds, strict=False))
    return np.array(
        [
            np.inf if joint in joints.grippers else known.get(joint, FASTEST * counted[joint])
            for joint in joints.joints
        ],
        np.float64,
    )


def _check_thresholds(
    path: pathlib.Path, fields: Mapping[str, Any], columns: Mapping[str, Column]
) -> None:
    """ValueError if thresholds are left at their defaults, in rad, and the arm counts otherwise."""
    arm = [columns[joint] for joint in fields.get("joints", ()) if joint in columns]
    others = [column for column in arm if not 0.5 < abs(column.span) < 2]
    missing = [name for name in THRESHOLDS if name not in fields]
    if others and missing:
        raise ValueError(
            f"robot file {path}: commander: lacks {', '.join(missing)}, whose defaults are in rad; "
            f"expected them in {others[0].unit}, as the topics have {others[0].name}"
        )


def check_limits(path: pathlib.Path, robot: RecordedRobot) -> None:
    """ValueError if the commander's limits or thresholds are not in the units of the topics."""
    fields = read_parameters(path, "commander")
    columns = dict(zip(robot.joints.joints, robot.joints.units, strict=True))
    _check_thresholds(path, fields, columns)
    for name in ("lower", "upper"):
        limits = zip(fields.get("joints", ()), fields.get(name, ()), strict=False)
        for joint, limit in limits:
            if joint not in columns or columns[joint].gripper:
                continue
            column = dataclasses.replace(columns[joint], name=joint)
            try:
                check_states(to_si(np.array([float(limit)]), [column]), [column])
            except ValueError as error:
                raise ValueError(f"robot file {path}: {name}: {error}") from None
