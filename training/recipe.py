# SPDX-License-Identifier: Apache-2.0
"""A recipe: one YAML file with everything a training depends on."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

import yaml

from ..model.checkpoint_io.atomic_files import write_text
from ..model.checkpoint_io.foreign import checkpoint_path
from ..model.checkpoint_io.trained_tasks import EMBEDDED
from ..model.embodiment.checks import head_number
from ..model.embodiment.table import nearest
from ..model.media.one_line import is_plain, one_line
from ..model.network.config import TINY, ModelConfig
from ..model.option_fields import check_finite
from .distill_options import DistillOptions
from .options import (
    AutoencoderOptions,
    DataOptions,
    DecoderOptions,
    GroundTruthOptions,
    LoraOptions,
    ObjectiveOptions,
    PolicyTrainingOptions,
    ReasonerTrainingOptions,
    bounded,
)
from .video_options import VideoOptions

_LARGEST = 2**20  # bytes of a recipe
_LONGEST, _LONGEST_NAME = 4000, 255  # characters of a text; bytes of a folder or file in a path
_SENTENCES = (".instruction", ".negative")
_LARGEST_INT = 2**31 - 1
_MAY_BE_ZERO = ("action_width", "temporal_margin")  # of ModelConfig
_DEVICE = re.compile(r"(cpu|cuda(:\d{1,3})?)?")


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """Everything a training depends on.

    A part that is left out (None) leaves that part of the checkpoint as it is; with `policy.steps`
    0 the generator stays.
    """

    # Checkpoint folder to go on from, or one of the package's own: "embedded" (droid_sim) or
    # "metaworld"; empty: random weights.
    start: str = ""
    # Fields of model.network.config.ModelConfig, for towers of random weights. With `start` as
    # well, everything except the towers comes from there.
    size: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    embodiment: str = "droid_sim"  # name, YAML file, or folder of a checkpoint that carries one
    # Domain (or number) whose action head the embodiment's own begins as a copy of, see
    # embodiment.checks.HEADS; empty: the head is as `start` has it, which is random if it is free.
    head_from: str = ""
    seed: int = bounded(0, 0)
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
        for name, device in (("device", self.device), ("data.encoder", self.data.encoder)):
            if not (_DEVICE.fullmatch(device) or (name, device) == ("device", "auto")):
                raise ValueError(f"{name}: expected cpu, cuda or cuda:N, got {device!r}")
        if self.reasoner and not self.reasoner.looks + self.reasoner.stills + self.reasoner.endings:
            raise ValueError("reasoner: expected looks, stills or endings, got none of them")
        if self.lora and (self.size or self.reasoner or not self.start):
            raise ValueError(
                "lora: expected the start that it adapts, and neither size nor reasoner"
            )
        if policy.accumulate > 1 and policy.compile == "reduce-overhead":
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


PARTS: dict[str, type] = {
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
    """Read a recipe; ValueError names a key that is unknown, or a value that cannot be.

    changes: values that replace those of the file, as "policy.seconds=600", "data.encoder="
    (empty) or "reasoner=null" (left out).
    """
    if not file.is_file():
        raise ValueError(f"recipe {file} does not exist")
    if file.stat().st_size > _LARGEST:
        raise ValueError(f"{file}: expected a recipe, got {file.stat().st_size} bytes")
    fields = _table(_yaml(file.read_bytes(), str(file)), str(file))
    for change in changes:
        _change(fields, change)
    if fields.get("start") == "embedded":
        fields["start"] = str(EMBEDDED)
    elif isinstance(start := fields.get("start"), str) and start:
        _check_text(start, f"{file}: start")
        fields["start"] = str(checkpoint_path(start))
    parts = {
        name: _fill(kind, fields.pop(name), f"{file}: {name}")
        for name, kind in PARTS.items()
        if name in fields
    }
    if "size" in fields:
        parts["size"] = _size(fields.pop("size"), f"{file}: size")
    return _fill(Recipe, fields | parts, str(file))


def write_recipe(file: Path, recipe: Recipe) -> None:
    """Write a recipe so that `read_recipe` reads the same one."""
    fields = {
        name: value for name, value in dataclasses.asdict(recipe).items() if value is not None
    }
    write_text(file, yaml.safe_dump(fields, sort_keys=False))


def _change(fields: dict[str, Any], change: str) -> None:
    """Apply one KEY=VALUE of `read_recipe` to the fields, in place."""
    key, equals, text = change.partition("=")
    part, dot, name = key.partition(".")
    table = fields.setdefault(part, {}) if dot else fields
    if not (equals and key) or not isinstance(table, dict):
        raise ValueError(f"expected KEY=VALUE as in policy.seconds=600, got {short(change)}")
    value = _yaml(text.encode(errors="replace"), change) if text else ""
    if value is None:
        table.pop(name if dot else part, None)
    else:
        table[name if dot else part] = value


class _Loader(yaml.SafeLoader):
    """YAML without references: with a few of them a small file stands for a boundless table.

    Nor with a key that stands twice, of which YAML takes the last.
    """

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise ValueError(f"line {key.start_mark.line + 1}: {short(key.value)} twice")
            seen |= {key.value} if isinstance(key.value, str) else set()
        fields: dict[Any, Any] = super().construct_mapping(node, deep)
        return fields

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError(f"a reference, *{self.peek_event().anchor}")
        return super().compose_node(parent, index)


def _yaml(text: bytes, where: str) -> Any:
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{one_line(where)}: not readable as YAML ({one_line(error)})") from None


def _table(fields: Any, where: str) -> dict[str, Any]:
    if not isinstance(fields, dict):
        raise ValueError(
            f"{where}: expected a table of options, got {type(fields).__name__} {short(fields)}"
        )
    if odd := [key for key in fields if not (isinstance(key, str) and is_plain(key))]:
        raise ValueError(f"{where}: expected names of options, got {short(odd[0])}")
    return fields


def _fill(kind: type, fields: Any, where: str) -> Any:
    """A dataclass of type `kind` from a mapping."""
    values = _values(kind, fields, where)
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where.partition(': ')[0]}: {error}") from None


def _size(fields: Any, where: str) -> dict[str, Any]:
    """Fields of ModelConfig that make, with those of the smallest one, towers."""
    values = _values(ModelConfig, fields, where)
    for name, value in values.items():
        for number in value if isinstance(value, tuple) else (value,):
            if number < (name not in _MAY_BE_ZERO) and not isinstance(number, str | bool):
                raise ValueError(f"{where}.{name}: expected more than 0, got {number}")
    try:
        dataclasses.replace(TINY, **values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return values


def _values(kind: type, fields: Any, where: str) -> dict[str, Any]:
    """Checked values of fields of a dataclass; lists become tuples, integers stand for floats."""
    known = {field.name: field for field in dataclasses.fields(kind)}
    if unknown := sorted(set(_table(fields, where)) - set(known)):
        close = nearest(unknown[0], known)
        raise ValueError(f"{where}: unknown {unknown}{close}, expected some of {sorted(known)}")
    hints = typing.get_type_hints(kind)
    values = {}
    for name, value in fields.items():
        default = known[name].default
        given = _typed(hints[name], value, default, f"{where}.{name}")
        given = os.path.expanduser(given) if isinstance(given, str) else given
        _check_bounds(known[name].metadata, given, f"{where}.{name}")
        values[name] = given
    return values


def _typed(hint: Any, value: Any, default: Any, where: str) -> Any:
    """The value as the field's type has it."""
    if where.endswith("data.ground_truth"):
        return None if value is None else _fill(GroundTruthOptions, value, where)
    if isinstance(default, float) and isinstance(value, int | str) and type(value) is not bool:
        value = _number(value, where)
    if isinstance(default, tuple):
        items = typing.get_args(hint)
        fixed = Ellipsis not in items
        if not isinstance(value, list) or (fixed and len(value) != len(items)):
            expected = f"{len(items)} of {items[0].__name__}" if fixed else "tuple"
            raise ValueError(f"{where}: expected {expected}, got {short(value)}")
        return tuple(_typed(items[0], entry, items[0](), where) for entry in value)
    if isinstance(default, bool | int | float | str) and type(value) is not type(default):
        raise ValueError(f"{where}: expected {type(default).__name__}, got {short(value)}")
    if default is dataclasses.MISSING and where.endswith(".features"):
        return _features(value, where)
    if not (default == value == math.inf):  # which says that there is no end
        check_finite(where, value)
    if isinstance(value, str):
        _check_text(value, where)
    if isinstance(value, int) and abs(value) > _LARGEST_INT:
        raise ValueError(f"{where}: expected at most {_LARGEST_INT}, got {short(value)}")
    return value


