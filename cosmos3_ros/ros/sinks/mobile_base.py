# SPDX-License-Identifier: Apache-2.0
"""A mobile base: columns of a chunk that are velocities, sent as twists within limits."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import Twist

from ...execution.mobile_base.velocity_ramp import VelocityRamp
from ...model.option_fields import param
from .. import topics
from ..messages import twist_message

NONE = "none"
OUTPUTS = {"twist_stamped": topics.BASE_TWIST_STAMPED, "twist": topics.BASE_TWIST}
AXES = (0, 1, 5)  # of a twist: forward, to the left, turning to the left


@dataclasses.dataclass(frozen=True)
class MobileBaseParams:
    """Parameters of a node that leads a mobile base."""

    mobile_base_output: str = param(
        NONE,
        "what a mobile base takes on mobile_base_controller/cmd_vel: twist_stamped, twist, or "
        "none: there is no base",
        choices=(NONE, *OUTPUTS),
    )
    mobile_base: list[str] = param(
        [],
        "columns of a chunk that are the base's velocities: forward, to the left, turning to the "
        "left; '' for what it cannot do [m/s, m/s, rad/s]",
    )
    mobile_base_velocity: list[float] = param(
        [], "largest magnitude of each of the three [m/s, m/s, rad/s]"
    )
    mobile_base_acceleration: list[float] = param(
        [], "largest change of each of the three, a stop's included [m/s^2, m/s^2, rad/s^2]"
    )
    mobile_base_frame: str = param("base_link", "frame of the base, in stamped twists")

    @property
    def base_columns(self) -> tuple[str, ...]:
        """The columns of a chunk that are velocities."""
        return tuple(filter(None, self.mobile_base))

    def check_mobile_base(self, joints: list[str]) -> None:
        """ValueError if its parameters contradict each other; joints: what else is commanded."""
        if self.mobile_base_output == NONE:
            if self.mobile_base:
                raise ValueError(
                    f"parameter 'mobile_base_output' is {NONE!r}: expected "
                    f"{' or '.join(OUTPUTS)} for 'mobile_base' {self.mobile_base}"
                )
            return
        named = self.base_columns
        if len(self.mobile_base) != 3 or not named or len({*named}) != len(named):
            raise ValueError(
                "parameter 'mobile_base': expected three distinct columns, forward, to the left "
                f"and turning, '' for one that the base lacks, got {self.mobile_base}"
            )
        if twice := {*named} & {*joints}:
            raise ValueError(
                f"parameter 'mobile_base': {sorted(twice)[0]!r} is a joint, too: expected other "
                "columns of a chunk"
            )
        for name in ("mobile_base_velocity", "mobile_base_acceleration"):
            values = getattr(self, name)
            if len(values) != 3 or min(self._of_named(values)) <= 0:
                raise ValueError(
                    f"parameter {name!r}: expected three numbers, positive for each of "
                    f"{[*named]}, got {values}"
                )

    def ramp(self) -> VelocityRamp:
        """What keeps the limits of the columns."""
        limits = (self.mobile_base_velocity, self.mobile_base_acceleration)
        return VelocityRamp(*(np.array(self._of_named(values)) for values in limits))

    def axes(self) -> list[int]:
        """The component of a twist that each of the columns is."""
        return [axis for axis, name in zip(AXES, self.mobile_base, strict=True) if name]

    def _of_named(self, values: list[float]) -> list[float]:
        return [value for value, name in zip(values, self.mobile_base, strict=True) if name]


class MobileBase:
    """The controller of a base. It hears zero before silence, and nothing in a dry run."""

    gripper = None  # as other sinks have

    def __init__(self, advertise: Callable[[topics.Topic], Any], params: MobileBaseParams) -> None:
        self.topic = OUTPUTS[params.mobile_base_output]
        self.output = advertise(self.topic)
        self._columns, self._axes = params.base_columns, params.axes()
        self._frame, self._ramp = params.mobile_base_frame, params.ramp()
        self._is_told = False  # the base was told a velocity, and not zero since

    @property
    def is_moving(self) -> bool:
        """Whether the base has not been told to stand yet."""
        return self._ramp.is_moving

    def drive(self, wanted: Mapping[str, float], now: int, armed: bool) -> None:
        """Lead the base towards the velocities wanted of its columns; without any to a stop.

        armed: nothing but a stop goes out otherwise.
        """
        aims = armed and wanted.keys() >= {*self._columns}
        target = np.array([wanted[name] for name in self._columns]) if aims else None
        speeds = self._ramp.step(target, now)
        if not armed and not self._is_told:
            return
        self._is_told = armed or bool(speeds.any())
        twist = np.zeros(6)
        twist[self._axes] = speeds
        message = twist_message(twist, now, self._frame)
        self.output.publish(message.twist if self.topic.type is Twist else message)
