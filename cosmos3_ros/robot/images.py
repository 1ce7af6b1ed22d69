# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs images to and from numpy.

Raw encodings are numpy views (honoring step and endianness); Bayer, YUV and
compressed images go through OpenCV; whatever else cv_bridge converts is left to cv_bridge where it
is installed.
"""

from __future__ import annotations

import array
import sys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:  # messages out of a bag are read without ROS
    from sensor_msgs.msg import CompressedImage, Image

_TO_RGB = {  # OpenCV is twenty times as fast as indexing
    "bgr": cv2.COLOR_BGR2RGB,
    "rgba": cv2.COLOR_RGBA2RGB,
    "bgra": cv2.COLOR_BGRA2RGB,
    "mono": cv2.COLOR_GRAY2RGB,
}
_COLOR = {f"{order}{bits}": (order, bits) for order in ("rgb", *_TO_RGB) for bits in (8, 16)}
_CV2_CODES = {
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
    "bayer_rggb8": cv2.COLOR_BayerRGGB2RGB,
    "bayer_bggr8": cv2.COLOR_BayerBGGR2RGB,
    "bayer_gbrg8": cv2.COLOR_BayerGBRG2RGB,
    "bayer_grbg8": cv2.COLOR_BayerGRBG2RGB,
}
_CV_TYPES = {
    "8U": "u1",
    "8S": "i1",
    "16U": "u2",
    "16S": "i2",
    "32S": "i4",
    "32F": "f4",
    "64F": "f8",
}


def _layout(encoding: str) -> tuple[np.dtype, int]:
    """Scalar type and channels of a raw encoding; ValueError if it is not one."""
    if encoding in _COLOR:
        order, bits = _COLOR[encoding]
        return np.dtype(f"u{bits // 8}"), 1 if order == "mono" else len(order)
    if encoding in _CV2_CODES:
        return np.dtype("u1"), 1 if encoding.startswith("bayer") else 2
    depth, _, channels = encoding.partition("C")
    if depth in _CV_TYPES and channels in ("", "1", "2", "3", "4"):
        return np.dtype(_CV_TYPES[depth]), int(channels or 1)
    raise ValueError(f"image encoding {encoding!r} is not supported")


def to_numpy(msg: Image) -> np.ndarray:
    """The pixels of a raw image as they are: a view [H, W] or [H, W, C] on msg.data, no copy.

    ValueError if the encoding is unknown or the data are shorter than height, width and step say.
    """
    dtype, channels = _layout(msg.encoding)
    dtype = dtype.newbyteorder(">" if msg.is_bigendian else "<")
    row = msg.width * channels * dtype.itemsize
    step = msg.step or row
    if not msg.height or not msg.width:
        raise ValueError(f"image is empty: height {msg.height}, width {msg.width}")
    if step < row or len(msg.data) < step * (msg.height - 1) + row:
        raise ValueError(
            f"image data too short: {len(msg.data)} bytes for {msg.height} rows of {step} bytes "
            f"({msg.encoding}, width {msg.width})"
        )
    pixels = np.ndarray(
        (msg.height, msg.width, channels),
        dtype,
        buffer=msg.data,
        strides=(step, channels * dtype.itemsize, dtype.itemsize),
    )
    return pixels[:, :, 0] if channels == 1 else pixels


def to_rgb(msg: Image | CompressedImage) -> np.ndarray:
    """The image as uint8 [H, W, 3] RGB, contiguous; ValueError says why it cannot be had.

    A view on msg.data if that is what the message holds.
    """
    if hasattr(msg, "format"):
        return decode(msg)
    if msg.encoding in _COLOR:
        return _color(to_numpy(msg), *_COLOR[msg.encoding])
    if msg.encoding in _CV2_CODES:
        return cv2.cvtColor(np.ascontiguousarray(to_numpy(msg)), _CV2_CODES[msg.encoding])
    return _with_cv_bridge(msg)


def _color(pixels: np.ndarray, order: str, bits: int) -> np.ndarray:
    if bits == 16:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    pixels = np.ascontiguousarray(pixels)
    return pixels if order == "rgb" else cv2.cvtColor(pixels, _TO_RGB[order])


def _with_cv_bridge(msg: Image) -> np.ndarray:
    try:
        from cv_bridge import CvBridge  # only on a ROS install
    except ImportError:
        raise ValueError(
            f"image encoding {msg.encoding!r} has no colors that are known here; "
            "expected rgb8, bgr8, ..."
        ) from None
    bridge: Any = CvBridge()
    try:
        return np.ascontiguousarray(bridge.imgmsg_to_cv2(msg, "rgb8"))
    except Exception as error:  # cv_bridge raises its own and OpenCV's errors
        raise ValueError(
            f"image encoding {msg.encoding!r}: cv_bridge cannot convert it: {error}"
        ) from error


def decode(msg: CompressedImage) -> np.ndarray:
    """A JPEG or PNG message as uint8 [H, W, 3] RGB; ValueError if it does not decode."""
    return decode_bytes(msg.data, f"compressed image (format {msg.format!r})")


def decode_bytes(data: bytes | array.array | np.ndarray, what: str) -> np.ndarray:
    """The bytes of a JPEG or PNG file as uint8 [H, W, 3] RGB.

    ValueError says that `what` does not decode.
    """
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if len(data) else None
    if pixels is None:
        raise ValueError(f"{what} does not decode as JPEG or PNG ({len(data)} bytes)")
    return cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def fill(msg: Image, image: np.ndarray, encoding: str) -> Image:
    """Put `image` into `msg` without a copy per element, and return `msg`.

    image: [H, W] or [H, W, C], of the scalar type of `encoding`; ValueError if it is not.
    """
    dtype, channels = _layout(encoding)
    shape = image.shape[:2] if channels == 1 else (*image.shape[:2], channels)
    if image.dtype != dtype or image.shape != shape:
        raise ValueError(
            f"{encoding}: expected {dtype} with {channels} channel(s), "
            f"got {image.dtype} {list(image.shape)}"
        )
    image = np.ascontiguousarray(image)
    msg.height, msg.width = image.shape[:2]
    msg.encoding, msg.step = encoding, image.nbytes // image.shape[0]
    msg.is_bigendian = int(sys.byteorder == "big")
    data = array.array("B")  # the one type that rclpy takes without converting element by element
    data.frombytes(image.data.cast("B"))
    msg.data = data
    return msg


def encode(image: np.ndarray, quality: int = 90) -> CompressedImage:
    """`image` (uint8 [H, W, 3] RGB) as a JPEG message without a stamp."""
    from sensor_msgs.msg import CompressedImage

    done, jpeg = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )
    if not done:
        raise ValueError(f"image {list(image.shape)} cannot be encoded as JPEG")
    return CompressedImage(format="jpeg", data=array.array("B", jpeg.tobytes()))
