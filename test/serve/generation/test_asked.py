# SPDX-License-Identifier: Apache-2.0
"""Fields of OpenAI, vLLM-Omni and SGLang become requests, or are refused by their names."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.serve.generation.asked import is_video, read_actions, read_picture, read_video
from cosmos3_ros.serve.http.errors import BadRequestError

PNG = io.BytesIO()
Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(PNG, "png")
PNG = PNG.getvalue()
URI = "data:image/png;base64," + base64.b64encode(PNG).decode()
CUP = {"prompt": "a cup"}


def test_a_picture_as_the_cookbook_of_cosmos_asks_sglang():
    asked, model = read_picture(
        {
            "prompt": json.dumps({"subjects": []}),
            "negative_prompt": "",
            "size": "1280x720",
            "n": 2,
            "num_inference_steps": 35,
            "guidance_scale": 6.0,
            "flow_shift": 10.0,
            "seed": 7,
            "response_format": "b64_json",
            "extra_params": {"use_resolution_template": False, "guardrails": False},
        }
    )
    first, second = (one.generate() for one in asked)
    assert (first.width, first.height, first.frames, first.seed) == (1280, 720, 1, 7)
    assert (first.steps, first.guidance, first.shift, first.negative) == (35, 6.0, 10.0, "")
    assert (second.seed, model) == (8, "")


def test_a_video_as_forms_write_it():
    asked, _ = read_video(
        CUP
        | {"size": "1280x720", "num_frames": "189", "fps": "24", "num_inference_steps": "35"}
        | {"guidance_scale": "6.0", "flow_shift": "1e1", "seed": "0", "generate_sound": "false"}
        | {"extra_params": '{"condition_video_keep": "last"}', "input_reference": PNG}
    )
    options = asked.generate("file")
    assert (options.frames, options.fps, options.shift, options.seed) == (189, 24.0, 10.0, 0)
    assert (options.image, options.video, options.keep) == ("file", "", "last")


@pytest.mark.parametrize(
    "fields",
    [
        {"input_reference": PNG},
        {"input_reference": {"image_url": URI}},
        {"input_reference[image_url]": URI},
        {"input_reference": json.dumps({"image_url": URI})},
        {"image_reference": json.dumps({"image_url": URI.replace("+", "%2B")})},
        {"image_reference": {"image_url": {"url": URI}}},
        {"video_reference": URI},
    ],
)
def test_every_form_of_a_file(fields):
    assert read_video(CUP | fields)[0].file == PNG


def test_seeds_are_drawn_where_none_is_given():
    seeds = {read_video(CUP)[0].options["seed"] for _ in range(4)}
    assert len(seeds) == 4


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"size": "1280"}, "size"),
        ({"size": "1280x720", "height": 720}, "size"),
        ({"size": "1281x720"}, "size"),
        ({"size": "4096x4096"}, "size"),
        ({"height": 16, "width": 1 << 20}, "size"),
        ({"num_frames": "12"}, "num_frames"),
        ({"num_frames": 1}, "num_frames"),
        ({"num_frames": "1_3"}, "num_frames"),
        ({"num_frames": 13.0}, "num_frames"),
        ({"num_frames": 13, "seconds": "4"}, "seconds"),
        ({"seconds": "0"}, "seconds"),
        ({"seconds": "nan"}, "seconds"),
        ({"fps": "inf"}, "fps"),
        ({"fps": float("nan")}, "fps"),
        ({"seed": -1}, "seed"),
        ({"seed": 10**30}, "seed"),
        ({"guidance_scale": "."}, "guidance_scale"),
        ({"guidance_scale_2": 3}, "guidance_scale_2"),
        ({"lora": "{}"}, "lora"),
        ({"generate_sound": "true"}, "generate_sound"),
        ({"control_reference": PNG}, "control_reference"),
        ({"extra_params": "{"}, "extra_params"),
        ({"extra_params": "[]"}, "extra_params"),
        ({"extra_params": {"guardrails": True}}, "extra_params.guardrails"),
        ({"extra_params": {"control_path": "/etc/passwd"}}, "extra_params.control_path"),
        ({"extra_params": {"use_duration_template": False}}, "extra_params.use_duration_template"),
        ({"input_reference": "https://a/b.png"}, "input_reference"),
        ({"input_reference": "/etc/passwd"}, "input_reference"),
        ({"input_reference[file_id]": "x"}, "input_reference.file_id"),
        ({"input_reference": PNG, "image_reference": URI}, "image_reference"),
        ({"input_reference": b""}, "input_reference"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": None}, "prompt"),
        ({"prompt": "\ud800"}, "prompt"),
        ({"prompt": ["a"]}, "prompt"),
        ({"prompt_file": "/etc/passwd"}, "prompt_file"),
        ({"image": "/etc/passwd"}, "image"),
    ],
    ids=str,
)
def test_a_wrong_field_is_refused_by_its_name(fields, param):
    with pytest.raises(BadRequestError) as caught:
        read_video(CUP | fields)[0].generate()
    assert caught.value.param == param


POLICY = {
    "prompt": "Pick up the cup.",
    "num_frames": "17",
    "fps": "15",
    "height": "544",
    "width": "736",
    "num_inference_steps": "30",
    "guidance_scale": "1.0",
    "flow_shift": "5.0",
    "seed": "0",
    "input_reference": PNG,
}
EXTRA = {
    "action_mode": "policy",
    "domain_name": "droid_lerobot",
    "raw_action_dim": 8,
    "action_view_point": "concat_view",
    "action_cinematography_framing": "The top row is from the wrist.",
    "guardrails": False,
}


def test_actions_as_the_cookbook_of_cosmos_asks_sglang():
    asked, _ = read_actions(POLICY | {"extra_params": json.dumps(EXTRA)})
    options = asked.act("file")
    assert (options.mode, options.domain, options.width) == ("policy", "droid_lerobot", 8)
    assert (options.frames, options.fps, options.tier, options.shift) == (17, 15.0, "480", 5.0)
    assert (options.viewpoint, options.view_description) == (
        "concat_view",
        EXTRA["action_cinematography_framing"],
    )


def test_forward_dynamics_is_a_video():
    extra = {
        "action_mode": "forward_dynamics",
        "domain_name": "av",
        "action_view_point": "ego_view",
    }
    extra |= {"action": [[0.5] * 9] * 4, "guardrails": False}
    fields = {"prompt": "Drive.", "num_frames": "5", "size": "832x480", "input_reference": PNG}
    asked, _ = read_video(fields | {"extra_params": extra})
    options = asked.act("file")
    assert asked.dynamics
    assert (options.width, options.tier, len(options.actions)) == (9, "480", 4)


@pytest.mark.parametrize(
    ("fields", "extra", "param"),
    [
        ({"size": "640x540"}, {}, "size"),
        ({"height": 540, "width": 640}, {}, "size"),
        ({"num_frames": 16}, {}, "num_frames"),
        ({}, {"action_mode": "forward_dynamics"}, "extra_params.action"),
        ({}, {"action_mode": "guess"}, "extra_params.action_mode"),
        ({}, {"domain_name": "mars"}, "domain_name"),
        ({}, {"raw_action_dim": 0}, "raw_action_dim"),
        ({}, {"action_view_point": "moon"}, "action_view_point"),
        ({}, {"action": [[1]]}, "extra_params.action"),
        ({"input_reference": None}, {}, "input_reference"),
        ({"negative_prompt": "x"}, {}, "negative_prompt"),
    ],
    ids=str,
)
def test_wrong_actions_are_refused_by_their_names(fields, extra, param):
    with pytest.raises(BadRequestError) as caught:
        read_actions(POLICY | fields | {"extra_params": EXTRA | extra})[0].act(
            "" if "input_reference" in fields else "file"
        )
    assert caught.value.param in (param, "extra_params.action_mode")


@pytest.mark.parametrize(
    "action", [[], [1], [["a"]], [[True]], [[1], [1, 2]], [[float("nan")]], [[10**400]], {}, "x"]
)
def test_rows_that_are_none_are_refused(action):
    extra = {"action_mode": "forward_dynamics", "domain_name": "av", "action": action}
    fields = CUP | {"num_frames": 5, "input_reference": PNG, "extra_params": extra}
    with pytest.raises(BadRequestError, match="action"):
        read_video(fields)[0].act("file")


def test_kinds_of_files():
    assert is_video(b"\0\0\0\x20ftypisom")
    assert is_video(b"RIFF....AVI LIST")
    assert not is_video(b"RIFF....WEBPVP8 ")
    assert not is_video(PNG)
