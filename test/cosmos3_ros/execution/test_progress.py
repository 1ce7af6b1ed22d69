# SPDX-License-Identifier: Apache-2.0
"""Something due that does not happen."""

from cosmos3_ros.execution.progress import Progress

NS = 10**9


def test_it_stands_since_the_last_change_or_since_it_was_not_due() -> None:
    progress = Progress()
    assert progress.stands(0, 5 * NS, due=True) == 0.0
    assert progress.stands(0, 7 * NS, due=True) == 2.0
    assert progress.stands(1, 8 * NS, due=True) == 0.0
    assert progress.stands(1, 9 * NS, due=False) == 0.0
    assert progress.stands(1, 12 * NS, due=True) == 3.0
