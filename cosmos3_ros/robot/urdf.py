# SPDX-License-Identifier: Apache-2.0
"""Joint limits from a robot description."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree


@dataclasses.dataclass(frozen=True, slots=True)
class JointLimit:
    """The limits of one joint, in rad or m."""

    lower: float  # position range; infinite for a continuous joint
    upper: float
    velocity: float  # largest speed, per s
    effort: float  # largest torque or force, Nm or N


def read_limits(path: str | Path, joints: Sequence[str]) -> list[JointLimit]:
    """The limits of these joints in a URDF file, the soft ones where it has them.

    ValueError names what is missing.
    """
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError) as error:
        raise ValueError(f"robot description {str(path)!r} cannot be read: {error}") from error
    found = {joint.get("name"): joint for joint in root.iter("joint")}
    if missing := [name for name in joints if name not in found]:
        raise ValueError(f"robot description {str(path)!r} lacks the joints {missing}")
    return [_limit(found[name], name) for name in joints]


def _limit(joint: ElementTree.Element, name: str) -> JointLimit:
    limit, soft = joint.find("limit"), joint.find("safety_controller")
    if limit is None:
        raise ValueError(f"robot description: joint {name!r} has no <limit>")
    endless = joint.get("type") == "continuous"
    try:
        lower, upper = (
            (-math.inf, math.inf)
            if endless
            else (float(limit.get(k, "nan")) for k in ("lower", "upper"))
        )
        if soft is not None and not endless:
            lower = max(lower, float(soft.get("soft_lower_limit", lower)))
            upper = min(upper, float(soft.get("soft_upper_limit", upper)))
        found = JointLimit(
            lower, upper, float(limit.get("velocity", "nan")), float(limit.get("effort", "nan"))
        )
    except ValueError as error:
        raise ValueError(f"robot description: limits of joint {name!r}: {error}") from error
    if not found.lower < found.upper or not found.velocity > 0:
        raise ValueError(
            f"robot description: joint {name!r} has lower {found.lower}, upper {found.upper}, "
            f"velocity {found.velocity}; expected lower < upper and a positive velocity"
        )
    return found
