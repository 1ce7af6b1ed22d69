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
import math
import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import torch
from result_file import report
from students_policy import chunk_differences, examine, paired, policy_student
from students_recordings import demonstrate, write_clips
from students_video import video_part

from cosmos3_ros.model.checkpoint_io.trained_tasks import EMBEDDED

TASKS = "reach,lift,push,bowl,drawer,stack,catch"


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
