# SPDX-License-Identifier: Apache-2.0
"""The video side of `video_students`: post-training on clips, and its few-step student."""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from students_recordings import FRAMES, SIZE, Taken
from students_training import curve, limits, make_recipe, run

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.generator import Generator, Request
from cosmos3_ros.training.clips.clip_reader import read_clips
from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.evaluation.image_metrics import Likeness, averages, compare, psnr
from cosmos3_ros.training.video.video_dataset import VideoDataset
from cosmos3_ros.training.video.video_loss import video_loss
from cosmos3_ros.training.video_options import VideoOptions


def held_loss(chosen: argparse.Namespace, folder: Path, clips: Path) -> float:
    """The loss of held-out scenes, with the same windows, noise and levels for every checkpoint."""
    model = load_model(folder, chosen.device, torch.float32)
    assert model.vae is not None
    options = video_options(chosen, clips)
    windows = VideoDataset(model.vae, model.tokenizer, torch.device(model.device))
    windows.add(read_clips(options))
    torch.manual_seed(0)
    with torch.no_grad():
        losses = [
            float(video_loss(model.transformer, windows.draw(16, 0.0), windows.prompts, options))
            for _ in range(chosen.windows)
        ]
    return round(statistics.fmean(losses), 4)


def video_options(chosen: argparse.Namespace, clips: Path, **options: Any) -> VideoOptions:
    """Windows as long as a chunk, at the simulation's size and rate."""
    options = {"steps": 1, "batch": chosen.batch, **options}
    return VideoOptions(
        clips=str(clips), size=SIZE, frames=FRAMES, stride=8, fps=15.0, shift=5.0, **options
    )


def generate(
    chosen: argparse.Namespace, folder: Path, held: Sequence[Taken], **sampling: Any
) -> tuple[dict[str, Any], list[np.ndarray]]:
    """PSNR and SSIM of held-out scenes from their first frame, and from their first five."""
    model = load_model(folder, chosen.device, torch.float32, reasoner=False)
    generator, found, shown = Generator(model), {}, []
    for mode in ("image_to_video", "video_to_video"):
        likeness: list[Likeness] = []
        for number, real in enumerate(real_windows(chosen, held)):
            known = {"image": real[0]} if mode == "image_to_video" else {"video": real}
            request = Request(
                held[number % len(held)].clip.instructions[0],
                frames=FRAMES,
                size=SIZE,
                fps=15.0,
                shift=5.0,
                seed=number,
                **known,
                **sampling,
            )
            frames = generator.decode(generator.generate(request))
            likeness += compare(frames, real, 15.0)
            shown += [frames] if mode == "image_to_video" else []
        found[mode] = averages(likeness)
    return found, shown


def real_windows(chosen: argparse.Namespace, held: Sequence[Taken]) -> list[np.ndarray]:
    """The beginnings of the held-out clips, then windows from their middle."""
    height, width = SIZE
    clips = [one.clip.frames[:, :height, :width] for one in held]
    starts = [0] * len(clips) + [(len(clip) - FRAMES) // 2 for clip in clips]
    windows = [clip[start : start + FRAMES] for clip, start in zip(clips * 2, starts, strict=True)]
    return windows[: chosen.windows]


def sheet(file: Path, rows: Sequence[Sequence[np.ndarray]]) -> None:
    """The last frame of each window: a row for the real ones, and one for each way to make them."""
    lines = [np.concatenate([frames[-1] for frames in row[:6]], axis=1) for row in rows]
    cv2.imwrite(str(file), np.concatenate(lines)[..., ::-1])


def video_part(
    chosen: argparse.Namespace, clips: Path, held_clips: Path, held: Sequence[Taken], count: int
) -> dict[str, Any]:
    """Post-training on clips, then its few-step student."""
    found: dict[str, Any] = {"loss_before": held_loss(chosen, EMBEDDED, held_clips)}
    sampling = {"steps": chosen.teacher_steps, "guidance": Guidance(chosen.guidance)}
    found["before"], first = generate(chosen, EMBEDDED, held, **sampling)
    own = {"seconds": chosen.video, "warm_up": count}
    video = video_options(chosen, clips, **limits(chosen) | own)
    folder, log = run(
        make_recipe(chosen, start=str(EMBEDDED), video=video), chosen.work / "video", "video"
    )
    found["training"] = curve(log, ("vision",))
    found["loss_after"] = held_loss(chosen, folder, held_clips)
    found["after"], second = generate(chosen, folder, held, **sampling)
    found["after_4_steps"], few = generate(chosen, folder, held, **sampling | {"steps": 4})
    distill = DistillOptions(
        guidance=chosen.guidance,
        seconds=chosen.student,
        **limits(chosen),
    )
    student, log = run(
        make_recipe(chosen, start=str(folder), video=video, distill=distill),
        chosen.work / "video_student",
        "video student",
    )
    found["distillation"] = curve(log, ("vision",))
    found["student"], third = generate(chosen, student, held, guidance=Guidance(1.0))
    found["to_teacher_db"] = {
        name: round(statistics.fmean(psnr(*pair) for pair in zip(some, second, strict=True)), 2)
        for name, some in (("teacher, 4 steps", few), ("student", third))
    }
    found["student_less_teacher_db"] = {
        mode: [
            round(one["psnr"] - other["psnr"], 3)
            for one, other in zip(found["student"][mode], found["after"][mode], strict=True)
        ]
        for mode in found["student"]
    }
    sheet(chosen.out / "videos.png", [real_windows(chosen, held), first, second, third])
    return found