def _check_text(value: str, where: str) -> None:
    """ValueError for a text of several lines, and for one that is too long to name a file.

    Sentences may have several, as YAML's folded ones do.
    """
    sentence = where.endswith(_SENTENCES)
    if not is_plain(" ".join(value.split()) if sentence else value):
        raise ValueError(f"{where}: expected one line that can be printed, got {short(value)}")
    name = value if sentence else max(value.split("/"), key=len)
    if len(value) > _LONGEST or (not sentence and len(name.encode()) > _LONGEST_NAME):
        raise ValueError(f"{where}: expected a shorter text, got {len(value)} characters")


def _features(fields: Any, where: str) -> dict[str, Any]:
    for key, value in _table(fields, where).items():
        names = value if isinstance(value, list) else [value]
        if not all(isinstance(name, str) and is_plain(name) for name in names):
            raise ValueError(f"{where}.{key}: expected a name or several, got {short(value)}")
    return dict(fields)


def _check_bounds(bounds: Mapping[str, Any], value: Any, where: str) -> None:
    """ValueError for a number, or one of several, that is out of the field's range."""
    for entry in value if isinstance(value, tuple) else (value,):
        if (choices := bounds.get("choices")) and entry not in choices:
            close = nearest(entry, choices)
            raise ValueError(f"{where}: expected one of {[*choices]}, got {short(entry)}{close}")
        if isinstance(entry, str) or not bounds:
            continue
        least, most, above = bounds["least"], bounds["most"], bounds["above"]
        if not (least <= entry <= most and entry > above):
            low = f"more than {above:g}" if above > -math.inf else f"{least:g} or more"
            expected = f"{least:g} to {most:.9g}" if most < math.inf else low
            raise ValueError(f"{where}: expected {expected}, got {entry}")


def _number(text: int | str, where: str) -> float:
    """The number that a text stands for: YAML reads 1e-3 as a string."""
    try:
        return float(text)
    except (ValueError, OverflowError):
        raise ValueError(f"{where}: expected a number, got {short(text)}") from None
