# SPDX-License-Identifier: Apache-2.0
"""The video autoencoder's training: both halves begin well, and the decoder learns while the encoder stays."""

import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKLWan

from cosmos3_ros.model.autoencoder.vae import VideoAutoencoder
from cosmos3_ros.model.checkpoint_io.tiny import VAE
from cosmos3_ros.training.options import AutoencoderOptions, DecoderOptions
from cosmos3_ros.training.stages.autoencoder import train_autoencoder
from cosmos3_ros.training.stages.decoder_lstsq_init import start_decoder
from cosmos3_ros.training.stages.encoder_pca_init import start_encoder
from cosmos3_ros.training.stages.latent_encoder import PRECISE

OPTIONS = AutoencoderOptions(steps=2, batch=2, warmup=1, width=12)


def video(seed, frames=9):
    """A coloured block that moves over a smooth ground: uint8 [frames, 48, 64, 3]."""
    random = np.random.default_rng(seed)
    rows, columns = np.mgrid[:48, :64]
    ground = (
        60
        + random.uniform(0, 1.5, 3) * rows[..., None]
        + random.uniform(0, 1, 3) * columns[..., None]
    )
    place, way, colour = (
        random.uniform(8, 30, 2),
        random.uniform(-1.5, 1.5, 2),
        random.uniform(0, 255, 3),
    )
    shown = []
    for time in range(frames):
        top, left = place + time * way
        block = (abs(rows - top) < 7) & (abs(columns - left) < 9)
        shown.append(np.where(block[..., None], colour, ground))
    return np.stack(shown).astype(np.uint8)


def clips(count, whole=True):
    """Each is one window of nine frames."""
    frames = np.arange(9)[None]
    return [
        SimpleNamespace(
            frames=video(seed),
            whole=whole,
            starts=np.zeros(1, int),
            window=lambda count: frames[:, :count],
            rows=np.full((1, 4, 8), seed, np.float32),
            instructions=(f"look at {seed}",),
        )
        for seed in range(count)
    ]


def as_tensor(frames):
    return torch.from_numpy(np.stack(frames)).permute(0, 4, 1, 2, 3).float() / 127.5 - 1


def psnr(module, videos):
    with torch.no_grad():
        drawn = module.decode(module.encode(videos).latent_dist.mode()).sample
    return float(10 * torch.log10(4 / (drawn - videos).square().mean()))


@pytest.fixture
def module():
    torch.manual_seed(0)
    return AutoencoderKLWan(**{**VAE, "base_dim": 24, "decoder_base_dim": 8}).requires_grad_(False)


@pytest.mark.parametrize("width", [8, 24, 32])  # fewer numbers than a cell has, as many, and more
def test_both_halves_begin_as_a_linear_code_of_the_pictures(width):
    torch.manual_seed(0)
    module = AutoencoderKLWan(**{**VAE, "base_dim": 24, "decoder_base_dim": width}).requires_grad_(
        False
    )
    seen, other = (
        as_tensor([video(seed) for seed in range(24)]),
        as_tensor([video(seed) for seed in range(100, 106)]),
    )
    start_encoder(module, seen)
    assert psnr(module, other) < 15
    start_decoder(module, seen)
    assert psnr(module, other) > (21 if width > 8 else 18)


def test_latents_survive_the_precision_they_are_computed_in(module):
    """They ride on an offset. Looked at are the first components: these videos have not many."""
    videos = as_tensor([video(seed) for seed in range(8)])
    start_encoder(module, videos)

    def latents(precision):
        with (
            torch.no_grad(),
            torch.autocast("cpu", precision or torch.bfloat16, enabled=precision is not None),
        ):
            return module.encode(videos).latent_dist.mode()[:, :4].float()

    exact = latents(None)
    lost = {
        each: float((latents(each) - exact).square().mean() / exact.var())
        for each in (PRECISE, torch.bfloat16)
    }
    assert lost[PRECISE] < 0.01
    assert lost[torch.bfloat16] > 10 * lost[PRECISE]


def test_a_decoder_of_another_kind_is_refused():
    module = AutoencoderKLWan(
        **{**VAE, "base_dim": 4, "decoder_base_dim": 4, "temperal_downsample": [False, True]}
    )
    with pytest.raises(ValueError, match="doubles time and space twice"):
        start_decoder(module, torch.zeros(1, 3, 5, 32, 32))


def test_a_new_decoder_is_trained_and_the_encoder_stays(module):
    start_encoder(module, as_tensor([video(seed) for seed in range(8)]))
    vae, before, lines = (
        VideoAutoencoder(module),
        {k: v.clone() for k, v in module.encoder.state_dict().items()},
        [],
    )
    spread = list(module.config.latents_std)
    options = dataclasses.replace(OPTIONS, start="decoder", steps=30, rate=2e-3)
    held_out = as_tensor([video(seed) for seed in range(100, 104)])
    train_autoencoder(vae, lambda: clips(8), options, lines.append)
    assert module.config.decoder_base_dim == 12
    assert list(module.config.latents_std) == spread
    assert all(
        torch.equal(before[name], tensor) for name, tensor in module.encoder.state_dict().items()
    )
    latents = vae.encode(held_out[:1])
    # nobody kept the old decoder
    assert torch.equal(vae.decode(latents), VideoAutoencoder(module).decode(latents))
    trained = psnr(module, held_out)
    start_decoder(module, as_tensor([video(seed) for seed in range(8)]))
    assert trained > psnr(module, held_out) + 0.3


