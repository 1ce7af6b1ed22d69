# SPDX-License-Identifier: Apache-2.0
"""Chunks of a running graph beside its other work, in one run: all that a policy node offers.

python bench/imagine_beside.py [--checkpoint FOLDER] [--rounds 3] [--seconds 10] [--surprise]
[--out FILE]

Simulation, armed commander, policy and reasoner. In every round a window each with nothing else,
with one candidate after the other, one question, one reading of the last second's actions, and one
video of 17 frames and 4 steps; with --surprise all of it again, while predicted futures are
compared with what comes. What counts is how long chunks take
from capture to arrival, and how long it is from one to the next.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rclpy.action import ActionClient
from result_file import report
from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

from cosmos3_ros.apps.demo import watching
from cosmos3_ros.apps.task import follow
from cosmos3_ros.apps.topic_recorder import Recorder, wait_until
from cosmos3_ros.bringup.node_graph import Options, processes
from cosmos3_ros.bringup.process_runner import RunningGraph
from cosmos3_ros.model.interface import NS
from cosmos3_ros.robot.robot_file import config_folder
from cosmos3_ros.ros import topics
from cosmos3_ros.ros.shutdown_signal import Stop

START = 300.0  # s that loading may take on a busy machine
QUESTION = "Is the gripper holding something?"
WAVING = JointTrajectory(
    joint_names=["panda_joint1"], points=[JointTrajectoryPoint(positions=[0.4])]
)


def imagine(recorder: Recorder) -> Any:
    return recorder.call(topics.IMAGINE.type, topics.IMAGINE.name, 60.0, candidate=WAVING)


def ask(recorder: Recorder) -> Any:
    service = topics.REASONER.offers[0]
    return recorder.call(service.type, "reasoner/ask", 60.0, question=QUESTION)


def read_actions(recorder: Recorder) -> Any:
    service = topics.INFER_ACTIONS
    return recorder.call(service.type, service.name, 60.0, seconds=1.0)


def generate(recorder: Recorder) -> Any:
    client: ActionClient = ActionClient(
        recorder, topics.GENERATE_VIDEO.type, topics.GENERATE_VIDEO.name
    )
    try:
        client.wait_for_server(60.0)
        goal = topics.GENERATE_VIDEO.type.Goal(prompt="pick up the red cube", steps=4)
        return follow(client, goal, lambda message: None, Stop())
    finally:
        client.destroy()


BESIDE: dict[str, Callable[[Recorder], Any] | None] = {
    "nothing": None,
    "candidates": imagine,
    "questions": ask,
    "actions read": read_actions,
    "videos": generate,
}


def window(
    recorder: Recorder, seconds: float, call: Callable[[Recorder], Any] | None
) -> dict[str, list]:
    """Latency and interval of the chunks captured in so many seconds, ms; and what was answered."""
    stop, answers = threading.Event(), list[Any]()

    def repeat(call: Callable[[Recorder], Any]) -> None:
        while not stop.is_set():
            answers.append(call(recorder))

    thread = threading.Thread(target=repeat, args=(call,)) if call else None
    if thread:
        thread.start()
    begin = recorder.get_clock().now().nanoseconds
    time.sleep(seconds)
    end = recorder.get_clock().now().nanoseconds
    stop.set()
    if thread:
        thread.join()
    pairs = [*zip(recorder.chunk_stamps, recorder.latencies, strict=False)]
    inside = [(stamp, taken["total"]) for stamp, taken in pairs if begin <= stamp < end]
    stamps = np.array([stamp for stamp, _ in inside])
    return {
        "latency": [1e3 * taken for _, taken in inside],
        "interval": (np.diff(stamps) * 1e3 / NS).tolist(),
        "answers": answers,
    }


def summary(windows: Sequence[dict[str, list]]) -> dict[str, Any]:
    """Quantiles over all windows of a kind, and what became of the requests."""
    found: dict[str, Any] = {}
    for kind in ("latency", "interval"):
        values = [value for one in windows for value in one[kind]]
        if not values:
            raise ValueError(f"no {kind} of chunks was seen: expected a longer --seconds")
        found["chunks"] = len(values) if kind == "latency" else found["chunks"]
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0)):
            found[f"{kind} {name}_ms"] = round(float(np.quantile(values, share)), 1)
    if answers := [answer for one in windows for answer in one["answers"]]:
        found["answered"] = sum(answer.success for answer in answers)
        refusals = [answer.message for answer in answers if not answer.success]
        found |= {"refused": len(refusals), "first refusal": refusals[0] if refusals else None}
    return found


def offering(folder: str, surprise: str) -> str:
    """A robot file like the simulated arm's, whose policy offers everything."""
    nodes = yaml.safe_load((config_folder() / "droid_sim.yaml").read_text())
    parameters = nodes.setdefault("/**/policy", {}).setdefault("ros__parameters", {})
    parameters |= {"recent_seconds": 2.0, "generate_frames": 17, "surprise": surprise}
    file = Path(folder) / "droid_sim.yaml"
    file.write_text(yaml.safe_dump(nodes))
    return str(file)


def measure(options: Options, rounds: int, seconds: float) -> dict[str, Any]:
    """The summary of each kind of window of one graph."""
    parts: dict[str, list[dict[str, list]]] = {name: [] for name in BESIDE}
    with (
        Path(os.devnull).open("w") as log,
        RunningGraph(processes(options), log),
        watching(options, (), futures=False) as recorder,
    ):
        surprises: list[Any] = []
        topic = topics.SURPRISE
        recorder.create_subscription(topic.type, topic.name, surprises.append, topic.qos)
        wait_until(lambda: len(recorder.latencies) > 5, START, "chunks")
        for _ in range(rounds):
            for name, call in BESIDE.items():
                parts[name].append(window(recorder, seconds, call))
    found = {name: summary(windows) for name, windows in parts.items()}
    return {**found, "comparisons": len(surprises)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--checkpoint", default="", help="by default the embedded one")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=10.0, help="of a window")
    parser.add_argument("--surprise", action="store_true", help="also with surprise: report")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    options = Options(
        checkpoint=args.checkpoint or None,
        armed=True,
        task="reach",
        instruction="reach the red cube",
    )
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for surprise in ("off", "report") if args.surprise else ("off",):
            robot = offering(folder, surprise)
            wanted = dataclasses.replace(options, robot=robot)
            found[f"surprise {surprise}"] = measure(wanted, args.rounds, args.seconds)
    command = f"python bench/imagine_beside.py --rounds {args.rounds} --seconds {args.seconds:g}"
    report(command + " --surprise" * args.surprise, ("torch", "numpy"), args.out, **found)


if __name__ == "__main__":
    main()
