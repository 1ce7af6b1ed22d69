# SPDX-License-Identifier: Apache-2.0
"""Parameters that nodes have about the tool of an arm."""

from __future__ import annotations

import dataclasses

from ...model.option_fields import param
from .tool_frame import ToolSettings


@dataclasses.dataclass(frozen=True)
class ToolParams:
    """Parameters of every node that asks where the tool is."""

    tool_frame: str = param(
        "", "frame of the robot description that is the tool; needs pinocchio (pip install pin)"
    )
    base_frame: str = param(
        "", "frame that the tool is seen from; empty: the root of the robot description"
    )

    def tool(self, urdf: str) -> ToolSettings:
        """The tool in a robot description; ValueError if one of the two is missing."""
        for name, value in (("urdf", urdf), ("tool_frame", self.tool_frame)):
            if not value:
                raise ValueError(
                    f"parameter {name!r} is empty: expected "
                    + ("a robot description" if name == "urdf" else "the tool's frame in it")
                )
        return ToolSettings(urdf, self.tool_frame, self.base_frame)


@dataclasses.dataclass(frozen=True)
class ToolActionParams(ToolParams):
    """Parameters of a node whose embodiment may act by poses or twists of the tool."""

    urdf: str = param(
        "",
        "robot description for inverse kinematics, where the embodiment acts by poses or twists: "
        "the path of a URDF file, or topic:///robot_description",
    )
    lower: list[float] = param(
        [],
        "lowest position of each arm joint that inverse kinematics gives, as the commander's, and "
        "that a candidate of ~/imagine may have [rad or m]; empty: of the robot description",
    )
    upper: list[float] = param([], "highest position, likewise [rad or m]")
    twist_scale: tuple[float, float] = param(
        (0.05, 0.5),
        "how far 1.0 in a row of twists moves and turns the tool, [m] and [rad]; those of LIBERO's "
        "controller",
    )
    tool_clip: tuple[float, float] = param(
        (0.01, 0.05),
        "reject a chunk with a pose that the tool gets no nearer to than this, [m] and [rad]",
    )

    def check_tool(self) -> None:
        """ValueError names a number that cannot be."""
        for name in ("twist_scale", "tool_clip"):
            if min(values := getattr(self, name)) <= 0:
                raise ValueError(
                    f"parameter {name!r}: expected two positive numbers, got {[*values]}"
                )
