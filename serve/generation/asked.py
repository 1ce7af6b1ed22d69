# SPDX-License-Identifier: Apache-2.0
"""Requests for pictures, videos and actions in the fields of OpenAI, vLLM-Omni and SGLang."""

from __future__ import annotations

import dataclasses
import re
import secrets
from collections.abc import Mapping
from typing import Any

from ...model.generation.action_options import ActionOptions
from ...model.generation.options import FOREIGN, GenerateOptions
from ...model.language.captions import TIERS, is_structured
from ..http.errors import BadRequestError
from ..http.fields import check_known
from .form import read_file, read_object, read_value

MOST_PIXELS = 1 << 21  # twice those of the largest pictures that Cosmos 3 was trained on
MOST_PICTURES = 10  # of one request, as OpenAI
SHARED: dict[str, tuple[str, type]] = {
    "prompt": ("prompt", str),
    "num_inference_steps": ("steps", int),
    "guidance_scale": ("guidance", float),
    "flow_shift": ("shift", float),
    "seed": ("seed", int),
}
# Field of a request -> field of GenerateOptions, and its type.
PICTURE = SHARED | {
    "negative_prompt": ("negative", str),
    "height": ("height", int),
    "width": ("width", int),
}
VIDEO = PICTURE | {"num_frames": ("frames", int), "fps": ("fps", float)}
ACTION = SHARED | {"num_frames": ("frames", int), "fps": ("fps", float)}
EXTRA = {"condition_video_keep": ("keep", str), "upsample": ("upsample", bool)}
EXTRA_OF_ACTIONS = {
    "action_mode": ("mode", str),
    "domain_name": ("domain", str),
    "raw_action_dim": ("width", int),
    "action_view_point": ("viewpoint", str),
    "action_cinematography_framing": ("view_description", str),
}
# What asks for nothing, or changes no picture; see `check_known`.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "background": ("auto", "opaque"),
    "generate_sound": (False, "false"),
    "moderation": (),
    "output_compression": (100, "100"),
    "output_format": ("png",),
    "partial_images": (0,),
    "quality": ("auto", "standard"),
    "response_format": ("b64_json",),
    "stream": (False, "false"),
    "style": (),
    "true_cfg_scale": (1, "1"),
    "user": (),
    "safety_identifier": (),
}
NEUTRAL_EXTRA: dict[str, tuple[Any, ...]] = {
    "guardrails": (False,),
    "use_duration_template": (),
    "use_resolution_template": (),
}
FILES = ("input_reference", "image_reference", "video_reference")
_SIZE = re.compile(r"([0-9]{2,5})x([0-9]{2,5})")


@dataclasses.dataclass(frozen=True, slots=True)
class Asked:
    """What to make, and the file that it begins with, which has yet to be stored."""

    options: dict[str, Any]  # of GenerateOptions or ActionOptions, without the file
    file: bytes | None = None
    dynamics: bool = False  # the video of given actions

    def generate(self, file: str = "") -> GenerateOptions:
        """As the command `generate` has it; BadRequestError names the request's own field."""
        named = {} if not file else {"video" if is_video(self.file or b"") else "image": file}
        return _checked(GenerateOptions, {**self.options, **named}, VIDEO)

    def act(self, file: str) -> ActionOptions:
        """As actions are asked for; BadRequestError names the request's own field."""
        return _checked(ActionOptions, {**self.options, "file": file}, ACTION | EXTRA_OF_ACTIONS)


def read_picture(fields: Mapping[str, Any]) -> tuple[list[Asked], str]:
    """The pictures of a request to /v1/images/generations, and what it calls the model."""
    check_known(fields, (*PICTURE, "model", "n", "size", "extra_params"), NEUTRAL)
    extra = _extra(fields, {"upsample": EXTRA["upsample"]})
    options = _values(fields, PICTURE) | extra | {"frames": 1}
    _add_size(fields, options)
    _check_pixels(options)
    count = read_value(fields, "n", int) or 1
    if not 1 <= count <= MOST_PICTURES:
        raise BadRequestError(f"n: expected 1 to {MOST_PICTURES}, got {count}", "n")
    seed = _seed(options)
    return [Asked(options | {"seed": (seed + i) % 2**32}) for i in range(count)], _model(fields)


