# SPDX-License-Identifier: Apache-2.0
"""Recipes and LeRobot folders that nobody should write: each is read, or refused in one line.

    OMP_NUM_THREADS=1 tools/run.sh .venv python bench/training_inputs.py --inputs 100000

Recipes: random tables, values in the places of known options, bytes, changes of the command line.
Folders: a right one in which a file is missing, cut short, has other bytes, or one value of
meta/info.json, a list of episodes, tasks or a table is another one. Anything but ValueError and
OSError, or a message longer than LONGEST, is a finding. In parts with seeds of their own, see
fuzz_parts.py.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import json
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from fuzz_parts import add_options, in_parts
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from hypothesis import strategies as st
from result_file import report

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.training import options
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.data.lerobot_reader import make_layout, read_episodes
from cosmos3_ros.training.recipe import Recipe, read_recipe

LONGEST = 3000  # characters of an error
ARM = EMBODIMENTS["droid_single_view"]
CAMERA = "observation.images.top"
LAYOUT = make_layout(ARM, {"state": "observation.state", "action": "action", "exterior_1": CAMERA})
FILES = {
    "info": "meta/info.json",
    "rows": "meta/episodes/chunk-000/file-000.parquet",
    "tasks": "meta/tasks.parquet",
    "data": "data/chunk-000/file-000.parquet",
}
_PARTS = {
    "data": options.DataOptions,
    "autoencoder": options.AutoencoderOptions,
    "objective": options.ObjectiveOptions,
    "policy": options.PolicyTrainingOptions,
    "lora": options.LoraOptions,
    "reasoner": options.ReasonerTrainingOptions,
    "decoder": options.DecoderOptions,
}
KEYS = [field.name for field in dataclasses.fields(Recipe)]
KEYS += [f"{part}.{f.name}" for part, kind in _PARTS.items() for f in dataclasses.fields(kind)]

atoms = (
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["", "cpu", "inf", "1e400", "\x85", "both", 10**30, -(2**63), 2**31])
)
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def random_recipe(seed: int) -> tuple[bytes, list[str]]:
    """The bytes of a recipe, and changes. By a seed: hypothesis takes long to draw tables."""
    rng = random.Random(seed)
    if rng.random() < 0.1:
        signs = "{}[]&*!:,\n -a1?|>%@`\"'#\x00\x85é"
        return "".join(rng.choices(signs, k=rng.randrange(40))).encode(), []
    fields: dict[Any, Any] = {"start": "somewhere"}
    for key in rng.sample(KEYS, rng.randrange(4)):
        part, _, name = key.partition(".")
        table = fields if not name else fields.setdefault(part, {})
        if isinstance(table, dict):
            table[name or part] = _value(rng)
    text = yaml.safe_dump(fields, allow_unicode=rng.random() < 0.5).encode()
    keys = [rng.choice([*KEYS, _text(rng)]) for _ in range(rng.randrange(3))]
    return text, [f"{key}={_value(rng)}" for key in keys]


def _value(rng: random.Random, depth: int = 0) -> Any:
    """Any value of YAML: mostly numbers, those at the ends among them."""
    kind = rng.randrange(9 if depth < 2 else 7)
    if kind == 7:
        return [_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 8:
        return {
            rng.choice([_text(rng), 1]): _value(rng, depth + 1) for _ in range(rng.randrange(3))
        }
    sizes = (0, 1, -1, 2**31, -(2**63), 10**30)
    floats = (0.5, -0.0, 1.5, 1e-300, 1e300, float("nan"), float("inf"), -float("inf"))
    words = ("", "cpu", "auto", "inf", "1e400", "both", "lift", "default", "null", "2001-99-99")
    return (
        None,
        rng.random() < 0.5,
        rng.randrange(-3, 40),
        rng.choice(sizes),
        rng.choice(floats),
        rng.choice(words),
        _text(rng),
    )[kind]


def _text(rng: random.Random) -> str:
    return "".join(rng.choices("ab.=:{[ \u2028\x85é\t", k=rng.randrange(8)))


def read_one_recipe(folder: Path, text: bytes, changes: list[str]) -> str:
    """What became of it, for counting."""
    file = folder / "recipe.yaml"
    file.write_bytes(text)
    return outcome(lambda: read_recipe(file, changes))


def write_folder(root: Path) -> Path:
    """A right folder of v3.0: two episodes of four frames, pictures in the table."""
    rows = np.zeros((8, 8), np.float32)
    wide = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 8)
    png = cv2.imencode(".png", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
    numbers = {"dtype": "float32", "shape": [8], "names": None}
    features = {"observation.state": numbers, "action": numbers}
    features[CAMERA] = {"dtype": "image", "shape": [48, 64, 3], "names": None}
    info = {"codebase_version": "v3.0", "fps": 15, "robot_type": "arm", "features": features}
    info["data_path"] = "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet"
    for file in FILES.values():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
    (root / FILES["info"]).write_text(json.dumps(info))
    place = {"data/chunk_index": 0, "data/file_index": 0, "length": 4, "tasks": ["pick"]}
    listed = [{"episode_index": number, **place} for number in range(2)]
    pq.write_table(pa.Table.from_pylist(listed), root / FILES["rows"])
    pq.write_table(
        pa.table({"task_index": [0, 1], "task": ["pick", "place"]}), root / FILES["tasks"]
    )
    columns = {"observation.state": wide, "action": wide}
    columns[CAMERA] = pa.array([{"bytes": png, "path": ""}] * 8)
    columns |= {"episode_index": [0] * 4 + [1] * 4, "frame_index": [0, 1, 2, 3] * 2}
    columns["task_index"] = [0] * 6 + [1] * 2
    pq.write_table(pa.table(columns), root / FILES["data"])
    return root


def damage(root: Path, draw: Callable[[Any], Any]) -> None:
    """Change one thing of a right folder."""
    name = draw(st.sampled_from([*FILES]))
    file = root / FILES[name]
    kind = draw(st.sampled_from(["value", "value", "value", "missing", "cut", "bytes", "other"]))
    if kind == "missing":
        file.unlink()
    elif kind == "cut":
        content = file.read_bytes()
        file.write_bytes(content[: draw(st.integers(0, len(content)))])
    elif kind == "bytes":
        content = bytearray(file.read_bytes())
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        file.write_bytes(content)
    elif kind == "other":
        file.write_bytes(draw(st.binary(max_size=40)))
    elif name == "info":
        _change_json(file, draw)
    else:
        _change_table(file, draw)


def _change_json(file: Path, draw: Callable[[Any], Any]) -> None:
    fields = json.loads(file.read_text())
    table = fields
    while True:
        key = draw(st.sampled_from([*table]))
        if not isinstance(table[key], dict) or draw(st.booleans()):
            break
        table = table[key]
    if draw(st.booleans()):
        table[key] = draw(values)
    else:
        del table[key]
    file.write_text(json.dumps(fields))


def _change_table(file: Path, draw: Callable[[Any], Any]) -> None:
    table = pq.read_table(file)
    name = draw(st.sampled_from(table.column_names))
    rest = table.drop([name])
    kind = draw(st.sampled_from(["drop", "value", "nulls", "rows", "none"]))
    if kind == "drop":
        table = rest
    elif kind == "rows":
        table = table.slice(draw(st.integers(0, 3)), draw(st.integers(0, 8)))
    elif kind == "nulls":
        table = rest.append_column(name, pa.nulls(table.num_rows))
    elif kind == "value":
        kept = table[name].to_pylist()
        if kept:
            kept[draw(st.integers(0, len(kept) - 1))] = draw(values)
        try:
            column = pa.array(kept)
        except (pa.ArrowException, OverflowError, ValueError, TypeError, UnicodeEncodeError):
            column = pa.array([draw(st.integers(-9, 9))] * table.num_rows)
        try:
            pq.write_table(rest.append_column(name, column), file)
        except (pa.ArrowException, UnicodeEncodeError):  # what no parquet file can hold
            return
        return
    pq.write_table(table, file)


def read_one_folder(root: Path) -> str:
    """What became of it, for counting."""
    return outcome(lambda: [make_clip(one, ARM) for one in read_episodes(root, ARM, LAYOUT)])


def outcome(read: Callable[[], Any]) -> str:
    """ "read" or "refused"; AssertionError for a message that is no line."""
    try:
        read()
    except (ValueError, OSError) as error:
        line = " ".join(str(error).split())
    else:
        return "read"
    assert 0 < len(line) < LONGEST, f"{len(line)} characters: {line[:200]!r}"
    return "refused"


def read_many(read: Callable[..., str], drawn: Any, first: int, count: int) -> dict[str, Any]:
    """Have `read` read what hypothesis draws with the seed `first`: what became of it, slowest."""
    counts: collections.Counter[str] = collections.Counter()
    slowest, before = 0.0, _peak()

    @seeded(first)
    @settings(
        max_examples=count,
        deadline=None,
        database=None,
        suppress_health_check=[*HealthCheck],
        phases=[Phase.generate],
    )
    @given(drawn)
    def once(what: Any) -> None:
        nonlocal slowest
        begun = time.monotonic()
        counts[read(what)] += 1
        slowest = max(slowest, time.monotonic() - begun)

    once()
    return {**counts, "slowest": round(slowest, 3), "grown": round(_peak() - before)}


def _peak() -> float:
    """Most memory that this process has had, MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    """Recipes, then folders."""
    parser = argparse.ArgumentParser(description=__doc__)
    add_options(parser, 100_000, 1000)
    parser.add_argument("--kind", choices=["recipes", "folders"], action="append")
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    found = {}
    with tempfile.TemporaryDirectory() as place:
        right, bent = write_folder(Path(place) / "right"), Path(place) / "bent"
        assert read_one_folder(right) == "read"

        def recipe(seed: int) -> str:
            return read_one_recipe(Path(place), *random_recipe(seed))

        def folder(data: Any) -> str:
            shutil.rmtree(bent, ignore_errors=True)
            shutil.copytree(right, bent)
            damage(bent, data.draw)
            return read_one_folder(bent)

        of = {"recipes": (recipe, st.integers(0, 2**32 - 1)), "folders": (folder, st.data())}
        for kind in chosen.kind or of:
            found[kind] = in_parts(
                kind, lambda first, count, k=kind: read_many(*of[k], first, count), chosen
            )
    report(
        " ".join(["bench/training_inputs.py", *sys.argv[1:]]),
        ("hypothesis", "pyarrow", "PyYAML"),
        chosen.out,
        inputs=found,
    )


if __name__ == "__main__":
    main()
