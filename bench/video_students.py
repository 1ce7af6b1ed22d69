# SPDX-License-Identifier: Apache-2.0
"""What post-training on clips and few-step students do to the embedded checkpoint, measured.

Experts demonstrate; the clips, with their instructions as captions, go through a folder as those of
a user would. Then:
1. students of the policy, one for each `--levels`: chunks beside the teacher's, success in closed
   loop on the same seeds (on the CPU's cores, while the GPU goes on with 2 and 3);
2. text, image and video to video on the clips: the loss of held-out scenes, and PSNR of what is
   generated of their first frame or frames, before and after;
3. a few-step student of 2, with guidance inside, beside its teacher.

python bench/video_students.py --device cuda --work /tmp/students --out out/students

takes 8 minutes, and writes `results.json`, `videos.png` and the shards of the first policy student.
Every phase has its seconds: `--record 4 --policy 5 --video 10 --student 10 --exam 20 --tasks reach
--held 1 --episodes 1 --windows 1 --batch 4` is a try on a CPU.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import dataclasses
import json
import math
import os
import shutil
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from result_file import report

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED
from cosmos3_ros.model.diffusion.guidance import Guidance
from cosmos3_ros.model.embodiment import find_embodiment
from cosmos3_ros.model.generator import Generator, Request
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training import train as training
from cosmos3_ros.training.clips.clip_reader import read_clips
from cosmos3_ros.training.data.demonstrations import Demonstration, record
from cosmos3_ros.training.data.episodes import Clip, make_clip
from cosmos3_ros.training.data.parallel import in_parallel
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.evaluation.closed_loop import Outcome, Trial, run_trial
from cosmos3_ros.training.evaluation.comparison import compare as compare_success
from cosmos3_ros.training.evaluation.comparison import compared_table
from cosmos3_ros.training.evaluation.image_metrics import Likeness, averages, compare, psnr
from cosmos3_ros.training.options import DataOptions, ObjectiveOptions, PolicyTrainingOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.video.video_dataset import VideoDataset
from cosmos3_ros.training.video.video_loss import video_loss
from cosmos3_ros.training.video_options import VideoOptions

ROBOT = find_embodiment("droid_sim")
SIZE, FRAMES = ROBOT.canvas.content, 17
TASKS = "reach,lift,push,bowl,drawer,stack,catch"
NO_END = 10**9
TRAIN, HELD = 20_000_000, 30_000_000  # first seeds; the exam has 0 and the following
STRIDE = 6  # frames between the windows of a clip
EVERY = 24  # frames between two observations of which chunks are compared


@dataclasses.dataclass(frozen=True, slots=True)
class Taken:
    """One demonstration: its clip, and observations along it."""

    task: str
    clip: Clip
    seen: list[Observation]


def take(wanted: Demonstration) -> Taken | None:
    """Record one demonstration; None if the expert failed."""
    episode = record(wanted)
    if episode is None or len(episode) < FRAMES:
        return None
    seen = [
        Observation(
            {view: frames[step] for view, frames in episode.views.items()},
            episode.states[step],
            episode.instructions[0],
            0,
        )
        for step in range(0, len(episode), EVERY)
    ]
    held = wanted.seed >= HELD
    clip = make_clip(episode, ROBOT, STRIDE)
    return Taken(wanted.task, clip, seen if held else [])


def demonstrate(chosen: argparse.Namespace) -> tuple[list[Taken], list[Taken]]:
    """Recordings to learn from, as many as there is time for, and held-out ones."""
    tasks = chosen.tasks.split(",")
    held = [
        Demonstration(task, HELD + number, astray=0.0, noise=0.0)
        for number in range(chosen.held)
        for task in tasks
    ]
    learned = [
        Demonstration(task, TRAIN + number, scatter=0.3)
        for number in range(NO_END // 10**5)
        for task in tasks
    ]
    found: list[Taken] = []
    kept = [one for one in in_parallel(take, held, chosen.workers) if one]
    until = time.monotonic() + chosen.record
    for one in in_parallel(take, learned, chosen.workers):
        found += [one] if one else []
        if time.monotonic() > until and found:
            break
    return found, kept


def write_clips(folder: Path, taken: Sequence[Taken]) -> Path:
    """A folder of clips with captions.jsonl, as a user has one."""
    folder.mkdir(parents=True, exist_ok=True)
    height, width = SIZE

    def write(numbered: tuple[int, Taken]) -> str:
        number, one = numbered
        write_video(folder / f"{number:05d}.mp4", one.clip.frames[:, :height, :width], 15)
        line = {"video": f"{number:05d}.mp4", "caption": list(one.clip.instructions)}
        return json.dumps(line) + "\n"

    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
        lines = list(threads.map(write, enumerate(taken)))
    (folder / "captions.jsonl").write_text("".join(lines), encoding="utf-8")
    return folder


def make_recipe(chosen: argparse.Namespace, **parts: Any) -> Recipe:
    """A recipe without policy training."""
    idle = PolicyTrainingOptions(steps=0)
    return Recipe(device=chosen.device, embodiment="droid_sim", policy=idle, **parts)


def run(recipe: Recipe, out: Path, name: str) -> tuple[Path, list[dict[str, Any]]]:
    """Train as `cosmos3 train` does; the checkpoint and the lines of the log."""
    began = time.monotonic()
    print(f"-- {name}", flush=True)
    folder = training.train(recipe, out, lambda line: print(line, flush=True))
    print(f"-- {name}: {time.monotonic() - began:.0f} s", flush=True)
    return folder, [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def curve(log: Sequence[dict[str, Any]], names: Sequence[str]) -> dict[str, Any]:
    """The losses at the beginning and at the end: means of the first and the last tenth."""
    lines = [line for line in log if names[0] in line]
    tenth = max(1, len(lines) // 10)
    ends = (("first", lines[:tenth]), ("last", lines[-tenth:]))
    means = {
        f"{name}_{end}": statistics.fmean(line[name] for line in some)
        for name in names
        for end, some in ends
    }
    return {"steps": lines[-1]["step"], **means}


# ---- 1. students of the policy


def policy_student(
    chosen: argparse.Namespace, levels: tuple[float, ...], taken: Sequence[Taken]
) -> tuple[Path, dict[str, Any]]:
    """A student with these levels, of the same recordings as all others."""
    training.make_clips = lambda *_: (one.clip for one in taken)  # type: ignore[assignment]
    name = f"policy_student_{len(levels)}"
    recipe = make_recipe(
        chosen,
        start=str(EMBEDDED),
        data=DataOptions(warm_up=len(taken)),
        objective=ObjectiveOptions(vision=2.0),
        distill=DistillOptions(
            levels=levels,
            substeps=4 if len(levels) > 1 else 8,
            ahead=8,
            guidance=chosen.policy_guidance,
            steps=NO_END,
            seconds=chosen.policy,
            batch=chosen.batch,
            rate=chosen.rate,
            warmup=50,
            refresh=NO_END,
            save=NO_END,
        ),
    )
    folder, log = run(recipe, chosen.work / name, name)
    return folder, curve(log, ("action", "vision"))


def chunk_differences(
    chosen: argparse.Namespace, ways: dict[str, tuple[Path, dict[str, Any]]], held: Sequence[Taken]
) -> dict[str, Any]:
    """Mean and 95 % quantile of |arm row - teacher's of 32 steps|, mrad, with the same noise."""
    common = {"deterministic": True, "guidance": chosen.policy_guidance, "future_steps": 1}
    arm = [not column.gripper for column in ROBOT.action]
    seen = [observation for one in held for observation in one.seen]

    def chunks(folder: Path, options: dict[str, Any]) -> np.ndarray:
        policy = load_policy(folder, "droid_sim", chosen.device, torch.float32, **common, **options)
        return np.stack([policy.infer(one).chunk.values for one in seen])[..., arm]

    exact, found = chunks(EMBEDDED, {"num_steps": 32}), {}
    for name, (folder, options) in ways.items():
        error = 1000 * np.abs(chunks(folder, options) - exact)
        found[name] = {
            "mean_mrad": round(float(error.mean()), 2),
            "q95_mrad": round(float(np.quantile(error, 0.95)), 2),
        }
    return {"observations": len(seen), **found}