def read_video(fields: Mapping[str, Any]) -> tuple[Asked, str]:
    """The video of a request to /v1/videos, and what it calls the model."""
    plain = {name: value for name, value in fields.items() if "[" not in name}
    known = (*VIDEO, "model", "size", "seconds", "extra_params", *FILES)
    _refuse_foreign(plain)
    check_known(plain, known, NEUTRAL)
    file = _file(fields)
    if read_object(fields, "extra_params").get("action_mode") is not None:
        return _dynamics(fields, file), _model(fields)
    options = _values(fields, VIDEO) | _extra(fields, EXTRA)
    _add_size(fields, options)
    _check_pixels(options)
    seconds = _seconds(fields)
    if seconds is not None:
        if "frames" in options:
            raise BadRequestError("seconds: expected none beside num_frames", "seconds")
        options["seconds"] = seconds  # frames, once the rate is known
    if options.get("frames") == 1:
        raise BadRequestError("num_frames: expected 5 or more of a video, got 1", "num_frames")
    _seed(options)
    return Asked(options, file), _model(fields)


def read_actions(fields: Mapping[str, Any]) -> tuple[Asked, str]:
    """The actions of a request to /v1/actions/generations, and what it calls the model."""
    plain = {name: value for name, value in fields.items() if "[" not in name}
    check_known(plain, (*ACTION, "model", "height", "width", "extra_params", *FILES), {"user": ()})
    asked = _action_options(fields, ("policy", "inverse_dynamics"))
    return Asked(asked, _file(fields)), _model(fields)


def _dynamics(fields: Mapping[str, Any], file: bytes | None) -> Asked:
    """The video of given actions: SGLang has it at /v1/videos."""
    for name in ("negative_prompt", "seconds"):
        if fields.get(name):
            raise BadRequestError(f"{name}: expected none for forward_dynamics", name)
    return Asked(_action_options(fields, ("forward_dynamics",)), file, dynamics=True)


def _action_options(fields: Mapping[str, Any], modes: tuple[str, ...]) -> dict[str, Any]:
    extra = read_object(fields, "extra_params")
    known = (*EXTRA_OF_ACTIONS, *(["action"] if "forward_dynamics" in modes else []))
    check_known(extra, known, NEUTRAL_EXTRA, "extra_params.")
    options = _values(fields, ACTION) | _values(extra, EXTRA_OF_ACTIONS, "extra_params.")
    if options.setdefault("mode", "policy") not in modes:
        raise BadRequestError(
            f"extra_params.action_mode: expected one of {', '.join(modes)} here, got "
            f"{options['mode']!r}; forward_dynamics is a video, see /v1/videos",
            "extra_params.action_mode",
        )
    if (tier := _tier(fields)) is not None:
        options["tier"] = tier
    if "forward_dynamics" in modes:
        options["actions"] = _rows(extra.get("action"))
        options.setdefault("width", len(options["actions"][0]))
    _seed(options)
    return options


def _rows(action: Any) -> tuple[tuple[float, ...], ...]:
    """A list of rows, each a list of numbers."""
    name = "extra_params.action"
    if not isinstance(action, list) or not action:
        raise BadRequestError(f"{name}: expected a list of rows", name)
    for row in action:
        if not isinstance(row, list) or not all(type(one) in (int, float) for one in row):
            raise BadRequestError(f"{name}: expected rows of numbers", name)
    try:
        return tuple(tuple(map(float, row)) for row in action)
    except OverflowError:
        raise BadRequestError(f"{name}: expected finite numbers", name) from None


def _values(
    fields: Mapping[str, Any], table: Mapping[str, tuple[str, type]], where: str = ""
) -> dict[str, Any]:
    """The fields of a table that are there, under their names here."""
    read = {own: read_value(fields, name, kind, where) for name, (own, kind) in table.items()}
    return {own: value for own, value in read.items() if value is not None}


def _extra(fields: Mapping[str, Any], table: Mapping[str, tuple[str, type]]) -> dict[str, Any]:
    extra = read_object(fields, "extra_params")
    _refuse_foreign(extra, "extra_params.")
    check_known(extra, table, NEUTRAL_EXTRA, "extra_params.")
    # duration and size stand beside a sentence, and inside a structured caption
    structured = is_structured(str(fields.get("prompt") or ""))
    for name in ("use_resolution_template", "use_duration_template"):
        value = extra.get(name)
        if value is not None and value is not (not structured):
            path = f"extra_params.{name}"
            raise BadRequestError(f"{path}: expected {not structured} for this prompt", path)
    return _values(extra, table, "extra_params.")


