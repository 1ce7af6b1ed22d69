# SPDX-License-Identifier: Apache-2.0
"""One loaded checkpoint that makes pictures and videos, if they fit into the device's memory."""

from __future__ import annotations

import dataclasses
import json
import time
from pathlib import Path

import numpy as np
import torch

from ..acceleration.generation_memory import Need, Video, check_generation
from ..acceleration.memory_budget import GIB
from ..acceleration.options import RuntimeOptions
from ..checkpoint_io.loader import load_fast
from ..diffusion.denoiser import Progress
from ..diffusion.guidance import Guidance
from ..generator import Generated, Generator, Request
from ..language.captions import is_structured, structured_caption, tokenize, video_caption
from ..reasoner import Cosmos3Reasoner
from ..runtime.device import DTYPES
from .checkpoint_kind import CheckpointKind
from .conditioning_media import read_known
from .options import CompleteRequest
from .prompt_upsampling import upsample


@dataclasses.dataclass(frozen=True, slots=True)
class Made:
    """What came of a request: frames uint8 [T, H, W, 3], the caption used, seconds by stage."""

    frames: np.ndarray
    caption: str
    seconds: dict[str, float]


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where and how a checkpoint runs; free: GiB of memory there before it is loaded."""

    device: str
    dtype: str
    runtime: RuntimeOptions
    free: float

    def need(self, kind: CheckpointKind, request: CompleteRequest, reasoner: bool) -> Need:
        """The memory of a request; ValueError if there is less.

        reasoner: its parts are loaded too.
        """
        if reasoner and self.runtime.placement != "both":
            raise ValueError(
                "upsample: expected placement 'both', which keeps the reasoner, got "
                f"{self.runtime.placement!r}"
            )
        video = Video(request.frames, *request.size)
        number = DTYPES[self.dtype].itemsize
        return check_generation(
            kind.config, self.runtime, kind.vae, video, self.free, number, reasoner
        )


def free_memory(device: str) -> float:
    """GiB that are free on a device, or in this computer for a CPU."""
    if device.startswith("cuda"):
        return float(torch.cuda.mem_get_info(device)[0]) / GIB
    try:
        lines = Path("/proc/meminfo").read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux: nothing is known
        return float("inf")
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 2**20


class Worker:
    """A checkpoint loaded for generation; reasoner: with the parts that write prompts out."""

    def __init__(self, kind: CheckpointKind, place: Place, reasoner: bool = False):
        model = load_fast(
            str(kind.folder), place.device, DTYPES[place.dtype], place.runtime, reasoner
        )
        self._generators = {each: Generator(model, reference=each) for each in (False, True)}
        self._reasoner = Cosmos3Reasoner(model) if reasoner else None
        self._tokenizer = model.tokenizer
        self._gpu = place.device.startswith("cuda")

    def check_prompt(self, asked: CompleteRequest) -> None:
        """PromptError, a ValueError, if the network cannot read the prompts of a request."""
        text, about = asked.asked.text(), (asked.frames, asked.fps, asked.size)
        structured = is_structured(text)
        caption = structured_caption(json.loads(text), *about) if structured else text
        for words in (caption if structured else video_caption(text, *about), asked.negative):
            tokenize(self._tokenizer, words)

    def act(self, request: Request, progress: Progress | None = None) -> Generated:
        """Actions, or the latents of the video of given ones; see `Generator.generate`."""
        return self._generators[False].generate(request, progress)

    def show(self, generated: Generated) -> np.ndarray:
        """The video of `act`, uint8 [T, H, W, 3]."""
        return self._generators[False].decode(generated)

    def steps(self, asked: CompleteRequest) -> int:
        """How many denoising steps a request takes."""
        return self._generators[asked.asked.reference].steps(_request(asked, "x"))

    def make(self, asked: CompleteRequest, need: Need, progress: Progress | None = None) -> Made:
        """Make what is asked; ValueError names what is wrong with its files or its prompt.

        Also if memory ran out, of which less was there than before the checkpoint was loaded.
        """
        try:
            return self._make(asked, need, progress)
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            raise ValueError(
                f"the GPU's memory is used up, {need.peak:.1f} GiB were computed; is somebody else "
                "on it?"
            ) from None

    def _make(self, asked: CompleteRequest, need: Need, progress: Progress | None) -> Made:
        options, seconds, since = asked.asked, {}, time.perf_counter()
        image, video = read_known(asked)
        caption = self._caption(asked, image)
        seconds["prepare"], since = _lap(since)
        generator = self._generators[options.reference]
        generated = generator.generate(_request(asked, caption, image, video), progress)
        if self._gpu:
            torch.cuda.synchronize()
            torch.cuda.empty_cache()  # what denoising left is of other sizes
        seconds["denoise"], since = _lap(since)
        frames = generator.decode(generated, need.tile)
        seconds["decode"], _ = _lap(since)
        return Made(frames, caption, seconds)

    def _caption(self, asked: CompleteRequest, image: np.ndarray | None) -> str:
        text, about = asked.asked.text(), (asked.frames, asked.fps, asked.size)
        if asked.asked.upsample:
            assert self._reasoner  # whoever asks for it loads it
            return upsample(self._reasoner, text, *about, image)
        if is_structured(text) and not asked.asked.reference:
            return structured_caption(json.loads(text), *about)
        return text


def _request(
    asked: CompleteRequest,
    caption: str,
    image: np.ndarray | None = None,
    video: np.ndarray | None = None,
) -> Request:
    return Request(
        caption,
        frames=asked.frames,
        size=asked.size,
        fps=asked.fps,
        negative=asked.negative,
        image=image,
        video=video,
        steps=asked.steps,
        guidance=Guidance(asked.guidance),
        shift=asked.shift,
        seed=asked.asked.seed,
    )


def _lap(since: float) -> tuple[float, float]:
    now = time.perf_counter()
    return round(now - since, 3), now
