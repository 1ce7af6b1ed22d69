# SPDX-License-Identifier: Apache-2.0
"""One picture for seconds is said if the arm moved meanwhile, and only then."""

import array
import random

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot.frozen_camera import FrozenCamera

PICTURE = bytes(random.Random(0).randbytes(90_000))
FROZEN = "the same picture for 4.0 s while the arm moved: is the camera frozen?"


def changed(at: int) -> bytes:
    """The picture with one other byte."""
    return PICTURE[:at] + bytes([PICTURE[at] ^ 1]) + PICTURE[at + 1 :]


def look(
    pictures: list[bytes], speed: float = 0.05, camera: FrozenCamera | None = None, begin: int = 0
) -> FrozenCamera:
    """15 pictures a second while a joint moves."""
    camera = camera or FrozenCamera()
    for k, picture in enumerate(pictures):
        joints = np.array([0.3, speed * (k + begin) / 15, np.nan])
        camera.look(array.array("B", picture), (k + begin) * NS // 15, joints)
    return camera


def test_a_frozen_camera_is_said_after_three_seconds() -> None:
    assert look([PICTURE] * 45).fault() == ""
    assert look([PICTURE] * 61).fault() == FROZEN
    assert look([changed(0)] + [PICTURE] * 61).fault() == FROZEN, "from the second picture on"


def test_a_still_scene_without_noise_is_no_frozen_camera() -> None:
    assert look([PICTURE] * 100, speed=0.0).fault() == ""
    assert look([PICTURE] * 100, speed=0.001).fault() == "", "0.007 rad in all"
    unknown = FrozenCamera()
    for k in range(100):
        unknown.look(PICTURE, k * NS // 15, np.array([np.nan]))
    assert unknown.fault() == ""


@pytest.mark.parametrize("at", [0, 45_001, 89_999])
def test_one_byte_is_a_change(at: int) -> None:
    pictures = [PICTURE, changed(at)] * 50
    assert look([picture for picture in pictures for _ in range(10)]).fault() == ""


def test_it_is_good_again_with_the_first_new_picture() -> None:
    camera = look([PICTURE] * 61)
    assert look([PICTURE[1:]], camera=camera, begin=61).fault() == ""


def test_a_picture_without_data_is_none() -> None:
    assert look([b""] * 100).fault() == ""
