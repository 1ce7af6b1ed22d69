# SPDX-License-Identifier: Apache-2.0
"""What rounded weights cost on a CPU: a chunk, and a token of the reasoner, in every format.

python bench/cpu_weight_formats.py [--threads 1] [--chunks 9] [--tokens 48] [--out formats.json]

With the embedded checkpoint; the formats take turns, so that what else the computer does meets
all of them alike.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cosmos3_ros.model.acceleration.options import WEIGHT_FORMATS
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.model_params import PolicyModelParams, ReasonerModelParams
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.reasoner import Cosmos3Reasoner
from cosmos3_ros.model.registry import Models

QUESTION = "What is on the table?"


def load(weight_format: str) -> tuple[Cosmos3Policy, Cosmos3Reasoner]:
    """Policy and reasoner on one copy of the weights; the reasoner never ends an answer."""
    chosen: dict[str, Any] = {
        "device": "cpu",
        "weights": weight_format,
        "text_weights": weight_format,
    }
    models = Models()
    policy = models.policy(PolicyModelParams(**chosen, guidance=1.0))
    reasoner = models.reasoner(ReasonerModelParams(**chosen))
    reasoner.stop = frozenset()
    return policy, reasoner


def gray(policy: Cosmos3Policy) -> Observation:
    """What a robot at its zero position sees in the dark."""
    images = {
        panel.view: np.full((panel.height, panel.width, 3), 128, np.uint8)
        for panel in policy.embodiment.canvas.panels
    }
    return Observation(images, np.zeros(len(policy.embodiment.state), np.float32), "wait", 0)


def measure(threads: int, chunks: int, tokens: int) -> dict[str, Any]:
    """Milliseconds of each format (medians), and as multiples of `none`."""
    torch.set_num_threads(threads)
    loaded = {name: load(name) for name in WEIGHT_FORMATS}
    spent: dict[str, dict[str, list[float]]] = {
        name: {"chunk_ms": [], "token_ms": []} for name in WEIGHT_FORMATS
    }
    for turn in range(1 + chunks):
        for name, (policy, reasoner) in loaded.items():
            since = time.perf_counter()
            policy.infer(gray(policy))
            chunk = time.perf_counter() - since
            decoded = reasoner.ask(QUESTION, max_tokens=tokens).seconds["decode"]
            if turn:  # the first one counts nowhere
                spent[name]["chunk_ms"].append(1e3 * chunk)
                spent[name]["token_ms"].append(1e3 * decoded / (tokens - 1))
    medians = {
        name: {what: statistics.median(times) for what, times in row.items()}
        for name, row in spent.items()
    }
    for row in medians.values():
        for what in ("chunk", "token"):
            row[f"{what}, of none"] = row[f"{what}_ms"] / medians["none"][f"{what}_ms"]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": platform.machine(),
        "torch": torch.__version__,
        "threads": threads,
        "formats": medians,
    }


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--chunks", type=int, default=9)
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    text = json.dumps(measure(chosen.threads, chosen.chunks, chosen.tokens), indent=2) + "\n"
    print(text, end="")
    if chosen.out:
        chosen.out.write_text(text)


if __name__ == "__main__":
    main()
