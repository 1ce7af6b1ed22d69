# SPDX-License-Identifier: Apache-2.0
"""Writes into docs/installation.md which GPU each released model needs, as the loader counts it.

tools/run.sh .venv python tools/gpu_memory.py
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from cosmos3_ros.model.acceleration.generation_memory import Video, generation_need
from cosmos3_ros.model.acceleration.memory_budget import GIB, needed
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.network.config import EDGE, NANO, SUPER, ModelConfig

PAGE = Path(__file__).parent.parent / "docs" / "installation.md"
RESULTS = PAGE.parent.parent / "bench" / "results"
BEGIN, END = "<!-- {}: written by tools/gpu_memory.py -->", "<!-- end of {} -->"
MODELS = {"Edge, 4 B": EDGE, "Nano, 16 B": NANO, "Super, 64 B": SUPER}
PLACEMENTS = {"policy": "policy alone", "both": "policy and reasoner"}
# What `cosmos3 generate` makes when nothing else is asked; the published autoencoder, of Wan 2.2.
LARGE = Video(189, 720, 1280)
VIDEOS = {"Edge, 4 B": Video(121, 480, 832), "Nano, 16 B": LARGE, "Super, 64 B": LARGE}
VAE = {"scale_factor_spatial": 16, "decoder_base_dim": 256, "patch_size": 2}
FORMATS = {"none": "bfloat16", "fp8": "FP8", "int8": "INT8", "nvfp4": "NVFP4"}
CARDS = (12, 16, 24, 32, 48, 80, 96, 141)  # GB that are sold


def smallest_card(gib: float) -> str:
    """The smallest card that has so much free.

    A GB is 10^9 bytes: what the driver, a screen and the GPU's context take lies in the 7 % that a
    GiB is more.
    """
    card = next((size for size in CARDS if gib <= size * 1e9 / GIB), None)
    return f"{card} GB" if card else "several"


def video_need(model: str, config: ModelConfig, kind: str) -> float:
    """GiB for the model's usual video in the decoder's smallest tiles, text tower on the host."""
    options = RuntimeOptions(generator=kind, text=kind, placement="policy")
    return generation_need(config, options, VAE, VIDEOS[model], free=0.0).peak


def row(name: str, needs: list[float]) -> str:
    """One line of the table: GiB for each format, and the smallest card."""
    return f"| {name} | {' | '.join(f'{gib:.1f} ({smallest_card(gib)})' for gib in needs)} |"


def table() -> str:
    """Rows of model and use, columns of weights: GiB, and the smallest card."""
    lines = [f"| | {' | '.join(FORMATS.values())} |", "| --- |" + " ---: |" * len(FORMATS)]
    for model, config in MODELS.items():
        for placement, words in PLACEMENTS.items():
            options = [
                RuntimeOptions(generator=kind, text=kind, placement=placement) for kind in FORMATS
            ]
            lines.append(row(f"{model}, {words}", [needed(config, one) for one in options]))
        lines.append(
            row(f"{model}, a video", [video_need(model, config, kind) for kind in FORMATS])
        )
    return "\n".join(lines)


@dataclasses.dataclass(frozen=True)
class Run:
    """A measurement: what ran, its file in bench/results, keys to its GiB, how it is counted."""

    what: str
    file: str
    keys: tuple[str, ...]
    config: ModelConfig
    options: RuntimeOptions
    gpus: int = 1

    def found(self) -> tuple[str, float]:
        """The GPU and its GiB; of several the most."""
        found = json.loads((RESULTS / f"{self.file}.json").read_text())
        device = found["device"].removeprefix("NVIDIA ").removesuffix(" 80GB HBM3")
        for key in self.keys:
            found = found[key]
        return device, max(found) if isinstance(found, list) else found


FP8 = RuntimeOptions(generator="fp8", text="fp8")
ALONE = dataclasses.replace(FP8, placement="policy")
RUNS = (
    Run("Nano, policy alone, FP8", "policy_nano_h100", ("policy alone", "peak_gib"), NANO, ALONE),
    Run(
        "Nano, policy and reasoner, FP8",
        "beside_nano_fp8_h100",
        ("3 new images", "peak_gib"),
        NANO,
        FP8,
    ),
    Run(
        "Nano, policy and reasoner, bfloat16",
        "beside_nano_bf16_h100",
        ("3 new images", "peak_gib"),
        NANO,
        RuntimeOptions(),
    ),
    Run(
        "Super, both towers, bfloat16, each of two GPUs",
        "super_two_h200",
        ("peak_gib",),
        SUPER,
        RuntimeOptions(),
        2,
    ),
)


def measured() -> str:
    """Rows of runs: GiB measured and counted."""
    lines = ["| GiB | GPU | measured | counted |", "| --- | --- | ---: | ---: |"]
    for run in RUNS:
        device, gib = run.found()
        need = needed(run.config, run.options, run.gpus)
        link = f"[json](../bench/results/{run.file}.json)"
        lines.append(f"| {run.what} ({link}) | {device} | {gib:.1f} | {need:.1f} |")
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """The page with the tables of today."""
    for name, rows in (("gpus", table()), ("measured", measured())):
        begin, end = BEGIN.format(name), END.format(name)
        if (page.count(begin), page.count(end)) != (1, 1):
            raise ValueError(f"{PAGE.name}: expected {begin} and {end} once each")
        before, _, rest = page.partition(begin)
        page = f"{before}{begin}\n{rows}\n{end}{rest.partition(end)[2]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
