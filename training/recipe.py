# SPDX-License-Identifier: Apache-2.0
"""A recipe: one YAML file with everything a training depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from ..sim.tasks import TRAINED
from .optim.lora import LoraOptions
from .optim.optimizer import OptimizerOptions
from .stages.autoencoder import AutoencoderOptions, DecoderOptions
from .stages.flow_matching_loss import ObjectiveOptions


@dataclasses.dataclass(frozen=True, slots=True)
class DataOptions:
    """Where demonstrations come from: a LeRobot folder, or the simulation while the training runs.

    tasks, episodes (of each task), first_seed, distractors, astray, scatter, noise: see
    collect.Demonstration; stride: frames between two windows, opening: more of them at the
    beginning, see episodes.make_clip; warm_up: episodes to wait for before anything is trained;
    whole: share of the demonstrations of which every frame is rendered (of the others only those
    with which a window begins: they teach what to do, not what will be seen); span: if not 0, it is
    the share of spans of so many frames, from all demonstrations; dense: frames between two windows
    where all are rendered anyway, 0 for `stride`; workers: processes, 0 for one less than there are
    cores; encoder: a device that encodes pictures meanwhile, by default the training's does,
    between its steps. features, gripper, instruction: how to read a dataset that was not made here,
    see lerobot.make_layout.
    """

    dataset: str = ""
    features: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    gripper: tuple[float, ...] = (0.0, 1.0)
    instruction: str = ""
    tasks: tuple[str, ...] = ("reach", "lift")
    episodes: int = 1000
    first_seed: int = 1_000_000
    distractors: int = 2
    astray: float = 0.35
    scatter: float = 0.0
    noise: float = 0.01
    stride: int = 2
    opening: int = 0
    warm_up: int = 64
    whole: float = 1.0
    span: int = 0
    dense: int = 0
    workers: int = 0
    encoder: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyTraining(OptimizerOptions):
    """text: whether the text tower learns too (a released one is kept as it is).

    compile: mode of torch.compile for the
    losses (default, reduce-overhead), or none; refresh: steps between two looks for new
    demonstrations; save: seconds between two saved states. batch: of every process; accumulate: so
    many batches for each step. recompute: activations of the generator in the backward pass, which
    saves memory. shard: cut weights, averages and the optimizer's state over the processes; else
    each holds all of them.
    """

    text: bool = True
    accumulate: int = 1
    recompute: bool = False
    shard: bool = False
    compile: str = ""
    refresh: int = 500
    save: float = 600.0


@dataclasses.dataclass(frozen=True, slots=True)
class ReasonerTraining(OptimizerOptions):
    """every: policy steps from one batch of questions to the next, whose loss counts `weight`.

    0: a stage of its own
    before the policy (then set policy.text to false), which alone uses the optimizer's options but
    `batch`.

    compile, save: as the policy's; refresh: batches between two looks for new scenes, warm_up:
    scenes to wait for; length: tokens of the longest question with its answer; tasks, episodes (of
    each task), first_seed, astray, scatter, workers: of the demonstrations; looks, stills: scenes
    of each, see scenes.Watch.
    """

    every: int = 4
    weight: float = 1.0
    batch: int = 128
    compile: str = ""
    refresh: int = 100
    save: float = 600.0
    warm_up: int = 256
    length: int = 288
    tasks: tuple[str, ...] = TRAINED
    episodes: int = 1000
    first_seed: int = 1_000_000
    astray: float = 0.3
    scatter: float = 0.3
    looks: int = 4
    stills: int = 4
    workers: int = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Recipe:
    """start: a checkpoint folder to go on from.

    size: fields of model.config.ModelConfig, for towers of random weights.

    With both, all but the towers comes from `start`. autoencoder: None keeps the checkpoint's;
    reasoner: None leaves it as it is, and `policy` with 0 steps the generator; decoder: the
    autoencoder's, once more at the end, or None. lora: None trains the weights themselves; else
    those of `start` stay, whatever policy.text says.
    """

    start: str = ""
    size: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    embodiment: str = "droid_sim"
    seed: int = 0
    device: str = "auto"
    data: DataOptions = dataclasses.field(default_factory=DataOptions)
    autoencoder: AutoencoderOptions | None = None
    objective: ObjectiveOptions = dataclasses.field(default_factory=ObjectiveOptions)
    policy: PolicyTraining = dataclasses.field(default_factory=PolicyTraining)
    lora: LoraOptions | None = None
    reasoner: ReasonerTraining | None = None
    decoder: DecoderOptions | None = None

    def __post_init__(self) -> None:
        policy = self.policy
        if policy.shard and (self.text or self.reasoner or policy.muon or policy.compile):
            got = f"{policy.text}, {policy.muon}, {policy.compile!r} and {'one' if self.reasoner else 'none'}"
            wanted = "text false (or lora), muon 0, no compile and no reasoner"
            raise ValueError(f"policy.shard: expected {wanted}, got {got}")
        if self.lora and (self.size or self.reasoner or not self.start):
            raise ValueError(
                "lora: expected the start that it adapts, and neither size nor reasoner"
            )
        if policy.accumulate < 1 or (policy.accumulate > 1 and policy.compile == "reduce-overhead"):
            raise ValueError(
                f"policy.accumulate: expected 1, or more without CUDA graphs, got {policy.accumulate}"
            )

    @property
    def text(self) -> bool:
        """Whether the policy's training changes the text tower."""
        return self.policy.text and self.lora is None


_PARTS: dict[str, type] = {
    "data": DataOptions,
    "autoencoder": AutoencoderOptions,
    "objective": ObjectiveOptions,
    "policy": PolicyTraining,
    "lora": LoraOptions,
    "reasoner": ReasonerTraining,
    "decoder": DecoderOptions,
}


def read_recipe(file: Path, changes: Sequence[str] = ()) -> Recipe:
    """Read a recipe; ValueError names what is unknown or of the wrong kind.

    changes: what shall be otherwise, as "policy.seconds=600", "data.encoder=" (empty) or
    "reasoner=null" (left out).
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
    parts = {
        name: _fill(kind, fields.pop(name), f"{file}: {name}")
        for name, kind in _PARTS.items()
        if name in fields
    }
    return _fill(Recipe, fields | parts, str(file))


def write_recipe(file: Path, recipe: Recipe) -> None:
    """What `read_recipe` reads the same recipe from."""
    fields = {
        name: value for name, value in dataclasses.asdict(recipe).items() if value is not None
    }
    file.write_text(yaml.safe_dump(fields, sort_keys=False), encoding="utf-8")


def _change(fields: dict[str, Any], change: str) -> None:
    key, equals, text = change.partition("=")
    part, dot, name = key.partition(".")
    place = fields.setdefault(part, {}) if dot else fields
    if not (equals and key) or not isinstance(place, dict):
        raise ValueError(f"expected KEY=VALUE as in policy.seconds=600, got {change!r}")
    try:
        value = yaml.safe_load(text) if text else ""
    except yaml.YAMLError as error:
        raise ValueError(f"{change}: not readable as YAML ({error})") from None
    if value is None:
        place.pop(name if dot else part, None)
    else:
        place[name if dot else part] = value


def _fill(kind: type, fields: Any, where: str) -> Any:
    """A dataclass from a mapping; lists become tuples, whole numbers stand for floats."""
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
        values[name] = given
    return kind(**values)


def _number(text: int | str, where: str) -> float:
    """YAML reads 1e-3 as a string."""
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{where}: expected a number, got {text!r}") from None
