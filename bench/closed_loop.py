# SPDX-License-Identifier: Apache-2.0
"""From camera to controller over ROS, full size: pictures captured to the trajectory.

python bench/closed_loop.py [--preset nano] [--device cuda] [--weights fp8] [--attention fp8]
    [--policy-preset fast] [--seconds 15] [--out closed_loop.json]

Three 1280 x 720 cameras at 30 Hz, joint states at 60 Hz and an arm that follows (made up, see
commander_tick.py), the policy node and the reasoner node in one process on random weights, the
armed commander. First with a silent reasoner, then while it describes scene after scene.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import commander_tick
import numpy as np
import rclpy
from commander_tick import OURS, Watcher
from rclpy.parameter import Parameter
from rclpy.parameter_client import AsyncParameterClient
from rclpy.signals import SignalHandlerOptions

from cosmos3_ros.bringup.node_graph import Options, Process, processes
from cosmos3_ros.bringup.process_runner import RunningGraph
from cosmos3_ros.model.acceleration.options import ATTENTIONS
from cosmos3_ros.model.interface import ActionChunk, Observation, Prediction
from cosmos3_ros.model.policy_options import PRESETS
from cosmos3_ros.ros import topics
from cosmos3_ros.ros.node_runner import run
from cosmos3_ros.ros.spin_thread import spinning

START = 150.0  # s that loading, compiling and recording may take


class Listener(Watcher):
    """The watcher, and how many tokens the reasoner has said."""

    def __init__(self) -> None:
        super().__init__()
        self.tokens = self.scenes = 0
        self.create_subscription(
            topics.SCENE.type, topics.SCENE.name, self.on_scene, topics.SCENE.qos
        )

    def on_scene(self, message: Any) -> None:
        self.tokens, self.scenes = self.tokens + message.tokens, self.scenes + 1


def brain(args: argparse.Namespace) -> int:
    """The process with the network."""
    from full_size import ready

    from cosmos3_ros.model.acceleration.options import RuntimeOptions
    from cosmos3_ros.model.policy import Cosmos3Policy
    from cosmos3_ros.model.reasoner import Cosmos3Reasoner
    from cosmos3_ros.nodes.policy_node import PolicyNode
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode

    class Calm(Cosmos3Policy):
        """The chunk says that the arm stays: the commander refuses random motions."""

        def infer(
            self, observation: Observation, committed: ActionChunk | None = None
        ) -> Prediction:
            prediction = super().infer(observation, committed)
            rows = np.tile(observation.state, (len(prediction.chunk.values), 1))
            return dataclasses.replace(
                prediction, chunk=dataclasses.replace(prediction.chunk, values=rows)
            )

    gpu = args.device.startswith("cuda")
    model, full = ready(
        args.preset,
        args.device,
        RuntimeOptions(gpu, gpu, args.weights, args.weights, args.attention),
    )
    reasoner = Cosmos3Reasoner(model)
    reasoner.stop = frozenset()
    makers = (
        lambda: PolicyNode(lambda params: Calm(model, full.body, preset=args.policy_preset)),
        lambda: ReasonerNode(lambda params: reasoner),
    )
    return run(makers, plan(args)[0].arguments())


def device_name(device: str) -> str:
    """What the driver calls the first GPU, without keeping torch in this process."""
    if not device.startswith("cuda"):
        return device
    asked = subprocess.run(
        ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"],
        capture_output=True,
        text=True,
        check=False,
    )
    return asked.stdout.partition("\n")[0] or device


def plan(args: argparse.Namespace) -> list[Process]:
    """The process of the network and that of the commander. What is fast is decided in `brain`."""
    found = processes(Options(sim=False, armed=True, instruction="Put the red cube in the bowl"))
    # warms up
    fast = {
        "compile": args.device.startswith("cuda"),
        "cuda_graphs": args.device.startswith("cuda"),
    }
    found[0].parameters["policy"] |= fast
    found[0].parameters["reasoner"] |= fast | {"rate": 0.0, "max_tokens": 64}
    return found


def loop(watcher: Listener, seconds: float) -> dict[str, Any]:
    """Let it run; what the chunks of this time took, ms."""
    since, said = time.monotonic(), watcher.tokens
    first = max(watcher.began, default=0) + 2  # those begun before are out
    time.sleep(seconds)
    lasted, words = time.monotonic() - since, watcher.tokens - said
    rows = []
    for number, began in sorted(watcher.began.items()):
        stages = watcher.network.get(number)
        if number >= first and stages:
            network = sum(taken for stage, taken in stages.items() if stage not in OURS)
            ours = {stage: stages[stage] for stage in OURS}
            after = began - sum(stages.values())
            rows.append({"capture to trajectory": began, "network": network, **ours, "rest": after})
            rows[-1]["not the network"] = began - network
    found: dict[str, Any] = {
        "chunks": len(rows),
        "played": watcher.status.played,
        "rejected": watcher.status.rejected,
    }
    for name in rows[0] if rows else ():
        taken = np.percentile([1e3 * row[name] for row in rows], (50, 90, 99, 100)).tolist()
        names = ("p50", "p90", "p99", "max")
        found[f"{name} [ms]"] = {one: round(ms, 2) for one, ms in zip(names, taken, strict=True)}
    found |= {"last rejection": watcher.status.last_rejection, "scenes": watcher.scenes}
    return found | {"tokens per second": round(words / lasted, 1)}


def measure(
    watcher: Listener, args: argparse.Namespace, save: Callable[[dict[str, Any]], None]
) -> None:
    """Start everything, measure twice, end everything."""
    words = ["--preset", args.preset, "--device", args.device, "--weights", args.weights]
    words += ["--attention", args.attention, "--policy-preset", args.policy_preset]
    robot = [commander_tick.__file__, "--robot", "--size", *map(str, args.size)]
    started = [
        subprocess.Popen([sys.executable, *line]) for line in (robot, [__file__, "--brain", *words])
    ]
    try:
        with RunningGraph(plan(args)[1:]):
            since = time.monotonic()
            while len(watcher.began) < 3:
                if time.monotonic() - since > START or any(
                    process.poll() is not None for process in started
                ):
                    raise SystemExit("error: no three chunks were played; see above")
                time.sleep(0.1)
            save({"ready_seconds": time.monotonic() - since})
            save({"alone": loop(watcher, args.seconds)})
            reasoner = AsyncParameterClient(watcher, "reasoner")
            reasoner.wait_for_services(10)
            reasoner.set_parameters([Parameter("rate", value=100.0)])  # one scene after the other
            save({"beside": loop(watcher, args.seconds)})
    finally:
        for process in started:
            process.terminate()
        for process in started:
            process.wait()


def main() -> None:
    """Run, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="nano", choices=("nano", "tiny"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--weights", default="none", choices=("none", "fp8", "int8", "nvfp4"), help="of both towers"
    )
    parser.add_argument("--attention", default="none", choices=ATTENTIONS)
    parser.add_argument(
        "--policy-preset", default="exact", choices=PRESETS, help="what a chunk computes"
    )
    parser.add_argument(
        "--size", type=int, nargs=2, default=(720, 1280), help="of the cameras' pictures"
    )
    parser.add_argument(
        "--seconds", type=float, default=15.0, help="of each of the two measurements"
    )
    parser.add_argument("--brain", action="store_true", help="be the process with the network")
    parser.add_argument("--out", type=Path, default=None)
    args = parser.parse_args()
    if args.brain:
        sys.exit(brain(args))
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "preset": args.preset,
        "weights": args.weights,
        "attention": args.attention,
        "policy preset": args.policy_preset,
        "pictures": args.size,
        "cpus": len(os.sched_getaffinity(0)),
        "versions": {"torch": version("torch")},
    }

    def save(more: dict[str, Any]) -> None:
        facts.update(more)
        print(json.dumps(more, indent=2), flush=True)
        if args.out:
            args.out.write_text(json.dumps(facts, indent=2) + "\n")

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    watcher = Listener()
    with spinning(watcher):
        save({"device": device_name(args.device)})
        measure(watcher, args, save)
    watcher.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
