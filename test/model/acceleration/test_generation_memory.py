# SPDX-License-Identifier: Apache-2.0
"""The memory of a generation as it is computed, beside what is alive in the code at full size."""

import dataclasses
import math
import weakref

import pytest
import torch
from diffusers import AutoencoderKLWan
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from cosmos3_ros.model.acceleration.generation_memory import (
    LATENT_STATES,
    Video,
    check_generation,
    decode_bytes,
    denoise_bytes,
    generation_need,
)
from cosmos3_ros.model.acceleration.memory_budget import GIB
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.autoencoder.fast_decoder import decode_step
from cosmos3_ros.model.autoencoder.tiled_decoder import Tile
from cosmos3_ros.model.checkpoint_io.tiny import VAE
from cosmos3_ros.model.network.config import EDGE, NANO, SUPER
from cosmos3_ros.model.network.layers import joined
from cosmos3_ros.model.network.transformer import Transformer

# The published autoencoder, of Wan 2.2.
WAN = {
    **VAE,
    "base_dim": 160,
    "decoder_base_dim": 256,
    "dim_mult": [1, 2, 4, 4],
    "num_res_blocks": 2,
    "patch_size": 2,
    "temperal_downsample": [False, True, True],
    "in_channels": 12,
    "out_channels": 12,
}
SMALL, LARGE = Video(93, 480, 832), Video(189, 720, 1280)


class LiveBytes(TorchDispatchMode):
    """Bytes of all tensors that are alive at once, except those there before: `peak`."""

    def __init__(self, *before):
        super().__init__()
        self.now = self.peak = 0
        self._sizes = {id_of(tensor): 0 for tensor in before}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor) and id_of(tensor) not in self._sizes:
                storage = tensor.untyped_storage()
                self._sizes[id_of(tensor)] = storage.nbytes()
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._free, id_of(tensor))
        return out

    def _free(self, key):
        self.now -= self._sizes.pop(key)


def id_of(tensor):
    return tensor.untyped_storage()._cdata


@dataclasses.dataclass
class Text:
    """Keys and values of a prompt, alike in every layer."""

    pair: tuple

    def mask(self, tokens):
        return None

    def for_generator(self, layer):
        return self.pair


def attend_nowhere(query, pairs, mask=None):
    """A product of the attention that keeps no table of all pairs, as those of a GPU."""
    _seen = joined(pairs)  # it lives as long as the product takes
    return torch.empty_like(query).flatten(2)


def counted_pass(config, latents):
    """Bytes of a pass of two layers without weights, on no device at all."""
    config = dataclasses.replace(config, layers=2)
    frames, height, width = latents
    tokens = frames * -(-height // 2) * -(-width // 2)
    with torch.device("meta"):
        network = Transformer(config, reasoner=False).to(torch.bfloat16)
        for layer in network.generator.layers:
            layer.attend = attend_nowhere
        sample, noisy = torch.empty(1, 48, *latents), torch.ones(frames, dtype=torch.bool)
        pair = (torch.empty(1, 300, config.kv_heads, config.head_dim, dtype=torch.bfloat16),) * 2
        rope = (torch.empty(1, tokens, config.head_dim, dtype=torch.bfloat16),) * 2
        time = torch.empty(1)
    before = (*network.parameters(), sample, noisy, time, *pair, *rope)
    with torch.no_grad(), LiveBytes(*before) as live:
        network.velocity(sample, time, Text(pair), rope, noisy)
    return live.peak


@pytest.mark.parametrize("video", [SMALL, LARGE], ids=str)
@pytest.mark.parametrize("config", [NANO, SUPER, EDGE], ids=["nano", "super", "edge"])
def test_a_pass_of_the_network_takes_what_is_computed(config, video):
    latents = video.latents(WAN)
    computed = denoise_bytes(config, latents, 2)
    # a pass has latents and their velocity, the loop around it holds the others
    held = (LATENT_STATES - 2) * 4 * config.latent_channels * math.prod(latents)
    assert 0.9 * computed < counted_pass(config, latents) + held < computed


@pytest.mark.filterwarnings("ignore")  # diffusers' about casting
@pytest.mark.parametrize("tile", [(45, 80), (45, 44), (16, 16)])
def test_a_step_of_the_decoder_takes_what_is_computed(tile):
    with torch.device("meta"):
        module = AutoencoderKLWan(**WAN).to(torch.bfloat16)
        first, later = (torch.empty(n, 48, *tile, dtype=torch.bfloat16) for n in (1, 4))
    with torch.no_grad(), LiveBytes(*module.parameters(), first, later) as live:
        _, past = decode_step(module, first, [])
        live.peak = live.now
        decode_step(module, later, past)
    computed = decode_bytes(WAN, tile, 2)
    assert 0.9 * computed < live.peak < 1.05 * computed


def test_tiles_are_as_large_as_fits():
    half = dataclasses.replace(RuntimeOptions(), generator="fp8", text="fp8", placement="policy")
    roomy = generation_need(NANO, RuntimeOptions(), WAN, LARGE, 139.0)
    assert roomy.tile == Tile(45, 80)
    card48 = check_generation(NANO, RuntimeOptions(), WAN, LARGE, 44.0)
    assert card48.tile.height * card48.tile.width < 45 * 80
    card24 = check_generation(NANO, half, WAN, LARGE, 23.0)
    assert card24.peak <= 23.0
    assert card48.peak <= 44.0
    assert roomy.decode > 44.0  # so that without tiles it would not fit


def test_what_does_not_fit_is_refused_with_what_would():
    with pytest.raises(
        ValueError,
        match=r"^189 frames of 720 x 1280 need \d+\.\d GiB \(28\.\d of weights\), 20\.0 GiB are "
        r"free; weights 'fp8' with placement 'policy' would fit \(\d+\.\d GiB\)$",
    ):
        check_generation(NANO, RuntimeOptions(), WAN, LARGE, 20.0)
    with pytest.raises(ValueError, match="a smaller size or fewer frames take less"):
        check_generation(SUPER, RuntimeOptions(), WAN, LARGE, 8.0)


def test_float32_takes_twice_the_weights():
    wide, narrow = (
        generation_need(NANO, RuntimeOptions(), WAN, SMALL, 100.0, number) for number in (4, 2)
    )
    assert wide.weights == pytest.approx(2 * narrow.weights)
    assert narrow.weights * GIB == pytest.approx(30.4e9, rel=0.01)