def test_balance_gives_more_room_to_what_is_seen_better(module):
    seen = as_tensor([video(seed) for seed in range(24)])
    start_encoder(module, seen)
    start_decoder(module, seen)
    vae = VideoAutoencoder(module)
    before = vae.decode(vae.encode(seen[:1]))
    torch.manual_seed(0)
    options = dataclasses.replace(OPTIONS, start="", width=0, steps=0, batch=4, balance=0.5)
    train_autoencoder(vae, lambda: clips(24), options, print)
    latents = torch.cat([vae.encode(each[None]) for each in seen])
    spread = latents.transpose(0, 1).flatten(1).std(1)
    assert 0.8 < float(spread.square().mean().sqrt()) < 1.2
    assert torch.allclose(vae.decode(latents[:1]), before, atol=1e-4)
    plain, seen_by = vae.decode(latents[:4]), []
    for channel in range(len(spread)):
        changed = latents[:4].clone()
        changed[:, channel] += 0.1 * torch.randn_like(changed[:, channel])
        seen_by.append((vae.decode(changed) - plain).square().mean().sqrt() / 0.1)
    # A unit of a normalized channel is a spread divided by contribution ** 0.5: it is seen as
    # contribution ** 0.5.
    # but for curvature
    assert torch.corrcoef(torch.stack([spread, torch.stack(seen_by)]))[0, 1] > 0.7
    assert spread.max() > 3 * spread.min()


def test_pictures_without_what_lies_between_are_no_video(module):
    """One clip is whole; if another one counted, the result would differ."""
    results = []
    for others in ([], clips(3, whole=False)):
        torch.manual_seed(0)
        vae = VideoAutoencoder(AutoencoderKLWan(**{**VAE, "base_dim": 24, "decoder_base_dim": 8}))
        vae.module.load_state_dict(module.state_dict())
        train_autoencoder(
            vae,
            lambda more=others: [*clips(1), *more],
            dataclasses.replace(OPTIONS, width=0),
            print,
        )
        results.append(vae.module.decoder.conv_out.weight)
    assert torch.equal(*results)
    with pytest.raises(ValueError, match="was seen as a whole"):
        train_autoencoder(vae, lambda: clips(2, whole=False), OPTIONS, print)


def test_the_decoder_learns_from_what_is_imagined_of_the_same_windows(module):
    """What is imagined here tells nothing but its frame 0: it must be drawn gray, where others are drawn as before."""
    vae, asked = VideoAutoencoder(module), []
    videos = as_tensor([video(seed) for seed in range(8)])
    start_encoder(module, videos)
    start_decoder(module, videos)
    module.register_to_config(latents_mean=[0.5] * 48, latents_std=[2.0] * 48)
    normalized = vae.encode(videos[:1])

    def imagine(latents, rows, instructions):
        asked.append(len(latents))
        assert [f"look at {int(each[0, 0])}" for each in rows] == instructions
        for each, row in zip(latents, rows, strict=True):
            assert int(row[0, 0]) > 0 or torch.allclose(each, normalized[0], atol=0.02)
        return torch.cat([latents[:, :, :1], torch.full_like(latents[:, :, 1:], 3.0)], dim=2)

    def error(latents):
        return float((vae.decode(latents) - videos).square().mean())

    gaudy = torch.cat([vae.encode(each[None]) for each in videos])
    plain = error(gaudy)
    gaudy[:, :, 1:] = 3.0
    before = error(gaudy)
    options = DecoderOptions(steps=40, batch=4, warmup=1, imagined=0.5, rate=2e-3)
    train_autoencoder(vae, lambda: clips(8), options, print, imagine)
    assert asked == [2] * 40
    assert error(gaudy) < 0.5 * before
    assert error(torch.cat([vae.encode(each[None]) for each in videos])) < 1.2 * plain


@pytest.mark.parametrize(
    ("fields", "words"),
    [({"frames": 8}, "1 \\+ 4k"), ({"start": "encoder"}, "both, decoder"), ({"start": ""}, "anew")],
)
def test_wrong_options_are_named(fields, words):
    with pytest.raises(ValueError, match=words):
        dataclasses.replace(OPTIONS, **fields)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"start": "both"}, "latents stay"),
        ({"imagined": 1.5}, "0 to 1"),
        ({"kept": 0.5, "start": "decoder"}, "anew"),
        ({"clips": 0}, "1 or more"),
    ],
)
def test_wrong_options_of_the_decoder_are_named(fields, words):
    with pytest.raises(ValueError, match=words):
        DecoderOptions(**fields)