def examine(
    chosen: argparse.Namespace, ways: dict[str, tuple[Path, dict[str, Any]]]
) -> dict[str, list[Outcome]]:
    """Closed loop of every way on the same tasks and seeds, as far as the time goes."""
    until = time.monotonic() + chosen.exam
    common = {"guidance": chosen.policy_guidance, "future_steps": 1}
    trials = {
        (name, task, seed): Trial(
            str(folder), task, seed, options=tuple({**common, **options}.items())
        )
        for seed in range(chosen.episodes)
        for task in chosen.tasks.split(",")
        for name, (folder, options) in ways.items()
    }
    names = {(one.checkpoint, one.options): name for (name, _, _), one in trials.items()}
    found: dict[str, list[Outcome]] = {name: [] for name in ways}
    jobs = list(trials.values())
    for trial, outcome in in_parallel(_examined, jobs, max(1, chosen.workers - 2)):
        found[names[trial.checkpoint, trial.options]].append(outcome)
        if time.monotonic() > until:
            break
    return found


def _examined(trial: Trial) -> tuple[Trial, Outcome]:
    return trial, run_trial(trial)[0]


def paired(found: dict[str, list[Outcome]], base: str) -> dict[str, Any]:
    """Every way beside `base` on the episodes that all have played."""
    keys = [{(one.task, one.seed) for one in outcomes} for outcomes in found.values()]
    common = set.intersection(*keys)
    kept = {
        name: [dataclasses.asdict(one) for one in outcomes if (one.task, one.seed) in common]
        for name, outcomes in found.items()
    }
    rows: dict[str, Any] = {"episodes": len(common)}
    for name, episodes in kept.items():
        rows[name] = {"solved": sum(one["success"] for one in episodes)}
        if name != base and common:
            rows[name]["paired"] = table = compare_success(kept[base], episodes)
            print(f"{base} beside {name}\n{compared_table(table)}", flush=True)
    return rows


