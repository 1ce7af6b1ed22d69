# SPDX-License-Identifier: Apache-2.0
"""What kind of generator a checkpoint is, and what it is asked for where a request says nothing.

The numbers are those of NVIDIA's framework and cookbooks for the released checkpoints: per mode for
Nano and Super, of Edge's own recipe, the levels of the four-step students, and of the policies what
they were trained with.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

from ..checkpoint_io.foreign import find_checkpoint
from ..checkpoint_io.json_file import read_block, read_json
from ..checkpoint_io.own_embodiment import choose_embodiment
from ..checkpoint_io.student import LEVELS, Student, read_student
from ..language.captions import TIERS
from ..network.config import ModelConfig, config_from_json
from ..policy_options import PolicyOptions
from .options import CompleteRequest, GenerateOptions

NEGATIVE = Path("assets") / "negative_prompt.json"  # what a checkpoint may bring


@dataclasses.dataclass(frozen=True, slots=True)
class Usual:
    """The values that a kind of checkpoint has for one mode."""

    tier: str
    aspect: str
    frames: int
    fps: float
    steps: int
    guidance: float
    shift: float
    size: tuple[int, int] | None = None  # instead of tier and aspect, where neither is given


_PICTURE = Usual("720", "1,1", 1, 24.0, 50, 4.0, 3.0)
_VIDEO = Usual("720", "16,9", 189, 24.0, 35, 6.0, 10.0)
_EDGE = Usual("480", "16,9", 121, 24.0, 20, 5.0, 8.0)
USUAL: dict[str, dict[str, Usual]] = {
    "base": {"text_to_image": _PICTURE, "": _VIDEO},
    "edge": {
        "text_to_image": Usual("480", "1,1", 1, 24.0, 50, 5.0, 3.0),
        "text_to_video": dataclasses.replace(_EDGE, steps=35, shift=3.0),
        "": _EDGE,
    },
    "image student": {"": Usual("768", "1,1", 1, 24.0, 4, 1.0, 0.0)},
    "video student": {"": Usual("480", "16,9", 189, 16.0, 4, 1.0, 0.0)},
}


@dataclasses.dataclass(frozen=True, slots=True)
class CheckpointKind:
    """A checkpoint folder as far as its json files tell: `read_kind` reads them."""

    folder: Path
    name: str  # "base", "edge", "policy", "image student" or "video student"
    config: ModelConfig
    vae: dict[str, Any]  # vae/config.json
    levels: tuple[float, ...]  # noise levels of a student, else ()
    policy: dict[str, Any]  # that block of checkpoint.json
    student: Student | None = None  # what a student says of itself, if it was made here

    def mode(self, options: GenerateOptions) -> str:
        """What is to be made of what."""
        if options.mode:
            return options.mode
        if options.image or options.video:
            return "image_to_video" if options.image else "video_to_video"
        picture = options.frames == 1 or (options.frames is None and self.name == "image student")
        return "text_to_image" if picture else "text_to_video"

    def usual(self, mode: str) -> Usual:
        """What holds for a mode where nothing else is said."""
        if self.student and self.student.frames:
            made, picture = self.student, mode == "text_to_image"
            frames, steps = 1 if picture else max(made.frames, 5), len(self.levels)
            return Usual("480", "16,9", frames, made.fps, steps, 1.0, 0.0, made.size)
        if self.name == "policy":
            body = choose_embodiment(self.folder, self.policy, None)
            sampling = PolicyOptions().in_force()
            frames = 1 if mode == "text_to_image" else 1 + body.horizon // 4 * 4
            return Usual(
                "480",
                "16,9",
                frames,
                body.fps,
                len(self.levels) or sampling.num_steps,
                1.0 if self.levels else sampling.guidance,
                0.0 if self.levels else sampling.shift,
                body.canvas.size,
            )
        modes = USUAL[self.name]
        usual = modes.get(mode, modes[""])
        return dataclasses.replace(
            usual,
            frames=1 if mode == "text_to_image" else max(usual.frames, 5),
            steps=len(self.levels) or usual.steps,
        )

    def complete(self, asked: GenerateOptions) -> CompleteRequest:
        """The request with everything that it leaves out; ValueError for what cannot be chosen."""
        mode = self.mode(asked)
        if self.student and mode not in self.student.modes:
            raise ValueError(
                f"mode: expected one of {', '.join(self.student.modes)}, for which the student "
                f"was made, got {mode}"
            )
        usual = self.usual(mode)
        for name in ("steps", "guidance", "shift") if self.levels else ():
            if (given := getattr(asked, name)) is not None:
                raise ValueError(
                    f"{name}: expected none, the checkpoint is a student of {len(self.levels)} "
                    f"steps with guidance inside, got {given}"
                )

        def chosen(name: str) -> Any:
            given = getattr(asked, name)
            return getattr(usual, name) if given is None else given

        negative = asked.negative
        if negative is None:
            negative = "" if mode == "text_to_image" else self._negative()
        return CompleteRequest(
            asked,
            mode,
            chosen("frames"),
            chosen("fps"),
            self._size(asked, usual),
            chosen("steps"),
            chosen("guidance"),
            chosen("shift"),
            negative,
        )

    def _size(self, options: GenerateOptions, usual: Usual) -> tuple[int, int]:
        if options.height and options.width:
            return options.height, options.width
        if usual.size and not options.tier and not options.aspect:
            return usual.size
        tier = TIERS[options.tier or usual.tier]
        aspect = options.aspect or usual.aspect
        if aspect not in tier:
            raise ValueError(f"aspect: expected one of {', '.join(tier)}, got {aspect!r}")
        return tier[aspect]

    def _negative(self) -> str:
        fields = read_json(self.folder / NEGATIVE, optional=True)
        return json.dumps(fields, ensure_ascii=False) if fields else ""


def read_kind(folder: Path, download: bool = False) -> CheckpointKind:
    """The kind of a checkpoint; ValueError names a missing or broken file.

    download: see `foreign.find_folder`.
    """
    folder = find_checkpoint(folder, download)
    config = config_from_json(read_json(folder / "transformer" / "config.json"))
    scheduler = read_json(folder / "scheduler" / "scheduler_config.json")
    fixed = scheduler.get(LEVELS) or {}
    levels = tuple(level for level in fixed.get("t_list", ()) if level > 0)
    policy = read_block(folder / "checkpoint.json", "policy")
    student = read_student(folder)
    if levels and policy:
        name = "policy"
    elif levels:
        # the released one for videos runs at 16 frames per second, and says so
        name = "video student" if config.base_fps == USUAL["video student"][""].fps else ""
        name = name or ("video student" if student and student.frames > 1 else "image student")
    elif policy:
        name = "policy"
    else:
        name = "edge" if config.activation == "relu2" else "base"
    vae = read_json(folder / "vae" / "config.json")
    return CheckpointKind(folder, name, config, vae, levels, policy, student)
