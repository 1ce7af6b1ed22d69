# SPDX-License-Identifier: Apache-2.0
"""Finds the folder of a checkpoint, and says of another what it is and what would help.

Checkpoints of the Cosmos 3 family that this package does not run share Nano's tensors, so that one
would load and then make noise. Fields and names are those that vLLM-Omni and SGLang read. No torch.
"""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

from .json_file import read_json

SHIPPED = Path(__file__).parents[1] / "checkpoints"  # that come with this package


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


# What is fetched of a repository: no pickles and no code.
HUB_FILES = ("*.json", "*.yaml", "*.jinja", "*.txt", "*.safetensors")
_HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_LAYOUT = "expected a checkpoint in the Hub layout (transformer/, vae/, text_tokenizer/, ...)"

# Files that tell what else a folder may be.
_OTHERS = {
    "*.distcp": "a training state of NVIDIA's framework (DCP), ",
    "*/*.distcp": "a training state of NVIDIA's framework (DCP), ",
    "*.gguf": "weights of llama.cpp (GGUF), ",
    "*.safetensors": "a model in the layout of transformers, ",
}


def find_checkpoint(path: str | Path, download: bool = False) -> Path:
    """The folder of a checkpoint that is run here; ValueError says what is there instead.

    download: see `find_folder`.
    """
    folder = find_folder(path, download)
    check_family(folder)
    check_layout(folder)
    return folder


def checkpoint_path(path: str | Path) -> Path:
    """A path as a user writes it; without such a folder, one of SHIPPED by its name.

    The pages call `droid_sim` the embedded one; it has that name, too.
    """
    folder = Path(os.path.expanduser(path))
    shipped = SHIPPED / ("droid_sim" if folder.name == "embedded" else folder.name)
    alone = folder.name == str(path)
    return shipped if alone and not folder.exists() and shipped.is_dir() else folder


def find_folder(path: str | Path, download: bool = False) -> Path:
    """The folder that a user names; ValueError if there is none.

    download: if there is no such folder, take `path` for the name of a repository on the Hugging
    Face Hub, and fetch it into the Hub's cache.
    """
    folder = checkpoint_path(path)
    named = _HUB_NAME.fullmatch(str(path)) is not None
    if not folder.exists() and download and named:
        folder = _fetched(str(path))
    if folder.is_dir():
        return folder
    about = ""
    if folder.exists():
        about = f" but a file; {_LAYOUT}"
    elif named and not download:
        about = (
            "; if that is its name on the Hugging Face Hub, fetch it: "
            f"hf download {path} --local-dir {folder.name}, or --download where a command has that"
        )
    raise ValueError(f"checkpoint: no folder {folder}{about}")


def check_layout(folder: Path) -> None:
    """ValueError if a folder is not that of a checkpoint, with what it is."""
    if not (folder / "transformer").is_dir():
        raise ValueError(f"checkpoint: {folder} has no transformer/: {_describe(folder)}")


def _fetched(name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, allow_patterns=list(HUB_FILES)))
    except LocalEntryNotFoundError:
        raise ValueError(
            f"checkpoint: {name} is not in the Hub's cache, and the Hugging Face Hub cannot be "
            "reached"
        ) from None
    except (HfHubHTTPError, HFValidationError) as error:
        raise ValueError(
            f"checkpoint: {name} cannot be fetched from the Hugging Face Hub: "
            f"{str(error).strip().splitlines()[0]}"
        ) from None


def _describe(folder: Path) -> str:
    """What a folder without transformer/ is, in words, and what to give in its place."""
    snapshots = sorted(each for each in folder.glob("snapshots/*") if each.is_dir())
    if snapshots:
        return (
            f"the Hub's cache of a repository, expected its snapshot {_newest(folder, snapshots)}"
        )
    adapter = folder / "adapter_config.json"
    if adapter.is_file() or any(folder.glob("adapter_model.*")):
        base = _base_of(adapter)
        return (
            f"an adapter (LoRA) of {base}, not a checkpoint; expected the folder of a checkpoint "
            "into which it was merged"
        )
    if (folder.parent / "transformer").is_dir():
        return f"a part of a checkpoint, expected {folder.parent}"
    inner = sorted(each.parent for each in folder.glob("*/transformer") if each.is_dir())
    if inner:
        return f"expected a checkpoint inside it, such as {inner[0]}"
    other = next((what for pattern, what in _OTHERS.items() if any(folder.glob(pattern))), "")
    empty = "" if any(folder.iterdir()) else "it is empty, "
    return f"{other}{empty}{_LAYOUT}"


def _newest(folder: Path, snapshots: list[Path]) -> Path:
    """The snapshot of the branch main, if it is there."""
    try:
        main = folder / "snapshots" / (folder / "refs" / "main").read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return snapshots[-1]
    return main if main in snapshots else snapshots[-1]


def _base_of(adapter: Path) -> str:
    try:
        return str(read_json(adapter, optional=True).get("base_model_name_or_path") or "a model")
    except ValueError:
        return "a model"


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
