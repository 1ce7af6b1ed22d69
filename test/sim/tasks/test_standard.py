# SPDX-License-Identifier: Apache-2.0
"""The scenes of the standard tasks: what has been trained and measured on them depends on them."""

import hashlib

import numpy as np

from cosmos3_ros.sim.tasks import arrange, instruction
from cosmos3_ros.sim.tasks.standard import STANDARD


def test_a_seed_means_the_scene_that_it_always_meant():
    """New tasks must not change old ones: a changed digest makes all published figures void."""
    numbers: list[float] = []
    words = []
    for task in STANDARD:
        for seed in (0, 1, 99, 1_000_000):
            layout = arrange(task, seed)
            words.append(instruction(task, layout))
            numbers += [value for cube in layout.cubes.values() for value in cube]
            numbers += [*layout.start, *layout.place, layout.drawer, layout.look.light]
            numbers += [value for pair in layout.look.cameras.values() for v in pair for value in v]
    digest = hashlib.sha256(np.array(numbers).round(9).tobytes() + "\n".join(words).encode())
    assert digest.hexdigest()[:12] == "df21e0ae11c0"
