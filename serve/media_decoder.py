# SPDX-License-Identifier: Apache-2.0
"""Images and videos in data URIs, to numpy.

Nothing is fetched, and no more is decoded than a limit allows.

Only the named formats are tried: ffmpeg's playlists, for one, would open files and addresses of
their writer's choice.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from ..model.interface import Clip
from ..model.language.media_file import read_clip
from ..model.media.picture import PictureError, open_picture, to_rgb
from ..model.media.video import NotAVideoError
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

    rate: frames used per second; field: what a client calls it, in the words of a refusal.
    """

    kind: str
    format: str
    data: str
    rate: float = 2.0
    field: str = ""

    @property
    def name(self) -> str:
        """The field, which is OpenAI's where nothing else is said."""
        return self.field or f"{self.kind}_url"


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
        comma = "" if media.field else " after the comma"
        data = decode_base64(f"{media.name}: expected base64{comma}", media.data)
        try:
            return self._image(data, media) if media.kind == "image" else self._video(data, media)
        except (PictureError, NotAVideoError) as error:
            raise ValueError(
                f"{media.name}: these {len(data)} bytes do not decode as {media.format}: {error}"
            ) from None

    def _spend(self, what: str, width: int, height: int) -> None:
        if not 0 < width * height <= MAX_PIXELS:
            raise ValueError(f"{what}: expected 1 to {MAX_PIXELS} pixels, got {width} x {height}")
        self._left -= 3 * width * height
        if self._left < 0:
            raise ValueError(
                f"{what}: expected pictures of at most {MAX_BYTES >> 20} MiB in all when decoded"
            )

    def _image(self, data: bytes, media: Media) -> np.ndarray:
        image = open_picture(data, media.name, (media.format,), MAX_PIXELS)
        self._spend(media.name, *image.size)
        return to_rgb(image, media.name)

    def _video(self, data: bytes, media: Media) -> Clip:
        def check(width: int, height: int) -> None:
            self._spend(media.name, width, height)

        return read_clip(data, media.name, media.rate, MAX_FRAMES, check, VIDEOS[media.format])
