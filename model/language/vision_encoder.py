# SPDX-License-Identifier: Apache-2.0
"""The reasoner's vision encoder: images and video to patches, to tokens, and token pruning (EVS).

Patches come in the order the encoder wants: frame by frame, in blocks of merge x merge patches that
become one token.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from ..interface import check_image

Grid = tuple[int, int, int]  # frames, rows, columns, in patches


@dataclasses.dataclass(frozen=True, slots=True)
class Pixels:
    """How pixels become patches, as a checkpoint's preprocessor files say."""

    # Least and most pixels of an image, and of all frames of a video together.
    image_area: tuple[int, int]
    video_area: tuple[int, int]
    # Pixels per side of a patch, frames in a patch, patches per side of a token.
    patch: int = 16
    temporal: int = 2
    merge: int = 2
    # Normalization of each color, for pixels in 0..1.
    mean: tuple[float, ...] = (0.5, 0.5, 0.5)
    std: tuple[float, ...] = (0.5, 0.5, 0.5)
    # Numbers of a patch in the order of Cosmos 3 Edge (row, column, channel, frame), not of Qwen
    # (channel, frame, row, column).
    edge: bool = False

    @property
    def side(self) -> int:
        """Pixels per side of one token."""
        return self.patch * self.merge


def pixels_from_json(image: Mapping[str, Any], video: Mapping[str, Any], edge: bool) -> Pixels:
    """Read preprocessor_config.json and video_preprocessor_config.json."""

    def area(fields: Mapping[str, Any], name: str) -> tuple[int, int]:
        try:
            return int(fields["size"]["shortest_edge"]), int(fields["size"]["longest_edge"])
        except (KeyError, TypeError, ValueError, OverflowError):
            raise ValueError(
                f"{name}: expected size.shortest_edge and size.longest_edge, "
                f"got {fields.get('size')!r:.60}"
            ) from None

    def count(name: str, usual: int) -> int:
        value = image.get(name, usual)
        if type(value) is not int or not 0 < value <= 1024:
            raise ValueError(
                f"preprocessor_config.json: {name}: expected 1 to 1024, got {value!r:.60}"
            )
        return value

    def colors(name: str) -> tuple[float, ...]:
        value = image.get(name, (0.5, 0.5, 0.5))
        numbers = isinstance(value, list | tuple) and [type(each) in (int, float) for each in value]
        if not numbers or len(numbers) != 3 or not all(numbers):
            raise ValueError(
                f"preprocessor_config.json: {name}: expected three numbers, got {value!r:.60}"
            )
        return tuple(map(float, value))

    return Pixels(
        image_area=area(image, "preprocessor_config.json"),
        video_area=area(video, "video_preprocessor_config.json"),
        patch=count("patch_size", 16),
        temporal=count("temporal_patch_size", 1 if edge else 2),
        merge=count("merge_size", 2),
        mean=colors("image_mean"),
        std=colors("image_std"),
        edge=edge,
    )


def fit(
    height: int, width: int, side: int, area: tuple[int, int], frames: int = 1, step: int = 1
) -> tuple[int, int]:
    """The nearest height and width in multiples of `side` whose pixel count lies within `area`.

    The count is over `frames` frames, rounded to multiples of `step`, as Qwen's and Cosmos'
    processors count. Raises ValueError for a picture more than 200 times longer than wide, which
    they refuse too.
    """
    if max(height, width) > 200 * min(height, width):
        raise ValueError(f"image: expected an aspect ratio of at most 200, got {height} x {width}")
    rows, columns = round(height / side) * side, round(width / side) * side
    count = round(frames / step) * step * rows * columns
    if count > area[1]:
        shrink = math.sqrt(frames * height * width / area[1])
        rows = max(side, math.floor(height / shrink / side) * side)
        columns = max(side, math.floor(width / shrink / side) * side)
    elif count < area[0]:
        grow = math.sqrt(area[0] / (frames * height * width))
        rows, columns = (
            math.ceil(height * grow / side) * side,
            math.ceil(width * grow / side) * side,
        )
    return rows, columns


