# SPDX-License-Identifier: Apache-2.0
"""How many networks are trained, and for how many steps, unless said otherwise.

No torch: the help of `cosmos3 calibrate` names both.
"""

from __future__ import annotations

NETWORKS, STEPS = 4, 450
