# SPDX-License-Identifier: Apache-2.0
"""How attempts at a task end, well and badly, with near misses: to judge and to learn judging by.

Imports no torch.
"""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np

from ...sim.camera_table import VIEWS
from ...sim.env import ACTIONS_PER_SECOND, Env
from ...sim.expert import Expert
from ..data.demonstrations import HOLD, LIMIT, Demonstration, begin, env_of
from .scene_state import Facts, Goal, read_facts

# finished: the expert's whole way. halted: it stops somewhere before the task is solved. short: it
# stops up to half a second before. spoiled: somewhere on its way, or after it, the arm is pulled
# aside and most often lets go.
HOWS = ("finished", "halted", "short", "spoiled")
REST = 10  # actions without motion before the end, so that nothing rolls or falls any more
_NEAR = 8  # actions before the task is solved that count as a near miss
_PULL = 0.12  # standard deviation of how far each joint is pulled aside, rad


@dataclasses.dataclass(frozen=True, slots=True)
class Attempt:
    """A demonstration and how it is to end; together they decide everything."""

    demonstration: Demonstration
    how: str = HOWS[0]
    frames: int = 1  # pictures of each view, the last one at the end
    rate: float = 2.0  # of them, Hz

    def __post_init__(self) -> None:
        if self.how not in HOWS or self.frames < 1 or self.rate <= 0:
            raise ValueError(
                f"attempt: expected how of {', '.join(HOWS)}, frames >= 1 and rate > 0, "
                f"got {self.how!r}, {self.frames} and {self.rate}"
            )


@dataclasses.dataclass(frozen=True, slots=True)
class Ending:
    """What is seen and what is true when an attempt is over."""

    attempt: Attempt
    goal: Goal  # what was asked for
    facts: Facts  # of the end, where nothing moves: `done` is known of every goal
    frames: np.ndarray  # uint8 [T, V, H, W, 3], views in the order of camera_table.VIEWS

    @property
    def solved(self) -> bool:
        """Whether the simulator counts what was asked for as done at the end."""
        return bool(self.facts.done[self.goal])


def attempt(wanted: Attempt) -> Ending:
    """Perform an attempt: once to know how long it takes, once more with pictures."""
    env = env_of(wanted.demonstration)
    actions = _actions(env, wanted)
    _start(env, wanted)
    stride = max(1, round(ACTIONS_PER_SECOND / wanted.rate))
    looks = [max(0, len(actions) - stride * back) for back in reversed(range(wanted.frames))]
    frames: list[np.ndarray] = []
    for step in range(len(actions) + 1):
        frames += [_pictures(env)] * looks.count(step)
        if step < len(actions):
            env.move(actions[step])
    facts = read_facts(env.simulation)
    target = env.simulation.layout.target
    return Ending(wanted, (env.simulation.task, target), facts, np.stack(frames))


def _start(env: Env, wanted: Attempt) -> np.random.Generator:
    """Bring the simulation to the beginning; returns what decides about the rest."""
    task, seed = wanted.demonstration.task, wanted.demonstration.seed
    random = np.random.default_rng([zlib.crc32(task.encode()), seed, 4, HOWS.index(wanted.how)])
    begin(env, wanted.demonstration, random)
    return random


def _actions(env: Env, wanted: Attempt) -> np.ndarray:
    """All actions of the attempt, float64 [n, 8], its rest included."""
    random = _start(env, wanted)
    expert, held, solved = Expert(env.simulation), 0, 0
    actions: list[np.ndarray] = []
    while len(actions) < LIMIT and held < HOLD:
        held += expert.finished
        noise = np.append(random.normal(0.0, wanted.demonstration.noise, 7), 0.0)
        actions.append(expert.act() + noise)
        env.move(actions[-1])
        solved += not env.success
    if wanted.how == "halted":
        actions = actions[: max(1, round(random.uniform(0.2, 0.9) * solved))]
    elif wanted.how == "short":
        actions = actions[: max(1, solved - int(random.integers(1, _NEAR + 1)))]
    elif wanted.how == "spoiled":
        actions = actions[: max(1, round(random.uniform(0.5, 1.0) * len(actions)))]
        actions += _pull(actions[-1], random)
    return np.array([*actions, *[actions[-1]] * REST])


def _pull(last: np.ndarray, random: np.random.Generator) -> list[np.ndarray]:
    """The arm is led aside for a third to two thirds of a second."""
    aside = last.copy()
    aside[:7] += random.normal(0.0, _PULL, 7)
    grip = 0.0 if random.random() < 0.7 else last[7]
    ways = np.linspace(0.0, 1.0, int(random.integers(5, 11)))
    return [np.append(last[:7] + way * (aside - last)[:7], grip) for way in ways]


def _pictures(env: Env) -> np.ndarray:
    return np.stack([env.simulation.render(view) for view in VIEWS])
