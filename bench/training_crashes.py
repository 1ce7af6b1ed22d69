# SPDX-License-Identifier: Apache-2.0
"""Stops a training at every operation on its files, and goes on: is the result the same?

    OMP_NUM_THREADS=1 tools/run.sh .venv python bench/training_crashes.py --most 1 --workers 2

The smallest training with an autoencoder, a policy that is saved at every step and a decoder is run
once undisturbed, and its operations on files are counted; and so are an adapter's, a reasoner's
before its policy's, one on clips with captions, and a few-step student's. Then once more: at
each stop it forks, and the copy is killed there (SIGKILL), or its disk is full, or it may not. What
the copy leaves is gone on with. The checkpoint has to be the undisturbed one, byte by byte, and the
saved state bit by bit; what is no kill has to end with one line. A file of weights that is cut
short is there with half of its bytes. With --journal FILE each stop is written down when it has
been gone on from, and the same command again does only the others.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import errno
import filecmp
import json
import math
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from result_file import report
from safetensors.torch import load_file

from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.training import train
from cosmos3_ros.training.data.episodes import Episode, make_clip
from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.options import (
    AutoencoderOptions,
    DataOptions,
    DecoderOptions,
    LoraOptions,
    PolicyTrainingOptions,
    ReasonerTrainingOptions,
)
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.stages import reasoner
from cosmos3_ros.training.video_options import VideoOptions
from cosmos3_ros.training.vqa.questions import Lesson
from cosmos3_ros.training.vqa.samples import Scene

SMALL = dataclasses.replace(TINY, hidden=64, layers=1, heads=2, kv_heads=2, mlp=64)
ROBOT = EMBODIMENTS["droid_sim"]
Place = tuple[str, int]  # an operation: its row of the table, and which of that row it is, from 1
FAULTS = ("kill", "disk full", "no permission")
_ERRORS = {"disk full": errno.ENOSPC, "no permission": errno.EACCES}
_AUDITED = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.chmod", "os.truncate")


class FileFaults:
    """Counts this process's operations on files below a folder; some of them are stops.

    At a stop the process forks: the copy is killed there, or its operation fails, and what it
    leaves becomes a folder of its own in `into`. Then the folder is what it was, by hard links,
    and the process goes on to the next stop. It can be made once in a process.
    """

    def __init__(self, folder: Path, stops: Collection[Place] = (), into: Path = Path()):
        self._folder, self._stops, self._into = folder, stops, into
        self.seen: list[str] = []
        self._counts: collections.Counter[str] = collections.Counter()
        self.found: list[Stop] = []
        self.off, self.sink = False, -1
        sys.addaudithook(self._audit)
        self._fsync, os.fsync = os.fsync, self._synced  # type: ignore[assignment]
        import safetensors.torch as weights

        self._weights, weights.save_file = weights.save_file, self._saved

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        if event == "open" and isinstance(args[2], int) and args[2] & writes:
            self._happens("write", args[0])
        elif event in _AUDITED:
            self._happens(event.removeprefix("os."), args[1] if event == "os.rename" else args[0])

    def _synced(self, handle: int) -> None:
        self._happens("fsync", os.readlink(f"/proc/self/fd/{handle}"))
        self._fsync(handle)

    def _saved(self, tensors: dict[str, torch.Tensor], file: Path, metadata: Any = None) -> None:
        def half() -> None:
            self._weights(tensors, file, metadata=metadata)
            os.truncate(file, Path(file).stat().st_size // 2)

        self._happens("weights", file, half)
        self._weights(tensors, file, metadata=metadata)

    def _happens(self, what: str, path: Any, damage: Callable[[], None] | None = None) -> None:
        name = os.fsdecode(path) if isinstance(path, str | bytes | os.PathLike) else ""
        if self.off or not name.startswith(str(self._folder)):
            return
        self.seen.append(f"{what} {os.path.relpath(name, self._folder)}")
        row = place_of(self.seen[-1])
        self._counts[row] += 1
        if (row, self._counts[row]) in self._stops:
            for fault in FAULTS:
                self._stop(fault, name, damage)

    def _stop(self, fault: str, name: str, damage: Callable[[], None] | None) -> None:
        """Fork: the copy has the fault, this process finds out what it said and goes on."""
        self.off = True
        kept, number = self._folder.with_name("kept"), len(self.seen) - 1
        if self._folder.exists():
            shutil.copytree(self._folder, kept, copy_function=os.link)
        source, sink = os.pipe()
        if (child := os.fork()) == 0:
            os.close(source)
            self.sink, self._stops = sink, ()
            if damage:
                damage()
            if fault == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            self.off = False
            raise OSError(_ERRORS[fault], os.strerror(_ERRORS[fault]), name)
        os.close(sink)
        with os.fdopen(source) as pipe:
            said = pipe.read()
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        left = self._into / f"{number}-{fault.replace(' ', '-')}"
        if self._folder.exists():
            self._folder.rename(left)
        if kept.exists():
            kept.rename(self._folder)
        self.found.append(Stop(left, self.seen[-1], fault, code, said))
        self.off = False


@dataclasses.dataclass(frozen=True, slots=True)
class Stop:
    """A training that was stopped: what it left, at which operation, and how it ended."""

    folder: Path
    operation: str
    fault: str
    code: int  # exit status, or the negative number of a signal
    said: str


def episode(seed: int) -> Episode:
    """Random pictures, and an arm that hardly moves."""
    random = np.random.default_rng(seed)
    rest = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0, 0.0])
    walk = (rest + np.cumsum(random.normal(0, 0.005, (18, 8)), axis=0) * [*[1] * 7, 0]).astype("f4")
    views = {view: random.integers(0, 256, (17, 36, 64, 3), dtype=np.uint8) for view in ROBOT.views}
    truth = np.full((17, GroundTruth.WIDTH), 0.3, np.float32)
    return Episode(views, walk[:-1], walk[1:], ("lift the cube",), truth)


def scene(seed: int) -> Scene:
    """Random pictures, and a question about them."""
    pictures = np.random.default_rng(seed).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    return Scene(pictures, (Lesson("cubes", "Which cubes are there?", "red", (0, 1, 2)),))


def write_clips(folder: Path) -> None:
    """Two videos with captions."""
    folder.mkdir()
    with (folder / "captions.jsonl").open("w") as file:
        for name in ("a", "b"):
            frames = [np.full((32, 32, 3), 20 * number, np.uint8) for number in range(5)]
            write_video(folder / f"{name}.mp4", frames, 10)
            file.write(json.dumps({"video": f"{name}.mp4", "caption": name}) + "\n")


def recipes(start: Path) -> dict[str, Recipe]:
    """All stages, without a simulation, and an adapter; clips lie beside `start`."""
    short: dict[str, Any] = {"batch": 1, "warmup": 1}
    idle = PolicyTrainingOptions(steps=0)
    data = DataOptions(warm_up=2)
    plain = Recipe(
        start=str(start),
        device="cpu",
        data=data,
        autoencoder=AutoencoderOptions(steps=1, start="", **short),
        policy=PolicyTrainingOptions(steps=2, save=0.0, **short),
        decoder=DecoderOptions(steps=1, frames=17, clips=2, imagined=1.0, **short),
    )
    adapted = Recipe(
        start=str(start),
        device="cpu",
        data=data,
        policy=PolicyTrainingOptions(steps=1, text=False, **short),
        lora=LoraOptions(r=2),
    )
    asked = ReasonerTrainingOptions(
        steps=2, save=0.0, every=0, episodes=1, warm_up=2, length=64, **short
    )
    answering = Recipe(
        start=str(start),
        device="cpu",
        data=data,
        reasoner=asked,
        policy=PolicyTrainingOptions(steps=1, text=False, **short),
    )
    clips = VideoOptions(
        clips=str(start.with_name("clips")),
        size=(32, 32),
        frames=5,
        warm_up=2,
        steps=2,
        save=0.0,
        **short,
    )
    film = Recipe(start=str(start), device="cpu", policy=idle, video=clips)
    few = DistillOptions(levels=(1.0, 0.8), steps=2, save=0.0, **short)
    student = Recipe(start=str(start), device="cpu", policy=idle, data=data, distill=few)
    found = {"stages": plain, "adapter": adapted, "reasoner": answering}
    return {**found, "video": film, "student": student}


def run(
    recipe: Recipe, out: Path, stops: Collection[Place] = (), into: Path = Path()
) -> tuple[str, list[str], list[Stop]]:
    """Train in a process of its own: its last words, its operations on files, and its stops."""
    source, sink = os.pipe()
    if (child := os.fork()) == 0:
        os.close(source)
        torch.set_num_threads(1)
        faults = FileFaults(out, stops, into)
        said = _train(recipe, out)
        faults.off = True
        if faults.sink >= 0:  # a copy that had a fault
            with os.fdopen(faults.sink, "w") as pipe:
                pipe.write(said)
            os._exit(bool(said))
        with os.fdopen(sink, "wb") as pipe:
            pipe.write(json.dumps((said, faults.seen)).encode() + b"\n")
            found = [dataclasses.astuple(stop) for stop in faults.found]
            pipe.write(json.dumps(found, default=str).encode())
        os._exit(bool(said))
    os.close(sink)
    with os.fdopen(source) as pipe:
        lines = pipe.read().splitlines()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if len(lines) != 2:
        return f"ended with {code}", [], []
    said, seen = json.loads(lines[0])
    return said, seen, [Stop(Path(folder), *rest) for folder, *rest in json.loads(lines[1])]


def _train(recipe: Recipe, out: Path) -> str:
    """Its last words: "" if it was not stopped."""
    train.make_clips = lambda *_: (make_clip(episode(seed), ROBOT, 17) for seed in range(2))
    reasoner.make_scenes = lambda *_: (scene(seed) for seed in range(2))
    reasoner.fit = lambda *_: (32, 32)
    try:
        train.train(recipe, out, lambda _: None)
    except (ValueError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    except BaseException as error:
        return f"unexpected {type(error).__name__}: {error}"
    return ""


def difference(wanted: Path, found: Path) -> str:
    """What of a training differs; "" if nothing does."""
    for part in ("checkpoint", "adapter"):
        names, own = (
            {str(file.relative_to(place / part)) for file in (place / part).rglob("*")}
            for place in (wanted, found)
        )
        if names != own:
            return f"{part} has other files: {sorted(names ^ own)[:3]}"
        for name in sorted(names):
            mine, theirs = found / part / name, wanted / part / name
            if mine.is_file() and not filecmp.cmp(mine, theirs, shallow=False):
                return f"{part}/{name} differs"
    for file in sorted(wanted.glob("*.safetensors")):
        mine, theirs = load_file(found / file.name), load_file(file)
        if odd := [name for name in theirs if not torch.equal(mine[name], theirs[name])]:
            return f"{file.name}: {odd[0]} differs"
    left = [
        file.name for file in found.iterdir() if file.name.startswith(".") or "tmp" in file.name
    ]
    return f"left behind: {left}" if left else ""


def examine(recipe: Recipe, wanted: Path, stop: Stop) -> str:
    """Go on with a training that was stopped; "" if the result is as it was wanted."""
    if stop.fault == "kill" and stop.code != -signal.SIGKILL:
        return f"was not killed: {stop.code} {stop.said}"
    if stop.fault != "kill" and (stop.code not in (0, 1) or "\n" in stop.said):
        return f"did not end with a line: {stop.code} {stop.said!r}"
    if stop.said.startswith("unexpected"):
        return stop.said
    said, _, _ = run(recipe, stop.folder)
    return f"went not on: {said}" if said else difference(wanted, stop.folder)


def place_of(operation: str) -> str:
    """A row of the table: what is done to which part."""
    what, _, path = operation.partition(" ")
    first, _, rest = path.partition("/")
    inside = " (inside)" if rest else ""
    return f"{what} {first}{inside}"


def some(seen: list[str], most: int) -> list[Place]:
    """At most so many operations of each row, the first and the last among them.

    By their row and number in it: which file of a folder comes first differs from run to run.
    """
    rows = collections.Counter(map(place_of, seen))
    return [
        (row, round(number))
        for row, count in rows.items()
        for number in np.linspace(1, count, min(most, count))
    ]


def _examined(job: tuple[Path, Path, str, Stop]) -> tuple[str, float]:
    """Why a stop is wrong, "" if it is right; and the seconds that going on took."""
    start, place, name, stop = job
    begun = time.monotonic()
    why = examine(recipes(start)[name], place / name, stop)
    shutil.rmtree(stop.folder, ignore_errors=True)
    return why, time.monotonic() - begun


def _recorded(journal: Path | None) -> dict[tuple[str, ...], tuple[str, float]]:
    """What a journal says of stops: by training, folder and operation, why and seconds."""
    if not journal or not journal.exists():
        return {}
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    return {tuple(key): (why, seconds) for key, why, seconds in lines}


def _stops(place: Path, most: int, names: Collection[str]) -> list[tuple[str, Stop]]:
    """Train undisturbed, and with stops: these, in random order, and what training they are of.

    names: of the trainings, those of `recipes`; none: all.
    """
    start = place / "start"
    write_tiny(start, config=SMALL)
    write_clips(place / "clips")
    jobs = []
    for name, recipe in recipes(start).items():
        if names and name not in names:
            continue
        said, seen, _ = run(recipe, place / name)
        assert not said, said
        into = place / f"stops-{name}"
        into.mkdir()
        (place / f"stopped-{name}").mkdir()
        stopped = place / f"stopped-{name}" / "out"
        said, _, found = run(recipe, stopped, some(seen, most), into)
        assert not said, said
        why = difference(place / name, stopped)
        assert not why, why
        jobs += [(name, stop) for stop in found]
        print(f"{name}: {len(seen)} operations, {len(found)} stops", flush=True)
    random.Random(0).shuffle(jobs)  # so that all kinds have their turn in any time
    return jobs


def main() -> None:
    """Every operation of all recipes, or at most so many of each kind, for at most so long."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--journal", type=Path, help="stops that are done; more are added")
    parser.add_argument("--training", action="append", default=[], help="only this one (several)")
    parser.add_argument("--most", type=int, default=10**6, help="operations of each kind")
    parser.add_argument("--seconds", type=float, default=math.inf, help="then it ends")
    parser.add_argument("--workers", type=int, default=1, help="processes beside each other")
    chosen = parser.parse_args()
    begun, done = time.monotonic(), _recorded(chosen.journal)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        jobs = _stops(place, chosen.most, chosen.training)
        keys = {(name, stop.folder.name, stop.operation): stop for name, stop in jobs}
        done = {key: what for key, what in done.items() if key in keys}
        left = [key for key in keys if key not in done]
        with multiprocessing.get_context("fork").Pool(chosen.workers) as pool:
            work = [(place / "start", place, key[0], keys[key]) for key in left]
            for key, (why, seconds) in zip(left, pool.imap(_examined, work), strict=True):
                done[key] = (why, seconds)
                if chosen.journal:
                    with chosen.journal.open("a") as file:
                        file.write(json.dumps([key, why, round(seconds, 1)]) + "\n")
                print(f"{len(done)}/{len(jobs)} {' '.join(key)}: {why or 'right'}", flush=True)
                if time.monotonic() - begun > chosen.seconds:
                    break
            pool.terminate()
    table: dict[str, dict[str, list[int]]] = collections.defaultdict(
        lambda: {fault: [0, 0] for fault in FAULTS}
    )
    for key, (why, _) in done.items():
        cell = table[place_of(keys[key].operation)][keys[key].fault]
        cell[0], cell[1] = cell[0] + (not why), cell[1] + 1
    shown = {
        row: {fault: f"{good} of {tried}" for fault, (good, tried) in cells.items()}
        for row, cells in sorted(table.items())
    }
    report(
        " ".join(["bench/training_crashes.py", *sys.argv[1:]]),
        ("torch", "safetensors", "numpy"),
        chosen.out,
        stops=len(jobs),
        stopped=len(done),
        wrong=[f"{', '.join(key)}: {why}" for key, (why, _) in done.items() if why],
        table=shown,
        seconds_of_going_on=round(sum(seconds for _, seconds in done.values())),
    )


if __name__ == "__main__":
    main()
