# SPDX-License-Identifier: Apache-2.0
"""When an arm stands, as whoever watches the joints' topic can tell; real graphs are elsewhere."""

import math
import types

import pytest

pytestmark = pytest.mark.ros


def rows(*positions: float, step: float = 0.05) -> types.SimpleNamespace:
    measured = [[step * k, position, math.nan] for k, position in enumerate(positions)]
    return types.SimpleNamespace(measured=measured)


@pytest.mark.parametrize(
    ("seen", "stands"),
    [
        (rows(), False),
        (rows(0.1), False),
        (rows(*[0.1] * 3), False),  # not for so long yet
        (rows(*[0.1] * 20), True),
        (rows(0.5, *[0.1] * 6), True),
        (rows(*[0.1] * 8, 0.11), False),
        (rows(*[0.1 + 0.01 * k for k in range(20)]), False),
        (rows(*[0.1 + 1e-4 * k for k in range(20)]), True),
        (rows(*[0.1] * 20, step=1e-3), False),
    ],
)
def test_an_arm_stands_that_was_at_one_place_for_a_while(
    seen: types.SimpleNamespace, stands: bool
) -> None:
    from cosmos3_ros.apps.topic_recorder import Recorder

    assert Recorder.stands(seen, -math.inf) is stands  # type: ignore[arg-type]


def test_that_it_stood_before_says_nothing_about_what_it_was_told_since() -> None:
    """Set points of a brake come for a few control periods after the arm is disarmed."""
    from cosmos3_ros.apps.topic_recorder import Recorder

    seen = rows(*[0.1] * 20)
    seen.measured += [[1.0 + 0.05 * k, 0.1, math.nan] for k in range(8)]
    told = [Recorder.stands(seen, since) for since in (0.9, 1.05, 1.15, 1.35)]  # type: ignore[arg-type]
    assert told == [True, True, False, False]
