# SPDX-License-Identifier: Apache-2.0
"""Summary of a checkpoint folder: sizes, memory, what is missing or damaged."""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ..acceleration.options import PLACEMENTS
from ..embodiment import EMBODIMENTS
from ..embodiment.embodiment_file import FILE
from ..network.config import PRESETS, ModelConfig, config_from_json
from ..network.transformer import Transformer
from .foreign import SOUND_RUNS_ELSEWHERE, check_layout, find_folder, find_foreign
from .json_file import read_block, read_json
from .names import SOUND, transformer_names
from .own_embodiment import own_embodiment, row_scaling
from .safetensors_io import count, read_headers
from .student import LEVELS, read_student
from .surfaces import SURFACES, Check, find_damage, problems
from .trained_sampling import trained_sampling

# Prefixes of our parameters -> the part they belong to; the first prefix that fits counts.
PARTS = {
    "embed.": "embeddings",
    "head.": "lm_head",
    "text.": "text tower",
    "generator.": "generator tower",
    "action_": "action heads",
    "": "vision and time heads",
}
POLICY = (
    "embeddings",
    "text tower",
    "generator tower",
    "action heads",
    "vision and time heads",
    "video autoencoder",
)
SOUND_HEADS = "sound heads (not loaded)"
REASONER = ("embeddings", "lm_head", "text tower", "vision encoder")


@dataclasses.dataclass(frozen=True, slots=True)
class Report:
    """A table for people, and whether every surface would load the checkpoint."""

    text: str
    loads: bool


def report(
    path: str | Path,
    download: bool = False,
    numbers: bool = False,
    surfaces: Mapping[str, Sequence[Check]] = SURFACES,
) -> Report:
    """A table for people: sizes, embodiments, schedule, what is wrong, memory of each placement.

    ValueError if there is no such folder, or none of a checkpoint; whatever else is wrong is a line
    of the table. download: see `find_folder`; numbers: read all weights, and look for what is not
    finite in them, rather than the headers of their files alone; surfaces: what is checked, for
    whom.
    """
    folder = find_folder(path, download)
    foreign = None
    with contextlib.suppress(ValueError):  # of a json file: it is among the problems
        foreign = find_foreign(folder)
    if foreign:
        line = f"not ours    {foreign.what}; {foreign.who}"
        return Report(f"checkpoint  {folder}\n{line}", loads=False)
    check_layout(folder)
    lines, sizes = [f"checkpoint  {folder}"], dict[str, int]()
    wrong = problems(folder, surfaces) | (find_damage(folder) if numbers else {})
    with contextlib.suppress(ValueError):  # as above
        config = config_from_json(read_json(folder / "transformer" / "config.json"))
        lines.append(f"network     {_describe(config)}")
        sizes |= _transformer_sizes(folder / "transformer", config)
        lines.append(f"policy      {_embodiments(folder, config)}")
        lines += _rows(folder, config)
    for name, part in (("vae", "video autoencoder"), ("vision_encoder", "vision encoder")):
        with contextlib.suppress(ValueError):
            sizes[part] = count(read_headers(folder / name))
    lines.append(f"schedule    {_schedule(folder)}")
    if not (folder / "vision_encoder").is_dir():
        lines.append("vision      none: the reasoner answers questions about text alone")
    lines += ["", f"{'part':24}{'parameters':>16}"]
    lines += [f"{part:24}{number:16,}" for part, number in sizes.items()]
    if SOUND_HEADS in sizes:
        lines.append(f"sound heads are left out; {SOUND_RUNS_ELSEWHERE}")
    lines += ["", f"{'weights in GiB':24}{'bfloat16':>16}{'float32':>16}"]
    for placement in PLACEMENTS:
        number = sum(sizes.get(part, 0) for part in _parts(placement))
        lines.append(f"{placement:24}{number * 2 / 2**30:16.2f}{number * 4 / 2**30:16.2f}")
    lines += ["", *(f"{'refused':12}{_of(names)}{text}" for text, names in wrong.items())]
    return Report("\n".join(lines if wrong else [*lines, "complete"]), not wrong)


