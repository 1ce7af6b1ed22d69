# SPDX-License-Identifier: Apache-2.0
"""Short prompts become structured captions, or one line says why not."""

import json

import numpy as np
import pytest

from cosmos3_ros.model.generation.prompt_upsampling import (
    FIELDS,
    OF_TIME,
    parse,
    question,
    upsample,
)
from cosmos3_ros.model.interface import Answer
from cosmos3_ros.model.language.captions import is_structured, structured_caption
from cosmos3_ros.model.reasoner import Cosmos3Reasoner

GOOD = {
    "temporal_caption": "A cup falls.",
    "subjects": [{"description": "a cup"}],
    "lighting": {"conditions": "daylight"},
    "fps": 60,
    "mine": "unknown",
}
SIZE = (480, 832)


class Says:
    """A reasoner that gives these answers, and keeps what it was asked."""

    def __init__(self, *answers):
        self.answers, self.asked = [*answers], []

    def ask(self, text, images=(), max_tokens=None, sampling=None):
        self.asked.append((text, len(images), sampling))
        return Answer(self.answers[min(len(self.asked), len(self.answers)) - 1])


def test_the_caption_has_the_published_fields_and_the_size_that_is_made():
    reasoner = Says(f"Here it is:\n```json\n{json.dumps(GOOD)}\n```")
    caption = json.loads(upsample(reasoner, "a cup falls", 189, 24.0, SIZE))
    assert list(caption) == [*FIELDS, "resolution", "aspect_ratio", "duration", "fps"]
    assert caption["temporal_caption"] == "A cup falls."
    assert caption["background_setting"] == ""
    assert caption["resolution"] == {"W": 832, "H": 480}
    assert (caption["aspect_ratio"], caption["duration"], caption["fps"]) == ("16,9", "7s", 24)
    (asked, images, sampling) = reasoner.asked[0]
    assert "a cup falls" in asked
    assert "7.9 seconds" in asked
    assert all(f'"{key}"' in asked for key in FIELDS)
    assert (images, sampling.temperature) == (0, 0.0)


def test_a_picture_has_no_time_and_a_first_frame_is_shown():
    still = {"subjects": [{"description": "a cup"}], "background_setting": "a table"}
    reasoner = Says(json.dumps(still))
    picture = np.zeros((32, 32, 3), np.uint8)
    caption = json.loads(upsample(reasoner, "a cup", 1, 24.0, SIZE, picture))
    assert not caption.keys() & {*OF_TIME, "duration", "fps"}
    assert reasoner.asked[0][1] == 1
    assert not any(f'"{key}"' in reasoner.asked[0][0] for key in OF_TIME)


def test_it_is_asked_again_and_then_given_up():
    reasoner = Says("no", json.dumps({**GOOD, "subjects": []}), json.dumps(GOOD))
    assert is_structured(upsample(reasoner, "a cup", 5, 24.0, SIZE))
    assert len({sampling.seed for _, _, sampling in reasoner.asked}) == 3
    with pytest.raises(
        ValueError, match=r"^upsample: expected a structured caption of the reasoner, got no JSON"
    ):
        upsample(Says("a cup, what else"), "a cup", 5, 24.0, SIZE)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"temporal_caption": ""}, "got none with 'temporal_caption'"),
        ({"subjects": "a cup"}, "got str for 'subjects'"),
        ({"lighting": "day"}, "got str for 'lighting'"),
    ],
)
def test_what_an_answer_lacks_is_said(change, said):
    with pytest.raises(ValueError, match=said):
        parse(json.dumps(GOOD | change), video=True)


def test_thoughts_are_no_answer():
    text = f"<think>{{}}</think>{json.dumps(GOOD)}"
    assert parse(text, video=True)["lighting"] == {"conditions": "daylight"}
    assert "shows: a cup" in question(" a cup ", 5, 24.0, seen=False)


def test_through_the_command(generate, tmp_path, monkeypatch):
    """Random weights write no caption, which is said; what a trained one writes is what is made."""
    small = ("a cup", *("--height", 32, "--width", 48, "--frames", 5, "--steps", 1, "--upsample"))
    monkeypatch.setattr(
        "cosmos3_ros.model.generation.prompt_upsampling.ANSWER_TOKENS", 8
    )  # random ones would go on
    code, said = generate(*small, "--out", tmp_path)
    assert code == 1
    assert "error: upsample: expected a structured caption of the reasoner, got no JSON" in said
    monkeypatch.setattr(Cosmos3Reasoner, "ask", lambda *rest: Answer(json.dumps(GOOD)))
    code, said = generate(*small, "--out", tmp_path)
    assert code == 0, said
    report = json.loads((tmp_path / "result.json").read_text())
    assert json.loads(report["caption"])["temporal_caption"] == "A cup falls."
    assert report["request"]["prompt"] == "a cup"


def test_a_caption_of_ones_own_gets_the_facts_of_the_request(generate, tmp_path):
    file = tmp_path / "prompt.json"
    file.write_text(json.dumps({**GOOD, "resolution": {"W": 1, "H": 1}}))
    small = ("--height", 32, "--width", 48, "--frames", 1, "--steps", 1, "--out", tmp_path)
    assert generate("--prompt-file", file, *small)[0] == 0
    caption = json.loads(json.loads((tmp_path / "result.json").read_text())["caption"])
    assert caption["resolution"] == {"W": 48, "H": 32}
    assert "fps" not in caption
    assert caption["mine"] == "unknown"
    assert caption == json.loads(structured_caption(GOOD, 1, 24.0, (32, 48)))
