# SPDX-License-Identifier: Apache-2.0
"""Checkpoints of the Cosmos 3 family that this package does not run: what they are, and who does.

They share Nano's tensors, so that one would load and then make noise. Fields and names are those
that vLLM-Omni and SGLang read. No torch.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from .json_file import read_json


@dataclasses.dataclass(frozen=True, slots=True)
class Foreign:
    """A kind of checkpoint, and how its files tell."""

    what: str
    who: str
    names: tuple[str, ...]  # of its repository, small letters
    pipelines: tuple[str, ...]  # `_class_name` of model_index.json
    blocks: tuple[str, ...] = ()  # keys of transformer/config.json, or its backbone_type


# The first that fits counts: causal transfer has the block of the next kind too.
TRANSFER = Foreign(
    "a causal transfer model (Cosmos3-Nano-Sim-Transfer: video that follows a control video)",
    "vLLM-Omni or SGLang runs it",
    ("cosmos3-nano-sim-transfer",),
    (
        "CosmosDreamsTransferPipeline",
        "CosmosDreamsTransferOmniPipeline",
        "Cosmos3TransferInteractivePipeline",
    ),
)
KINDS = (
    TRANSFER,
    Foreign(
        "a causal world model (Cosmos3-Nano-Sim-Bimanual, also called Cosmos-Dreams: video chunk "
        "by chunk with action rows between the frames)",
        "vLLM-Omni or SGLang runs it",
        ("cosmos3-nano-sim-bimanual", "cosmos-dreams", "cosmos3-interactive"),
        ("Cosmos3NanoSimBimanualPipeline", "CosmosDreamsPipeline"),
        ("cosmos3_nano_sim_bimanual", "cosmos_dreams"),
    ),
    Foreign(
        "a causal driving model (Cosmos3-Nano-Sim-Auto)",
        "vLLM-Omni runs it",
        ("cosmos3-nano-sim-auto",),
        ("Cosmos3NanoSimAutoPipeline",),
        ("cosmos3_nano_sim_auto",),
    ),
    Foreign(
        "a transfer model of several driving cameras (Cosmos3-Nano-Transfer-Auto, Multiview-AV)",
        "vLLM-Omni or SGLang runs it",
        ("cosmos3-nano-transfer-auto", "cosmos3-multiview-av"),
        ("Cosmos3MultiviewPipeline",),
        ("multiview", "cosmos3_multiview"),
    ),
)
# Base checkpoints have heads for sound too, which stay unused.
SOUND_RUNS_ELSEWHERE = "vLLM-Omni and the Cosmos framework run them"


def check_family(folder: Path) -> None:
    """ValueError if a checkpoint is one of `KINDS`, which it names."""
    if kind := find_foreign(folder):
        raise ValueError(f"checkpoint: {folder} is {kind.what}, not run here; {kind.who}")


def find_foreign(folder: Path) -> Foreign | None:
    """Which of `KINDS` a checkpoint folder is, None for those that are run here."""
    config = read_json(folder / "transformer" / "config.json", optional=True)
    index = read_json(folder / "model_index.json", optional=True)
    if _conditioning(config) == "control_video":
        return TRANSFER
    found = {*config, config.get("backbone_type")}
    names = _names(folder, index, config)
    return next(
        (
            kind
            for kind in KINDS
            if index.get("_class_name") in kind.pipelines
            or found & {*kind.blocks}
            or names & {*kind.names}
        ),
        None,
    )


def _conditioning(config: dict[str, Any]) -> object:
    """What a causal model is led by, if it says so."""
    for key in ("cosmos3_nano_sim_bimanual", "cosmos_dreams"):
        block = config.get(key)
        part = block.get("conditioning") if isinstance(block, dict) else None
        if isinstance(part, dict):
            return part.get("mode")
    return None


def _names(folder: Path, *fields: dict[str, Any]) -> set[str]:
    """The repository's name as the folder, the Hub's cache, or a json file has it."""
    said = [str(field.get("_name_or_path") or "") for field in fields]
    parts = [*folder.resolve().parts[-3:], *said]
    return {part.rsplit("/", 1)[-1].rsplit("--", 1)[-1].lower() for part in parts}
