# SPDX-License-Identifier: Apache-2.0
"""Tiles: exact in time, near in space, and what they cover."""

import itertools

import pytest
import torch

from cosmos3_ros.model.autoencoder.tiled_decoder import (
    OVERLAP,
    Tile,
    blend_weights,
    smaller_tiles,
    starts,
)
from cosmos3_ros.model.checkpoint_io.loader import load_vae
from cosmos3_ros.model.registry import embedded_checkpoint


@pytest.fixture(scope="module")
def trained():
    """The autoencoder of the embedded checkpoint."""
    return load_vae(embedded_checkpoint() / "vae", torch.device("cpu"), torch.float32)


@pytest.mark.parametrize("latents", [1, 2, 6])
def test_in_time_the_parts_equal_the_whole_to_the_last_bit(model, latents):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(1, 48, latents, 2, 3, generator=generator)
    assert torch.equal(model.vae.decode_tiled(z), model.vae.decode(z))


def test_in_space_tiles_are_near_the_whole(trained):
    """On a video of smooth shapes, which the autoencoder was trained for."""
    rows, columns = torch.meshgrid(torch.arange(320.0), torch.arange(256.0), indexing="ij")
    times = torch.arange(5.0)[:, None, None]
    video = torch.stack(
        [torch.sin(rows / 40 + times / 5 + shift) * torch.cos(columns / 30) for shift in range(3)]
    )[None]
    latents = trained.encode(video)
    whole = trained.decode(latents)
    tiled = trained.decode_tiled(latents, Tile(16, 16))
    assert tiled.shape == whole.shape
    error = (tiled - whole).abs() * 127.5  # in levels of a pixel
    assert not torch.equal(tiled, whole)
    assert error.mean() < 0.25
    assert error.max() < 8
    # a tile that covers the picture is the picture
    assert torch.equal(trained.decode_tiled(latents[:, :, :1], Tile(20, 16)), whole[:, :, :1])


@pytest.mark.parametrize("whole", [16, 17, 45, 80])
@pytest.mark.parametrize("tile", [16, 17, 24, 45])
def test_tiles_cover_the_picture_and_their_weights_add_up(whole, tile):
    begins, size = starts(whole, tile), min(whole, tile)
    assert begins[0] == 0
    assert begins[-1] + size == whole
    gaps = [after - before for before, after in itertools.pairwise(begins)]
    assert all(gap <= tile - OVERLAP for gap in gaps)
    total = torch.zeros(4 * whole)
    for begin, weight in zip(begins, blend_weights(whole, tile, 4), strict=True):
        assert len(weight) == 4 * size
        total[4 * begin : 4 * (begin + size)] += weight
    torch.testing.assert_close(total, torch.ones(4 * whole))


def test_tiles_shrink_from_the_whole_to_the_smallest():
    tiles = list(smaller_tiles(45, 80))
    assert tiles[0] == Tile(45, 80)
    assert tiles[1] == Tile(45, 44)
    assert tiles[-1] == Tile(2 * OVERLAP, 2 * OVERLAP)
    areas = [tile.height * tile.width for tile in tiles]
    assert areas == sorted(areas, reverse=True)
    assert list(smaller_tiles(4, 6)) == [Tile(16, 16)]  # smaller than the smallest


def test_a_tile_that_would_only_overlap_is_refused():
    with pytest.raises(ValueError, match="tile: expected at least 16 latents each way, got 8 x 40"):
        Tile(8, 40)
