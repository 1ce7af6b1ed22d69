# SPDX-License-Identifier: Apache-2.0
"""A short prompt written out by the reasoner as a structured caption, as Cosmos 3 was trained on.

The fields are those of NVIDIA's published prompts; what is in them is the reasoner's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from ..interface import Answer
from ..language.captions import structured_caption
from ..language.question_templates import split_thought
from ..language.token_sampling import GREEDY, Sampling

# Fields in their order: text "", or a table, or a list of one such entry; an image has no time.
SUBJECT = (
    "description",
    "appearance_details",
    "relationship",
    "location",
    "relative_size",
    "orientation",
    "pose",
    "action",
    "state_changes",
    "clothing",
    "expression",
    "gender",
    "age",
    "skin_tone_and_texture",
    "facial_features",
)
FIELDS: dict[str, Any] = {
    "subjects": [dict.fromkeys(SUBJECT, "") | {"number_of_subjects": 1}],
    "background_setting": "",
    "lighting": dict.fromkeys(("conditions", "direction", "shadows", "illumination_effect"), ""),
    "aesthetics": dict.fromkeys(("composition", "color_scheme", "mood_atmosphere", "patterns"), ""),
    "cinematography": dict.fromkeys(
        (
            "camera_motion",
            "framing",
            "camera_angle",
            "depth_of_field",
            "focus",
            "lens_focal_length",
        ),
        "",
    ),
    "style_medium": "",
    "artistic_style": "",
    "context": "",
    "actions": [{"time": "0:00-0:02", "description": ""}],
    "text_and_signage_elements": [],
    "segments": [
        {
            "segment_index": 0,
            "time_range": "0:00-0:02",
            "description": "",
            "key_changes": "",
            "camera": "",
        }
    ],
    "transitions": [],
    "temporal_caption": "",
}
OF_TIME = ("actions", "segments", "transitions", "temporal_caption")
ANSWER_TOKENS = 3072
# As NVIDIA's guide asks the reasoner, after a greedy try that is always the same.
TRIES = (GREEDY, *(Sampling(0.7, top_k=20, top_p=0.8, seed=seed) for seed in (1, 2)))


class Asked(Protocol):
    """What answers: the reasoner on the same weights."""

    def ask(
        self,
        question: str,
        images: Sequence[np.ndarray] = (),
        max_tokens: int | None = None,
        sampling: Sampling | None = None,
    ) -> Answer:
        """See `Cosmos3Reasoner.ask`."""


def upsample(
    reasoner: Asked,
    prompt: str,
    frames: int,
    fps: float,
    size: tuple[int, int],
    image: np.ndarray | None = None,
) -> str:
    """The structured caption of a prompt; image: the first frame, uint8 [H, W, 3].

    ValueError if the reasoner does not write one in three tries: the first greedy, then drawn.
    """
    asked = question(prompt, frames, fps, image is not None)
    wrong = ""
    for sampling in TRIES:
        answer = reasoner.ask(asked, () if image is None else (image,), ANSWER_TOKENS, sampling)
        try:
            return structured_caption(parse(answer.text, frames > 1), frames, fps, size)
        except ValueError as error:
            wrong = str(error)
    raise ValueError(f"upsample: expected a structured caption of the reasoner, {wrong}")


def question(prompt: str, frames: int, fps: float, seen: bool) -> str:
    """What the reasoner is asked; seen: it is shown the first frame."""
    video = frames > 1
    kept = {key: value for key, value in FIELDS.items() if video or key not in OF_TIME}
    what = f"a video of {frames / fps:.1f} seconds" if video else "a picture"
    shown = " It begins with the picture shown." if seen else ""
    return (
        f"Write the caption of {what} that shows: {prompt.strip()}{shown}\n"
        "Describe what a viewer sees, in plain words, and invent what the sentence leaves open. "
        "Answer with one JSON object and nothing else. It has these keys, with texts in the places "
        'of "", and as many entries in a list as there are:\n'
        f"{json.dumps(kept)}"
    )


def parse(text: str, video: bool) -> dict[str, Any]:
    """The fields of an answer, in their order; ValueError says what it lacks."""
    answer = split_thought(text)[1]
    begin, end = answer.find("{"), answer.rfind("}")
    try:
        found = json.loads(answer[begin : end + 1]) if begin >= 0 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError(f"got no JSON object: {' '.join(text.split())[:60]!r}")
    wanted = {key: kind for key, kind in FIELDS.items() if video or key not in OF_TIME}
    main = "temporal_caption" if video else "background_setting"
    for key in ("subjects", main):
        if not found.get(key):
            raise ValueError(f"got none with {key!r}")
    for key, kind in wanted.items():
        if key in found and type(found[key]) is not type(kind):
            raise ValueError(f"got {type(found[key]).__name__} for {key!r}")
    return {key: found.get(key, type(kind)()) for key, kind in wanted.items()}
