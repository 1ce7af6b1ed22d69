# SPDX-License-Identifier: Apache-2.0
"""Joint states and action chunks between robot and policy: names, order, units, groups.

Pure numpy, no ROS types.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..model.embodiment import JOINTS, Embodiment
from ..model.embodiment.plausibility import check_gripper
from ..model.embodiment.units import SPEED, TURN_RATE, Column, from_si, in_unit, to_si
from ..model.interface import ActionChunk

_OF_BASE = (SPEED, SPEED, TURN_RATE)  # forward, to the left, turning


@dataclasses.dataclass(frozen=True, slots=True)
class JointMap:
    """Joint names of the robot for the columns of a policy, in the policy's order."""

    joints: tuple[str, ...]  # one name per column
    # what the robot says of each joint, and of grippers what it says when open and closed, for
    # which the policy has 0 and 1; (): rad and m, no gripper
    units: tuple[Column, ...] = ()
    # the joints that a chunk leads, as the robot says them, where they are not those of the
    # columns above; (): they are
    led: tuple[Column, ...] = ()

    def __post_init__(self) -> None:
        for name, joints in (("joints", self.joints), ("led_joints", self._led_names)):
            if not joints or len(set(joints)) != len(joints):
                raise ValueError(f"{name}: expected distinct joint names, got {list(joints)}")

    @property
    def _led_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.led) or self.joints

    @property
    def grippers(self) -> tuple[str, ...]:
        """The joints that are grippers."""
        pairs = zip(self.joints, self.columns, strict=True)
        return tuple(joint for joint, column in pairs if column.gripper)

    def chunk(self, chunk: ActionChunk) -> ActionChunk:
        """A policy's chunk in the robot's names and units."""
        names = self._led_names
        if len(chunk.names) != len(names):
            raise ValueError(
                f"chunk has {len(chunk.names)} columns {chunk.names}, the robot {len(names)} joints"
            )
        columns = self.led or self.columns
        pairs = zip(names, columns, strict=True)
        return dataclasses.replace(
            chunk,
            values=from_si(chunk.values, columns),
            names=names,
            discrete=tuple(name for name, column in pairs if column.gripper),
        )

    def to_policy(self, values: np.ndarray) -> np.ndarray:
        """Positions [..., D] in the order of `joints` in policy units; NaN stays NaN."""
        return to_si(values, self.columns)

    def to_robot(self, values: np.ndarray) -> np.ndarray:
        """Positions [..., D] in policy units as the robot says them; the inverse of `to_policy`."""
        return from_si(values, self.columns)

    def check_grippers(self, positions: np.ndarray) -> None:
        """ValueError if a gripper is far beyond open and closed; positions: the robot's [D]."""
        for joint, column, position in zip(self.joints, self.columns, positions, strict=True):
            if column.gripper:
                check_gripper(joint, float(position), column.opened, column.closed)

    @property
    def columns(self) -> tuple[Column, ...]:
        """What the robot says of each joint."""
        return self.units or tuple(Column(joint, "rad") for joint in self.joints)


@dataclasses.dataclass(frozen=True, slots=True)
class JointGroup:
    """Joints with controllers of their own: an arm and its gripper, a torso."""

    name: str  # the topics of its controllers begin with it; "": the only group, they do not
    joints: tuple[str, ...]  # without the gripper
    gripper: str = ""  # "": none

    def named(self, topic: str) -> str:
        """What a topic or an action of its controllers is called."""
        return f"{self.name}/{topic}" if self.name else topic


