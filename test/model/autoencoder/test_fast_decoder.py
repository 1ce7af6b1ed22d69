# SPDX-License-Identifier: Apache-2.0
"""The fast decoder equals diffusers' decoder: any number of latents, channels last, compiled."""

import pytest
import torch
from diffusers import AutoencoderKLWan

from cosmos3_ros.model.autoencoder.fast_decoder import decode_step, decode_video, to_channels_last
from cosmos3_ros.model.autoencoder.vae import VideoAutoencoder
from cosmos3_ros.model.checkpoint_io.tiny import VAE

# Levels, patch and order of the widths as in the released autoencoder.
MID = {
    "base_dim": 8,
    "decoder_base_dim": 32,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "patch_size": 2,
}
MID |= {"temperal_downsample": [False, True, True], "in_channels": 12, "out_channels": 12}


@pytest.fixture(scope="module", params=[{}, MID], ids=["tiny", "mid"])
def module(request):
    torch.manual_seed(0)
    module = AutoencoderKLWan(**{**VAE, **request.param})
    for name, tensor in module.named_parameters():
        if name.endswith(("gamma", "bias")):
            tensor.data.normal_(1.0 if name.endswith("gamma") else 0.0, 0.3)
    return module.requires_grad_(False).eval()


def latents(count):
    return torch.randn(1, 48, count, 3, 5, generator=torch.Generator().manual_seed(count))


@pytest.mark.parametrize("count", [1, 2, 5, 6, 9])
def test_the_frames_are_those_of_diffusers(module, far, count):
    wanted = module.decode(latents(count)).sample
    got = decode_video(module, latents(count)[0], decode_step)[None]
    assert got.shape == wanted.shape == (1, 3, 4 * count - 3, 48, 80)
    assert far(got, wanted) < 1e-5


def test_a_decoder_in_channels_last_compiled_to_two_programs_decodes_the_same(module, far):
    wanted = decode_video(module, latents(9)[0], decode_step)
    to_channels_last(module.decoder)
    torch._dynamo.reset()
    before = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    traced = torch.compile(decode_step, backend="eager", fullgraph=True, dynamic=False)
    with torch.no_grad():
        assert far(decode_video(module, latents(9)[0], traced), wanted) < 1e-5
    # One for the first latent, one for those after it, however often they come.
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] - before == 2
    torch._dynamo.reset()


def test_algorithms_are_tried_while_decoding_and_no_longer(module, monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)
    vae, seen = VideoAutoencoder(module), []

    def watched(*arguments):
        seen.append(torch.backends.cudnn.benchmark)
        return decode_step(*arguments)

    vae.decode_step = watched
    vae.decode(latents(2))
    assert seen == [True, True]
    assert torch.backends.cudnn.benchmark is False


def test_another_autoencoder_is_refused():
    other = AutoencoderKLWan(base_dim=4, decoder_base_dim=4)
    with pytest.raises(ValueError, match="vae: expected is_residual true"):
        VideoAutoencoder(other)
