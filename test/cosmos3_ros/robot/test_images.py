# SPDX-License-Identifier: Apache-2.0
"""Camera messages become RGB pictures, whatever the camera sends.

A wrong one says what is wrong.
"""

import array
import importlib.util

import cv2
import numpy as np
import pytest

pytestmark = pytest.mark.ros

SCENE = np.zeros((6, 8, 3), np.uint8)
SCENE[:, :4] = (200, 30, 60)
SCENE[:, 4:] = (10, 120, 220)


def message(pixels: np.ndarray, encoding: str, pad: int = 0, big: bool = False):  # a ROS type
    """An Image as a driver might fill it: rows padded by `pad` bytes, big endian if asked."""
    from sensor_msgs.msg import Image

    if big:
        pixels = pixels.astype(pixels.dtype.newbyteorder(">"))
    rows = [row.tobytes() + b"\x55" * pad for row in pixels]
    out = Image(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        step=len(rows[0]),
        is_bigendian=int(big),
    )
    out.data = array.array("B", b"".join(rows))
    return out


def converted(name: str) -> np.ndarray:
    """The scene as pixels of an encoding."""
    sixteen = SCENE.astype(np.uint16) * 257
    alpha = np.full((*SCENE.shape[:2], 1), 7, np.uint8)
    return {
        "rgb8": SCENE,
        "bgr8": SCENE[:, :, ::-1],
        "rgba8": np.concatenate([SCENE, alpha], 2),
        "bgra8": np.concatenate([SCENE[:, :, ::-1], alpha], 2),
        "rgb16": sixteen,
        "bgr16": sixteen[:, :, ::-1],
    }[name]


@pytest.mark.parametrize("pad", [0, 5])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_color_images(encoding: str, pad: int) -> None:
    from cosmos3_ros.robot.images import to_rgb

    assert np.array_equal(to_rgb(message(converted(encoding), encoding, pad)), SCENE)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("encoding", ["rgb16", "bgr16"])
def test_sixteen_bit_images_of_both_byte_orders(encoding: str, big: bool) -> None:
    from cosmos3_ros.robot.images import to_rgb

    assert np.array_equal(to_rgb(message(converted(encoding), encoding, 4, big)), SCENE)


@pytest.mark.parametrize("encoding", ["mono8", "mono16"])
def test_gray_images_have_three_equal_channels(encoding: str) -> None:
    from cosmos3_ros.robot.images import to_rgb

    gray = SCENE[:, :, 0] if encoding == "mono8" else SCENE[:, :, 0].astype(np.uint16) * 257
    assert np.array_equal(to_rgb(message(gray, encoding)), np.repeat(SCENE[:, :, :1], 3, 2))


@pytest.mark.parametrize("encoding", ["bayer_rggb8", "bayer_bggr8", "bayer_gbrg8", "bayer_grbg8"])
def test_bayer_images_keep_their_colors(encoding: str) -> None:
    from cosmos3_ros.robot.images import to_rgb

    pattern = {"r": 0, "g": 1, "b": 2}
    letters = encoding[6:10]
    flat = np.zeros((16, 16), np.uint8)
    for k, letter in enumerate(letters):
        flat[k // 2 :: 2, k % 2 :: 2] = (200, 30, 60)[pattern[letter]]
    middle = to_rgb(message(flat, encoding))[4:-4, 4:-4]
    assert np.abs(middle.astype(int) - (200, 30, 60)).max() <= 2


@pytest.mark.parametrize(("encoding", "order"), [("yuv422", (1, 0)), ("yuv422_yuy2", (0, 1))])
def test_yuv_images_keep_their_colors(encoding: str, order: tuple[int, int]) -> None:
    from cosmos3_ros.robot.images import to_rgb

    y, u, v = 108, 90, 200  # a red
    packed = np.zeros((6, 8, 2), np.uint8)
    packed[:, :, order[0]] = y
    packed[:, 0::2, order[1]], packed[:, 1::2, order[1]] = u, v
    red, green, blue = to_rgb(message(packed, encoding))[3, 4].astype(int)
    assert red > 180
    assert green < 90
    assert blue < 80


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".jpg", 12)])
def test_compressed_images(suffix: str, tolerance: int) -> None:
    from sensor_msgs.msg import CompressedImage

    from cosmos3_ros.robot.images import to_rgb

    big = np.repeat(np.repeat(SCENE, 8, 0), 8, 1)
    _, data = cv2.imencode(suffix, big[:, :, ::-1])
    rgb = to_rgb(CompressedImage(format=suffix[1:], data=array.array("B", data.tobytes())))
    assert np.abs(rgb[20, [5, 60]].astype(int) - big[20, [5, 60]]).max() <= tolerance


def test_a_picture_survives_our_own_jpeg() -> None:
    from cosmos3_ros.robot.images import encode, to_rgb

    big = np.repeat(np.repeat(SCENE, 8, 0), 8, 1)
    assert np.abs(to_rgb(encode(big))[20, 60].astype(int) - big[20, 60]).max() <= 6


def test_depth_is_a_view_in_its_own_byte_order() -> None:
    from cosmos3_ros.robot.images import to_numpy

    depth = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000
    seen = to_numpy(message(depth, "16UC1", pad=6, big=True))
    assert np.array_equal(seen, depth)
    assert seen.base is not None


def test_fill_round_trip_and_its_check() -> None:
    from sensor_msgs.msg import Image

    from cosmos3_ros.robot.images import fill, to_numpy

    assert np.array_equal(to_numpy(fill(Image(), SCENE, "rgb8")), SCENE)
    with pytest.raises(ValueError, match="expected uint8 with 3"):
        fill(Image(), SCENE.astype(np.float32), "rgb8")


def test_wrong_images_say_what_is_wrong() -> None:
    from sensor_msgs.msg import CompressedImage, Image

    from cosmos3_ros.robot.images import to_numpy, to_rgb

    short = message(SCENE, "rgb8")
    short.data = short.data[:-1]
    with pytest.raises(ValueError, match="143 bytes for 6 rows of 24 bytes"):
        to_rgb(short)
    with pytest.raises(ValueError, match="'nonsense'"):
        to_rgb(message(SCENE, "nonsense"))
    with pytest.raises(ValueError, match="empty"):
        to_numpy(Image(encoding="rgb8"))
    for data in (b"", b"not a jpeg"):
        with pytest.raises(ValueError, match="does not decode"):
            to_rgb(CompressedImage(format="jpeg", data=array.array("B", data)))


@pytest.mark.skipif(
    importlib.util.find_spec("cv_bridge") is None, reason="cv_bridge: only on a ROS install"
)
def test_the_same_as_cv_bridge() -> None:
    from cv_bridge import CvBridge

    from cosmos3_ros.robot.images import to_rgb

    channels = {
        "mono8": (),
        "bayer_rggb8": (),
        "bayer_grbg8": (),
        "yuv422": (2,),
        "rgb8": (3,),
        "bgr8": (3,),
        "rgba8": (4,),
    }
    for encoding, shape in channels.items():
        pixels = np.random.default_rng(0).integers(0, 256, (16, 16, *shape), np.uint8)
        ours, theirs = (
            to_rgb(message(pixels, encoding)),
            CvBridge().imgmsg_to_cv2(message(pixels, encoding), "rgb8"),
        )
        assert np.abs(ours.astype(int) - theirs).max() <= 1, encoding
