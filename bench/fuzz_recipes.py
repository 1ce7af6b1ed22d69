# SPDX-License-Identifier: Apache-2.0
"""Damaged recipes, with changes of the command line, up to where a training would begin to work.

One of the package's own of which a field is gone or something else, or random tables of known and
unknown options; then what `cosmos3 train --recipe` asks of it before weights are written.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from fuzz_damage import VALUES, Draw, harm, harm_yaml, new_folder, pick
from fuzz_datasets import FEATURES, write_v3

from cosmos3_ros.model.embodiment import find_embodiment
from cosmos3_ros.training import train as training
from cosmos3_ros.training.recipe import PARTS, Recipe, read_recipe, write_recipe
from cosmos3_ros.training.stages import checkpoint_writer

OWN = Path(training.__file__).parent / "recipes"
KEYS = [field.name for field in dataclasses.fields(Recipe)]
KEYS += [f"{part}.{f.name}" for part, kind in PARTS.items() for f in dataclasses.fields(kind)]
KEYS += ["data.ground_truth", "size.hidden", "size.layers", "size.vocab", "nothing", "policy.", "."]
_SIGNS = "{}[]&*!:,\n -a1?|>%@`\"'#\x00\x85\u2028é\t="
_WORDS = ("1e400", "both", "lift", "droid_sim", "null", "2001-99-99", "cuda:9", "sim", "~", "cpu")


class WorkError(Exception):
    """Where a training would begin to work."""


class Recipes:
    """Draws a recipe and changes to it, and has them read as `cosmos3 train` does."""

    def __init__(self) -> None:
        self._folder = new_folder()
        dataset = write_v3(self._folder / "dataset", images=True)
        clips = self._folder / "clips"
        clips.mkdir()
        (clips / "a.mp4").write_bytes(b"")
        line = {"video": "a.mp4", "caption": "a cube"}
        (clips / "captions.jsonl").write_text(json.dumps(line))
        start = self._folder / "start"
        start.mkdir()
        (start / "checkpoint.json").write_text('{"policy": {"embodiment": "droid_sim"}}')
        self._owns = [
            yaml.safe_dump(_there(yaml.safe_load(file.read_bytes()), dataset, clips, start))
            for file in sorted(OWN.glob("*.yaml"))
        ]
        for own in self._owns:
            self._read(own.encode(), [])

    def __call__(self, rng: Draw) -> None:
        """Refused with ValueError, or read and written again as the same."""
        changes = [
            f"{pick(rng, [*KEYS, _word(rng)])}={_value(rng)}"
            for _ in range(max(0, rng.integers(-2, 3)))
        ]
        self._read(self._text(rng), changes)

    def _read(self, text: bytes, changes: list[str]) -> None:
        file = self._folder / "recipe.yaml"
        file.write_bytes(text)
        recipe = read_recipe(file, changes)
        again = self._folder / "again.yaml"
        write_recipe(again, recipe)
        if repr(read_recipe(again)) != repr(recipe):
            raise AssertionError(f"another recipe when it is written and read: {recipe}")
        _begin(recipe, self._folder / "out")

    def _text(self, rng: Draw) -> bytes:
        kind = rng.integers(10)
        if kind == 0:
            return "".join(pick(rng, _SIGNS) for _ in range(rng.integers(40))).encode()
        if kind < 7:
            return (harm_yaml, harm_yaml, harm)[kind % 3](pick(rng, self._owns).encode(), rng)
        fields: dict[Any, Any] = {"start": "embedded"} if kind == 7 else {}
        for _ in range(rng.integers(1, 5)):
            part, _, name = pick(rng, KEYS).partition(".")
            table = fields.setdefault(part, {}) if name else fields
            if isinstance(table, dict):
                table[name or part] = _value(rng)
        return yaml.safe_dump(fields, allow_unicode=bool(rng.integers(2))).encode()


def _there(fields: dict[str, Any], dataset: Path, clips: Path, start: Path) -> dict[str, Any]:
    """One of the package's recipes with folders that are there, for one process."""
    if fields.get("start"):
        fields["start"] = str(start)
    data = fields.setdefault("data", {})
    if data.pop("dataset", None):
        fields["embodiment"] = "droid_single_view"
        data |= {"dataset": str(dataset), "features": FEATURES}
        data.pop("gripper", None)
    if data.pop("env", None):
        data |= {"tasks": ["reach"], "protocol": "", "disturbance": 1.0, "rested": 0.3}
        data.pop("seconds", None)
    for name, part in fields.items():
        if isinstance(part, dict):
            part.pop("shard", None)
            if "clips" in part and name == "video":
                part |= {"clips": str(clips)}
    return fields


def _begin(recipe: Recipe, out: Path) -> None:
    """What `train` does before it copies or writes weights, but for a look at those of `start`."""

    def stop(*_: Any, **__: Any) -> None:
        raise WorkError

    def tiny(folder: Path, seed: int, config: Any, embodiment: str) -> None:
        find_embodiment(embodiment)
        stop()

    with (
        mock.patch.object(training, "check_start"),  # of a folder that is no whole checkpoint
        mock.patch.object(checkpoint_writer, "copy_tree", stop),
        mock.patch.object(training, "write_tiny", tiny),
    ):
        try:
            training.train(recipe, out, tell=lambda line: None)
        except WorkError:
            return
        except ImportError as error:  # of a world that is not installed
            raise ValueError(str(error)) from None
    raise AssertionError("trained without weights")


def _value(rng: Draw, depth: int = 0) -> Any:
    """Any value of YAML: those that fields may hold, words, lists and tables of them."""
    kind = rng.integers(8 if depth < 2 else 6)
    if kind < 4:
        return pick(rng, VALUES)
    if kind == 4:
        return int(rng.integers(-3, 40))
    if kind == 5:
        return pick(rng, (_word(rng), *_WORDS))
    if kind == 6:
        return [_value(rng, depth + 1) for _ in range(rng.integers(4))]
    return {pick(rng, (_word(rng), 1)): _value(rng, depth + 1) for _ in range(rng.integers(3))}


def _word(rng: Draw) -> str:
    return "".join(pick(rng, "ab.=:{[ \u2028\x85é\t\n") for _ in range(rng.integers(8)))
