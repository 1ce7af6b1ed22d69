# SPDX-License-Identifier: Apache-2.0
"""Demonstrations of a world's expert as a LeRobotDataset, at the world's own rate.

Features are named as in LeRobot's datasets of simulated worlds: `observation.state`, `action` and,
of a single camera, `observation.image`. Actions are commands (see `World`), so they can be
resampled to another rate.
"""

from __future__ import annotations

import collections
import dataclasses
import zlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ...model.checkpoint_io.atomic_files import alone
from ...model.embodiment.canvas import Canvas, Panel
from ...model.embodiment.spec import Embodiment
from ...model.embodiment.units import Column
from ...model.interface import NS
from ..data.episodes import Episode
from ..data.ground_truth import SIMULATED
from ..data.lerobot.layout import Layout
from ..data.lerobot_writer import RECORDED, episode_seeds, finish, has_shard, remember, write_shard
from ..data.parallel import write_missing
from .catalog import open_world
from .world import Act, World, begin_expert, named

_AFTERWARDS = 0.2  # s that are recorded after the task is solved
_DISTURBED = 0.7  # of the episodes, as in the own simulation's demonstrations
_PULLED = 0.35  # of the episodes begin after the arm was pulled away in mid-task
_RESTED = 0.3  # of the others begin after a rest, as a robot does that waits for its policy
_REST = 0.6  # s, at most
_LEAD = (10, 60)  # steps that the expert takes before, from and to
_PULL = 12  # random steps of a pull
_BETWEEN_BURSTS = (24, 48)  # steps of no noise, from and to
_STRONGER = 1.6  # factor of the noise in bursts: about as far off as noise in every step leads
_ATTEMPTS = 20
_FAR = 1_000_000_007  # from a seed to the one that replaces it


@dataclasses.dataclass(frozen=True, slots=True)
class WorldDemonstration:
    """What to record: a task and a seed decide everything."""

    env: str
    protocol: str  # whose pictures
    task: str
    seed: int
    noise: float = 1.0  # factor of the world's own scale
    pulled: float = _PULLED
    burst: int = 0  # steps of a burst of noise, see `disturbed_steps`; 0: noise in every step
    rested: float = _RESTED


def record(wanted: WorldDemonstration, world: World) -> Episode | None:
    """Perform one demonstration, as the world itself counts its grippers; see `perform`."""
    episode = perform(wanted, world)
    if episode is None:
        return None
    return dataclasses.replace(
        episode,
        states=np.stack([as_said(world.state, row) for row in episode.states]),
        actions=np.stack([as_said(world.commands, row) for row in episode.actions]),
    )


def perform(
    wanted: WorldDemonstration, world: World, look: Callable[[int], bool] | None = None
) -> Episode | None:
    """Perform one demonstration; None if the expert failed. ValueError if there is none.

    Commands are recorded as the expert meant them, the world gets them disturbed. A pull is never
    at the beginning, where experts do not recover from it. Neither it nor a rest is recorded.

    look: at which steps to take pictures (they cost most of the time), by default at all.
    """
    with named(world, wanted.task, wanted.seed):
        return _perform(wanted, world, look)


def _perform(
    wanted: WorldDemonstration, world: World, look: Callable[[int], bool] | None
) -> Episode | None:
    random = _random(wanted)
    scale = wanted.noise * np.array(world.noise) * (random.random() < _DISTURBED)
    act = _begin(world, wanted, random)
    rows: list[tuple] = []
    hold = max(1, round(_AFTERWARDS * world.fps))
    noisy = disturbed_steps(wanted, world.horizon + hold)
    solved = 0
    while solved < hold:
        if len(rows) - solved >= world.horizon:
            return None
        action = act()
        seen = world.observe(look is None or look(len(rows)))
        rows.append((seen.images, seen.state, world.to_command(action), _truth(world)))
        noise = random.normal(0.0, 1.0, len(action)) * scale
        world.step(action + noise * noisy[len(rows) - 1])
        solved += world.success
    pictures, states, commands, truth = zip(*rows, strict=True)
    return Episode(
        views={
            view: _stacked([images[view] for images in pictures if images]) for view in world.views
        },
        states=np.stack(states).astype(np.float32),
        actions=np.stack(commands).astype(np.float32),
        instructions=(world.instruction,),
        truth=np.stack(truth).astype(np.float32),
        task=wanted.task,
        seed=wanted.seed,
        looks=None
        if look is None
        else np.array([step for step, images in enumerate(pictures) if images], int),
    )


