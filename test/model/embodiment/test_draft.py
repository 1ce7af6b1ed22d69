# SPDX-License-Identifier: Apache-2.0
"""A first embodiment from what is seen of a robot: it is one that may be written and read."""

import math

import numpy as np
import pytest

from cosmos3_ros.model.embodiment.draft import Seen, draft_canvas, draft_columns, draft_embodiment
from cosmos3_ros.model.embodiment.embodiment_file import read_embodiment
from cosmos3_ros.model.embodiment.embodiment_yaml import write_embodiment

ARM = [Seen("finger_joint", 0.0, 0.8), *(Seen(f"joint_{number}", -1, 1) for number in range(6))]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("small", [True, False])
def test_any_number_of_cameras_is_a_file(count, small, tmp_path):
    cameras = {f"camera_{number}": (720, 1280) for number in range(count)}
    drafted = draft_embodiment("mine", ARM, cameras, 15.0, small)
    file = tmp_path / "mine.yaml"
    write_embodiment(file, drafted)
    assert read_embodiment(file) == drafted
    picture = {view: np.zeros((72, 128, 3), np.uint8) for view in drafted.views}
    assert drafted.compose(picture).shape == (*drafted.canvas.size, 3)
    assert all(view.replace("_", " ") in drafted.view_description for view in cameras) == (
        count > 1
    )
    assert drafted.state[-1].name == "finger_joint"  # grippers are last


def test_what_was_droids_becomes_droids_panels():
    cameras = {"wrist": (720, 1280), "exterior_1": (720, 1280), "exterior_2": (720, 1280)}
    panels = draft_canvas(cameras, 640).panels
    assert [(p.top, p.left, p.height, p.width) for p in panels] == [
        (0, 0, 352, 640),
        (352, 0, 192, 320),
        (352, 320, 192, 320),
    ]


@pytest.mark.parametrize(
    ("low", "high", "unit"),
    [(-1.5, 3.1, "rad"), (-100.0, 20.0, "deg"), (800.0, 3000.0, "ticks")],
)
def test_the_joints_of_a_robot_count_alike(low, high, unit):
    moving, still = draft_columns([Seen("a", low, high), Seen("b", 0.0, 0.1)])
    assert moving.unit == still.unit == unit
    said = draft_columns([Seen("a", low, high, "rad")])
    assert said[0].unit == "rad"


def test_a_gripper_that_did_not_move_keeps_the_unit_of_where_it_is():
    """Its ends are to be corrected by a person."""
    for at, unit in ((0.057, "m"), (0.5, "rad"), (40.0, "percent")):
        (gripper,) = draft_columns([Seen("gripper", at, at)])
        assert gripper.unit == unit
        assert gripper.opened != gripper.closed


def test_nothing_seen_is_nothing_to_describe():
    with pytest.raises(ValueError, match=r"expected joints and cameras, got \[\] and \['front'\]"):
        draft_embodiment("mine", [], {"front": (48, 64)}, 15.0)


@pytest.mark.parametrize("rate", [1e-300, 0.0, math.nan, 5000.0])
def test_a_rate_that_no_robot_has_is_named(rate):
    with pytest.raises(ValueError, match=r"expected 0\.01 to 1000 rows a second, got"):
        draft_embodiment("mine", [Seen("joint", 0.0, 1.0)], {"front": (48, 64)}, rate)


def test_a_unit_that_is_none_is_named():
    with pytest.raises(ValueError, match=r"grip: expected a unit of \['rad', .*, got 'braction'"):
        draft_columns([Seen("joint", 0.0, 1.0), Seen("grip", 0.0, 1.0, "braction")])
