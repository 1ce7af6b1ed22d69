# SPDX-License-Identifier: Apache-2.0
"""Chunks of a running graph with and without candidates imagined beside them, in one run.

python bench/imagine_beside.py [--checkpoint FOLDER] [--windows 6] [--seconds 10] [--out FILE]

Simulation and policy node; in every other window one candidate after the other is asked for. What
counts is how long chunks take from capture to arrival, and how long it is from one to the next.
"""

from __future__ import annotations

import argparse
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from cosmos3_ros.apps.demo import watching
from cosmos3_ros.apps.topic_recorder import Recorder, wait_until
from cosmos3_ros.bringup.node_graph import Options, processes
from cosmos3_ros.bringup.process_runner import RunningGraph
from cosmos3_ros.model.interface import NS
from cosmos3_ros.ros import topics

START = 300.0  # s that loading may take on a busy machine
WAVING = JointTrajectory(
    joint_names=["panda_joint1"], points=[JointTrajectoryPoint(positions=[0.4])]
)


def ask(recorder: Recorder, stop: threading.Event, answers: list[Any]) -> None:
    """One candidate after the other until `stop`."""
    while not stop.is_set():
        answers.append(
            recorder.call(topics.IMAGINE.type, topics.IMAGINE.name, 60.0, candidate=WAVING)
        )


def window(recorder: Recorder, seconds: float, asks: bool) -> tuple[dict[str, list], list[Any]]:
    """Latency and interval of the chunks captured in so many seconds, ms; and the answers."""
    stop, answers = threading.Event(), []
    thread = threading.Thread(target=ask, args=(recorder, stop, answers))
    if asks:
        thread.start()
    begin = recorder.get_clock().now().nanoseconds
    time.sleep(seconds)
    end = recorder.get_clock().now().nanoseconds
    stop.set()
    if asks:
        thread.join()
    pairs = [*zip(recorder.chunk_stamps, recorder.latencies, strict=False)]
    inside = [(stamp, taken["total"]) for stamp, taken in pairs if begin <= stamp < end]
    stamps = np.array([stamp for stamp, _ in inside])
    return {
        "latency": [1e3 * taken for _, taken in inside],
        "interval": (np.diff(stamps) * 1e3 / NS).tolist(),
    }, answers


def summary(windows: Sequence[dict[str, list]], answers: Sequence[Any]) -> dict[str, Any]:
    """Quantiles over all windows of a kind, and what became of the requests."""
    found: dict[str, Any] = {}
    for kind in ("latency", "interval"):
        values = [value for one in windows for value in one[kind]]
        if not values:
            raise ValueError(f"no {kind} of chunks was seen: expected a longer --seconds")
        found["chunks"] = len(values) if kind == "latency" else found["chunks"]
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            found[f"{kind} {name}_ms"] = round(float(np.quantile(values, share)), 1)
    clips = [answer.seconds for answer in answers if answer.success]
    if answers:
        found |= {"clips": len(clips), "refused": len(answers) - len(clips)}
        found["clip p50_ms"] = round(1e3 * float(np.median(clips)), 1) if clips else None
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoint", default="", help="by default the embedded one")
    parser.add_argument("--windows", type=int, default=6, help="half of them with candidates")
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    options = Options(
        checkpoint=args.checkpoint or None,
        reasoner=False,
        commander=False,
        task="reach",
        instruction="reach the red cube",
    )
    parts: dict[bool, list[dict[str, list]]] = {False: [], True: []}
    answers: list[Any] = []
    with (
        Path(os.devnull).open("w") as log,
        RunningGraph(processes(options), log),
        watching(options, (), futures=False) as recorder,
    ):
        wait_until(lambda: len(recorder.latencies) > 5, START, "chunks")
        for number in range(args.windows):
            asks = number % 2 == 1
            found, answered = window(recorder, args.seconds, asks)
            parts[asks].append(found)
            answers += answered
    command = f"python bench/imagine_beside.py --windows {args.windows} --seconds {args.seconds:g}"
    report(
        command,
        ("torch", "numpy"),
        args.out,
        alone=summary(parts[False], ()),
        beside=summary(parts[True], answers),
    )


if __name__ == "__main__":
    main()
