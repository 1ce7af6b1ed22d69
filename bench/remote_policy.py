# SPDX-License-Identifier: Apache-2.0
"""What a policy server on this computer adds to a chunk: request, websocket, answer.

The server is a process of its own whose policy answers at once, so that what is measured is the
way there and back, with three pictures of a camera that the client fits into the canvas' panels.

python bench/remote_policy.py --out bench/results/remote_policy.json
"""

import argparse
import datetime
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import websockets

from cosmos3_ros.model.embodiment import EMBODIMENTS, Embodiment
from cosmos3_ros.model.interface import ActionChunk, Future, Observation, Prediction
from cosmos3_ros.serve.asyncio_runner import until_interrupted
from cosmos3_ros.serve.clients.policy_client import RemotePolicy
from cosmos3_ros.serve.msgpack_codec import pack
from cosmos3_ros.serve.openpi_server import OpenPiServer

CASES = (  # embodiment, dialect, height and width of a camera's pictures
    ("droid_sim", "auto", (360, 640)),
    ("droid_joint_pos", "auto", (360, 640)),
    ("droid_joint_pos", "auto", (720, 1280)),
    ("droid_joint_pos", "robolab", (720, 1280)),
    ("droid_joint_pos", "openpi", (720, 1280)),
)


class Still:
    """A policy whose chunk is where the arm is."""

    def __init__(self, embodiment: Embodiment) -> None:
        self.embodiment = embodiment

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        body = self.embodiment
        rows = np.tile(observation.state, (body.horizon, 1))
        return Prediction(
            ActionChunk(rows, body.action_names, observation.stamp, body.step, body.discrete)
        )

    def decode(self, prediction: Prediction) -> Future:
        raise NotImplementedError

    def reset(self) -> None: ...


def serve(embodiment: str) -> int:
    """Until SIGTERM; the port on stdout."""
    server = OpenPiServer(lambda: Still(EMBODIMENTS[embodiment]))
    return until_interrupted(
        lambda ready, ended: server.run("127.0.0.1", 0, ready, ended),
        lambda port: print(port, flush=True),
    )


def measure(embodiment: str, dialect: str, size: tuple[int, int], chunks: int) -> dict[str, object]:
    """Milliseconds of a chunk at 5 chunks a second, as a node asks for them."""
    body, rng = EMBODIMENTS[embodiment], np.random.default_rng(0)
    images = {view: rng.integers(0, 256, (*size, 3), np.uint8) for view in body.views}
    seen = Observation(images, np.zeros(len(body.state), np.float32), "wait", 0)
    command = [sys.executable, __file__, "--serve", embodiment]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        policy = RemotePolicy(f"ws://127.0.0.1:{server.stdout.readline().strip()}", body, dialect)
        policy.infer(seen)
        spent: dict[str, list[float]] = {"whole": []}
        for _ in range(chunks):
            time.sleep(0.2)
            began = time.perf_counter()
            prediction = policy.infer(seen)
            spent["whole"].append(time.perf_counter() - began)
            for stage, seconds in prediction.seconds.items():
                spent.setdefault(stage, []).append(seconds)
        link = policy.status()["policy dialect"]
        policy.close()
        server.terminate()
    panels = {p.view: np.zeros((p.height, p.width, 3), np.uint8) for p in body.canvas.panels}
    return {
        "embodiment": embodiment,
        "dialect": link,
        "camera": [*size],
        "request [kB], about": round(len(pack(panels)) / 1000),
        **{
            f"{stage} [ms]": {
                f"p{q}": round(1000 * float(np.percentile(values, q)), 2) for q in (50, 95)
            }
            for stage, values in spent.items()
        },
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chunks", type=int, default=100)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--serve", default="", help="be the server, for this embodiment")
    chosen = parser.parse_args()
    if chosen.serve:
        return serve(chosen.serve)
    result = {
        "date": datetime.date.today().isoformat(),
        "command": f"python bench/remote_policy.py --chunks {chosen.chunks}",
        "machine": f"{os.cpu_count()} cores of {processor()}",
        "load before": round(os.getloadavg()[0], 1),
        "versions": {
            "python": platform.python_version(),
            "websockets": websockets.__version__,
            "numpy": np.__version__,
        },
        "cases": [measure(*case, chosen.chunks) for case in CASES],
    }
    text = json.dumps(result, indent=1)
    print(text)
    if chosen.out:
        chosen.out.write_text(text + "\n")
    return 0


def processor() -> str:
    """The name of this computer's processor."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


if __name__ == "__main__":
    sys.exit(main())
