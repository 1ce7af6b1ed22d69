# SPDX-License-Identifier: Apache-2.0
"""What a robot's numbers and pictures mean to the model. numpy and PyYAML only.

`spec` has the type, `embodiment_file` its form as YAML, data/ the robots that come with the
package, `catalog` finds them.
"""

from .catalog import EMBODIMENTS, SIMULATED, find_embodiment
from .spec import JOINTS, POSES, TWISTS, Embodiment

__all__ = [
    "EMBODIMENTS",
    "JOINTS",
    "POSES",
    "SIMULATED",
    "TWISTS",
    "Embodiment",
    "find_embodiment",
]