def _random(wanted: WorldDemonstration) -> np.random.Generator:
    return _generator(wanted, 1)


def _generator(wanted: WorldDemonstration, purpose: int) -> np.random.Generator:
    return np.random.default_rng([zlib.crc32(wanted.task.encode()), wanted.seed, purpose])


def _stacked(pictures: Sequence[np.ndarray]) -> np.ndarray:
    """uint8 [K, H, W, 3]; of none at all [0, 1, 1, 3]."""
    return np.stack(pictures) if pictures else np.zeros((0, 1, 1, 3), np.uint8)


def disturbed_steps(wanted: WorldDemonstration, count: int) -> np.ndarray:
    """How much of the noise each of the first `count` steps gets: float [count].

    With `burst` it comes in bursts of so many steps, stronger: what the expert means between them
    does not depend on what it could not know. In 3 of 10 episodes there is none.
    """
    if not wanted.burst:
        return np.ones(count)
    factors, random = np.zeros(count), _random(wanted)
    if random.random() >= _DISTURBED or not wanted.noise:
        return factors
    step = int(random.integers(_BETWEEN_BURSTS[1]))
    while step < count:
        factors[step : step + wanted.burst] = _STRONGER
        step += wanted.burst + int(random.integers(*_BETWEEN_BURSTS))
    return factors


def _truth(world: World) -> np.ndarray:
    """Where things are, as far as a policy may learn it: float [width]."""
    known = world.truth() if world.ground_truth else None
    return np.full(1, np.nan) if known is None else known


def as_said(columns: Sequence[Column], numbers: np.ndarray) -> np.ndarray:
    """A state or command as the world itself counts its grippers: float32 [len(columns)]."""
    said = [
        column.origin + number * column.span if column.gripper else number
        for column, number in zip(columns, numbers, strict=True)
    ]
    return np.array(said, np.float32)


def _begin(world: World, wanted: WorldDemonstration, random: np.random.Generator) -> Act:
    """Bring the world to where a demonstration begins; its expert from there on."""
    pulled = random.random() < wanted.pulled
    lead = int(random.integers(*_LEAD))
    pull = random.uniform(-1, 1, (_PULL, len(world.pull))) * world.pull
    act = begin_expert(world, wanted.task, wanted.seed)
    if not pulled:
        for _ in range(_rest(world, wanted)):
            world.step(world.to_action(world.command))
        return act
    action = act()
    for _ in range(lead):
        world.step(action)
        action = act()
    for way in pull:
        world.step(action + way)
    # What the expert has solved meanwhile cannot be shown any more.
    return begin_expert(world, wanted.task, wanted.seed) if world.success else act


def _rest(world: World, wanted: WorldDemonstration) -> int:
    """Steps for which the arm stays where it is commanded to be before the expert begins."""
    random = _generator(wanted, 2)
    return int(random.integers(1, round(_REST * world.fps) + 1)) * (random.random() < wanted.rested)


def recorded_embodiment(world: World, shape: Sequence[int]) -> Embodiment:
    """What the recording is of: the world's columns and rate, pictures of this shape."""
    height, width = shape[:2]
    panels = tuple(
        Panel(view, 0, number * width, height, width) for number, view in enumerate(world.views)
    )
    size = (height, width * len(panels))
    return Embodiment(
        name=world.name,
        domain=world.name,
        domain_id=0,
        canvas=Canvas(panels, size, size, size),
        state=world.state,
        action=world.commands,
        step=round(NS / world.fps),
        horizon=1,
        state_row=True,
    )


