# SPDX-License-Identifier: Apache-2.0
"""Pictures of a run: what is written on them can be read."""

import numpy as np

from cosmos3_ros.apps.film import write


def test_the_dark_edge_is_as_wide_as_the_text() -> None:
    """One pixel around the white of every letter, so that no letter lies on the edge of another."""
    picture = np.full((40, 300, 3), 128, np.uint8)
    write(picture, "predicted for this moment", (10, 20))
    white, dark = (
        np.flatnonzero(columns)
        for columns in ((picture > 200).any((0, 2)), (picture < 60).any((0, 2)))
    )
    assert abs(white[0] - dark[0]) <= 2
    assert abs(white[-1] - dark[-1]) <= 2
