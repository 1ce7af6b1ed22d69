# SPDX-License-Identifier: Apache-2.0
"""What requests leave out is chosen by the kind of the checkpoint."""

import dataclasses
import json

import pytest

from cosmos3_ros.model.checkpoint_io.tiny import INDEX, SCHEDULER, VAE
from cosmos3_ros.model.generation.checkpoint_kind import read_kind
from cosmos3_ros.model.generation.options import GenerateOptions
from cosmos3_ros.model.network.config import EDGE, NANO, SUPER
from cosmos3_ros.model.registry import embedded_checkpoint

LEVELS = {"fixed_step_sampler_config": {"t_list": [1.0, 0.9375, 0.83333, 0.625, 0.0]}}


@pytest.fixture
def kind(tmp_path):
    """Function that makes the json files of a checkpoint, and reads what kind it is."""

    def function(config=NANO, scheduler=None, policy=None, negative=None):
        files = {
            "transformer/config.json": config.to_json(),
            "scheduler/scheduler_config.json": SCHEDULER | (scheduler or {}),
            "vae/config.json": VAE,
            "model_index.json": INDEX,
        }
        files |= {"checkpoint.json": {"policy": policy}} if policy else {}
        files |= {"assets/negative_prompt.json": negative} if negative else {}
        for name, fields in files.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(json.dumps(fields))
        return read_kind(tmp_path)

    return function


def chosen(kind, **asked):
    found = kind.complete(GenerateOptions(prompt="a cup", **asked))
    return (
        found.mode,
        found.size,
        found.frames,
        found.fps,
        found.steps,
        found.guidance,
        found.shift,
    )


@pytest.mark.parametrize("config", [NANO, SUPER], ids=["nano", "super"])
def test_nano_and_super(kind, config):
    base = kind(config)
    assert base.name == "base"
    assert chosen(base) == ("text_to_video", (720, 1280), 189, 24.0, 35, 6.0, 10.0)
    assert chosen(base, image="a.png")[0] == "image_to_video"
    assert chosen(base, video="a.mp4")[0] == "video_to_video"
    assert chosen(base, frames=1) == ("text_to_image", (960, 960), 1, 24.0, 50, 4.0, 3.0)
    assert chosen(base, tier="480")[1] == (480, 832)
    assert chosen(base, aspect="9,16")[1] == (1280, 720)
    assert chosen(base, height=96, width=128, steps=3, shift=0.0) == (
        *("text_to_video", (96, 128), 189, 24.0, 3, 6.0, 0.0),
    )


def test_edge(kind):
    edge = kind(EDGE)
    assert edge.name == "edge"
    assert chosen(edge, image="a.png") == ("image_to_video", (480, 832), 121, 24.0, 20, 5.0, 8.0)
    assert chosen(edge, frames=1) == ("text_to_image", (640, 640), 1, 24.0, 50, 5.0, 3.0)


def test_students_have_levels_of_their_own(kind):
    image = kind(SUPER, LEVELS)
    assert image.name == "image student"
    assert chosen(image) == ("text_to_image", (1024, 1024), 1, 24.0, 4, 1.0, 0.0)
    video = kind(dataclasses.replace(SUPER, base_fps=16.0), LEVELS)
    assert video.name == "video student"
    assert chosen(video, image="a.png") == (
        *("image_to_video", (480, 832), 189, 16.0, 4, 1.0, 0.0),
    )
    for name, value in (("steps", 8), ("guidance", 3.0), ("shift", 5.0)):
        with pytest.raises(ValueError, match=f"{name}: expected none, .* student of 4 steps"):
            chosen(video, **{name: value})


def test_policies_make_what_they_were_trained_with(kind):
    droid = {"domain_name": "droid_lerobot", "action_chunk_size": 32, "conditioning_fps": 15}
    found = chosen(kind(NANO, None, droid))
    assert found == ("text_to_video", (544, 736), 33, 15.0, 4, 3.0, 5.0)
    embedded = read_kind(embedded_checkpoint())
    assert chosen(embedded) == ("text_to_video", (160, 192), 17, 15.0, 4, 3.0, 5.0)
    assert chosen(embedded, tier="256", aspect="1,1")[1] == (256, 256)


def test_the_negative_prompt_of_the_checkpoint_is_for_videos(kind):
    base = kind(negative={"style_medium": "low quality"})
    ask = GenerateOptions(prompt="a cup")
    assert base.complete(ask).negative == '{"style_medium": "low quality"}'
    assert base.complete(dataclasses.replace(ask, frames=1)).negative == ""
    assert base.complete(dataclasses.replace(ask, negative="blur")).negative == "blur"


def test_what_is_missing_is_said(kind, tmp_path):
    with pytest.raises(ValueError, match="checkpoint: no folder"):
        read_kind(tmp_path / "none")
    kind()
    (tmp_path / "vae" / "config.json").unlink()
    with pytest.raises(ValueError, match=r"checkpoint: missing file .*vae/config.json"):
        read_kind(tmp_path)
