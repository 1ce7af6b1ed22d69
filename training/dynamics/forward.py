# SPDX-License-Identifier: Apache-2.0
"""Forward dynamics of whole action series: the video that the model expects, window by window."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ...model.dynamics import Dynamics
from ...model.interface import Observation
from ..data.video_io import write_video
from ..evaluation.image_metrics import psnr
from .pose_chain import counted_from
from .sources import SourceClip, check_start, state_at


def predict_clip(
    dynamics: Dynamics, clip: SourceClip, values: np.ndarray, drawn: bool = False
) -> Iterator[np.ndarray]:
    """The frames of commands float32 [N, D] after the clip's first frame, a window at a time.

    Yields uint8 [n, h, w, 3], in all N + 1 frames of the canvas's content. Each window begins with
    the last frame of the one before, and with the clip's state of that time or, where it is not
    known, with where the commands led. drawn: see `Dynamics.predict_frames`.
    """
    embodiment = dynamics.embodiment
    check_start(clip, embodiment)
    picture = clip.canvases(embodiment, 0, 1)[0]
    for start in range(0, len(values), embodiment.horizon):
        state = state_at(clip, embodiment, values, start)
        stamp = int(clip.stamps[0]) + start * embodiment.step
        seen = Observation({}, state, clip.episode.instructions[0], stamp)
        rows = values[start : start + embodiment.horizon]
        rows = counted_from(rows, values[start - 1] if start else None, embodiment)
        frames = dynamics.predict_frames(picture, rows, seen, drawn)
        yield frames if start == 0 else frames[1:]
        picture = frames[-1]


def forward(
    dynamics: Dynamics,
    clip: SourceClip,
    values: np.ndarray,
    out: Path,
    about: Mapping[str, Any],
    drawn: bool = False,
    per_view: bool = False,
    real: bool = False,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Write the video of commands as H.264, and what was asked for beside it as JSON.

    about: what the JSON begins with; per_view: also a video for each camera, cut out of the canvas;
    real: whether the clip shows what really came of these commands, to compare with. ValueError if
    a file is there already.
    """
    embodiment, fps = dynamics.embodiment, round(dynamics.embodiment.fps)
    files = {view: out.with_name(f"{out.stem}.{view}.mp4") for view in embodiment.views}
    for file in (out, out.with_suffix(".json"), *(files.values() if per_view else ())):
        if file.exists():
            raise ValueError(f"{file} exists; expected a new file")
    began, windows = time.monotonic(), []
    for part in predict_clip(dynamics, clip, values, drawn):
        windows.append(part)
        say(f"{sum(map(len, windows)) - 1}/{len(values)} rows, {time.monotonic() - began:.1f} s")
    frames = np.concatenate(windows)
    out.parent.mkdir(parents=True, exist_ok=True)
    write_video(out, frames, fps)
    if per_view:
        for view, file in files.items():
            write_video(file, (embodiment.canvas.cut(frame)[view] for frame in frames), fps)
    report = {
        **about,
        "source": clip.name,
        "instruction": clip.episode.instructions[0],
        "state": clip.episode.states[0].tolist(),
        "states": "known" if clip.knows_states else "followed from the first frame's",
        "drawn": drawn,
        "fps": fps,
        "frames": len(frames),
        "window_rows": [len(part) - (number == 0) for number, part in enumerate(windows)],
        "seconds": round(time.monotonic() - began, 3),
        "actions": {"names": list(embodiment.action_names), "rows": values.tolist()},
    }
    if real:
        report["likeness"] = _likeness(clip, frames, dynamics)
    text = json.dumps(report, indent=2)
    out.with_suffix(".json").write_text(text + "\n", encoding="utf-8")
    return report


def _likeness(clip: SourceClip, frames: np.ndarray, dynamics: Dynamics) -> dict[str, float]:
    """Mean PSNR in dB of all frames but the first to those of the clip; copy: of the first one."""
    height, width = frames.shape[1:3]
    count = min(len(frames), len(clip.episode))
    real = clip.canvases(dynamics.embodiment, 0, count)[:, :height, :width]
    if count < 2:
        return {}
    return {
        "psnr": statistics.fmean(psnr(frames[step], real[step]) for step in range(1, count)),
        "copy": statistics.fmean(psnr(real[0], real[step]) for step in range(1, count)),
        "frames": count - 1,
    }