def joint_groups(
    joints: Sequence[str], groups: Sequence[str], gripper: str, grippers: Sequence[str]
) -> tuple[JointGroup, ...]:
    """The groups of a robot's joints, in the order of their first joints.

    groups: of each joint, (): there is one without a name, with `gripper`; grippers: of each group,
    "" for none, (): no group has one. ValueError names the parameter that does not fit.
    """
    if not groups:
        if grippers:
            raise ValueError(
                f"parameter 'gripper_joints' is {[*grippers]}: expected 'groups', too, or "
                "'gripper_joint' for the only gripper"
            )
        return (JointGroup("", tuple(joints), gripper),)
    if len(groups) != len(joints):
        raise ValueError(
            f"parameter 'groups': expected one of each of the {len(joints)} 'joints', got "
            f"{len(groups)}: {[*groups]}"
        )
    names = [*dict.fromkeys(groups)]
    if wrong := [name for name in names if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII)]:
        raise ValueError(f"parameter 'groups': expected names as of topics, got {wrong[0]!r}")
    if gripper:
        raise ValueError(
            f"parameter 'gripper_joint' is {gripper!r}: expected 'gripper_joints' with 'groups'"
        )
    if len(grippers) not in (0, len(names)):
        raise ValueError(
            f"parameter 'gripper_joints': expected one of each of the groups {names}, '' for none, "
            f"got {[*grippers]}"
        )
    pairs = [*zip(joints, groups, strict=True)]
    return tuple(
        JointGroup(name, tuple(joint for joint, group in pairs if group == name), own)
        for name, own in zip(names, grippers or [""] * len(names), strict=True)
    )


def map_joints(
    embodiment: Embodiment,
    joints: Sequence[str],
    grippers: Sequence[str],
    opened: Sequence[float] = (),
    closed: Sequence[float] = (),
    units: Sequence[str] = (),
    led: Sequence[str] = (),
) -> JointMap:
    """The joints of a robot for an embodiment; ValueError shows both sides if they do not fit.

    grippers: which of `joints` they are, in that order; opened, closed: what each of them says, ():
    as the embodiment has it; units: of each joint, (): as the embodiment has them; led: the joint
    of each column of a command, where an embodiment leads others than it measures. For an
    embodiment that acts by poses or twists the columns are any joints in rad, and its gripper;
    `kinematics.tool_map` makes its numbers of them.
    """
    acts_by_joints = embodiment.kind == JOINTS
    _check_led(embodiment, led)
    state = embodiment.state if acts_by_joints else _arm(embodiment, joints, [*grippers])
    for name, values in (("joints", joints), ("units", units)):
        if len(values) != len(state) and (values or name == "joints"):
            raise ValueError(
                f"parameter {name!r} has {len(values)} names {[*values]}, but embodiment "
                f"{embodiment.name} has {len(state)} state columns "
                f"{[column.name for column in state]}"
            )
    if acts_by_joints:
        _check_order(embodiment, joints)
    expected = [joint for joint, column in zip(joints, state, strict=True) if column.gripper]
    if [*grippers] != expected:
        name, found = "gripper_joints", f"{[*grippers]}"
        if len(grippers) < 2:
            name, found = "gripper_joint", repr(next(iter(grippers), ""))
        raise ValueError(
            f"parameter {name!r} is {found}, but the gripper of embodiment "
            f"{embodiment.name} is where 'joints' has {expected}"
        )
    try:
        columns = tuple(map(in_unit, state, units)) if units else state
    except ValueError as error:
        raise ValueError(f"parameter 'units': {error}") from None
    columns = _with_ends(columns, "opened", "grippers_open", opened)
    columns = _with_ends(columns, "closed", "grippers_closed", closed)
    for joint, column in zip(joints, columns, strict=True):
        if column.gripper and column.opened == column.closed:
            raise ValueError(f"gripper_open and gripper_closed are both {column.opened} ({joint})")
    known = dict(zip(joints, columns, strict=True))
    leads = tuple(
        dataclasses.replace(known.get(joint, column), name=joint)
        for joint, column in zip(led, embodiment.action, strict=False)
    )
    return JointMap(tuple(joints), columns, leads)


def _check_led(embodiment: Embodiment, led: Sequence[str]) -> None:
    """ValueError unless the joints of commands are named where they are not those of the state."""
    differ = embodiment.kind == JOINTS and bool(embodiment.state) and not embodiment.same_columns
    wanted = [*embodiment.action_names] if differ else []
    if len(led) != len(wanted):
        columns = f" and the state columns {[c.name for c in embodiment.state]}" if differ else ""
        raise ValueError(
            f"parameter 'led_joints' is {[*led]}: expected one for each of {wanted}, embodiment "
            f"{embodiment.name} has the action columns {[*embodiment.action_names]}{columns}"
        )


