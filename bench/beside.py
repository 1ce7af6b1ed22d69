# SPDX-License-Identifier: Apache-2.0
"""The reasoner beside the policy: one model of random weights, two threads, as in the nodes.

python bench/beside.py [--preset nano] [--device cuda] [--weights fp8] [--no-graphs] [--seconds 90]
[--out beside.json]

Chunk after chunk (DROID, three pictures of 1280 x 720), first alone, then while the reasoner
answers without a pause: about pictures that do not change (they are looked at once) and about new
ones. A chunk during which a prompt was read counts as "reading", any other as "decoding".
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from full_size import QUESTION, pictures, ready, run_stages

from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.interface import Prediction
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.reasoner import Cosmos3Reasoner
from cosmos3_ros.model.runtime.quantize import FORMATS
from cosmos3_ros.ros.worker_thread import LAST, NICE


@dataclasses.dataclass(frozen=True)
class Span:
    """From when to when something lasted, s; two may overlap."""

    began: float
    ended: float

    @property
    def ms(self) -> float:
        """How long."""
        return 1e3 * (self.ended - self.began)

    def meets(self, other: Span) -> bool:
        """Whether there is a moment in both."""
        return self.began < other.ended and other.began < self.ended


@dataclasses.dataclass
class Said:
    """An answer: when its first token was there, and its tokens with their times."""

    reading: Span
    stages: dict[str, float]
    tokens: list[int]
    times: list[float]


class Bench:
    """The stages; each returns what it found."""

    def __init__(self, preset: str, device: str, speed: RuntimeOptions, runs: int, tokens: int):
        self.gpu, self.runs, self.tokens = device.startswith("cuda"), runs, tokens
        model, full = ready(preset, device, speed)
        self.observation = full.observation()
        self.policy = Cosmos3Policy(model, full.body, deterministic=True)
        self.reasoner = Cosmos3Reasoner(model)
        self.reasoner.stop = frozenset()
        self.images = pictures()
        self.infer = ThreadPoolExecutor(1, "infer", os.nice, (NICE,))
        self.reason = ThreadPoolExecutor(1, "reason", os.nice, (LAST,))
        self.exact: Prediction | None = None
        self.told: dict[int, list[int]] = {}  # tokens by number of pictures

    # -- stages ------------------------------------------------------------------------------------

    def warm_up(self, graphs: bool) -> dict[str, Any]:
        """As the nodes do before they begin, each in its own thread, one after the other."""
        if self.gpu:
            torch.cuda.reset_peak_memory_stats()  # making the weights took more
        since = time.perf_counter()
        for _ in range(1 + graphs):
            self.infer.submit(self.policy.infer, self.observation).result()
        found = {"policy_seconds": time.perf_counter() - since}
        since = time.perf_counter()
        self.reason.submit(self.reasoner.ask, QUESTION, self.images, self.tokens).result()
        return found | {"reasoner_seconds": time.perf_counter() - since}

    def alone(self) -> dict[str, Any]:
        """Chunks while the reasoner is silent."""
        spans, stages, said = self.infer.submit(self.chunks, self.runs).result()
        self.exact = said[0]
        found = table("chunk", spans) | {f"{name}_ms": row for name, row in stages.items()}
        return found | {
            "chunks that differ from the first": sum(not equal(one, said[0]) for one in said)
        }

    def answers(self) -> dict[str, Any]:
        """Answers while the policy is silent."""
        found: dict[str, Any] = {}
        for count in (1, 3):
            said = self.reason.submit(
                self.talk, count, False, threading.Event(), lambda: None, 3
            ).result()
            self.told[count] = said[-1].tokens
            found |= {
                f"{count} images, {key}": row
                for key, row in told(said[1:], whole(said[1:])).items()
            }
        return found

    def beside(self, count: int, fresh: bool = False) -> dict[str, Any]:
        """Chunks while the reasoner answers about `count` pictures, again and again."""
        stopped, begun = threading.Event(), threading.Event()
        talking = self.reason.submit(self.talk, count, fresh, stopped, begun.set, 0)
        while not begun.wait(0.1) and not talking.done():
            pass
        try:
            spans, stages, predicted = self.infer.submit(self.chunks, self.runs).result()
        finally:
            stopped.set()
        said = talking.result()
        reading = [chunk for chunk in spans if any(chunk.meets(one.reading) for one in said)]
        found = table("chunk", spans) | table("reading, chunk", reading)
        found |= table("decoding, chunk", [chunk for chunk in spans if chunk not in reading])
        found |= {f"{name}_ms": row for name, row in stages.items()}
        found |= told(said, Span(spans[0].began, spans[-1].ended))
        if self.exact:
            found["chunks that differ from alone"] = sum(
                not equal(one, self.exact) for one in predicted
            )
        if not fresh and count in self.told:
            wanted = self.told[count]
            found["answers that differ from alone"] = sum(
                one.tokens != wanted[: len(one.tokens)] for one in said
            )
        if self.gpu:
            found["peak_gib"] = torch.cuda.max_memory_allocated() / 2**30
        return found

    # -- what the two threads do -------------------------------------------------------------------

    def chunks(self, runs: int) -> tuple[list[Span], dict[str, float], list[Prediction]]:
        """When each chunk was asked for and there; the median of each stage on the device, ms.

        The predictions.
        """
        spans, said = [], []
        for _ in range(runs):
            began = time.perf_counter()
            said.append(self.policy.infer(self.observation))
            spans.append(Span(began, time.perf_counter()))
        names = said[0].seconds
        return (
            spans,
            {name: 1e3 * statistics.median(one.seconds[name] for one in said) for name in names},
            said,
        )

    def talk(
        self,
        count: int,
        fresh: bool,
        stopped: threading.Event,
        begun: Callable[[], None],
        answers: int,
    ) -> list[Said]:
        """Answer again and again until `stopped`, or `answers` times.

        Calls `begun` at the first token.
        """
        said: list[Said] = []
        while not stopped.is_set() and (not answers or len(said) < answers):
            images = self.images[:count]
            if fresh:
                images = [np.roll(image, 1 + len(said), 0) for image in images]
            began = time.perf_counter()
            prompt = self.reasoner.prompt(QUESTION, images)
            tokens, times = [], []
            for token in self.reasoner.tokens(prompt, self.tokens):
                tokens.append(token)
                times.append(time.perf_counter())
                begun()
                if stopped.is_set():
                    break
            said.append(Said(Span(began, times[0]), prompt.seconds, tokens, times))
        return said


def equal(one: Prediction, other: Prediction) -> bool:
    """Whether two chunks are the same to the last bit."""
    return bool((one.chunk.values == other.chunk.values).all())


def table(what: str, spans: Sequence[Span]) -> dict[str, float]:
    """How many, and how long: median, 90th percentile, longest."""
    if not spans:
        return {f"{what}s": 0}
    middle, most, worst = np.percentile([span.ms for span in spans], (50, 90, 100)).tolist()
    return {
        f"{what}s": len(spans),
        f"{what} p50_ms": middle,
        f"{what} p90_ms": most,
        f"{what} max_ms": worst,
    }


def whole(said: Sequence[Said]) -> Span:
    """From the first prompt to the last token."""
    return Span(said[0].reading.began, said[-1].times[-1])


def told(said: Sequence[Said], window: Span) -> dict[str, float]:
    """Tokens per second in the window, reading included; while decoding alone.

    And what came before the first token.
    """
    steps = [step for one in said for step in pairwise(one.times) if Span(*step).meets(window)]
    count = sum(window.began <= moment <= window.ended for one in said for moment in one.times)
    found = {"tokens per second": count / (window.ended - window.began)}
    if steps:
        waits = [1e3 * (after - before) for before, after in steps]
        found["tokens per second, decoding"] = 1e3 / statistics.mean(waits)
        found["token p50_ms"], found["token max_ms"] = statistics.median(waits), max(waits)
    met = [one for one in said if one.reading.meets(window)]
    for stage in ("prepare", "look", "prefill"):
        if met:
            found[f"{stage}_ms"] = 1e3 * statistics.median(
                one.stages.get(stage, 0.0) for one in met
            )
    return found


def measure(chosen: argparse.Namespace) -> dict[str, Any]:
    """All stages in the order of what they are worth."""
    since = time.monotonic()
    gpu = chosen.device.startswith("cuda")
    graphs = gpu and chosen.graphs
    facts: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": torch.cuda.get_device_name() if gpu else chosen.device,
        "cpus": len(os.sched_getaffinity(0)),
        "preset": chosen.preset,
        "weights": chosen.weights,
        "graphs": graphs,
        "tokens": chosen.tokens,
        "versions": {name: version(name) for name in ("torch", "transformers")},
    }
    speed = RuntimeOptions(gpu, graphs, chosen.weights, chosen.weights)
    bench = Bench(chosen.preset, chosen.device, speed, chosen.runs, chosen.tokens)
    facts["make_seconds"] = time.monotonic() - since
    stages = {
        "warm-up": (0.0, lambda: bench.warm_up(graphs)),
        "chunks alone": (0.0, bench.alone),
        "answers alone": (0.0, bench.answers),
        "3 images": (10.0, lambda: bench.beside(3)),
        "3 new images": (10.0, lambda: bench.beside(3, fresh=True)),
        "1 image": (10.0, lambda: bench.beside(1)),
    }

    def save(results: Mapping[str, Any]) -> None:
        if chosen.out:
            chosen.out.write_text(json.dumps(facts | results, indent=2) + "\n")

    results = run_stages(stages, chosen.seconds - facts["make_seconds"], save)
    show(results, ("chunks alone", "3 images", "3 new images", "1 image"))
    return facts | results


def show(results: Mapping[str, Any], stages: Iterable[str]) -> None:
    """The rows that are worth comparing, side by side."""
    rows = [
        f"{of}chunk {what}_ms"
        for of in ("", "decoding, ", "reading, ")
        for what in ("p50", "p90", "max")
    ]
    rows += [
        "compose_ms",
        "encode_ms",
        "denoise_ms",
        "tokens per second",
        "tokens per second, decoding",
    ]
    stages = list(stages)
    print(f"{'':30}" + "".join(f"{stage:>16}" for stage in stages))
    for row in rows:
        cells = [results.get(stage, {}).get(row) for stage in stages]
        print(
            f"{row:30}"
            + "".join(f"{'':>16}" if cell is None else f"{cell:16.1f}" for cell in cells)
        )


def main() -> None:
    """Run the stages, print, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="nano", choices=("nano", "tiny"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--weights", default="none", choices=sorted(FORMATS), help="of both towers")
    parser.add_argument("--graphs", default=True, action=argparse.BooleanOptionalAction)
    parser.add_argument("--runs", type=int, default=16, help="chunks in each stage")
    parser.add_argument("--tokens", type=int, default=64, help="in each answer")
    parser.add_argument(
        "--seconds", type=float, default=90.0, help="begin no stage that would end later"
    )
    parser.add_argument("--out", type=Path, default=None)
    measure(parser.parse_args())


if __name__ == "__main__":
    main()
