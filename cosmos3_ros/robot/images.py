# SPDX-License-Identifier: Apache-2.0
"""sensor_msgs images to and from numpy.

Raw encodings are numpy views (honoring step and endianness); Bayer and YUV go through OpenCV,
compressed images through `model/media/picture.py`; whatever else cv_bridge converts is left to
cv_bridge where it is installed.
"""

from __future__ import annotations

import array
import sys
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ..model.media.picture import decode_picture, open_picture
from ..model.media.picture import to_rgb as picture_to_rgb
from .pixel_formats import BAYER, COLOR, KNOWN, PACKED, PLANES, demosaic, is_depth, layout, to_color

if TYPE_CHECKING:  # messages out of a bag are read without ROS
    from sensor_msgs.msg import CompressedImage, Image


def to_numpy(msg: Image) -> np.ndarray:
    """The pixels of a raw image as they are: a view [H, W] or [H, W, C] on msg.data, no copy.

    ValueError if the encoding is unknown or height, width, step and the data contradict each other.
    """
    dtype, channels = layout(msg.encoding)
    dtype = dtype.newbyteorder(">" if msg.is_bigendian else "<")
    pixel = channels * dtype.itemsize
    step = _step(msg, msg.width * pixel, f"{msg.width} pixels of {pixel} bytes")
    if step % dtype.itemsize:
        raise ValueError(
            f"image step {step}: expected a multiple of {dtype.itemsize} ({msg.encoding})"
        )
    if len(msg.data) < step * (msg.height - 1) + msg.width * pixel:
        raise ValueError(
            f"image data too short: {len(msg.data)} bytes for {msg.height} rows of {step} bytes "
            f"({msg.encoding}, width {msg.width})"
        )
    held, rest = divmod(len(msg.data), msg.height)
    if msg.step and held > step and not rest:
        raise ValueError(
            f"image step {step}: the data are {msg.height} rows of {held} bytes "
            f"({msg.encoding}, width {msg.width})"
        )
    pixels = np.ndarray(
        (msg.height, msg.width, channels),
        dtype,
        buffer=msg.data,
        strides=(step, pixel, dtype.itemsize),
    )
    return pixels[:, :, 0] if channels == 1 else pixels


def _step(msg: Image, row: int, meaning: str) -> int:
    """Bytes from row to row: 0 stands for a full one (`row`); ValueError if it is less."""
    if not msg.height or not msg.width:
        raise ValueError(f"image is empty: height {msg.height}, width {msg.width}")
    step = msg.step or row
    if step < row:
        raise ValueError(f"image step {step}: expected at least {row}, {meaning} ({msg.encoding})")
    return step


def to_rgb(msg: Image | CompressedImage) -> np.ndarray:
    """The image as uint8 [H, W, 3] RGB, contiguous; ValueError says why it cannot be had.

    A view on msg.data if that is what the message holds.
    """
    if hasattr(msg, "format"):
        return decode(msg)
    if msg.encoding in COLOR:
        return to_color(to_numpy(msg), *COLOR[msg.encoding])
    if msg.encoding in BAYER:
        return demosaic(to_numpy(msg), msg.encoding)
    if msg.encoding in PLANES:
        return _planes(msg)
    if msg.encoding in PACKED:
        if msg.width % 2:
            raise ValueError(f"image width {msg.width}: {msg.encoding} has an even one")
        return cv2.cvtColor(np.ascontiguousarray(to_numpy(msg)), PACKED[msg.encoding])
    if is_depth(msg.encoding):
        raise ValueError(f"image encoding {msg.encoding!r} is depth, not colors; expected {KNOWN}")
    return _with_cv_bridge(msg)


def _planes(msg: Image) -> np.ndarray:
    """Luma rows of `step` bytes, then chroma rows; sides may be odd where chroma are halved."""
    height, width, full = msg.height, msg.width, msg.encoding == "nv24"
    step = _step(msg, width, f"{width} pixels")
    rows, pairs = (height, width) if full else (-(-height // 2), -(-width // 2))
    chroma_step = 2 * step if full else max(step, 2 * pairs)
    begin, data = height * step, np.frombuffer(msg.data, np.uint8)
    if len(data) < begin + (rows - 1) * chroma_step + 2 * pairs:
        raise ValueError(
            f"image data too short: {len(data)} bytes for {height} rows of {step} bytes and "
            f"{rows} of {chroma_step} with chroma ({msg.encoding}, width {width})"
        )
    luma = np.ndarray((height, width), np.uint8, data, strides=(step, 1))
    chroma = np.ndarray((rows, pairs, 2), np.uint8, data, begin, (chroma_step, 2, 1))
    if full:  # as the halved chroma of a picture of twice the size
        luma = cv2.resize(luma, None, fx=2, fy=2, interpolation=cv2.INTER_NEAREST)
    else:
        luma = cv2.copyMakeBorder(luma, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    rgb = cv2.cvtColorTwoPlane(luma, np.ascontiguousarray(chroma), PLANES[msg.encoding])
    return np.ascontiguousarray(rgb[::2, ::2] if full else rgb[:height, :width])


def _with_cv_bridge(msg: Image) -> np.ndarray:
    try:
        from cv_bridge import CvBridge  # only on a ROS install
    except ImportError:
        raise ValueError(
            f"image encoding {msg.encoding!r} has no colors that are known here; expected {KNOWN}"
        ) from None
    bridge: Any = CvBridge()
    try:
        return np.ascontiguousarray(bridge.imgmsg_to_cv2(msg, "rgb8"))
    except Exception as error:  # cv_bridge raises its own and OpenCV's errors
        raise ValueError(
            f"image encoding {msg.encoding!r}: cv_bridge cannot convert it: {error}"
        ) from error


def decode(msg: CompressedImage) -> np.ndarray:
    """A JPEG or PNG message as uint8 [H, W, 3] RGB.

    ValueError if it does not decode, is damaged or holds depth. The format is that of
    image_transport: "<encoding>; jpeg compressed <order of the pixels that were compressed>", or
    only "jpeg".
    """
    what = f"compressed image (format {msg.format!r})"
    encoding, _, how = msg.format.partition(";")
    encoding = encoding.strip()
    if is_depth(encoding) or "compresseddepth" in how.lower():
        raise ValueError(f"{what} is depth, not colors; expected a camera's colors as JPEG or PNG")
    image = open_picture(bytes(msg.data), what)
    gray = image.mode == "L" or image.mode.startswith("I;16")
    if encoding in BAYER and gray:
        pixels = np.asarray(image)
        return demosaic(pixels, encoding.rstrip("0123456789") + str(8 * pixels.itemsize))
    pixels = picture_to_rgb(image, what, camera=encoding != "mono16")
    exchanged = "compressed rgb" in how and image.mode not in ("1", "L", "LA")
    return np.ascontiguousarray(pixels[:, :, ::-1]) if exchanged else pixels


def decode_bytes(data: bytes | array.array | np.ndarray, what: str) -> np.ndarray:
    """The bytes of a camera's picture (JPEG, PNG, ...) as uint8 [H, W, 3] RGB.

    ValueError says that `what` does not decode, is damaged or holds depth.
    """
    return decode_picture(bytes(data), what, camera=True)


def fill(msg: Image, image: np.ndarray, encoding: str) -> Image:
    """Put `image` into `msg` without a copy per element, and return `msg`.

    image: [H, W] or [H, W, C], of the scalar type of `encoding`; ValueError if it is not.
    """
    dtype, channels = layout(encoding)
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
