# SPDX-License-Identifier: Apache-2.0
"""The simulated arm driven through the openpi server, on the same seeds as in process.

"in process": the loop of `cosmos3 eval`. "eval's loop": the same with every chunk fetched over the
socket. "15 Hz client": what RoboLab does, the world stands still while a chunk is fetched, of which
--rows are executed one by one.

python bench/openpi_loop.py --task drawer --episodes 8 --out bench/results/openpi_loop.json
"""

import argparse
import contextlib
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cosmos3_ros.model.interface import Policy
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.model.registry import embedded_checkpoint
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.clients.policy_client import RemotePolicy
from cosmos3_ros.serve.openpi_server import OpenPiServer
from cosmos3_ros.sim.env import Env
from cosmos3_ros.training.evaluation.closed_loop import Trial, play
from cosmos3_ros.training.evaluation.statistics import wilson


@contextlib.contextmanager
def served(policy: Policy) -> Iterator[RemotePolicy]:
    """The policy again, through a server of its own."""
    server = OpenPiServer(lambda: policy)
    with in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port:
        remote = RemotePolicy(f"ws://127.0.0.1:{port}", policy.embodiment, timeout=30.0)
        yield remote
        remote.close()


def client_15_hz(policy: Policy, env: Env, trial: Trial, rows: int) -> bool:
    """RoboLab's loop: whether the task was solved in time."""
    seen = env.reset(trial.task, trial.seed, trial.wording)
    policy.reset()
    chunk: list[np.ndarray] = []
    while not env.success and seen.stamp < trial.limit * 1e9:
        chunk = chunk or list(policy.infer(seen).chunk.values[:rows])
        action = chunk.pop(0)
        env.move(np.append(action[:7], action[7] > 0.5))
        seen = seen if chunk else env.observe()
        seen = dataclasses.replace(seen, stamp=env.simulation.elapsed)
    return env.success


def main() -> None:
    """Run all three on the same seeds and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", default="")
    parser.add_argument("--task", default="drawer")
    parser.add_argument("--episodes", type=int, default=8)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--limit", type=float, default=10.0)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    checkpoint = chosen.checkpoint or str(embedded_checkpoint())
    policy, env = load_policy(checkpoint, guidance=1.0), Env()
    trials = [
        Trial(checkpoint, chosen.task, seed, limit=chosen.limit) for seed in range(chosen.episodes)
    ]
    with served(policy) as remote:
        ways = {
            "in process": lambda trial: play(policy, env, trial).success,
            "eval's loop": lambda trial: play(remote, env, trial).success,
            "15 Hz client": lambda trial: client_15_hz(remote, env, trial, chosen.rows),
        }
        results = {}
        for name, way in ways.items():
            began = time.monotonic()
            solved = [bool(way(trial)) for trial in trials]
            results[name] = {"solved": solved, "interval": wilson(sum(solved), len(solved))}
            low, high = results[name]["interval"]
            marks = "".join("x" if success else "." for success in solved)
            wall = time.monotonic() - began
            print(
                f"{name:14}{sum(solved):>3}/{len(solved)}  {low:.0%} to {high:.0%}"
                f"  {marks}  {wall:.0f} s",
                flush=True,
            )
    if chosen.out:
        chosen.out.parent.mkdir(parents=True, exist_ok=True)
        settings = {name: getattr(chosen, name) for name in ("task", "episodes", "rows", "limit")}
        content = {
            "date": time.strftime("%Y-%m-%d"),
            "device": "cpu",
            "checkpoint": Path(checkpoint).name,
        }
        chosen.out.write_text(json.dumps({**content, **settings, "ways": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