def _enlarge(height: int, width: int, side: int) -> tuple[int, int]:
    """Scale to at least one token per side first, as all processors but Qwen's for images do."""
    scale = max(side / height, side / width)
    return (height, width) if scale <= 1 else (int(height * scale), int(width * scale))


def image_patches(
    image: np.ndarray, pixels: Pixels, device: torch.device | str = "cpu"
) -> tuple[Tensor, Grid]:
    """uint8 [H, W, 3] -> float32 patches [rows * columns, numbers] and the grid."""
    check_image("image", image)
    height, width = image.shape[:2]
    if pixels.edge:
        height, width = _enlarge(height, width, pixels.side)
    return _patches([image], fit(height, width, pixels.side, pixels.image_area), pixels, device)


def video_patches(
    frames: Sequence[np.ndarray], pixels: Pixels, device: torch.device | str = "cpu"
) -> tuple[Tensor, Grid]:
    """Frames, uint8 [H, W, 3] of one size -> patches float32 [patches, numbers] and the grid.

    There are frames * rows * columns patches, counted as in the grid.
    """
    if len(frames) < pixels.temporal:
        raise ValueError(f"video: expected at least {pixels.temporal} frames, got {len(frames)}")
    for index, frame in enumerate(frames):
        check_image(f"video frame {index}", frame)
        if frame.shape != frames[0].shape:
            raise ValueError(
                f"video frame {index}: expected {list(frames[0].shape)} like frame 0, "
                f"got {list(frame.shape)}"
            )
    height, width = _enlarge(frames[0].shape[0], frames[0].shape[1], pixels.side)
    size = fit(height, width, pixels.side, pixels.video_area, len(frames), pixels.temporal)
    return _patches(frames, size, pixels, device)


def _patches(
    frames: Sequence[np.ndarray], size: tuple[int, int], pixels: Pixels, device: torch.device | str
) -> tuple[Tensor, Grid]:
    """Resize (bicubic), repeat the last frame to fill the last patch, normalize, and cut up."""
    resized = [
        np.asarray(Image.fromarray(frame).resize(size[::-1], Image.Resampling.BICUBIC))
        for frame in frames
    ]
    resized += resized[-1:] * (-len(frames) % pixels.temporal)
    video = torch.from_numpy(np.stack(resized)).to(device)
    return cut(video, pixels), (
        len(resized) // pixels.temporal,
        size[0] // pixels.patch,
        size[1] // pixels.patch,
    )


def cut(video: Tensor, pixels: Pixels) -> Tensor:
    """Normalize frames uint8 [F, H, W, 3] and cut them into patches: float32 [patches, numbers]."""
    scaled = video.float() / 255
    scaled = (scaled - scaled.new_tensor(pixels.mean)) / scaled.new_tensor(pixels.std)
    frames, rows, columns = (
        video.shape[0] // pixels.temporal,
        video.shape[1] // pixels.side,
        video.shape[2] // pixels.side,
    )
    blocks = (rows, pixels.merge, pixels.patch, columns, pixels.merge, pixels.patch)
    tiles = scaled.reshape(frames, pixels.temporal, *blocks, 3)
    order = (0, 2, 5, 3, 6, 4, 7, 8, 1) if pixels.edge else (0, 2, 5, 3, 6, 8, 1, 4, 7)
    return tiles.permute(order).reshape(frames * rows * columns * pixels.merge**2, -1)


def sample_frames(
    count: int, fps: float, rate: float = 2.0, least: int = 4, most: int = 768
) -> np.ndarray:
    """Indices of the frames to use of `count` at `fps`, about `rate` a second: int64 [n].

    They are evenly spread, the first and the last frame included.
    """
    if count < 1 or not (math.isfinite(fps) and fps > 0 and math.isfinite(rate) and rate > 0):
        raise ValueError(
            f"video: expected frames at positive rates, "
            f"got {count} frame(s), fps {fps}, rate {rate}"
        )
    wanted = min(max(int(count / fps * rate), least), most, count)
    return np.linspace(0, count - 1, wanted).round().astype(np.int64)


