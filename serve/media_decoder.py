# SPDX-License-Identifier: Apache-2.0
"""Images and videos in data URIs, to numpy.

Nothing is fetched, and no more is decoded than a limit allows.

Only the named formats are tried: ffmpeg's playlists, for one, would open files and addresses of
their writer's choice.
"""

from __future__ import annotations

import dataclasses
import io
import itertools
import warnings

import av
import numpy as np
from PIL import Image

from ..model.interface import Clip
from ..model.language.vision_encoder import sample_frames
from .http.base64_text import decode_base64, split_data_uri

IMAGES = ("png", "jpeg", "webp", "bmp")
VIDEOS = {
    "mp4": "mp4",
    "quicktime": "mov",
    "webm": "webm",
    "x-matroska": "matroska",
    "x-msvideo": "avi",
}
MAX_PIXELS = 1 << 25  # of one picture: twice a 4K camera's and more
# of a video, 11 minutes at 30 Hz: all have to be decoded to find those that are used
MAX_FRAMES = 20_000
MAX_BYTES = 1 << 30  # of all decoded pictures of one request


@dataclasses.dataclass(frozen=True, slots=True)
class Media:
    """An image or a video as it was sent: kind "image" or "video", its format, base64.

    rate: frames used per second.
    """

    kind: str
    format: str
    data: str
    rate: float = 2.0


def read_uri(kind: str, uri: str, rate: float = 2.0) -> Media:
    """What a data URI holds, not yet decoded.

    ValueError for any other address and for other formats.
    """
    formats = IMAGES if kind == "image" else tuple(VIDEOS)
    expected = f"{kind}_url: expected data:{kind}/{formats[0]};base64,..."
    found = split_data_uri(uri)
    if found is None:
        is_data = uri[:5].lower() == "data:"
        hint = "" if is_data else ": this server opens no addresses and no files"
        raise ValueError(f"{expected}, got {uri[:12]!r}...{hint}")
    main, _, name = found[0].partition("/")
    name = name.replace("jpg", "jpeg")
    if main != kind or name not in formats:
        raise ValueError(
            f"{expected} with one of the formats {', '.join(formats)}, got {found[0][:50]}"
        )
    return Media(kind, name, found[1], rate)


class Decoder:
    """Decodes the media of one request, all together at most `MAX_BYTES`.

    ValueError says what is wrong with one.
    """

    def __init__(self) -> None:
        self._left = MAX_BYTES

    def __call__(self, media: Media) -> np.ndarray | Clip:
        """An image as uint8 [H, W, 3], or those frames of a video that the reasoner looks at."""
        data = decode_base64(f"{media.kind}_url: expected base64 after the comma", media.data)
        return self._image(data, media) if media.kind == "image" else self._video(data, media)

    def _spend(self, what: str, width: int, height: int) -> None:
        if not 0 < width * height <= MAX_PIXELS:
            raise ValueError(f"{what}: expected 1 to {MAX_PIXELS} pixels, got {width} x {height}")
        self._left -= 3 * width * height
        if self._left < 0:
            raise ValueError(
                f"{what}: expected pictures of at most {MAX_BYTES >> 20} MiB in all when decoded"
            )

    def _image(self, data: bytes, media: Media) -> np.ndarray:
        try:
            with warnings.catch_warnings():
                # the check below is stricter
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(io.BytesIO(data), formats=[media.format])
            self._spend("image_url", *image.size)
            return np.asarray(image.convert("RGB"))
        except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise ValueError(
                f"image_url: these {len(data)} bytes do not decode as {media.format}: {error}"
            ) from None

    def _video(self, data: bytes, media: Media) -> Clip:
        """Decodes twice, because only the end tells how many frames there are, and few are used."""
        try:
            with _open(data, media) as container:
                stream = container.streams.video[0]
                fps = float(stream.average_rate or stream.guessed_rate or 0)
                count = sum(map(self._is_one, itertools.count(), container.decode(stream)))
            indices = sample_frames(count, fps, media.rate)
            with _open(data, media) as container:
                kept = set(indices.tolist())
                frames = [
                    self._keep(f)
                    for index, f in enumerate(container.decode(video=0))
                    if index in kept
                ]
        except (av.FFmpegError, IndexError) as error:
            raise ValueError(
                f"video_url: these {len(data)} bytes do not decode as {media.format}: {error}"
            ) from None
        return Clip(frames, indices, fps)

    def _is_one(self, index: int, frame: av.VideoFrame) -> bool:
        if index >= MAX_FRAMES:
            raise ValueError(f"video_url: expected at most {MAX_FRAMES} frames, got more")
        return frame.width * frame.height > 0

    def _keep(self, frame: av.VideoFrame) -> np.ndarray:
        self._spend("video_url", frame.width, frame.height)
        return frame.to_ndarray(format="rgb24")


def _open(data: bytes, media: Media) -> av.container.InputContainer:
    return av.open(io.BytesIO(data), "r", format=VIDEOS[media.format])
