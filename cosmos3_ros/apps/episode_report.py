# SPDX-License-Identifier: Apache-2.0
"""What episodes came to: a table and a summary, and in one line what was wrong with the machine."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import os
import platform
import shlex
import statistics
import sys
from typing import Any

from ..bringup.graph_options import Options
from ..execution.strategies import STRATEGIES

BUSY = 1.5  # load for each core above which the simulation and the network get too little time
END = "end what else runs on it"


@dataclasses.dataclass
class Episode:
    """What one episode came to.

    Latencies in seconds, per chunk, from capture to receipt of the chunk; late: chunks that were
    over by then; chunk_seconds: how long one lasts, 0 if none came; waits: the arm rests meanwhile.
    """

    task: str
    seed: int
    instruction: str
    success: bool
    seconds: float
    chunks: int
    latencies: list[float]
    command_rate: float
    real_time_factor: float
    late: int
    chunk_seconds: float
    waits: bool
    rejected: int
    limited: int


def load() -> str:
    """The machine's load of the last minute, in words."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"


def busy(strategy: str | None = None) -> str:
    """A line that says so, if others use this machine; else empty.

    strategy: how chunks follow one another; None: as the robot file says.
    """
    if os.getloadavg()[0] <= BUSY * (os.cpu_count() or 1):
        return ""
    known = STRATEGIES.get(strategy or "")
    waits = known is not None and known.pauses_between_chunks
    what = "the arm may wait long for its chunks" if waits else "chunks may come too late"
    return f"this machine is busy ({load()}): {what}; {END}"


def too_late(episode: Episode) -> str:
    """A line that says that the machine is too slow or busy, and what to do; empty if it is not."""
    if episode.success:
        return ""
    middle = milliseconds(percentile(episode.latencies, 0.5))
    came = f"{episode.late} of {episode.chunks} chunks"
    remedy = f"{END}, or let the arm wait for each chunk: --strategy sync (make demo STRATEGY=sync)"
    if not episode.chunks:
        what = f"no chunk came in {episode.seconds:.0f} s"
    elif 2 * episode.late <= episode.chunks:
        return ""
    elif episode.waits:
        what = f"{came} took longer than they last (p50 {middle} ms)"
        remedy = f"{END}, or give it more time: --time-limit"
    else:
        lasts = milliseconds(episode.chunk_seconds)
        what = f"{came} came too late (p50 {middle} ms, one lasts {lasts} ms)"
    return f"{what}: this machine is too slow or busy ({load()}); {remedy}"


def percentile(values: list[float], part: float) -> float | None:
    """The value below which `part` of the values lie; None of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else None


def milliseconds(seconds: float | None) -> str:
    """Whole milliseconds, "-" if nothing is known."""
    return "-" if seconds is None else f"{seconds * 1e3:.0f}"


def table(done: list[Episode]) -> str:
    """One row per task and one for all."""
    head = f"{'task':14s}{'episodes':>9s}{'success':>9s}{'chunk p50':>11s}{'p95 [ms]':>10s}"
    rows = [f"{head}{'commands [Hz]':>15s}{'real time':>11s}"]
    names = list(dict.fromkeys(episode.task for episode in done))
    for name in [*names, "all"]:
        chosen = [episode for episode in done if name in (episode.task, "all")]
        latencies = [latency for episode in chosen for latency in episode.latencies]
        rows.append(
            f"{name:14s}{len(chosen):9d}{sum(e.success for e in chosen):6d}/{len(chosen):<2d}"
            f"{milliseconds(percentile(latencies, 0.5)):>11s}"
            f"{milliseconds(percentile(latencies, 0.95)):>10s}"
            f"{statistics.mean(e.command_rate for e in chosen):15.1f}"
            f"{min(e.real_time_factor for e in chosen):11.2f}"
        )
    return "\n".join(rows)


def summarize(done: list[Episode], options: Options, frames: int, seconds: float) -> dict[str, Any]:
    """Everything about the run, for machines."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in ("torch", "mujoco", "numpy", "transformers", "diffusers"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    latencies = [latency for episode in done for latency in episode.latencies]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "device": options.device,
        "machine": platform.platform(),
        "versions": versions,
        "options": dataclasses.asdict(options),
        "seconds": seconds,
        "film_frames": frames,
        "chunk_latency_p50": percentile(latencies, 0.5),
        "chunk_latency_p95": percentile(latencies, 0.95),
        "success": sum(episode.success for episode in done),
        "episodes": [dataclasses.asdict(episode) for episode in done],
    }


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, flush=True)