def timestamps(indices: np.ndarray, fps: float, temporal: int) -> list[float]:
    """The middle of each patch of `temporal` frames in seconds, the last frame repeated."""
    seconds = [*(indices / fps).tolist()]
    seconds += seconds[-1:] * (-len(seconds) % temporal)
    return [(seconds[i] + seconds[i + temporal - 1]) / 2 for i in range(0, len(seconds), temporal)]


@dataclasses.dataclass(frozen=True, slots=True)
class MediaTokens:
    """Ids of the tokens before and after a picture, and of placeholders for its tokens."""

    start: int
    end: int
    image: int
    video: int


class VisionEncoder(nn.Module):
    """Patches to embeddings for the text tower, by the encoder that transformers has for them.

    It is that of Qwen3-VL, or for Edge SigLIP2 with a projector. fields: the checkpoint's root
    config.json; ValueError if it describes neither.
    """

    def __init__(self, fields: Mapping[str, Any], pixels: Pixels):
        super().__init__()
        self.pixels = pixels
        self.media = _media_tokens(fields)
        self.projector = None
        vision = {
            key: value
            for key, value in (fields.get("vision_config") or {}).items()
            if key != "model_type"
        }
        if pixels.edge:
            from transformers.models.cosmos3_edge import modeling_cosmos3_edge as edge

            config: Any = edge.Cosmos3EdgeConfig.from_dict(dict(fields))
            self.visual: nn.Module = edge.Cosmos3EdgeVisionModel(config.vision_config)
            self.projector = edge.Cosmos3EdgePatchMerger(config)
        elif "depth" in vision:
            from transformers.models.qwen3_vl import modeling_qwen3_vl as qwen

            config = qwen.Qwen3VLVisionConfig(**vision)
            self.visual = qwen.Qwen3VLVisionModel(config)
            # a table rather than a weight: it must have values while weights are on meta
            with torch.device("cpu"):
                self.visual.rotary_pos_emb = qwen.Qwen3VLVisionRotaryEmbedding(config)
        else:
            raise ValueError(
                f"config.json: expected a vision_config of Qwen3-VL or Cosmos 3 Edge, got {vision}"
            )

    def forward(self, patches: Tensor, grids: Sequence[Grid]) -> list[Tensor]:
        """Encode the concatenated patches [P, numbers] of images or videos with these grids.

        Returns tokens [P / merge^2, hidden], then the deepstack features, each of that shape (none
        for Edge).
        """
        out = self.visual(
            patches, grid_thw=torch.tensor(grids, device=patches.device), return_dict=True
        )
        if self.projector is not None:
            return [self.projector(out.last_hidden_state)]
        return [out.pooler_output, *out.deepstack_features]


def _media_tokens(fields: Mapping[str, Any]) -> MediaTokens:
    names = ("vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id")
    if missing := [name for name in names if not isinstance(fields.get(name), int)]:
        raise ValueError(f"config.json: expected the number(s) {', '.join(missing)}, got none")
    return MediaTokens(*(fields[name] for name in names))


def retained(features: Tensor, frames: int, rate: float) -> Tensor:
    """Efficient video sampling (EVS, arXiv 2510.14624): which tokens of a video to keep.

    features [frames * n, width]: tokens with their deepstack features beside them; rate: share of
    the tokens to leave out, in [0, 1). Kept are the first frame, and the tokens that differ most
    from the token at the same position one frame earlier. Returns bool [frames * n].
    """
    video = features.unflatten(0, (frames, -1))
    change = 1 - functional.cosine_similarity(video[1:], video[:-1], dim=-1)
    change = torch.cat([change.new_full(video.shape[1:2], 255.0), change.flatten()])
    count = max(video.shape[1], int(change.numel() * (1 - rate)))
    keep = torch.zeros_like(change, dtype=torch.bool)
    keep[change.argsort(descending=True, stable=True)[:count]] = True
    return keep
