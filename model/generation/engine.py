# SPDX-License-Identifier: Apache-2.0
"""A loaded checkpoint that makes what a server is asked for: first checked, then written."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..diffusion.denoiser import Progress
from ..diffusion.guidance import Guidance
from ..embodiment.checks import head_number
from ..generator import ActionRequest, Request
from .action_options import ActionOptions
from .checkpoint_kind import CheckpointKind
from .conditioning_media import read_continued, read_first_frame, read_known
from .options import CompleteRequest, GenerateOptions
from .result_files import contact_sheet, write_png, write_video
from .worker import Place, Worker


class Engine:
    """One checkpoint for a server; upsample: prompts may be written out by its reasoner.

    One thread at a time makes something; any may check.
    """

    def __init__(self, kind: CheckpointKind, place: Place, upsample: bool = False) -> None:
        self._kind, self._place, self._upsample = kind, place, upsample
        self._worker = Worker(kind, place, upsample)

    def complete(self, options: GenerateOptions) -> CompleteRequest:
        """The request with all that it leaves out; ValueError if it cannot be made.

        Its files are read, its prompt is tokenized, and its memory is counted.
        """
        if options.upsample and not self._upsample:
            raise ValueError("upsample: expected none, this server does not write prompts out")
        asked = self._kind.complete(options)
        read_known(asked)
        self._place.need(self._kind, asked, self._upsample)
        self._worker.check_prompt(asked)
        return asked

    def steps(self, asked: CompleteRequest) -> int:
        """How often `write` calls `progress`."""
        return self._worker.steps(asked)

    def write(self, asked: CompleteRequest, file: Path, progress: Progress | None = None) -> None:
        """Make a picture (PNG), or a video (MP4) with its contact sheet beside it."""
        need = self._place.need(self._kind, asked, self._upsample)
        made = self._worker.make(asked, need, progress)
        request = asked.about()
        for name in ("image", "video"):  # where they lay here is nobody's business
            request[name] = Path(request[name]).name
        about = {"request": request, "caption": made.caption, "checkpoint": self._kind.folder.name}
        if len(made.frames) == 1:
            write_png(file, made.frames[0], about)
        else:
            self._write_video(file, made.frames, asked.fps, about)

    def check_actions(self, options: ActionOptions) -> None:
        """ValueError if actions cannot be made: of the picture or the video, of the head."""
        self._request(options)

    def actions(self, options: ActionOptions, progress: Progress | None = None) -> np.ndarray:
        """The rows of policy or inverse dynamics, float32 [frames - 1, width], as the model's."""
        rows = self._worker.act(self._request(options), progress).actions
        assert rows is not None  # of forward dynamics there are none
        return rows

    def write_dynamics(
        self, options: ActionOptions, file: Path, progress: Progress | None = None
    ) -> None:
        """The video of given actions (MP4), with its contact sheet beside it."""
        frames = self._worker.show(self._worker.act(self._request(options), progress))
        about = {"prompt": options.prompt, "domain": options.domain, "seed": options.seed}
        self._write_video(file, frames, options.fps, about)

    def _write_video(self, file: Path, frames: np.ndarray, fps: float, about: dict) -> None:
        write_png(sheet(file), contact_sheet(frames, fps), about)
        # last: whoever finds it finds all; H.264 in 4:2:0 wants even sides
        height, width = (side // 2 * 2 for side in frames.shape[1:3])
        write_video(file, frames[:, :height, :width], fps, about)

    def _request(self, options: ActionOptions) -> Request:
        image = video = None
        if options.mode == "inverse_dynamics":
            video = read_continued(options.file, options.fps, count=options.frames)
        else:
            image = read_first_frame(options.file)
        config = self._kind.config
        if options.width > config.action_width:
            raise ValueError(f"width: expected at most {config.action_width}, got {options.width}")
        head = head_number(options.domain)
        if head >= config.domains:
            raise ValueError(f"domain: the checkpoint has no head for {options.domain!r}")
        values = np.array(options.actions, np.float32) if options.actions else None
        action = ActionRequest(
            options.mode,
            options.frames - 1,
            head,
            options.width,
            options.tier,
            options.viewpoint,
            options.view_description,
            values,
        )
        return Request(
            options.prompt,
            fps=options.fps,
            image=image,
            video=video,
            action=action,
            steps=options.steps,
            guidance=Guidance(options.guidance),
            shift=options.shift,
            seed=options.seed,
        )


def sheet(file: Path) -> Path:
    """Where the contact sheet of a video lies."""
    return file.with_suffix(".sheet.png")
