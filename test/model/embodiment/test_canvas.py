# SPDX-License-Identifier: Apache-2.0
"""Pictures: resizing as torch does it, DROID's composition, padding."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from cosmos3_ros.model.acceleration.canvas_cuda import GpuComposer
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.canvas import Canvas, Panel, cover, pad, resize

DROID_JOINT_POS = EMBODIMENTS["droid_joint_pos"]
LIBERO = EMBODIMENTS["libero"]

RNG = np.random.default_rng(0)


def image(height, width):
    return RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("source", "target"), [((36, 64), (18, 32)), ((37, 53), (20, 31)), ((24, 32), (50, 70))]
)
@pytest.mark.parametrize(
    ("mode", "antialias"), [("bilinear", False), ("bilinear", True), ("bicubic", True)]
)
def test_resize_equals_torch(source, target, mode, antialias):
    picture = image(*source)
    tensor = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    expected = interpolate(tensor, target, mode=mode, align_corners=False, antialias=antialias)[
        0
    ].permute(1, 2, 0)
    np.testing.assert_allclose(
        resize(picture, target, mode == "bicubic", antialias), expected, atol=5e-3
    )


def test_droid_composition_equals_the_published_one():
    views = {view: image(360, 640) for view in DROID_JOINT_POS.views}

    def half(view):
        tensor = torch.from_numpy(views[view]).permute(2, 0, 1)[None].float()
        small = interpolate(tensor, (180, 320), mode="bilinear", align_corners=False)
        return small[0].permute(1, 2, 0).clamp(0, 255).to(torch.uint8).numpy()

    below = np.concatenate([half("exterior_1"), half("exterior_2")], axis=1)
    content = np.concatenate([views["wrist"], below], axis=0)
    canvas = DROID_JOINT_POS.compose(views)
    assert canvas.shape == (544, 736, 3)
    assert np.array_equal(canvas[:540, :640], content)
    assert np.array_equal(canvas[540:, :640], content[-2:-6:-1])  # mirrored at the edge
    assert np.array_equal(canvas[:540, 640:], content[:, -2:-98:-1])


def test_libero_puts_two_views_side_by_side():
    black, white = np.zeros((256, 256, 3), np.uint8), np.full((256, 256, 3), 255, np.uint8)
    canvas = LIBERO.compose({"agentview": black, "wrist": white})
    assert canvas.shape == (192, 320, 3)
    assert not canvas[:, :155].any()
    assert (canvas[:, 165:] == 255).all()


def test_small_pictures_are_padded_with_their_edge():
    padded = pad(image(4, 4), (16, 6))
    assert padded.shape == (16, 6, 3)
    assert (padded[4:, :4] == padded[3, :4]).all()


def test_cover_keeps_the_middle():
    picture = image(20, 60)
    assert np.array_equal(cover(picture, (20, 20)), picture[:, 20:40])
    assert cover(picture, (32, 48)).shape == (32, 48, 3)


def test_missing_views_and_wrong_images_are_refused():
    views = {view: image(90, 160) for view in DROID_JOINT_POS.views}
    with pytest.raises(
        ValueError, match=r"missing view\(s\) \['wrist'\], expected \['wrist', 'exterior_1', 'ext"
    ):
        DROID_JOINT_POS.compose({view: views[view] for view in ("exterior_1", "exterior_2")})
    with pytest.raises(ValueError, match=r"images\['wrist'\]: expected a uint8 array"):
        DROID_JOINT_POS.compose({**views, "wrist": views["wrist"][..., :1]})


@pytest.mark.parametrize("name", ["droid_sim", "droid_joint_pos", "libero"])
def test_views_are_cut_out_where_they_were_put(name):
    """Of pictures of one color each; also of a canvas that is shrunk and padded."""
    canvas = EMBODIMENTS[name].canvas
    shades = {view: 60 * (1 + number) for number, view in enumerate(canvas.views)}
    images = {view: np.full((90, 160, 3), shade, np.uint8) for view, shade in shades.items()}
    found = canvas.cut(canvas.compose(images))
    assert [*found] == [*canvas.views]
    for view, picture in found.items():
        assert min(picture.shape[:2]) > 8
        assert np.median(picture) == shades[view]
        assert np.abs(picture[2:-2, 2:-2].astype(int) - shades[view]).max() <= 1


MIDDLE = (1 / 6, 1 / 6, 2 / 3, 2 / 3)
CROPPED = Canvas(
    (
        Panel("table", 0, 0, 64, 64, MIDDLE, 180),
        Panel("door", 0, 64, 64, 64, (0.0, 0.5, 1.0, 0.5)),
        Panel("wrist", 0, 128, 64, 64, turn=180),
    ),
    *((64, 192),) * 3,
    smooth=True,
)


def test_a_crop_is_made_of_the_picture_as_it_comes_and_then_turned():
    images = {view: image(480, 480) for view in CROPPED.views}
    parts = {
        "table": images["table"][80:400, 80:400][::-1, ::-1],
        "door": images["door"][:, 240:],
        "wrist": images["wrist"][::-1, ::-1],
    }
    panels = tuple(Panel(p.view, p.top, p.left, p.height, p.width) for p in CROPPED.panels)
    plain = Canvas(panels, CROPPED.composite, CROPPED.content, CROPPED.size, smooth=True)
    assert np.array_equal(CROPPED.compose(images), plain.compose(parts))
    half = {view: picture[::2, ::2] for view, picture in images.items()}  # the same shares of it
    parts["table"] = half["table"][40:200, 40:200][::-1, ::-1]
    assert np.array_equal(CROPPED.compose(half)[:, :64], plain.compose(parts)[:, :64])


def test_a_crop_of_a_tiny_picture_keeps_a_pixel():
    panel = Panel("table", 0, 0, 64, 64, (0.99, 0.0, 0.01, 0.2))
    rows, columns = panel.part(8, 2)
    assert (rows, columns) == (slice(7, 8), slice(0, 1))


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
@pytest.mark.parametrize("sizes", [(480, 480), (37, 91)])
def test_crop_and_turn_are_the_same_on_a_gpu(device, sizes):
    images = {view: image(*sizes) for view in CROPPED.views}
    composed = GpuComposer(CROPPED, torch.device(device))(images).cpu().numpy()
    expected = CROPPED.compose(images)
    if device == "cpu":
        assert np.array_equal(composed, expected)
    assert np.abs(composed.astype(int) - expected).max() <= 1


def test_what_is_sent_is_composed_to_the_same_pixels():
    images = {view: image(90, 160) for view in CROPPED.views}
    sent = {panel.view: CROPPED.slim(panel, images) for panel in CROPPED.panels}
    assert np.array_equal(CROPPED.compose(sent), CROPPED.compose(images))
    canvas = EMBODIMENTS["droid_sim"].canvas
    images = {view: image(90, 160) for view in canvas.views}
    sent = {panel.view: canvas.slim(panel, images) for panel in canvas.panels}
    assert sent["exterior_1"].shape == (64, 96, 3)
    assert np.array_equal(canvas.compose(sent), canvas.compose(images))
