# SPDX-License-Identifier: Apache-2.0
"""A recipe: one YAML file with everything a training depends on."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..model.checkpoint_io.trained_tasks import EMBEDDED
from ..model.embodiment.checks import head_number
from ..model.option_fields import check_finite
from .distill_options import DistillOptions
from .options import (
    AutoencoderOptions,
    DataOptions,
    DecoderOptions,
    LoraOptions,
    ObjectiveOptions,
    PolicyTrainingOptions,
    ReasonerTrainingOptions,
)
from .video_options import VideoOptions


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a training depends on.

    A part that is left out (None) leaves that part of the checkpoint as it is; with `policy.steps`
    0 the generator stays.
    """

    # Checkpoint folder to go on from, or "embedded", the package's own; empty: random weights.
    start: str = ""
    # Fields of model.network.config.ModelConfig, for towers of random weights. With `start` as
    # well, everything except the towers comes from there.
    size: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    embodiment: str = "droid_sim"  # name, YAML file, or folder of a checkpoint that carries one
    # Domain (or number) whose action head the embodiment's own begins as a copy of, see
    # embodiment.checks.HEADS; empty: the head is as `start` has it, which is random if it is free.
    head_from: str = ""
    seed: int = 0
    device: str = "auto"  # of torch; "auto": a GPU if there is one
    data: DataOptions = dataclasses.field(default_factory=DataOptions)
    autoencoder: AutoencoderOptions | None = None
    objective: ObjectiveOptions = dataclasses.field(default_factory=ObjectiveOptions)
    policy: PolicyTrainingOptions = dataclasses.field(default_factory=PolicyTrainingOptions)
    # None trains the weights themselves; else the weights of `start` stay, even with policy.text.
    lora: LoraOptions | None = None
    reasoner: ReasonerTrainingOptions | None = None
    decoder: DecoderOptions | None = None  # the autoencoder's decoder once more, at the end
    # Clips with captions that the generator learns of instead of demonstrations.
    video: VideoOptions | None = None
    # The generator becomes a few-step student of `start`; its data are `data`, or those of `video`.
    distill: DistillOptions | None = None

    def __post_init__(self) -> None:
        policy = self.generator
        self._check_stages()
        if self.head_from:
            try:
                head_number(self.head_from)
            except ValueError as error:
                raise ValueError(f"head_from: {error}") from None
        if policy.shard and (self.text or self.reasoner or policy.muon or policy.compile):
            reasoner = "one" if self.reasoner else "none"
            raise ValueError(
                f"{self.stage}.shard: expected text false (or lora), muon 0, no compile and no "
                f"reasoner, got {policy.text}, {policy.muon}, {policy.compile!r} and {reasoner}"
            )
        if self.lora and (self.size or self.reasoner or not self.start):
            raise ValueError(
                "lora: expected the start that it adapts, and neither size nor reasoner"
            )
        if policy.accumulate < 1 or (policy.accumulate > 1 and policy.compile == "reduce-overhead"):
            raise ValueError(
                f"{self.stage}.accumulate: expected 1, or more without CUDA graphs, "
                f"got {policy.accumulate}"
            )

    @property
    def stage(self) -> str:
        """The part that says how the generator learns: "policy", "video" or "distill"."""
        return "distill" if self.distill else "video" if self.video else "policy"

    @property
    def generator(self) -> PolicyTrainingOptions:
        """The options of that part."""
        return self.distill or self.video or self.policy

    @property
    def text(self) -> bool:
        """Whether the generator's training changes the text tower."""
        return self.generator.text and self.lora is None

    def _check_stages(self) -> None:
        """ValueError for parts that exclude each other."""
        if self.stage == "policy":
            return
        if self.policy.steps:
            raise ValueError(
                f"policy.steps: expected 0 beside {self.stage}, one of them trains the generator, "
                f"got {self.policy.steps}"
            )
        others = ("autoencoder", "reasoner", "decoder")
        if given := [name for name in others if getattr(self, name)]:
            raise ValueError(
                f"{self.stage}: expected none of {', '.join(others)} beside it, got "
                f"{', '.join(given)}"
            )
        if not self.start or self.size:
            raise ValueError(f"{self.stage}: expected the start that it goes on from, and no size")


_PARTS: dict[str, type] = {
    "data": DataOptions,
    "autoencoder": AutoencoderOptions,
    "objective": ObjectiveOptions,
    "policy": PolicyTrainingOptions,
    "lora": LoraOptions,
    "reasoner": ReasonerTrainingOptions,
    "decoder": DecoderOptions,
    "video": VideoOptions,
    "distill": DistillOptions,
}


def read_recipe(file: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe; ValueError names a key that is unknown or a value of the wrong type.

    changes: values that replace those of the file, as "policy.seconds=600", "data.encoder="
    (empty) or "reasoner=null" (left out).
    """
    if not file.is_file():
        raise ValueError(f"recipe {file} does not exist")
    try:
        fields = yaml.safe_load(file.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{file}: not readable as YAML ({error})") from None
    if not isinstance(fields, dict):
        raise ValueError(f"{file}: expected a table of options, got {type(fields).__name__}")
    for change in changes:
        _change(fields, change)
    if fields.get("start") == "embedded":
        fields["start"] = str(EMBEDDED)
    parts = {
        name: _fill(kind, fields.pop(name), f"{file}: {name}")
        for name, kind in _PARTS.items()
        if name in fields
    }
    return _fill(Recipe, fields | parts, str(file))


def write_recipe(file: Path, recipe: Recipe) -> None:
    """Write a recipe so that `read_recipe` reads the same one."""
    fields = {
        name: value for name, value in dataclasses.asdict(recipe).items() if value is not None
    }
    file.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")


def _change(fields: dict[str, Any], change: str) -> None:
    """Apply one KEY=VALUE of `read_recipe` to the fields, in place."""
    key, equals, text = change.partition("=")
    part, dot, name = key.partition(".")
    table = fields.setdefault(part, {}) if dot else fields
    if not (equals and key) or not isinstance(table, dict):
        raise ValueError(f"expected KEY=VALUE as in policy.seconds=600, got {change!r}")
    try:
        value = yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise ValueError(f"{change}: not readable as YAML ({error})") from None
    if value is None:
        table.pop(name if dot else part, None)
    else:
        table[name if dot else part] = value


def _fill(kind: type, fields: Any, where: str) -> Any:
    """A dataclass of type `kind` from a mapping; lists become tuples, integers stand for floats."""
    if not isinstance(fields, dict):
        raise ValueError(f"{where}: expected a table of options, got {fields!r}")
    known = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(fields) - set(known)):
        raise ValueError(f"{where}: unknown {unknown}, expected some of {sorted(known)}")
    values = {}
    for name, value in fields.items():
        default = known[name].default
        given = tuple(value) if isinstance(value, list) else value
        if (
            isinstance(default, float)
            and isinstance(given, int | str)
            and not isinstance(given, bool)
        ):
            given = _number(given, f"{where}.{name}")
        if isinstance(default, bool | int | float | str | tuple) and type(given) is not type(
            default
        ):
            raise ValueError(f"{where}.{name}: expected {type(default).__name__}, got {value!r}")
        if not (default == given == math.inf):  # which says that there is no end
            check_finite(f"{where}.{name}", given)
        values[name] = given
    return kind(**values)


def _number(text: int | str, where: str) -> float:
    """The number that a text stands for: YAML reads 1e-3 as a string."""
    try:
        return float(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{where}: expected a number, got {text!r}") from None
