# SPDX-License-Identifier: Apache-2.0
"""Pictures: what a viewer shows is what is decoded, or it is refused in words."""

import io

import numpy as np
import pytest
from PIL import Image, ImageOps

from cosmos3_ros.model.media.picture import PictureError, decode_picture, is_picture

BLOCKS = np.kron(
    np.random.default_rng(0).integers(0, 256, (6, 8, 3), np.uint8), np.ones((8, 8, 1), np.uint8)
)
RAMP = np.linspace(0, 65535, 64).astype(np.uint16)[None].repeat(16, 0)


def file_of(image: Image.Image | np.ndarray, kind: str, **options: object) -> bytes:
    held = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(held, kind, **options)
    return held.getvalue()


def shown(data: bytes) -> np.ndarray:
    """As a viewer shows a picture that has no transparency."""
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_pictures_stand_upright(kind, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = file_of(BLOCKS, kind, exif=exif)
    seen = decode_picture(data, "it")
    assert seen.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    assert np.array_equal(seen, shown(data))


def test_exif_that_is_damaged_turns_nothing():
    data = file_of(BLOCKS, "JPEG", exif=b"Exif\0\0" + b"MM\0*" + b"\xff" * 40)
    assert decode_picture(data, "it").shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_gray_of_sixteen_bit_is_scaled_or_depth(kind):
    data = file_of(RAMP, kind)
    assert np.array_equal(decode_picture(data, "it"), np.repeat((RAMP >> 8)[:, :, None], 3, 2))
    with pytest.raises(ValueError, match="it holds one channel of 16 bit: depth, not colors"):
        decode_picture(data, "it", camera=True)


def test_numbers_of_32_bit_are_no_picture():
    for pixels in (RAMP.astype(np.float32), RAMP.astype(np.int32)):
        with pytest.raises(ValueError, match="one channel of 32 bit: numbers, not colors"):
            decode_picture(file_of(pixels, "TIFF"), "it")


def test_transparency_is_on_white():
    alpha = np.zeros((48, 64, 1), np.uint8)
    alpha[:, 32:] = 255
    alpha[:24, :16] = 128
    data = file_of(np.concatenate([BLOCKS, alpha], 2), "PNG")
    seen = decode_picture(data, "it").astype(int)
    assert np.array_equal(seen[:, 32:], BLOCKS[:, 32:])
    assert (seen[24:, :32] == 255).all()
    assert np.abs(seen[:24, :16] - (255 + BLOCKS[:24, :16].astype(int)) / 2).max() <= 1
    assert np.array_equal(decode_picture(data, "it", camera=True), BLOCKS), "means nothing there"


@pytest.mark.parametrize("pixels", [RAMP, (RAMP >> 8).astype(np.uint8)])
def test_a_transparent_gray_is_white(pixels):
    clear = int(pixels[5, 7])
    seen = decode_picture(file_of(pixels, "PNG", transparency=clear), "it")
    opaque = decode_picture(file_of(pixels, "PNG"), "it")
    assert (seen[pixels == clear] == 255).all()
    assert np.array_equal(seen[pixels != clear], opaque[pixels != clear])


def test_palettes_with_a_transparent_entry():
    palette = Image.fromarray(BLOCKS).quantize(8)
    opaque = decode_picture(file_of(palette, "PNG"), "it")
    assert np.array_equal(opaque, np.asarray(palette.convert("RGB")))
    first = np.asarray(palette) == 0
    seen = decode_picture(file_of(palette, "PNG", transparency=0), "it")
    assert (seen[first] == 255).all()
    assert np.array_equal(seen[~first], opaque[~first])


@pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK", "YCbCr"])
def test_other_modes_become_rgb(mode):
    image = Image.fromarray(BLOCKS).convert(mode)
    kind = {"CMYK": "TIFF", "YCbCr": "JPEG"}.get(mode, "PNG")
    data = file_of(image, kind)
    assert np.array_equal(decode_picture(data, "it"), shown(data))


def test_jpegs_of_phones_hold_more_than_one_picture():
    data = file_of(BLOCKS, "MPO", save_all=True, append_images=[Image.fromarray(BLOCKS[::-1])])
    first = decode_picture(data, "it")
    assert np.array_equal(first, shown(data))
    photo, film = file_of(BLOCKS, "JPEG"), b"\0\0\0\x18ftypmp42" + b"\xff\xda\xff\xe0" * 9
    assert np.array_equal(decode_picture(photo + film, "it"), decode_picture(photo, "it"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_half_a_picture_is_refused(kind, share, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    data = file_of(noise, kind)
    with pytest.raises(PictureError, match=r"^photo "):
        decode_picture(data[: int(len(data) * share)], "photo")
    (tmp_path / "half").write_bytes(data[: int(len(data) * 0.9)])
    assert kind == "TIFF" or is_picture(tmp_path / "half")


def test_limits_and_formats():
    with pytest.raises(ValueError, match="it: expected 1 to 3071 pixels, got 64 x 48"):
        decode_picture(file_of(BLOCKS, "PNG"), "it", most=3071)
    with pytest.raises(PictureError, match="it does not decode as a picture, expected png"):
        decode_picture(file_of(BLOCKS, "GIF"), "it")
    with pytest.raises(PictureError, match=r"does not decode as a picture, .* \(0 bytes\)"):
        decode_picture(b"", "it")
