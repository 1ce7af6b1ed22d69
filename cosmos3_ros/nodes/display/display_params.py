# SPDX-License-Identifier: Apache-2.0
"""The parameters of the display node."""

from __future__ import annotations

import dataclasses

from ...model.embodiment.units import ANGLE, LENGTH, UNITS
from ...model.option_fields import check, param
from ...robot.kinematics.tool_params import ToolParams
from ...ros.lifecycle import LifecycleParams


@dataclasses.dataclass(frozen=True)
class Params(LifecycleParams, ToolParams):
    """Parameters of the display node; without `tool_frame` it publishes no path."""

    urdf: str = param(
        "",
        "robot description for the path of the tool: the path of a URDF file, or "
        "topic:///robot_description; empty: no path",
    )
    joints: list[str] = param(
        [], "joints of a chunk that move the tool; empty: all that the robot description has"
    )
    units: list[str] = param([], "rad, deg, m or mm of each of `joints`; empty: rad and m")

    def __post_init__(self) -> None:
        check(self)
        known = [unit for unit, (quantity, _) in UNITS.items() if quantity in (ANGLE, LENGTH)]
        if len(self.units) not in (0, len(self.joints)) or {*self.units} - {*known}:
            raise ValueError(
                f"parameter 'units': expected one of {known} for each of the {len(self.joints)} "
                f"'joints', got {self.units}"
            )
        if self.tool_frame and not self.urdf:
            raise ValueError(
                f"parameter 'urdf' is empty: expected the robot description that has tool_frame "
                f"{self.tool_frame!r}"
            )

    def scale(self, joint: str) -> float:
        """rad or m of 1.0 of a joint."""
        named = dict(zip(self.joints, self.units or ["rad"] * len(self.joints), strict=True))
        return UNITS[named.get(joint, "rad")][1]
