# SPDX-License-Identifier: Apache-2.0
"""Pictures and clips as parts of an OpenAI message, in data URIs."""

from __future__ import annotations

import base64
import io
from fractions import Fraction
from typing import Any

import av
import cv2
import numpy as np

from ...model.interface import Clip

_QUALITY = {"crf": "10", "preset": "veryfast"}  # hardly to be told from the frames


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
    """The frames of a clip, two or more, as H.264 in a data URI.

    4:2:0, which every decoder has: an odd last row or column is shown twice.
    """
    file, (height, width) = io.BytesIO(), clip.frames[0].shape[:2]
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=frame_rate(clip), options=_QUALITY)
        stream.height, stream.width = height + height % 2, width + width % 2
        stream.pix_fmt = "yuv420p"
        for frame in clip.frames:
            even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(even, format="rgb24")))
        container.mux(stream.encode())
    return f"data:video/mp4;base64,{base64.b64encode(file.getvalue()).decode()}"