def check_mobile_base(
    embodiment: Embodiment, joints: Sequence[str], base: Sequence[str]
) -> tuple[str, ...]:
    """The joints that are velocities of a mobile base; ValueError if the embodiment has others.

    base: names of forward, to the left and turning; "": the base lacks it; (): there is no base.
    """
    if len(base) not in (0, 3):
        raise ValueError(
            "parameter 'mobile_base': expected three of 'joints', forward, to the left and "
            f"turning, '' for one that the base lacks, got {[*base]}"
        )
    wanted = [(name, unit) for name, unit in zip(base, _OF_BASE, strict=False) if name]
    columns = embodiment.state if embodiment.kind == JOINTS else ()
    pairs = zip(joints, columns, strict=False)
    found = {name: c.quantity for name, c in pairs if c.quantity in (SPEED, TURN_RATE)}
    if dict(wanted) != found or len(wanted) != len(found):
        raise ValueError(
            f"parameter 'mobile_base' is {[*base]}, but embodiment {embodiment.name} has "
            f"velocities where 'joints' has {[*found.items()]}: expected a speed (m/s) for the "
            "first two, a turn rate (rad/s) for the third"
        )
    return tuple(name for name, _ in wanted)


def of_grippers(name: str, one: Any, each: Sequence[Any]) -> list[Any]:
    """What is said of the grippers: by the parameter for the only one, or by that for several.

    name: of both parameters; one: None or "": it is not given.
    """
    if one in (None, ""):
        return [*each]
    if each:
        raise ValueError(f"parameters {name}: expected one of the two, got {one!r} and {[*each]}")
    return [one]


def _with_ends(
    columns: tuple[Column, ...], end: str, parameter: str, values: Sequence[float]
) -> tuple[Column, ...]:
    """The columns with what grippers say at one of their ends, in their order; (): as they are."""
    grippers = [number for number, column in enumerate(columns) if column.gripper]
    if not values or not grippers:
        return columns
    if len(values) != len(grippers):
        raise ValueError(
            f"parameter {parameter!r}: expected {len(grippers)} numbers, one of each gripper, got "
            f"{[*values]}"
        )
    found = [*columns]
    for number, value in zip(grippers, values, strict=True):
        change: dict[str, Any] = {end: value}
        found[number] = dataclasses.replace(found[number], **change)
    return tuple(found)


def _arm(
    embodiment: Embodiment, joints: Sequence[str], grippers: Sequence[str]
) -> tuple[Column, ...]:
    """Columns for the joints of an arm whose tool acts, the gripper's as the embodiment has it."""
    own, gripper = (
        [column for column in embodiment.action if column.gripper],
        next(iter(grippers), ""),
    )
    if len(own) != (gripper in joints) or len(grippers) != len(own):
        raise ValueError(
            f"parameter 'gripper_joint' is {gripper!r} of 'joints' {[*joints]}, but embodiment "
            f"{embodiment.name} acts by {embodiment.kind} and the grippers "
            f"{[column.name for column in own]}"
        )
    return tuple(
        dataclasses.replace(own[0], name=joint) if joint == gripper else Column(joint, "rad")
        for joint in joints
    )


def _check_order(embodiment: Embodiment, joints: Sequence[str]) -> None:
    """ValueError for the embodiment's own joints in another order; other names are only names."""
    state = embodiment.state
    ours = [column.name for column in state if not column.gripper]
    arm = [joint for joint, column in zip(joints, state, strict=True) if not column.gripper]
    if arm != ours and sorted(arm) == sorted(ours):
        raise ValueError(
            f"parameter 'joints' has {arm}, but embodiment {embodiment.name} the same in the order "
            f"{ours}"
        )
