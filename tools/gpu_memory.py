# SPDX-License-Identifier: Apache-2.0
"""Writes into docs/installation.md which GPU each released model needs, as the loader counts it.

tools/run.sh .venv python tools/gpu_memory.py
"""

from __future__ import annotations

import re
from pathlib import Path

from cosmos3_ros.model.acceleration.memory_budget import needed
from cosmos3_ros.model.acceleration.options import RuntimeOptions
from cosmos3_ros.model.network.config import EDGE, NANO, SUPER

PAGE = Path(__file__).parent.parent / "docs" / "installation.md"
BEGIN, END = "<!-- gpus: written by tools/gpu_memory.py -->", "<!-- end of gpus -->"
MODELS = {"Edge, 4 B": EDGE, "Nano, 16 B": NANO, "Super, 64 B": SUPER}
PLACEMENTS = {"policy": "policy alone", "both": "policy and reasoner"}
FORMATS = {"none": "bfloat16", "fp8": "FP8", "int8": "INT8", "nvfp4": "NVFP4"}
CARDS = (12, 16, 24, 32, 48, 80, 96, 141)  # GB that are sold
OTHERS = 1.0  # GB of a card that its driver and a screen take


def table() -> str:
    """Rows of model and placement, columns of weights: GiB, and the smallest card."""
    lines = [f"| | {' | '.join(FORMATS.values())} |", "| --- |" + " ---: |" * len(FORMATS)]
    for model, config in MODELS.items():
        for placement, words in PLACEMENTS.items():
            cells = []
            for kind in FORMATS:
                options = RuntimeOptions(generator=kind, text=kind, placement=placement)
                gib = needed(config, options)
                card = next((size for size in CARDS if gib + OTHERS <= size), None)
                cells.append(f"{gib:.1f} ({f'{card} GB' if card else 'several'})")
            lines.append(f"| {model}, {words} | {' | '.join(cells)} |")
    return "\n".join(lines)


def with_table(page: str) -> str:
    """The page with the table of today."""
    found = re.subn(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: f"{BEGIN}\n{table()}\n{END}",
        page,
        flags=re.DOTALL,
    )
    if found[1] != 1:
        raise ValueError(f"{PAGE.name}: expected {BEGIN} and {END} once, got {found[1]}")
    return found[0]


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text()))
