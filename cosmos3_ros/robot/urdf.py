# SPDX-License-Identifier: Apache-2.0
"""Joint limits from a robot description."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

_TOPIC = "topic://"
_MOVABLE = ("revolute", "prismatic", "continuous")


@dataclasses.dataclass(frozen=True, slots=True)
class JointLimit:
    """The limits of one joint, in rad or m."""

    lower: float  # position range; infinite for a continuous joint
    upper: float
    velocity: float  # largest speed, per s
    effort: float  # largest torque or force, Nm or N


def description_topic(source: str) -> str:
    """The topic of a source like "topic:///robot_description"; "" if it is the path of a file."""
    return source.removeprefix(_TOPIC) if source.startswith(_TOPIC) else ""


def read_limits(path: str | Path, joints: Sequence[str]) -> list[JointLimit]:
    """The limits of these joints in a URDF file, the soft ones where they are tighter.

    ValueError names what is missing.
    """
    return parse_limits(read_description(path), joints, str(path))


def read_description(path: str | Path) -> bytes:
    """What a URDF file holds; ValueError if it cannot be read."""
    if scheme := re.match(r"(\w+)://", str(path)):
        raise ValueError(
            f"robot description {str(path)!r}: {scheme[0]} is not followed; expected the path of "
            f"a URDF file, or {_TOPIC}/robot_description"
        )
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ValueError(f"robot description {str(path)!r} cannot be read: {error}") from error


def movable_joints(content: str | bytes, source: str) -> list[str]:
    """Names of the joints of a URDF that move by themselves; source: what errors call it."""
    root = _root(content, f"robot description {source!r}", source)
    return [
        joint.get("name", "")
        for joint in root.findall("joint")
        if joint.get("type", "revolute") in _MOVABLE and joint.find("mimic") is None
    ]


def root_link(content: str | bytes, source: str) -> str:
    """The link of a URDF that no joint carries; ValueError if that is none or several."""
    where = f"robot description {source!r}"
    root = _root(content, where, source)
    carried = {child.get("link", "") for child in root.findall("joint/child")}
    links = [link.get("name", "") for link in root.findall("link")]
    found = [name for name in links if name not in carried]
    if len(found) != 1:
        raise ValueError(f"{where}: expected one link that no joint carries, got {found}")
    return found[0]


def parse_limits(content: str | bytes, joints: Sequence[str], source: str) -> list[JointLimit]:
    """The same out of a URDF itself; source: what errors call it."""
    where = f"robot description {source!r}"
    root = _root(content, where, source)
    # the same names stand in <ros2_control>, <transmission> and <gazebo> blocks, without limits
    described = root.findall("joint")
    names = [joint.get("name", "") for joint in described]
    if missing := [name for name in joints if name not in names]:
        raise ValueError(f"{where} lacks the joints {missing}; it has {names}")
    if twice := [name for name in joints if names.count(name) > 1]:
        raise ValueError(f"{where} has more than one joint of the names {twice}")
    found = dict(zip(names, described, strict=True))
    try:
        return [_limit(found[name], name) for name in joints]
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _root(content: str | bytes, where: str, source: str) -> ElementTree.Element:
    name = "robot.urdf.xacro" if source.startswith(_TOPIC) else source
    advice = f"a xacro file; expected what `xacro {name} > robot.urdf` makes of it"
    text = content if isinstance(content, str) else content.decode(errors="replace")
    try:
        root = ElementTree.fromstring(content)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        if "<xacro:" in text:
            raise ValueError(f"{where} is {advice}") from error
        raise ValueError(f"{where} cannot be read: it is not XML ({error})") from error
    if any("xacro}" in element.tag for element in root.iter()):
        raise ValueError(f"{where} is {advice}")
    if root.tag != "robot":
        raise ValueError(f"{where} is <{root.tag}>, expected a URDF: <robot>")
    return root


def _limit(joint: ElementTree.Element, name: str) -> JointLimit:
    kind, mimic = joint.get("type", "revolute"), joint.find("mimic")
    if kind not in _MOVABLE:
        raise ValueError(f"joint {name!r} is {kind}, expected one of {list(_MOVABLE)}")
    if mimic is not None:
        raise ValueError(
            f"joint {name!r} mimics {mimic.get('joint')!r}, expected a joint that moves by itself"
        )
    limit, soft = joint.find("limit"), joint.find("safety_controller")
    if limit is None:
        raise ValueError(f"joint {name!r} has no <limit>")
    velocity = _number(limit, "velocity", math.nan, name)
    effort = _number(limit, "effort", math.nan, name)
    lower, upper = -math.inf, math.inf
    if kind != "continuous":
        lower, upper = (_number(limit, end, 0.0, name) for end in ("lower", "upper"))
        if soft is not None:
            lower = max(lower, _number(soft, "soft_lower_limit", lower, name))
            upper = min(upper, _number(soft, "soft_upper_limit", upper, name))
        if not (math.isfinite(lower) and math.isfinite(upper) and lower < upper):
            raise ValueError(
                f"joint {name!r} has lower {lower}, upper {upper}; expected lower < upper"
                + " (its soft limits included)" * (soft is not None)
            )
    if not 0 < velocity < math.inf:
        raise ValueError(f"joint {name!r} has velocity {velocity}, expected a positive number")
    return JointLimit(lower, upper, velocity, effort)


def _number(element: ElementTree.Element, key: str, default: float, joint: str) -> float:
    """An attribute as a number; ValueError if it is none or, though it is given, not a number."""
    text = element.get(key)
    if text is None:
        return default
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if math.isnan(number):
        raise ValueError(f"joint {joint!r}: {key} is {text!r}, expected a number")
    return number
