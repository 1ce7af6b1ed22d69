# SPDX-License-Identifier: Apache-2.0
"""What a robot's numbers and pictures mean to the model. numpy only.

`spec` has the type, `presets` the robots that come with the package; both are exported here.
"""

from .presets import (
    AV,
    BRIDGE,
    DROID_CAMERAS,
    DROID_JOINT_POS,
    DROID_SIM,
    DROID_SINGLE_VIEW,
    EMBODIMENTS,
    LIBERO,
    UMI,
    find_embodiment,
)
from .spec import JOINTS, POSES, TWISTS, Embodiment

__all__ = [
    "AV",
    "BRIDGE",
    "DROID_CAMERAS",
    "DROID_JOINT_POS",
    "DROID_SIM",
    "DROID_SINGLE_VIEW",
    "EMBODIMENTS",
    "JOINTS",
    "LIBERO",
    "POSES",
    "TWISTS",
    "UMI",
    "Embodiment",
    "find_embodiment",
]