# ---- 2. and 3. the video side


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
    limits = {"steps": NO_END, "warmup": 50, "refresh": NO_END, "save": NO_END, "warm_up": count}
    limits |= {"rate": chosen.rate, "batch": chosen.batch}
    video = video_options(chosen, clips, **limits | {"seconds": chosen.video})
    folder, log = run(
        make_recipe(chosen, start=str(EMBEDDED), video=video), chosen.work / "video", "video"
    )
    found["training"] = curve(log, ("vision",))
    found["loss_after"] = held_loss(chosen, folder, held_clips)
    found["after"], second = generate(chosen, folder, held, **sampling)
    found["after_4_steps"], few = generate(chosen, folder, held, **sampling | {"steps": 4})
    distill = DistillOptions(
        guidance=chosen.guidance,
        steps=NO_END,
        seconds=chosen.student,
        batch=chosen.batch,
        rate=chosen.rate,
        warmup=50,
        refresh=NO_END,
        save=NO_END,
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


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, required=True, help="results, and a student's shards")
    parser.add_argument("--work", type=Path, required=True, help="clips and checkpoints")
    parser.add_argument("--tasks", default=TASKS)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    for name, seconds in (("record", 60), ("policy", 55), ("video", 75), ("student", 65)):
        parser.add_argument(f"--{name}", type=float, default=seconds, help="seconds of the phase")
    parser.add_argument("--exam", type=float, default=190, help="seconds of closed loops at most")
    parser.add_argument(
        "--levels", nargs="+", default=["1.0,0.9375,0.83333,0.625", "1.0"], help="of students"
    )
    parser.add_argument("--guidance", type=float, default=3.0, help="of the video's teacher")
    parser.add_argument("--policy-guidance", type=float, default=1.0)
    parser.add_argument("--teacher-steps", type=int, default=16)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--held", type=int, default=3, help="held-out scenes of each task")
    parser.add_argument("--windows", type=int, default=20, help="generated for each measurement")
    parser.add_argument(
        "--episodes", type=int, default=60, help="of each task in the exam, at most"
    )
    return parser.parse_args()


def main() -> None:
    began, chosen = time.monotonic(), parse()
    for folder in (chosen.out, chosen.work):
        folder.mkdir(parents=True, exist_ok=True)
    taken, held = demonstrate(chosen)
    beside = concurrent.futures.ThreadPoolExecutor(2)
    clips = beside.submit(write_clips, chosen.work / "clips", taken)
    held_clips = beside.submit(write_clips, chosen.work / "held", held)
    found: dict[str, Any] = {"clips": len(taken), "held": len(held)}
    found["recorded_s"] = round(time.monotonic() - began)
    print(f"{len(taken)} clips, {len(held)} held out, {found['recorded_s']} s", flush=True)
    ways: dict[str, tuple[Path, dict[str, Any]]] = {
        "teacher, 4 steps": (EMBEDDED, {"num_steps": 4}),
        "teacher, 1 step": (EMBEDDED, {"num_steps": 1}),
    }
    for text in chosen.levels:
        levels = tuple(float(level) for level in text.split(","))
        name = f"student, {len(levels)} step{'s' if len(levels) > 1 else ''}"
        folder, found[name] = policy_student(chosen, levels, taken)
        ways[name] = (folder, {})
    first = ways[next(name for name in ways if name.startswith("student"))][0]
    for file in (first / "transformer").glob("*.safetensors"):
        shutil.copy(file, chosen.out)
    exam = beside.submit(examine, chosen, ways)
    found["chunks"] = chunk_differences(chosen, ways, held)
    folders = (clips.result(), held_clips.result())
    found["video"] = video_part(chosen, *folders, held, len(taken))
    found["success"] = paired(exam.result(), next(iter(ways)))
    beside.shutdown()
    found["seconds"] = round(time.monotonic() - began)
    if chosen.device.startswith("cuda"):
        found["gpu"] = torch.cuda.get_device_name()
    report(
        f"python bench/video_students.py {' '.join(sys.argv[1:])}",
        ("torch", "diffusers", "mujoco"),
        chosen.out / "results.json",
        **finite(found),
    )


def finite(value: Any) -> Any:
    """NaN as null, in JSON."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    main()