def _of(surfaces: list[str]) -> str:
    """Whom a problem concerns, if not all."""
    return "" if len(surfaces) == len(SURFACES) else f"({', '.join(surfaces)}) "


def _parts(placement: str) -> list[str]:
    """The parts of a checkpoint that a placement needs."""
    policy = POLICY if placement != "reasoner" else ()
    reasoner = REASONER if placement != "policy" else ()
    return list(dict.fromkeys((*policy, *reasoner)))


def _describe(config: ModelConfig) -> str:
    """Its name if it is a preset, and its main sizes."""
    name = next(
        (name for name, preset in PRESETS.items() if _same_network(preset, config)), "custom"
    )
    heads = f"{config.heads}/{config.kv_heads} heads of {config.head_dim}"
    return (
        f"{name}: {config.layers} layers, hidden {config.hidden}, {heads}, "
        f"MLP {config.mlp} {config.activation}"
    )


def _same_network(preset: ModelConfig, config: ModelConfig) -> bool:
    names = ("hidden", "layers", "heads", "kv_heads", "head_dim", "mlp", "vocab", "activation")
    return all(getattr(preset, name) == getattr(config, name) for name in names)


def _transformer_sizes(folder: Path, config: ModelConfig) -> dict[str, int]:
    """Numbers per part, as the headers of the files have them."""
    stored = read_headers(folder)
    with torch.device("meta"):
        names = transformer_names(Transformer(config), stored)
    sizes = dict.fromkeys(PARTS.values(), 0)
    for ours, theirs in names.items():
        part = next(part for prefix, part in PARTS.items() if ours.startswith(prefix))
        sizes[part] += math.prod(stored[theirs].shape) if theirs in stored else 0
    sound = count({name: each for name, each in stored.items() if any(p in name for p in SOUND)})
    return sizes | ({SOUND_HEADS: sound} if sound else {})


def _embodiments(folder: Path, config: ModelConfig) -> str:
    """The embodiments that the checkpoint was trained for, or has room for."""
    policy = read_block(folder / "checkpoint.json", "policy")
    if not config.action_width:
        return "none: the checkpoint has no action heads"
    if not policy:
        fits = [each.name for each in EMBODIMENTS.values() if each.channels <= config.action_width]
        return f"names no embodiment; its action heads can hold {', '.join(fits)}"
    own = own_embodiment(folder, policy)
    domain = policy.get("domain_name")
    fits = [each.name for each in EMBODIMENTS.values() if each.domain == domain]
    said = own.name if own else f"any of {', '.join(fits) or 'none that is known'}"
    carried = f" ({folder / FILE})" if (folder / FILE).is_file() else ""
    rows, rate = policy.get("action_chunk_size"), policy.get("conditioning_fps")
    tasks = f", tasks {', '.join(policy['tasks'])}" if policy.get("tasks") else ""
    trained = ", ".join(trained_sampling(policy).names())
    sampling = f", sampling {trained}" if trained else ""
    about = f"embodiment {said}{carried}{tasks}{sampling}"
    return f"domain {domain}, {rows} rows at {rate} Hz, {about}"


def _rows(folder: Path, config: ModelConfig) -> list[str]:
    """How action rows are scaled for these weights, a line for each embodiment."""
    policy = read_block(folder / "checkpoint.json", "policy")
    said = row_scaling(folder, policy) if config.action_width else []
    return [f"{'' if place else 'rows':12}{line}" for place, line in enumerate(said)]


def _schedule(folder: Path) -> str:
    try:
        fields = read_json(folder / "scheduler" / "scheduler_config.json")
    except ValueError:
        return "unknown"
    fixed = fields.get(LEVELS)
    if isinstance(fixed, dict):
        made = None
        with contextlib.suppress(ValueError):  # which is among the problems
            made = read_student(folder)
        whose = (
            f", of {made.teacher} at guidance {made.guidance:g}, for {', '.join(made.modes)}"
            if made
            else ""
        )
        return f"distilled: noise levels {fixed.get('t_list')}{whose}"
    return (
        "UniPC, Karras"
        if fields.get("use_karras_sigmas")
        else f"UniPC, flow shift {fields.get('flow_shift')}"
    )
