# SPDX-License-Identifier: Apache-2.0
"""Camera messages become RGB pictures, whatever the camera sends.

A wrong one says what is wrong.
"""

import array
import importlib.util
from collections.abc import Callable

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


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_images_keep_their_colors(pattern: str, bits: int, big: bool) -> None:
    from cosmos3_ros.robot.images import to_rgb

    flat = np.zeros((16, 16), f"u{bits // 8}")
    for k, letter in enumerate(pattern):
        flat[k // 2 :: 2, k % 2 :: 2] = {"r": 200, "g": 30, "b": 60}[letter] * 257 ** (bits // 16)
    middle = to_rgb(message(flat, f"bayer_{pattern}{bits}", 2, big))[4:-4, 4:-4]
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


def planes(encoding: str, width: int, height: int, step: int):  # a ROS type
    """A picture red on the left and green on the right as a decoder's buffer holds it."""
    from sensor_msgs.msg import Image

    wide, tall = -(-width // 2) * 2, -(-height // 2) * 2
    scene = np.zeros((tall, wide, 3), np.uint8)
    scene[:, : wide // 2], scene[:, wide // 2 :] = (200, 0, 0), (0, 180, 0)
    flat = cv2.cvtColor(scene, cv2.COLOR_RGB2YUV_I420)
    luma = flat[:height, :width]
    u, v = flat[tall:].reshape(2, tall // 2, wide // 2)
    pairs = np.stack([v, u] if encoding == "nv21" else [u, v], 2)
    if encoding == "nv24":
        pairs = pairs.repeat(2, 0).repeat(2, 1)[:height, :width]
    chroma_step = 2 * step if encoding == "nv24" else max(step, 2 * pairs.shape[1])
    rows = [row.tobytes().ljust(step, b"\x55") for row in luma]
    rows += [row.tobytes().ljust(chroma_step, b"\x55") for row in pairs]
    out = Image(height=height, width=width, encoding=encoding, step=step)
    out.data = array.array("B", b"".join(rows))
    return out


@pytest.mark.parametrize(("width", "height"), [(64, 48), (62, 47), (61, 48), (63, 45)])
@pytest.mark.parametrize("pad", [0, 1, 16])
@pytest.mark.parametrize("encoding", ["nv12", "nv21", "nv24"])
def test_planes_of_luma_and_chroma_keep_their_colors(
    encoding: str, pad: int, width: int, height: int
) -> None:
    from cosmos3_ros.robot.images import to_rgb

    rgb = to_rgb(planes(encoding, width, height, width + pad)).astype(int)
    assert rgb.shape == (height, width, 3)
    assert np.abs(rgb[:, :25] - (200, 0, 0)).max() <= 6
    assert np.abs(rgb[:, -25:] - (0, 180, 0)).max() <= 6


def test_planes_that_do_not_fit_are_refused() -> None:
    from cosmos3_ros.robot.images import to_rgb

    short = planes("nv12", 64, 48, 64)
    short.data = short.data[:-65]
    with pytest.raises(ValueError, match="4543 bytes for 48 rows of 64 bytes and 24 of 64 with"):
        to_rgb(short)
    narrow = planes("nv21", 64, 48, 64)
    narrow.step = 32
    with pytest.raises(ValueError, match=r"step 32: expected at least 64, 64 pixels \(nv21\)"):
        to_rgb(narrow)
    with pytest.raises(ValueError, match="width 7: yuyv has an even one"):
        to_rgb(message(np.zeros((6, 7, 2), np.uint8), "yuyv"))


@pytest.mark.parametrize(("suffix", "tolerance"), [(".png", 0), (".jpg", 12)])
def test_compressed_images(suffix: str, tolerance: int) -> None:
    from sensor_msgs.msg import CompressedImage

    from cosmos3_ros.robot.images import to_rgb

    big = np.repeat(np.repeat(SCENE, 8, 0), 8, 1)
    _, data = cv2.imencode(suffix, big[:, :, ::-1])
    rgb = to_rgb(CompressedImage(format=suffix[1:], data=array.array("B", data.tobytes())))
    assert np.abs(rgb[20, [5, 60]].astype(int) - big[20, [5, 60]]).max() <= tolerance


def compressed(
    pixels: np.ndarray, form: str, suffix: str = ".png", head: bytes = b""
):  # a ROS type
    from sensor_msgs.msg import CompressedImage

    _, data = cv2.imencode(suffix, pixels)
    return CompressedImage(format=form, data=array.array("B", head + data.tobytes()))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
@pytest.mark.parametrize(
    ("form", "exchanged"),
    [
        ("rgb8; {} compressed bgr8", False),
        ("bgr8; {} compressed bgr8", False),
        ("bgr8; {} compressed rgb8", True),
        ("rgb8; {} compressed rgb8", True),
        ("rgb8; {} compressed", False),
        ("{}", False),
        ("", False),
    ],
)
def test_the_format_says_the_order_of_what_was_compressed(
    form: str, exchanged: bool, suffix: str
) -> None:
    from cosmos3_ros.robot.images import to_rgb

    big = np.repeat(np.repeat(SCENE, 8, 0), 8, 1)
    form = form.format("png" if suffix == ".png" else "jpeg")
    rgb = to_rgb(compressed(big if exchanged else big[:, :, ::-1], form, suffix))
    assert np.abs(rgb[20, [5, 60]].astype(int) - big[20, [5, 60]]).max() <= 12


def test_compressed_images_with_alpha_sixteen_bits_gray_and_bayer() -> None:
    from cosmos3_ros.robot.images import to_rgb

    sixteen = SCENE.astype(np.uint16) * 257
    alpha = np.full((*SCENE.shape[:2], 1), 9, np.uint8)
    blue_first = SCENE[:, :, ::-1]
    for pixels, form in (
        (np.concatenate([blue_first, alpha], 2), "rgba8; png compressed bgra8"),
        (np.concatenate([SCENE, alpha], 2), "bgra8; png compressed rgba8"),
        (sixteen[:, :, ::-1], "rgb16; png compressed bgr16"),
    ):
        assert np.array_equal(to_rgb(compressed(pixels, form)), SCENE), form
    gray = np.repeat(SCENE[:, :, :1], 3, 2)
    assert np.array_equal(to_rgb(compressed(sixteen[:, :, 0], "mono16; png compressed ")), gray)
    assert np.array_equal(to_rgb(compressed(SCENE[:, :, 0], "mono8; png compressed ")), gray)
    raw = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    assert np.array_equal(
        to_rgb(compressed(raw, "bayer_gbrg8; png compressed ")), to_rgb(message(raw, "bayer_gbrg8"))
    )


def test_depth_is_refused_raw_and_compressed() -> None:
    from cosmos3_ros.robot.images import decode_bytes, to_rgb

    depth = np.full((90, 160), 2500, np.uint16)
    for wrong in (
        message(depth, "16UC1"),
        message(depth.astype(np.float32), "32FC1"),
        compressed(depth, "16UC1; png compressed "),
        compressed(depth, "16UC1; compressedDepth png", head=bytes(12)),
        compressed(depth, "32FC1; compressedDepth png", head=bytes(12)),
        compressed(depth, "png"),
        compressed(depth, "bgr8; png compressed bgr8"),
    ):
        with pytest.raises(ValueError, match="depth, not colors"):
            to_rgb(wrong)
    with pytest.raises(ValueError, match="picture 3 holds one channel of 16 bit: depth"):
        decode_bytes(cv2.imencode(".png", depth)[1], "picture 3")


def jpeg() -> bytes:
    scene = cv2.GaussianBlur(
        np.random.default_rng(1).integers(0, 256, (96, 128, 3), np.uint8), (5, 5), 2
    )
    return cv2.imencode(".jpg", scene)[1].tobytes()


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda data: data[: len(data) // 2], "its end is missing"),
        (lambda data: data[:-2], "its end is missing"),
        (lambda data: data[: len(data) // 2] + b"\xff\xd9", "pixels are missing"),
        (lambda data: data[: len(data) // 3] + data[len(data) // 3 + 700 :], "pixels are missing"),
        (lambda data: data[:2000] + b"\xff" * 300 + data[2300:], "(its end is|pixels are) missing"),
        # a thumbnail is whole, the picture is not
        (
            lambda data: data[:2] + b"\xff\xe1\x00\x08\xff\xd8\xff\xda\xff\xd9" + data[2:-9],
            "its end is missing",
        ),
    ],
)
def test_damaged_jpegs_are_recognized(harm: Callable[[bytes], bytes], words: str) -> None:
    from sensor_msgs.msg import CompressedImage

    from cosmos3_ros.robot.images import to_rgb

    broken = CompressedImage(format="jpeg", data=array.array("B", harm(jpeg())))
    with pytest.raises(ValueError, match=rf"\(format 'jpeg'\) is damaged: {words} \(\d+ bytes\)"):
        to_rgb(broken)


@pytest.mark.parametrize(
    "options",
    [
        [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        [cv2.IMWRITE_JPEG_RST_INTERVAL, 3],
        [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
        [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444],
        [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422],
    ],
)
@pytest.mark.parametrize("shape", [(96, 128, 3), (37, 51, 3), (37, 51)])
def test_whole_jpegs_of_all_kinds_are_accepted(options: list[int], shape: tuple[int, ...]) -> None:
    """Also with what cameras leave behind the end, or between the pixels and the end."""
    from cosmos3_ros.robot.images import decode_bytes

    pixels = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, shape, np.uint8), (5, 5), 2)
    data = cv2.imencode(".jpg", pixels, options)[1].tobytes()
    for file in (data, data + bytes(4000), data + data[3000:], data[:-2] + b"\x12" + data[-2:]):
        assert decode_bytes(file, "it").shape == (*shape[:2], 3)


def test_a_png_that_was_cut_is_recognized() -> None:
    from cosmos3_ros.robot.images import decode_bytes

    data = cv2.imencode(".png", SCENE)[1].tobytes()
    with pytest.raises(ValueError, match="it is damaged: its end is missing"):
        decode_bytes(data[:-12], "it")


@pytest.mark.parametrize(
    ("encoding", "pixel", "step", "words"),
    [
        ("rgb8", 3, 8, r"step 8: expected at least 24, 8 pixels of 3 bytes \(rgb8\)"),
        ("mono16", 2, 17, r"step 17: expected a multiple of 2 \(mono16\)"),
        ("rgb8", 3, 25, "step 25: the data are 6 rows of 32 bytes"),
        ("rgb8", 3, 40, "too short: 192 bytes for 6 rows of 40 bytes"),
        ("yuyv", 2, 8, "step 8: expected at least 16"),
    ],
)
def test_a_wrong_step_is_named(encoding: str, pixel: int, step: int, words: str) -> None:
    from sensor_msgs.msg import Image

    from cosmos3_ros.robot.images import to_rgb

    image = Image(height=6, width=8, encoding=encoding, step=step)
    image.data = array.array("B", bytes(6 * 32))
    with pytest.raises(ValueError, match=words):
        to_rgb(image)


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
    huge = b"P6 65000 65000 255 "
    for data in (b"", b"not a jpeg", huge):
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