def _refuse_foreign(fields: Mapping[str, Any], where: str = "") -> None:
    """Sound and transfer: with who makes them."""
    for name, value in fields.items():
        for word in FOREIGN:
            if word in name and value not in (None, False, "false"):
                raise BadRequestError(f"{where}{name}: {FOREIGN[word]}", f"{where}{name}")


def _add_size(fields: Mapping[str, Any], options: dict[str, Any]) -> None:
    size = read_value(fields, "size", str)
    if size in (None, "auto", ""):
        return
    found = _SIZE.fullmatch(size)
    if not found:
        raise BadRequestError(f"size: expected WIDTHxHEIGHT, got {size[:40]!r}", "size")
    if "height" in options or "width" in options:
        raise BadRequestError("size: expected none beside height and width", "size")
    options["width"], options["height"] = int(found[1]), int(found[2])


def _check_pixels(options: Mapping[str, Any]) -> None:
    """One request is not to keep all others waiting for a day."""
    pixels = options.get("width", 0) * options.get("height", 0)
    if pixels > MOST_PIXELS:
        raise BadRequestError(f"size: expected at most {MOST_PIXELS} pixels, got {pixels}", "size")


def _tier(fields: Mapping[str, Any]) -> str | None:
    """The tier of a size that an action's picture is to have."""
    size: dict[str, Any] = _values(fields, {"height": ("height", int), "width": ("width", int)})
    _add_size(fields, size)
    if not size:
        return None
    for name, sizes in TIERS.items():
        if (size.get("height"), size.get("width")) in sizes.values():
            return name
    got = f"{size.get('width')}x{size.get('height')}"
    raise BadRequestError(f"size: expected that of a resolution tier, got {got}", "size")


def _seconds(fields: Mapping[str, Any]) -> float | None:
    seconds = read_value(fields, "seconds", float)
    if seconds is not None and not 0 < seconds <= 600:
        raise BadRequestError(
            f"seconds: expected more than 0, at most 600, got {seconds}", "seconds"
        )
    return None if seconds is None else float(seconds)


def _seed(options: dict[str, Any]) -> int:
    """The seed; one by chance where none is given."""
    return int(options.setdefault("seed", secrets.randbits(32)))


def _model(fields: Mapping[str, Any]) -> str:
    return str(read_value(fields, "model", str) or "")


def _file(fields: Mapping[str, Any]) -> bytes | None:
    found = {name: file for name in FILES if (file := read_file(fields, name)) is not None}
    if len(found) > 1:
        raise BadRequestError(f"{', '.join(found)}: expected one of them", [*found][1])
    for name, file in found.items():
        if not file:
            raise BadRequestError(f"{name}: expected a picture or a video, got no bytes", name)
        return file
    return None


def is_video(data: bytes) -> bool:
    """Whether bytes begin as mp4, mov, webm, matroska or avi do; else they may be a picture."""
    webp = data[8:12] == b"WEBP"
    return (
        data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
        or data[:4] == b"\x1a\x45\xdf\xa3"
        or (data[:4] == b"RIFF" and not webp)
    )


def _checked(cls: Any, options: dict[str, Any], table: Mapping[str, tuple[str, type]]) -> Any:
    """The options; an error names the field as the request has it."""
    try:
        return cls(**options)
    except ValueError as error:
        raise renamed(error, table) from None


def renamed(error: ValueError, table: Mapping[str, tuple[str, type]] = VIDEO) -> BadRequestError:
    """An error about a field of ours, about that of the request."""
    own, _, rest = str(error).partition(":")
    names = {ours: name for name, (ours, _) in table.items()} | {"file": "input_reference"}
    names |= {"image": "input_reference", "video": "input_reference", "height, width": "size"}
    names |= {"prompt, prompt_file": "prompt", "actions": "extra_params.action"}
    name = names.get(own)
    return BadRequestError(f"{name}:{rest}" if name else str(error), name)