def recorded_layout(world: World) -> Layout:
    """What LeRobot calls the features of such a dataset."""
    alone = len(world.views) == 1
    cameras = {
        view: "observation.image" if alone else f"observation.images.{view}" for view in world.views
    }
    return Layout(("observation.state",), ("action",), cameras)


@dataclasses.dataclass(frozen=True, slots=True)
class _Shard:
    folder: Path
    number: int
    first: int
    wanted: tuple[WorldDemonstration, ...]  # of one task: one simulation at a time


def collect(
    folder: Path,
    wanted: Sequence[WorldDemonstration],
    workers: int = 0,
    per_shard: int = 10,
    tell: Callable[[str], None] = print,
) -> dict[str, int]:
    """Record demonstrations; how many of each task were dropped because the expert failed.

    A dropped one is replaced by one of another seed. What a stopped run has finished is kept by the
    next one. Raises ValueError if the folder holds a recording of something else, or if an expert
    fails again and again.
    """
    with alone(folder / RECORDED):
        return _collect(folder, wanted, workers, per_shard, tell)


def _collect(
    folder: Path,
    wanted: Sequence[WorldDemonstration],
    workers: int,
    per_shard: int,
    tell: Callable[[str], None],
) -> dict[str, int]:
    remember(folder, [dataclasses.asdict(one) for one in wanted])
    shards = list(_shards(folder, wanted, per_shard))
    jobs = [shard for shard in shards if not has_shard(folder, shard.number)]
    written = len(wanted) - sum(len(job.wanted) for job in jobs)
    write_missing(_write, jobs, written, len(wanted), workers, tell)
    world = _open(wanted[0])
    world.reset(wanted[0].task, wanted[0].seed)
    shape = next(iter(world.observe().images.values())).shape
    finish(
        folder,
        len(shards),
        recorded_embodiment(world, shape),
        world.name,
        truth=world.ground_truth or SIMULATED,
        layout=recorded_layout(world),
    )
    dropped = collections.Counter(
        {
            task: attempts
            for task, seeds in episode_seeds(folder, len(shards)).items()
            if (attempts := sum(seed // _FAR for seed in seeds))
        }
    )
    return dict(dropped)


def _shards(folder: Path, wanted: Sequence[WorldDemonstration], per_shard: int) -> Iterator[_Shard]:
    number = first = 0
    for task in dict.fromkeys(one.task for one in wanted):
        own = [one for one in wanted if one.task == task]
        for begin in range(0, len(own), per_shard):
            part = tuple(own[begin : begin + per_shard])
            yield _Shard(folder, number, first, part)
            number, first = number + 1, first + len(part)


def _open(wanted: WorldDemonstration) -> World:
    return open_world(wanted.env, wanted.protocol, exam=False)


def _write(shard: _Shard) -> int:
    """Record a shard and write it; how many episodes it has."""
    world = _open(shard.wanted[0])
    episodes = [_surely(one, world) for one in shard.wanted]
    shape = next(iter(episodes[0].views.values())).shape[1:]
    write_shard(
        shard.folder,
        shard.number,
        shard.first,
        episodes,
        recorded_embodiment(world, shape),
        recorded_layout(world),
    )
    return len(episodes)


def _surely(wanted: WorldDemonstration, world: World) -> Episode:
    for attempt in range(_ATTEMPTS):
        episode = record(dataclasses.replace(wanted, seed=wanted.seed + attempt * _FAR), world)
        if episode is not None:
            return episode
    raise ValueError(
        f"{wanted.task}: the expert failed {_ATTEMPTS} times from seed {wanted.seed} on; expected "
        "less noise"
    )
