# SPDX-License-Identifier: Apache-2.0
"""One episode of a world: by its expert, or by a policy while the world waits for it."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Iterator

import numpy as np

from ...model.embodiment import Embodiment
from ...model.interface import NS, ActionChunk, Observation, Policy
from .world import World, begin, begin_expert, named


@dataclasses.dataclass(frozen=True, slots=True)
class EpisodeResult:
    """How an episode went."""

    task: str
    seed: int
    success: bool
    steps: int  # of the world, until solved or failed
    chunk_seconds: float | None = None  # what the policy took per chunk, median


def play_expert(world: World, task: str, seed: int) -> EpisodeResult:
    """An episode by the world's expert. Raises ValueError if there is none."""
    steps = 0
    with named(world, task, seed):
        act = begin_expert(world, task, seed)
        while steps < world.horizon and not world.success:
            world.step(act())
            steps += 1
        return EpisodeResult(task, seed, world.success, steps)


def play_policy(
    policy: Policy,
    world: World,
    task: str,
    seed: int,
    rows: int = 0,
    watch: Callable[[Observation], None] | None = None,
) -> EpisodeResult:
    """An episode by a policy: it is asked, `rows` rows of its chunk are played, it is asked again.

    rows: 0 for the whole chunk. watch: gets every observation that the policy gets. Raises
    ValueError if the policy is for another robot.
    """
    view = match_views(policy.embodiment, world)
    check_rows(rows, policy.embodiment)
    with named(world, task, seed):
        begin(world, task, seed)
    policy.reset()
    steps, spent = 0, []
    while steps < world.horizon and not world.success:
        with named(world, task, seed):
            seen = world.observe()
        observation = dataclasses.replace(
            seen, images={ours: seen.images[theirs] for ours, theirs in view.items()}
        )
        if watch:
            watch(observation)
        prediction = policy.infer(observation)
        spent.append(sum(prediction.seconds.values()))
        for command in commands(prediction.chunk, world.command, world.fps, rows):
            with named(world, task, seed):
                world.step(world.to_action(command))
            steps += 1
            if world.success or steps >= world.horizon:
                break
    return EpisodeResult(task, seed, world.success, steps, statistics.median(spent))


def check_rows(rows: int, embodiment: Embodiment) -> None:
    """ValueError unless a chunk has so many rows; 0 are all."""
    if not 0 <= rows <= embodiment.horizon:
        raise ValueError(f"rows: expected 0 to {embodiment.horizon}, got {rows}")


def match_views(embodiment: Embodiment, world: World | type[World]) -> dict[str, str]:
    """The world's camera for each view of the embodiment; the only one for the only one.

    ValueError unless states, commands and cameras are as many as the world's.
    """
    for what, ours, theirs in (
        ("numbers of state", len(embodiment.state), len(world.state)),
        ("numbers of action", len(embodiment.action), len(world.commands)),
    ):
        if ours != theirs:
            raise ValueError(
                f"embodiment {embodiment.name}: expected {theirs} {what}, as {world.name} has, got "
                f"{ours}"
            )
    if len(embodiment.views) == len(world.views) == 1:
        return {embodiment.views[0]: world.views[0]}
    if missing := [view for view in embodiment.views if view not in world.views]:
        raise ValueError(
            f"embodiment {embodiment.name}: expected some of the cameras {list(world.views)} of "
            f"{world.name}, got {missing}"
        )
    return {view: view for view in embodiment.views}


def commands(
    chunk: ActionChunk, before: np.ndarray, fps: float, rows: int = 0
) -> Iterator[np.ndarray]:
    """The commands float64 [D] of the first `rows` rows, one for the end of each step of a world.

    In straight lines from `before`, the command in force, to each row when it is due; the columns
    that jump do so when the row is due. At least one step is played.
    """
    count = rows or len(chunk.values)
    due = np.arange(count + 1) * chunk.step / NS
    values = np.concatenate([np.asarray(before, float)[None], chunk.values[:count]])
    for step in range(1, max(1, int(due[-1] * fps + 1e-6)) + 1):
        now = min(step / fps, due[-1])
        last = int(np.searchsorted(due, now + 1e-9, side="right")) - 1
        yield np.array(
            [
                values[last, column]
                if name in chunk.discrete
                else np.interp(now, due, values[:, column])
                for column, name in enumerate(chunk.names)
            ]
        )
