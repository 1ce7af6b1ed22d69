# SPDX-License-Identifier: Apache-2.0
"""The parameters that the policy node has about surprise."""

from __future__ import annotations

import dataclasses

from ...execution.surprise.alarm import OFF, REACTIONS, AlarmRules
from ...model.option_fields import check_choice, param


@dataclasses.dataclass(frozen=True)
class SurpriseParams:
    """How predicted futures are compared with what comes, and what is done about an alarm."""

    surprise: str = param(
        OFF,
        "compare each predicted future with what the cameras then show, and at an alarm: report "
        "(nothing else), replan (begin a new chunk at once), shorten (replace chunks after "
        "surprise_horizon rows while it lasts), hold (drop the instruction; the commander holds); "
        "off: nothing is compared",
        choices=REACTIONS,
    )
    surprise_threshold: float = param(
        1.0,
        "a comparison counts from this value on; 1 is what the checkpoint's calibration saw once "
        "in ten minutes without a disturbance",
        live=True,
    )
    surprise_persistence: int = param(
        1, "so many comparisons in a row that count are an alarm", minimum=1, live=True
    )
    surprise_horizon: int = param(
        4, "with shorten: rows of a chunk to execute, in place of more", minimum=1, live=True
    )

    def check_surprise(self) -> None:
        """ValueError names a parameter that cannot be."""
        check_choice("surprise", self.surprise, REACTIONS)
        if not self.surprise_threshold > 0:
            raise ValueError(
                "parameter 'surprise_threshold': expected a positive number, got "
                f"{self.surprise_threshold}"
            )

    def alarm(self) -> AlarmRules:
        """When it is an alarm."""
        return AlarmRules(self.surprise_threshold, self.surprise_persistence)
