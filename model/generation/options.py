# SPDX-License-Identifier: Apache-2.0
"""What a picture or video is asked for with: on the command line, or in a line of a batch."""

from __future__ import annotations

import dataclasses
import json
import os
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..checkpoint_io.foreign import SOUND_RUNS_ELSEWHERE
from ..embodiment.table import nearest
from ..language.captions import TIERS
from ..option_fields import check, coerce, fields, param
from ..policy_options import MOST_GUIDANCE, MOST_STEPS

MODES = ("text_to_image", "text_to_video", "image_to_video", "video_to_video")
ASPECTS = ("1,1", "4,3", "3,4", "16,9", "9,16", "2,3")
MOST_FRAMES, LEAST_FPS, MOST_FPS = 3001, 0.1, 240.0
# Fields of PolicyModelParams by which a checkpoint is loaded to generate.
RUNTIME = (
    "checkpoint",
    "download",
    "device",
    "dtype",
    "compile",
    "weights",
    "text_weights",
    "attention",
    "placement",
)
BY_KIND = "by the checkpoint's kind"
# Fields that some other program or checkpoint has, and why they are refused here.
FOREIGN = {
    "sound": f"sound is not generated here, its heads are left out; {SOUND_RUNS_ELSEWHERE}",
    "control": "transfer is not run here: vLLM-Omni and the Cosmos framework run it",
}
_ALIASES = {"enable_sound": "sound", "audio": "sound", "generate_audio": "sound"}
_ALIASES |= {f"control_{hint}": "control" for hint in ("edge", "blur", "depth", "seg", "wsm")}
_ALIASES |= {"control_video": "control", "transfer": "control", "hint": "control"}


@dataclasses.dataclass(frozen=True)
class GenerateOptions:
    """One request; what is None is chosen by the kind of the checkpoint. ValueError names a field.

    prompt: a sentence, or a JSON object with the fields of a structured caption.
    """

    prompt: str = param("", "what is to be seen; or a structured caption, a JSON object")
    prompt_file: str = param("", "file with the prompt, text or JSON, instead")
    mode: str | None = param(
        None, f"{', '.join(MODES)}", omitted="by what is given, text_to_video without"
    )
    image: str = param("", "image file: the first frame")
    video: str = param("", "video file: its first five frames at `fps` are continued")
    keep: str = param("first", "frames of `video` that are continued", choices=("first", "last"))
    tier: str | None = param(None, f"size by resolution tier: {', '.join(TIERS)}", omitted=BY_KIND)
    aspect: str | None = param(
        None, f"width,height of the tier: {'; '.join(ASPECTS)}", omitted=BY_KIND
    )
    height: int | None = param(None, "pixels, a multiple of 16, instead of a tier", omitted="tier")
    width: int | None = param(None, "pixels, a multiple of 16, instead of a tier", omitted="tier")
    frames: int | None = param(None, "1 for a picture, else 4 k + 1", omitted=BY_KIND)
    fps: float | None = param(None, "frames per second", omitted=BY_KIND)
    steps: int | None = param(None, "denoising steps", omitted=BY_KIND)
    guidance: float | None = param(
        None, "how hard to push away from the negative prompt; 1: not", omitted=BY_KIND
    )
    shift: float | None = param(
        None, "of the noise levels; 0: the schedule of the checkpoint's scheduler", omitted=BY_KIND
    )
    seed: int = param(0, "of the noise", minimum=0)
    negative: str | None = param(
        None, "what is not to be seen", omitted="the checkpoint's, if it brings one"
    )
    upsample: bool = param(False, "have the reasoner write the prompt out as a structured caption")
    reference: bool = param(
        False, "prompts, noise and schedule as diffusers' pipeline, for comparisons"
    )
    frames_as_png: bool = param(False, "write every frame as a PNG file too, which loses nothing")

    def __post_init__(self) -> None:
        check(self)
        if bool(self.prompt.strip()) == bool(self.prompt_file):
            got = "both" if self.prompt_file else "none"
            raise ValueError(f"prompt, prompt_file: expected one of them, got {got}")
        if self.image and self.video:
            raise ValueError("image, video: expected at most one of them, got both")
        self._check_choices()
        self._check_size()
        self._check_numbers()
        self._check_mode()

    def _check_numbers(self) -> None:
        if self.frames is not None and (
            self.frames % 4 != 1 or not 1 <= self.frames <= MOST_FRAMES
        ):
            raise ValueError(
                f"frames: expected 4 k + 1 (1, 5, 9, ...), at most {MOST_FRAMES}, got {self.frames}"
            )
        if self.fps is not None and not LEAST_FPS <= self.fps <= MOST_FPS:
            raise ValueError(f"fps: expected {LEAST_FPS} to {MOST_FPS:.0f}, got {self.fps}")
        if self.steps is not None and not 1 <= self.steps <= MOST_STEPS:
            raise ValueError(f"steps: expected 1 to {MOST_STEPS}, got {self.steps}")
        if self.shift is not None and self.shift and not 1e-3 <= self.shift <= 1e3:
            raise ValueError(f"shift: expected 0, or 0.001 to 1000, got {self.shift}")
        if self.guidance is not None and abs(self.guidance) > MOST_GUIDANCE:
            raise ValueError(
                f"guidance: expected -{MOST_GUIDANCE:.0f} to {MOST_GUIDANCE:.0f}, "
                f"got {self.guidance}"
            )
        if self.seed >= 2**32:
            raise ValueError(f"seed: expected less than 2^32, got {self.seed}")

    def _check_choices(self) -> None:
        for name, choices in (("mode", MODES), ("tier", tuple(TIERS)), ("aspect", ASPECTS)):
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ValueError(
                    f"{name}: expected one of {', '.join(choices)}, got {value!r}"
                    f"{nearest(value, choices)}"
                )
        if self.tier and self.aspect and self.aspect not in TIERS[self.tier]:
            raise ValueError(
                f"aspect: expected one of {', '.join(TIERS[self.tier])} in tier {self.tier}, "
                f"got {self.aspect!r}"
            )

    def _check_size(self) -> None:
        sides = (self.height, self.width)
        if sides == (None, None):
            return
        if self.tier or self.aspect:
            raise ValueError("height, width: expected neither beside a tier or aspect, got both")
        if None in sides or any(side is None or side < 16 or side % 16 for side in sides):
            raise ValueError(
                f"height, width: expected multiples of 16, got {self.height} and {self.width}"
            )

    def _check_mode(self) -> None:
        if self.mode is None:
            return
        for name in ("image", "video"):
            wanted = self.mode == f"{name}_to_video"
            if wanted != bool(getattr(self, name)):
                expected = "expected" if wanted else "expected none"
                raise ValueError(f"{name}: {expected} for mode {self.mode}")
        if self.frames is not None and (self.mode == "text_to_image") != (self.frames == 1):
            raise ValueError(f"frames: {self.frames} do not fit mode {self.mode}")

    def text(self) -> str:
        """The prompt, from its file if it has one; ValueError if that cannot be read."""
        if not self.prompt_file:
            return self.prompt
        try:
            text = Path(os.path.expanduser(self.prompt_file)).read_text(encoding="utf-8").strip()
        except UnicodeDecodeError:
            raise ValueError(f"{self.prompt_file}: expected text in UTF-8") from None
        if not text:
            raise ValueError(f"{self.prompt_file}: expected a prompt, got an empty file")
        return text


