# SPDX-License-Identifier: Apache-2.0
"""The video autoencoder: one frame is enough for latent 0, and scale and pixels are right."""

import numpy as np
import torch

from cosmos3_ros.model.autoencoder.vae import frames_from_video, video_from_frames

FRAMES = np.random.default_rng(0).integers(0, 256, (9, 32, 48, 3), dtype=np.uint8)


def test_the_first_latent_depends_on_the_first_frame_alone(model, far):
    video = video_from_frames(FRAMES)
    whole = model.vae.encode(video)
    assert whole.shape == (1, 48, 3, 2, 3)
    assert far(model.vae.encode(video[:, :, :1]), whole[:, :, :1]) < 1e-5
    assert far(model.vae.encode(video[:, :, :5]), whole[:, :, :2]) < 1e-5


def test_latents_are_scaled_per_channel(model):
    module, video = model.vae.module, video_from_frames(FRAMES[:1])
    with torch.no_grad():
        raw = module.encode(video).latent_dist.mode()
    mean, std = (
        torch.tensor(module.config[key]).view(1, -1, 1, 1, 1)
        for key in ("latents_mean", "latents_std")
    )
    torch.testing.assert_close(model.vae.encode(video), (raw - mean) / std, atol=1e-5, rtol=1e-5)
    with torch.no_grad():
        expected = module.decode(raw).sample
    torch.testing.assert_close(model.vae.decode((raw - mean) / std), expected, atol=1e-4, rtol=1e-4)


def test_pixels_survive():
    assert np.array_equal(frames_from_video(video_from_frames(FRAMES) + 1e-6), FRAMES)
    video = video_from_frames(FRAMES)
    assert video.shape == (1, 3, 9, 32, 48)
    assert video.min() == -1.0
    assert video.max() == 1.0
    assert frames_from_video(video * 3).max() == 255  # what is too bright is white


def test_decoding_may_overlap_with_encoding(model, monkeypatch):
    video, latents = (
        video_from_frames(FRAMES),
        torch.randn(1, 48, 3, 2, 3, generator=torch.Generator().manual_seed(0)),
    )
    wanted, plain, seen = (
        (model.vae.encode(video), model.vae.decode(latents)),
        model.vae.decode_step,
        [],
    )

    def step(*arguments):
        seen.append(model.vae.encode(video))
        return plain(*arguments)

    monkeypatch.setattr(model.vae, "decode_step", step)
    assert torch.equal(model.vae.decode(latents), wanted[1])
    assert all(torch.equal(one, wanted[0]) for one in seen)
    assert len(seen) == 2
