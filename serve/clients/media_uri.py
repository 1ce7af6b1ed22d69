# SPDX-License-Identifier: Apache-2.0
"""Pictures and clips as parts of an OpenAI message, in data URIs."""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from typing import Any

import cv2
import numpy as np

from ...model.interface import Clip
from ...model.media.mp4 import H264, write_mp4

_QUALITY = H264(crf=10)  # hardly to be told from the frames


def media_part(shown: np.ndarray | Clip) -> dict[str, Any]:
    """The part that shows a picture (uint8 [H, W, 3]) or a clip; one frame is a picture."""
    if isinstance(shown, Clip) and len(shown.frames) > 1:
        return {"type": "video_url", "video_url": {"url": mp4_uri(shown)}}
    picture = shown.frames[0] if isinstance(shown, Clip) else shown
    return {"type": "image_url", "image_url": {"url": png_uri(picture)}}


def frame_rate(clip: Clip) -> Fraction:
    """Frames of the clip per second, as if they were evenly spread; 1 if no time passes."""
    span = int(clip.indices[-1] - clip.indices[0]) / clip.fps
    return Fraction((len(clip.frames) - 1) / span).limit_denominator(1000) if span else Fraction(1)


def png_uri(image: np.ndarray) -> str:
    """uint8 [H, W, 3] RGB as a data URI, lossless: same answer as an onboard reasoner."""
    done, png = cv2.imencode(
        ".png", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_PNG_COMPRESSION, 1]
    )
    if not done:
        raise ValueError(f"image {list(image.shape)} cannot be encoded as PNG")
    return f"data:image/png;base64,{base64.b64encode(png.tobytes()).decode()}"


def mp4_uri(clip: Clip) -> str:
    """The frames of a clip, two or more, as H.264 in a data URI."""
    file = io.BytesIO()
    write_mp4(file, clip.frames, frame_rate(clip), _QUALITY)
    return f"data:video/mp4;base64,{base64.b64encode(file.getvalue()).decode()}"