@dataclasses.dataclass(frozen=True, slots=True)
class CompleteRequest:
    """A request in which nothing is left to the kind of the checkpoint."""

    asked: GenerateOptions
    mode: str
    frames: int
    fps: float
    size: tuple[int, int]  # H, W
    steps: int
    guidance: float
    shift: float
    negative: str

    def about(self) -> dict[str, Any]:
        """Its fields as a line of a batch has them."""
        settings = {
            name: getattr(self, name)
            for name in ("mode", "frames", "fps", "steps", "guidance", "shift", "negative")
        }
        size = {"tier": None, "aspect": None, "height": self.size[0], "width": self.size[1]}
        return dataclasses.asdict(self.asked) | settings | size


def read_line(text: str, defaults: Mapping[str, Any]) -> tuple[str, GenerateOptions]:
    """Name (empty: none is given) and request of a line of a batch, a JSON object.

    defaults: of fields that it leaves out. ValueError says what is wrong with it.
    """
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError(f"expected a JSON object, got {text[:40]!r}") from None
    if not isinstance(given, dict):
        raise ValueError(f"expected a JSON object, got {type(given).__name__}")
    name = given.pop("name", "")
    if not isinstance(name, str):
        raise ValueError(f"name: expected text, got {name!r}")
    known = fields(GenerateOptions)
    for key in given.keys() - known.keys():
        if (foreign := _ALIASES.get(str(key), str(key))) in FOREIGN:
            raise ValueError(f"{key}: {FOREIGN[foreign]}")
        raise ValueError(
            f"unknown field {key!r}{nearest(key, known)}, expected name, {', '.join(known)}"
        )
    if isinstance(given.get("prompt"), dict):  # a structured caption, as it stands in its file
        given["prompt"] = json.dumps(given["prompt"], ensure_ascii=False)
    kinds = typing.get_type_hints(GenerateOptions)
    typed = {
        key: None if value is None and known[key].default is None else _typed(key, kinds, value)
        for key, value in given.items()
    }
    usual = dict(defaults)
    if typed.keys() & {"prompt", "prompt_file"}:
        usual = {key: usual[key] for key in usual if key not in ("prompt", "prompt_file")}
    return name, GenerateOptions(**{**usual, **typed})


def _typed(key: str, kinds: Mapping[str, Any], value: Any) -> Any:
    kind = (*typing.get_args(kinds[key]), kinds[key])[0]  # X of X | None
    try:
        return coerce(key, kind, value)
    except ValueError as error:
        raise ValueError(str(error).removeprefix("parameter ").replace(repr(key), key, 1)) from None
