# SPDX-License-Identifier: Apache-2.0
"""Captions around an instruction, word for word as in training, and their tokens."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..embodiment.table import nearest
from .chat import PICTURE_START
from .plain_words import PromptError, check_words

VIEWPOINTS = {
    "ego_view": "This video is captured from a first-person perspective looking at the scene.",
    "third_person_view": (
        "This video is captured from a third-person perspective looking towards the agent from the "
        "front."
    ),
    "wrist_view": "This video is captured from a wrist-mounted camera.",
    "concat_view": "This video contains concatenated views from multiple camera perspectives.",
    "top_down_2d_view": "This video is captured from a top-down view of a flat 2D scene.",
    "video_game_view": (
        "This video is captured from an in-game camera perspective in a virtual environment."
    ),
}
SYSTEM_IMAGE = "You are a helpful assistant who will generate images from a give prompt."
SYSTEM_VIDEO = "You are a helpful assistant who will generate videos from a give prompt."
# Height and width of the pictures the model was trained on, by resolution tier and aspect ratio
# (width, height).
TIERS: dict[str, dict[str, tuple[int, int]]] = {
    "256": {
        "1,1": (256, 256),
        "4,3": (256, 320),
        "3,4": (320, 256),
        "16,9": (192, 320),
        "9,16": (320, 192),
    },
    "480": {
        "1,1": (640, 640),
        "4,3": (544, 736),
        "3,4": (736, 544),
        "16,9": (480, 832),
        "9,16": (832, 480),
        "2,3": (768, 512),
    },
    "704": {
        "1,1": (960, 960),
        "4,3": (832, 1088),
        "3,4": (1088, 832),
        "16,9": (704, 1280),
        "9,16": (1280, 704),
    },
    "720": {
        "1,1": (960, 960),
        "4,3": (832, 1104),
        "3,4": (1104, 832),
        "16,9": (720, 1280),
        "9,16": (1280, 720),
    },
    "768": {
        "1,1": (1024, 1024),
        "4,3": (880, 1184),
        "3,4": (1184, 880),
        "16,9": (768, 1360),
        "9,16": (1360, 768),
    },
}


# Of a structured caption, what the request decides.
_FACTS = ("resolution", "aspect_ratio", "duration", "fps")


def framing(viewpoint: str, view_description: str = "") -> str:
    """The sentence(s) about the cameras; ValueError for a viewpoint the model does not know."""
    if viewpoint not in VIEWPOINTS:
        close = nearest(viewpoint, VIEWPOINTS) or ","
        raise ValueError(
            f"viewpoint: unknown {viewpoint!r}{close} expected one of {sorted(VIEWPOINTS)}"
        )
    return f"{VIEWPOINTS[viewpoint]} {view_description.rstrip()}".rstrip()


def aspect_ratio(height: int, width: int) -> str:
    """The name of a trained picture size, else the reduced ratio, as "width,height"."""
    for sizes in TIERS.values():
        for name, size in sizes.items():
            if size == (height, width):
                return name
    common = math.gcd(width, height)
    return f"{width // common},{height // common}"


def nearest_aspect_ratio(height: int, width: int) -> str:
    """Which of the five common ratios is nearest, as diffusers writes it."""
    names = ("1,1", "4,3", "3,4", "16,9", "9,16")
    return min(
        names,
        key=lambda name: abs(int(name.split(",")[0]) / int(name.split(",")[1]) - width / height),
    )


def action_json(
    instruction: str,
    frames: int,
    fps: float,
    size: tuple[int, int],
    camera: str,
    idle: str = "",
    ratio: str | None = None,
) -> str:
    """The structured caption of an action chunk.

    frames: of the video, the observed one included; size: (height, width) of the padded picture;
    camera: see `framing`; idle: how much of the chunk stands still, for example "0 out of 16.";
    ratio: default `aspect_ratio(*size)`.
    """
    seconds = frames / fps
    minutes, rest = divmod(round(seconds), 60)
    sentence = instruction.strip()
    action = {"time": f"0:00-{minutes}:{rest:02d}", "description": _sentence(sentence)}
    if idle:
        action["idle_frame"] = idle
    prompt: dict[str, Any] = {
        "cinematography": {"framing": camera},
        "actions": [action],
        "duration": f"{int(seconds)}s",
        "fps": float(fps),
        "resolution": {"H": size[0], "W": size[1]},
        "aspect_ratio": ratio or aspect_ratio(*size),
    }
    return json.dumps(prompt)


def action_plain(
    instruction: str, frames: int, fps: float, size: tuple[int, int], camera: str
) -> str:
    """The caption of `action_json` as sentences, with which released policies are served."""
    text = instruction.rstrip()
    for sentence in (camera, _duration(frames, fps), _resolution("video", size)):
        text += (" " if text.endswith(".") else ". ") + sentence
    return text


def video_caption(
    text: str, frames: int, fps: float, size: tuple[int, int], negative: bool = False
) -> str:
    """A caption for image (frames = 1) or video with its duration and resolution.

    negative: say that it does not have them.
    """
    facts = [_duration(frames, fps)] if frames > 1 else []
    facts.append(_resolution("video" if frames > 1 else "image", size))
    for fact in facts:
        said = fact.replace(" is ", " is not ") if negative else fact
        text = text.rstrip(".")
        text = f"{text}. {said}" if text else said
    return text


def is_structured(text: str) -> bool:
    """Whether a caption is a JSON object, as `structured_caption` writes it."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        fields = json.loads(text)
        json.dumps(fields)
    except (ValueError, RecursionError):  # nested deeper than it can be written again
        return False
    return isinstance(fields, dict)


def structured_caption(
    fields: Mapping[str, Any], frames: int, fps: float, size: tuple[int, int]
) -> str:
    """A caption of named fields, with the resolution and the duration of what is generated.

    Those come last, as in NVIDIA's published prompts for Cosmos 3; an image has no duration.
    """
    facts: dict[str, Any] = {
        "resolution": {"W": size[1], "H": size[0]},
        "aspect_ratio": aspect_ratio(*size),
    }
    if frames > 1:
        facts |= {"duration": f"{int(frames / fps)}s", "fps": int(fps) if fps == int(fps) else fps}
    kept = {key: value for key, value in fields.items() if key not in _FACTS}
    return json.dumps(kept | facts, ensure_ascii=False)


def tokenize(tokenizer: Any, text: str, limit: int = 4096, system: str = "") -> list[int]:
    """Token ids of the generator's prompt.

    These are one user turn, the assistant's opening, end of turn and start of vision. tokenizer:
    transformers' tokenizer of the checkpoint. PromptError if there are more than `limit` tokens,
    or if words of the text are control tokens.
    """
    for words in (text, system):
        check_words("prompt", words, tokenizer)
    turns = [{"role": "system", "content": system}] if system else []
    turns.append({"role": "user", "content": text})
    ids = tokenizer.apply_chat_template(
        turns, tokenize=True, add_generation_prompt=True, return_dict=True
    )["input_ids"]
    tokens = [*ids, tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(PICTURE_START)]
    if len(tokens) > limit:
        raise PromptError(
            f"prompt: {len(tokens)} tokens, expected at most {limit}; it begins {text[:60]!r}"
        )
    return tokens


def _sentence(text: str) -> str:
    return text if not text or text.endswith((".", "!", "?")) else text + "."


def _duration(frames: int, fps: float) -> str:
    return f"The video is {frames / fps:.1f} seconds long and is of {fps:.0f} FPS."


def _resolution(kind: str, size: tuple[int, int]) -> str:
    return f"This {kind} is of {size[0]}x{size[1]} resolution."
