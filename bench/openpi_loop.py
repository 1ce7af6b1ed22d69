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
from websockets.sync.client import ClientConnection, connect

from cosmos3_ros.model.embodiment import Embodiment
from cosmos3_ros.model.interface import ActionChunk, Future, Observation, Policy, Prediction
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.model.registry import embedded_checkpoint
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.msgpack_codec import pack, unpack
from cosmos3_ros.serve.openpi_server import OpenPiServer
from cosmos3_ros.sim.env import Env
from cosmos3_ros.training.evaluation.closed_loop import Trial, play
from cosmos3_ros.training.evaluation.statistics import wilson

KEYS = {
    "wrist": "observation/wrist_image_left",
    "exterior_1": "observation/exterior_image_1_left",
    "exterior_2": "observation/exterior_image_2_left",
}


class Remote:
    """A policy at the other end of an openpi connection."""

    def __init__(self, connection: ClientConnection, embodiment: Embodiment) -> None:
        self.embodiment, self._connection = embodiment, connection
        unpack(connection.recv())  # the metadata

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        request = {KEYS[view]: image for view, image in observation.images.items()}
        request["observation/joint_position"] = observation.state[:7]
        request["observation/gripper_position"] = observation.state[7:]
        self._connection.send(pack({**request, "prompt": observation.instruction}))
        reply, body = self._connection.recv(), self.embodiment
        if isinstance(reply, str):
            raise RuntimeError(reply)
        answer = unpack(reply)
        chunk = ActionChunk(
            answer["action"], body.action_names, observation.stamp, body.step, body.discrete
        )
        return Prediction(chunk, {"infer": answer["server_timing"]["infer_ms"] / 1000})

    def decode(self, prediction: Prediction) -> Future:
        raise NotImplementedError("the server was not asked for videos")

    def reset(self) -> None:
        self._connection.send(pack({"endpoint": "reset"}))
        assert self._connection.recv() == "reset successful"


@contextlib.contextmanager
def served(policy: Policy) -> Iterator[Remote]:
    """The policy again, through a server of its own."""
    server = OpenPiServer(lambda: policy)
    with (
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port,
        connect(f"ws://127.0.0.1:{port}", compression=None) as connection,
    ):
        yield Remote(connection, policy.embodiment)


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
