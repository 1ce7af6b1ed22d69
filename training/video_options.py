# SPDX-License-Identifier: Apache-2.0
"""Options of the training of the video side, and of its clips. Imports no torch."""

from __future__ import annotations

import dataclasses

from ..model.language.captions import TIERS
from .options import PolicyTrainingOptions

# Shift of the noise levels by the shorter side of the picture, as Cosmos 3's Nano is trained.
_SHIFTS = ((256, 3.0), (640, 5.0))
_LARGE = 10.0  # of larger pictures
MOST_FRAMES = 297  # of a window: what the model was trained with is 5 to 300


@dataclasses.dataclass(frozen=True, slots=True)
class VideoOptions(PolicyTrainingOptions):
    """Training of the generator on clips with captions: text, image or video to video.

    The shares, the dropout and the shifts are those of Cosmos 3's own recipes.
    """

    # Folder of clips with a captions file, see clips.caption_file, or of a LeRobot dataset.
    clips: str = ""
    camera: str = ""  # of a LeRobot dataset: the feature whose pictures are the clips
    tier: str = "256"  # size of the pictures, see captions.TIERS
    aspect: str = ""  # one of the tier's, as "16,9"; empty: of each clip the nearest
    size: tuple[int, ...] = ()  # height and width instead of a tier, multiples of 16
    # Frames of a window, 1 + 4k; 1: pictures. 0: all that a caption is about, up to MOST_FRAMES.
    frames: int = 0
    stride: int = 0  # frames from one window of a caption to the next; 0: as many as it has
    # Frames a second: of a clip every n-th frame is taken, so that it comes nearest. 0: every
    # frame, and of clips above 30 a second every n-th.
    fps: float = 0.0
    warm_up: int = 16  # clips to wait for before the training begins
    # Shares of samples whose first 0, 1 or 2 latent frames are known: text, image, video to video.
    modes: tuple[float, float, float] = (0.7, 0.2, 0.1)
    dropout: float = 0.1  # share of empty captions
    shift: float = 0.0  # of the noise levels; 0: as Cosmos 3 is trained for the size
    weight: float = 1.0  # of the loss
    text: bool = False

    def __post_init__(self) -> None:
        if not self.clips:
            raise ValueError(
                "video.clips: expected the folder of clips with captions.jsonl, or of a LeRobot "
                "dataset"
            )
        self._check_shapes()
        if len(self.modes) != 3 or min(self.modes) < 0 or sum(self.modes) <= 0:
            raise ValueError(f"video.modes: expected three shares, got {list(self.modes)}")
        if not 0 <= self.dropout <= 1:
            raise ValueError(f"video.dropout: expected a share from 0 to 1, got {self.dropout}")
        least = dict.fromkeys(("stride", "fps", "shift", "weight"), 0)
        least |= dict.fromkeys(("batch", "accumulate", "warm_up", "refresh"), 1)
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ValueError(
                    f"video.{name}: expected {bound} or more, got {getattr(self, name)}"
                )
        if self.compile:
            raise ValueError("video.compile: expected none, clips differ in shape")

    def _check_shapes(self) -> None:
        """ValueError for sizes and lengths that the network does not have."""
        if self.tier not in TIERS:
            raise ValueError(f"video.tier: expected one of {sorted(TIERS)}, got {self.tier!r}")
        if self.aspect and self.aspect not in TIERS[self.tier]:
            names = ", ".join(TIERS[self.tier])
            raise ValueError(f"video.aspect: expected one of {names}, got {self.aspect!r}")
        sides = [type(side) is int and side >= 16 and side % 16 == 0 for side in self.size]
        if self.size and (len(sides) != 2 or not all(sides)):
            raise ValueError(
                f"video.size: expected height and width in multiples of 16, got {list(self.size)}"
            )
        if self.frames and (self.frames % 4 != 1 or not 0 < self.frames <= MOST_FRAMES):
            raise ValueError(
                f"video.frames: expected 0, or 1 + 4k up to {MOST_FRAMES}, got {self.frames}"
            )

    def size_of(self, height: int, width: int) -> tuple[int, int]:
        """Height and width that pictures of this shape are brought to."""
        if self.size:
            return self.size[0], self.size[1]
        sizes = TIERS[self.tier]
        if self.aspect:
            return sizes[self.aspect]
        return min(sizes.values(), key=lambda size: abs(size[0] / size[1] - height / width))

    def shift_of(self, size: tuple[int, int]) -> float:
        """Shift of the noise levels for pictures of this size."""
        side = min(size)
        return self.shift or next((shift for most, shift in _SHIFTS if side <= most), _LARGE)
