# SPDX-License-Identifier: Apache-2.0
"""Pixels to patches, the vision encoder and token pruning, against transformers."""

import numpy as np
import pytest
import torch
from transformers.models.cosmos3_edge.image_processing_pil_cosmos3_edge import (
    Cosmos3EdgeImageProcessorPil,
)
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.qwen3_vl.video_processing_qwen3_vl import Qwen3VLVideoProcessor
from transformers.models.qwen3_vl.video_processing_qwen3_vl import smart_resize as qwen_video_size

from cosmos3_ros.model.language.vision_encoder import (
    Pixels,
    fit,
    image_patches,
    pixels_from_json,
    retained,
    sample_frames,
    timestamps,
    video_patches,
)

AREAS = {"image_area": (32 * 32, 96 * 96), "video_area": (32 * 32, 6 * 96 * 96)}
QWEN = Pixels(patch=8, **AREAS)
EDGE = Pixels(patch=8, temporal=1, edge=True, **AREAS)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sizes(area: tuple[int, int]) -> dict:
    return {"size": {"shortest_edge": area[0], "longest_edge": area[1]}}


@pytest.mark.parametrize("shape", [(64, 96), (37, 50), (480, 640), (9, 40), (5, 7)])
def test_image_patches_equal_the_processors(shape):
    image = picture(*shape)
    settings = {
        "patch_size": 8,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
        **sizes(QWEN.image_area),
    }
    for pixels, processor in (
        (QWEN, Qwen2VLImageProcessorPil(temporal_patch_size=2, **settings)),
        (EDGE, Cosmos3EdgeImageProcessorPil(temporal_patch_size=1, **settings)),
    ):
        theirs = processor([image], return_tensors="pt")
        patches, grid = image_patches(image, pixels)
        assert list(grid) == theirs["image_grid_thw"][0].tolist()
        torch.testing.assert_close(patches, theirs["pixel_values"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [2, 5])
def test_video_patches_equal_the_processors(count):
    frames = [picture(32, 48, seed) for seed in range(count)]
    video = torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
    # Only this step of theirs runs without torchvision.
    theirs, *their_grid = Qwen3VLVideoProcessor().patchify(
        video, patch_size=8, merge_size=2, temporal_patch_size=2
    )
    patches, grid = video_patches(frames, QWEN)
    assert list(grid) == their_grid
    torch.testing.assert_close(patches, theirs[0], rtol=0, atol=1e-6)
    patches, grid = video_patches(frames, EDGE)  # without temporal patches, a video is its frames
    assert grid == (count, 4, 6)
    torch.testing.assert_close(
        patches, torch.cat([image_patches(frame, EDGE)[0] for frame in frames])
    )


@pytest.mark.parametrize("frames", [2, 3, 5, 40])
@pytest.mark.parametrize("shape", [(480, 640), (16, 16), (123, 77), (720, 1280)])
def test_video_size_equals_the_processors(frames, shape):
    area = (128 * 32 * 32, 32 * 32 * 768)
    theirs = qwen_video_size(
        frames, *shape, temporal_factor=2, factor=32, min_pixels=area[0], max_pixels=area[1]
    )
    assert fit(*(max(side, 32) for side in shape), 32, area, frames, 2) == theirs


def test_frames_are_sampled_and_stamped_like_the_processors():
    class Metadata:
        total_num_frames, fps = 100, 30.0

    processor = Qwen3VLVideoProcessor()
    for rate in (0.5, 2.0, 4.0, 60.0):
        assert (
            sample_frames(100, 30.0, rate).tolist()
            == processor.sample_frames(Metadata, fps=rate).tolist()
        )
    assert timestamps(np.array([0, 15, 30]), 30.0, 2) == [0.25, 1.0]
    assert timestamps(np.array([0, 15, 30]), 30.0, 1) == [0.0, 0.5, 1.0]


def test_preprocessor_files_are_read():
    pixels = pixels_from_json({"patch_size": 8, **sizes((1, 2))}, sizes((3, 4)), edge=False)
    assert pixels == Pixels(image_area=(1, 2), video_area=(3, 4), patch=8)
    with pytest.raises(
        ValueError, match=r"video_preprocessor_config\.json: expected size.shortest_edge"
    ):
        pixels_from_json(sizes((1, 2)), {}, edge=False)


def test_bad_pictures_are_refused():
    with pytest.raises(
        ValueError, match=r"image: expected a uint8 array .* got float64 \[4, 4, 3\]"
    ):
        image_patches(np.zeros((4, 4, 3)), QWEN)
    with pytest.raises(
        ValueError, match=r"video frame 1: expected \[32, 32, 3\] like frame 0, got \[32, 40, 3\]"
    ):
        video_patches([picture(32, 32), picture(32, 40)], QWEN)
    with pytest.raises(ValueError, match="expected at least 2 frames, got 1"):
        video_patches([picture(32, 32)], QWEN)
    with pytest.raises(ValueError, match="aspect ratio of at most 200, got 2 x 500"):
        image_patches(picture(2, 500), QWEN)
    with pytest.raises(ValueError, match="got 3 frame"):
        sample_frames(3, 0.0)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.5, 0.75, 0.99])
def test_pruning_keeps_the_count_and_the_tokens_of_the_definition(rate):
    frames, count = 5, 6
    features = torch.randn(frames * count, 16, generator=torch.Generator().manual_seed(1))
    features[2 * count : 3 * count] = features[count : 2 * count]  # frame 2 repeats frame 1
    score = [255.0] * count
    for place in range(count, frames * count):
        now, before = features[place], features[place - count]
        score.append(1 - float(now @ before / (now.norm() * before.norm())))
    wanted = max(count, int(frames * count * (1 - rate)))
    best = sorted(range(frames * count), key=lambda place: -score[place])[:wanted]
    keep = retained(features, frames, rate)
    assert keep.sum() == wanted
    assert keep.nonzero().flatten().tolist() == sorted(best)
    assert keep[:count].all()
    if rate >= 0.3:
        assert not keep[2 * count : 3 * count].any()
