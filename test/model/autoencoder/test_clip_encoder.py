# SPDX-License-Identifier: Apache-2.0
"""A clip encoded while it is recorded has the latents of the whole."""

import numpy as np
import pytest
import torch

from cosmos3_ros.model.autoencoder.clip_encoder import ClipEncoder
from cosmos3_ros.model.autoencoder.vae import video_from_frames

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)


def test_latents_come_one_by_one_and_equal_those_of_the_whole_clip(model):
    video, encoder, begin, latents = video_from_frames(FRAMES), ClipEncoder(model.vae), 0, []
    while begin < len(FRAMES):
        count = encoder.frames
        latents.append(encoder.add(video[:, :, begin : begin + count]))
        model.vae.encode(video)  # somebody else's, in between
        begin += count
    torch.testing.assert_close(torch.cat(latents, 2), model.vae.encode(video))


def test_another_number_of_frames_is_refused(model):
    encoder = ClipEncoder(model.vae)
    with pytest.raises(ValueError, match="clip: expected 1 frames, got 4"):
        encoder.add(video_from_frames(FRAMES[:4]))
    encoder.add(video_from_frames(FRAMES[:1]))
    with pytest.raises(ValueError, match="clip: expected 4 frames, got 1"):
        encoder.add(video_from_frames(FRAMES[:1]))
