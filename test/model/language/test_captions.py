# SPDX-License-Identifier: Apache-2.0
"""Prompts letter for letter: lengths and hashes of the published strings."""

import hashlib
import json

import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.language.captions import (
    TIERS,
    VIEWPOINTS,
    action_json,
    action_plain,
    aspect_ratio,
    framing,
    nearest_aspect_ratio,
    tokenize,
    video_caption,
)

DROID_JOINT_POS = EMBODIMENTS["droid_joint_pos"]

DROID = framing("concat_view", DROID_JOINT_POS.view_description)


@pytest.mark.parametrize(
    ("text", "length", "digest"),
    [
        (VIEWPOINTS["ego_view"], 76, "1e9d8abe5918e141"),
        (VIEWPOINTS["third_person_view"], 96, "dc1172fc9314a8b1"),
        (VIEWPOINTS["wrist_view"], 51, "e4823c6b2e939bbb"),
        (VIEWPOINTS["concat_view"], 73, "9b8d358ef977b6f3"),
        (VIEWPOINTS["top_down_2d_view"], 63, "a39af79da6103552"),
        (VIEWPOINTS["video_game_view"], 83, "796c5bc933238688"),
        (DROID_JOINT_POS.view_description, 188, "24f47f9406a1540f"),
        (DROID, 262, "4d3e00a5da42de4c"),
        (
            action_json("pick up the banana", 33, 15.0, (544, 736), DROID),
            461,
            "c1c107a085733e63ae4a36f7f161b14a47c11103cc7e9d5481de4c71fa240536",
        ),
        (
            action_json(
                "pick up the banana",
                17,
                20.0,
                (192, 320),
                VIEWPOINTS["concat_view"],
                idle="0 out of 16.",
            ),
            303,
            "1c0bcd601904ccd55ade5abab2c13103007dbf42e2cb39e6d6d654bd41fb6938",
        ),
    ],
)
def test_published_strings(text, length, digest):
    assert len(text) == length
    assert hashlib.sha256(text.encode()).hexdigest().startswith(digest)


def test_plain_form_says_the_same_in_sentences():
    text = action_plain("pick up the banana", 33, 15.0, (544, 736), VIEWPOINTS["wrist_view"])
    assert text == (
        "pick up the banana. This video is captured from a wrist-mounted camera. "
        "The video is 2.2 seconds long and is "
        "of 15 FPS. This video is of 544x736 resolution."
    )
    assert action_plain("Stop.", 33, 15.0, (544, 736), "A camera.").startswith(
        "Stop. A camera. The"
    )


def test_captions_of_images_and_videos():
    assert (
        video_caption("A cat.", 1, 24.0, (720, 1280))
        == "A cat. This image is of 720x1280 resolution."
    )
    assert video_caption("", 48, 24.0, (16, 32), negative=True) == (
        "The video is not 2.0 seconds long and is not of 24 FPS. "
        "This video is not of 16x32 resolution."
    )


def test_aspect_ratios():
    for sizes in TIERS.values():
        for size in sizes.values():
            assert aspect_ratio(*size) in sizes
    assert aspect_ratio(144, 128) == "8,9"
    assert nearest_aspect_ratio(544, 736) == "4,3"


def test_a_sentence_gets_its_stop_and_long_videos_their_minutes():
    prompt = json.loads(action_json("Go!", 1000, 10.0, (256, 256), "c"))
    assert prompt["actions"] == [{"time": "0:00-1:40", "description": "Go!"}]
    assert prompt["duration"] == "100s"


def test_tokens_are_the_chat_and_two_more(model):
    tokenizer = model.tokenizer
    text = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Push it."}], tokenize=False, add_generation_prompt=True
    )
    expected = f"{text}<|im_end|><|vision_start|>"
    assert tokenizer.decode(tokenize(tokenizer, "Push it.")) == expected
    assert "<|im_start|>system\nBe kind.<|im_end|>" in tokenizer.decode(
        tokenize(tokenizer, "Go", system="Be kind.")
    )
    assert len(tokenize(tokenizer, "")) < 20


def test_too_long_prompts_and_unknown_cameras_are_refused(model):
    with pytest.raises(ValueError, match="tokens, expected at most 30; it begins 'aaaa"):
        tokenize(model.tokenizer, "a" * 300, limit=30)
    with pytest.raises(ValueError, match="viewpoint: unknown 'drone', expected one of"):
        framing("drone")
    with pytest.raises(ValueError, match=r"unknown 'egoview', did you mean 'ego_view'\?"):
        framing("egoview")
