# SPDX-License-Identifier: Apache-2.0
"""Moments of demonstrations with their pictures and questions about them, made in parallel.

Imports no torch.
"""

from __future__ import annotations

import dataclasses
import os
import zlib
from collections.abc import Generator, Mapping, Sequence

import numpy as np
from PIL import Image

from ...sim.camera_table import VIEWS
from ...sim.env import Env
from ...sim.expert import Expert
from ...sim.kinematics import Kinematics, downwards
from ...sim.tasks import find
from ..data.demonstrations import HOLD, LIMIT, Demonstration, begin, env_of, random_pose
from ..data.parallel import in_parallel
from .endings import Attempt, attempt
from .questions import Lesson, lessons
from .scene_state import DESCRIBED, Facts, Goal, achieved, read_facts

_FAR = 1_000_000_000  # seeds of stills: beyond those of all demonstrations
_FARTHER = 2_000_000_000  # seeds of endings
# How their attempts end, in turn: near misses, which are the hardest to judge, most often.
_ENDS = ("short", "halted", "short", "spoiled")
_DOUBT = 5  # steps before and after a goal is reached in which one cannot tell


@dataclasses.dataclass(frozen=True, slots=True)
class Scene:
    """pictures: uint8 [V, H, W, 3], in the order of camera_table.VIEWS."""

    pictures: np.ndarray
    lessons: tuple[Lesson, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class Watch:
    """A demonstration of which some moments become scenes."""

    demonstration: Demonstration
    looks: int = 4  # moments, spread at random
    stills: int = 0  # scenes of further layouts, with the hand anywhere and nothing moving: cheap
    each: int = 2  # questions of a kind, see questions.lessons
    size: tuple[int, int] | None = None  # (height, width) to scale the images to
    # scenes of attempts at the task that are over, near misses among them, see endings: what is
    # done is known of them to the millimeter, while looks leave out what is about to change
    endings: int = 0

    def __post_init__(self) -> None:
        task = self.demonstration.task
        if (kind := find(task).kind) not in DESCRIBED:
            raise ValueError(
                f"questions: expected a task in a scene of {', '.join(DESCRIBED)}, got {task}, "
                f"whose scene ({kind}) holds things that no question knows"
            )


def watch(wanted: Watch) -> list[Scene]:
    """Perform the demonstration; what the expert fails at is as good to ask about."""
    demonstration = wanted.demonstration
    random = np.random.default_rng([zlib.crc32(demonstration.task.encode()), demonstration.seed, 2])
    env = env_of(demonstration)
    begin(env, demonstration, random)
    expert, held, noise = Expert(env.simulation), 0, demonstration.noise
    seen: list[tuple[int, Facts, np.ndarray]] = []
    reached: list[Mapping[Goal, bool]] = []
    length = find(demonstration.task).length
    while len(reached) < LIMIT and held < HOLD + _DOUBT:
        if random.random() < (0.4 if expert.finished else wanted.looks / length):
            seen.append((len(reached), read_facts(env.simulation), _pictures(env, wanted.size)))
        reached.append(achieved(env.simulation.world, env.simulation.layout))
        held += expert.finished
        env.move(expert.act() + np.append(random.normal(0.0, noise, 7), 0.0))
    kept = [seen[int(number)] for number in random.permutation(len(seen))[: wanted.looks]]
    moments = [
        (
            dataclasses.replace(
                facts, done={goal: settled(reached, step, goal) for goal in facts.done}
            ),
            pictures,
        )
        for step, facts, pictures in kept
    ]
    for number in range(wanted.stills):
        _arrange_anew(env, demonstration.task, _FAR + 100 * demonstration.seed + number, random)
        moments.append((read_facts(env.simulation), _pictures(env, wanted.size)))
    moments += [_end(wanted, number) for number in range(wanted.endings)]
    return [
        Scene(pictures, tuple(lessons(facts, random, wanted.each))) for facts, pictures in moments
    ]


def _end(wanted: Watch, number: int) -> tuple[Facts, np.ndarray]:
    """Facts and pictures of another attempt that is over."""
    seed = _FARTHER + 100 * wanted.demonstration.seed + number
    demonstration = dataclasses.replace(wanted.demonstration, seed=seed)
    how = _ENDS[(wanted.demonstration.seed + number) % len(_ENDS)]
    ending = attempt(Attempt(demonstration, how))
    return ending.facts, _scaled([*ending.frames[-1]], wanted.size)


def _arrange_anew(env: Env, task: str, seed: int, random: np.random.Generator) -> None:
    """The layout of another seed, at times with the cube where it is to go or the drawer open.

    The hand somewhere.
    """
    simulation = env.simulation
    simulation.reset(task, seed)
    layout, (position, yaw) = simulation.layout, random_pose(random)
    solver = Kinematics(simulation.world)
    start = solver.solve(layout.start, position, downwards(yaw), rounds=60)
    cubes = dict(layout.cubes)
    if layout.target and any(layout.place) and random.random() < 0.3:
        cubes[layout.target] = (*layout.place, float(random.uniform(-0.7, 0.7)))
    drawer = float(random.uniform(0.0, 0.15)) if random.random() < 0.6 else layout.drawer
    simulation.layout = dataclasses.replace(layout, start=start, cubes=cubes, drawer=drawer)
    simulation.world.arrange(simulation.layout)


def settled(reached: Sequence[Mapping[Goal, bool]], step: int, goal: Goal) -> bool | None:
    """Whether a goal was reached at a step; None if that differs within _DOUBT steps."""
    around = {moment[goal] for moment in reached[max(0, step - _DOUBT) : step + _DOUBT + 1]}
    return around.pop() if len(around) == 1 else None


def _pictures(env: Env, size: tuple[int, int] | None) -> np.ndarray:
    return _scaled([env.simulation.render(view) for view in VIEWS], size)


def _scaled(pictures: list[np.ndarray], size: tuple[int, int] | None) -> np.ndarray:
    if size is None or size == pictures[0].shape[:2]:
        return np.stack(pictures)
    return np.stack([resize(picture, size) for picture in pictures])


def resize(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As vision_encoder.image_patches resizes; importing that would import torch here."""
    return np.asarray(Image.fromarray(picture).resize(size[::-1], Image.Resampling.BICUBIC))


def make_scenes(wanted: Sequence[Watch], workers: int = 0) -> Generator[Scene]:
    """The scenes of all demonstrations, as they become ready."""
    for scenes in in_parallel(
        watch, wanted, workers or max(1, len(os.sched_getaffinity(0)) - 1), nice=10
    ):
        yield from scenes
