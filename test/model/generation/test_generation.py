# SPDX-License-Identifier: Apache-2.0
"""Every mode through the command: the pixels of diffusers' pipeline, and files with the request."""

import json

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from cosmos3_ros.model.generation.conditioning_media import read_continued
from cosmos3_ros.model.generation.result_files import read_about, write_video
from cosmos3_ros.model.registry import embedded_checkpoint

# What diffusers does when it makes a Karras schedule.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SMALL = ("--height", 48, "--width", 64, "--fps", 15, "--steps", 3, "--seed", 5)
PROMPT = "Put the red cube in the bowl"
PIXELS = np.random.default_rng(0).integers(0, 256, (9, 48, 64, 3), dtype=np.uint8)
MODES = {
    "text_to_image": ("--frames", 1),
    "text_to_video": ("--frames", 5),
    "image_to_video": ("--frames", 5, "--image", "{}/first.png"),
    "video_to_video": ("--frames", 9, "--video", "{}/clip.mp4"),
}


@pytest.fixture(scope="module")
def media(tmp_path_factory):
    """A picture, and a video of it."""
    folder = tmp_path_factory.mktemp("media")
    Image.fromarray(PIXELS[0]).save(folder / "first.png")
    write_video(folder / "clip.mp4", PIXELS, 15, {})
    return folder


@pytest.mark.parametrize("mode", MODES)
def test_the_pixels_of_every_mode_are_those_of_diffusers(
    tiny, generate, pipeline, media, tmp_path, mode
):
    words = [str(word).format(media) for word in MODES[mode]]
    code, said = generate(
        PROMPT, *words, *SMALL, "--guidance", 3, "--reference", "--frames-as-png", "--out", tmp_path
    )
    assert code == 0, said
    about = json.loads((tmp_path / "result.json").read_text())
    assert about["request"]["mode"] == mode
    frames = about["request"]["frames"]
    known = {
        "image_to_video": lambda: {"image": Image.fromarray(PIXELS[0])},
        "video_to_video": lambda: {
            "video": [*map(Image.fromarray, read_continued(str(media / "clip.mp4"), 15.0))]
        },
    }.get(mode, dict)()
    expected = pipeline(tiny)(
        prompt=PROMPT,
        fps=15.0,
        num_inference_steps=3,
        guidance_scale=3.0,
        generator=torch.Generator().manual_seed(5),
        num_frames=frames,
        height=48,
        width=64,
        output_type="np",
        **known,
    ).video
    files = sorted((tmp_path / "result.frames").iterdir())
    got = np.stack([np.asarray(Image.open(file)) for file in files])
    wanted = np.asarray(expected).reshape(got.shape) * 255.0
    # rounded down here; what lies within float32 of a whole number may fall to either side
    assert np.abs(got + 0.5 - wanted).max() < 0.51
    assert (got == np.floor(wanted)).mean() > 0.999


@pytest.mark.parametrize("mode", MODES)
def test_the_embedded_checkpoint_makes_each(generate, media, tmp_path, mode):
    """With its own size, rate and sampling, into files that hold the request."""
    words = [str(word).format(media) for word in MODES[mode]]
    out = ("--steps", 2, "--out", tmp_path)
    code, said = generate(PROMPT, *words, *out, checkpoint=embedded_checkpoint())
    assert code == 0, said
    assert "1 made, 0 there already, 0 failed" in said
    assert "2/2" in said  # the bar, whose line has the time that is left
    request = json.loads((tmp_path / "result.json").read_text())["request"]
    assert (request["height"], request["width"], request["fps"]) == (160, 192, 15.0)
    result = tmp_path / ("result.png" if mode == "text_to_image" else "result.mp4")
    assert read_about(result)["request"] == request
    sheet = tmp_path / "result.sheet.png"
    assert sheet.exists() == (mode != "text_to_image")
    if mode == "text_to_image":
        assert np.asarray(Image.open(result)).shape == (160, 192, 3)
        return
    assert read_about(sheet)["request"] == request
    assert np.asarray(Image.open(sheet)).shape[1] == 4 * 192
    video = cv2.VideoCapture(str(result))
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == request["frames"]
    assert video.get(cv2.CAP_PROP_FPS) == pytest.approx(15.0)


def test_the_known_frame_is_seen_again(generate, media, tmp_path):
    """A simulated view, through autoencoder and H.264."""
    view = np.zeros((160, 192, 3), np.uint8)
    view[:, :, 0] = np.linspace(60, 180, 192)
    view[60:100, 60:120] = (40, 90, 160)
    Image.fromarray(view).save(tmp_path / "view.png")
    code, said = generate(
        PROMPT,
        *("--image", tmp_path / "view.png", "--frames", 5, "--steps", 1, "--frames-as-png"),
        *("--out", tmp_path / "out"),
        checkpoint=embedded_checkpoint(),
    )
    assert code == 0, said
    first = np.asarray(Image.open(tmp_path / "out" / "result.frames" / "00000.png"))
    assert np.abs(first.astype(float) - view).mean() < 8
