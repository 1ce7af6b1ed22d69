# SPDX-License-Identifier: Apache-2.0
"""Tasks and actions of worlds, and what is refused of them."""

import subprocess
import sys

import numpy as np
import pytest

from cosmos3_ros.training.worlds.world import check_action, check_world, parse_tasks


def test_tasks_are_named_one_by_one_or_by_group(ideal):
    assert check_world("here", ideal) is ideal
    assert parse_tasks(ideal, "") == parse_tasks(ideal, "all") == ["1", "2", "3"]
    assert parse_tasks(ideal, "far, 2") == ["3", "2"]
    assert parse_tasks(ideal, "near,1") == ["1", "2"]
    with pytest.raises(ValueError, match=r"^task of ideal: expected all or .*near, far, 1, 2, 3"):
        parse_tasks(ideal, "1,4")
    for text in ("1,", ",", "far,,2"):  # not all of them
        with pytest.raises(ValueError, match=r"got ''$"):
            parse_tasks(ideal, text)
    with pytest.raises(ValueError, match="expected one of 1, 2, 3, got '9'"):
        ideal.reset("9", 0)


@pytest.mark.parametrize("action", [np.zeros(3), np.full(4, np.nan), [[0, 0, 0, 0]]])
def test_actions_of_another_kind_are_refused(action):
    with pytest.raises(ValueError, match="action of here: expected 4 finite numbers"):
        check_action("here", action, 4)


def test_a_world_is_closed_before_what_it_draws_with():
    script = """
import atexit
from cosmos3_ros.training.worlds.world import close_at_exit
class Drawn:
    def close(self): print("closed")
world = Drawn()
close_at_exit(world)
atexit.register(print, "its library ended")  # as MuJoCo's EGL at the first picture
close_at_exit(world)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["closed", "its library ended"]
