# SPDX-License-Identifier: Apache-2.0
"""The interface of a world: tasks that a policy or an expert tries, one episode at a time.

A world stands still between two steps, so a slow policy loses nothing. Nothing here renders or
imports a simulator.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from ...model.embodiment.table import nearest
from ...model.embodiment.units import Column
from ...model.interface import Observation
from ..options import GroundTruthOptions

Act = Callable[[], np.ndarray]  # the expert's next action of the running episode


@dataclasses.dataclass(frozen=True, slots=True)
class ExamProtocol:
    """How a world's tasks are examined, as it was published.

    The score is the mean over `groups` of the success rate of each group's episodes.
    """

    name: str
    source: str  # where it was published
    episodes: int  # of each task
    seed: int  # of the first episode
    groups: Mapping[str, tuple[str, ...]]  # name -> tasks


class World(Protocol):
    """Tasks of one robot, played one episode at a time.

    An action is what the world itself is told for one step. A command is what a row of an
    ActionChunk says, where that differs: a target instead of a way there. `reset` comes first.
    """

    name: str
    protocol: ExamProtocol
    tasks: tuple[str, ...]
    views: tuple[str, ...]  # of the cameras
    state: tuple[Column, ...]  # what the numbers of a state are
    commands: tuple[Column, ...]  # what the numbers of a command are
    fps: float  # steps per second
    # Standard deviation of what an action is disturbed by in demonstrations, in its own units.
    noise: tuple[float, ...]
    # What `truth` says, for a policy that is to learn it; None: nothing that it should.
    ground_truth: GroundTruthOptions | None
    # The most that an action is changed by while the arm is pulled away, in its own units.
    pull: tuple[float, ...]

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode; the same seed begins the same one. ValueError for an unknown task."""

    @property
    def instruction(self) -> str:
        """What is to be done, in words."""

    @property
    def horizon(self) -> int:
        """Steps after which the running episode has failed."""

    @property
    def success(self) -> bool:
        """Whether the task has been solved at any step since the reset."""

    def observe(self, look: bool = True) -> Observation:
        """The state now and, if `look`, the pictures, which cost most of the time."""

    def step(self, action: np.ndarray) -> None:
        """Act for one step. ValueError unless the action is finite and as long as it should be."""

    @property
    def command(self) -> np.ndarray:
        """The command in force: float [len(commands)]."""

    def to_command(self, action: np.ndarray) -> np.ndarray:
        """The command that an action amounts to if it is taken now."""

    def to_action(self, command: np.ndarray) -> np.ndarray:
        """The action that follows a command for the next step."""

    def expert(self) -> Act | None:
        """What solves the running episode; None if the world has no expert."""

    def truth(self) -> np.ndarray | None:
        """Where things are, float [width], in m; None if the world does not tell."""

    def close(self) -> None:
        """Free what the world holds."""


class ActsByCommands:
    """The part of a world whose actions are its commands: `_command` is the last one."""

    _command: np.ndarray

    @property
    def command(self) -> np.ndarray:
        return self._command

    def to_command(self, action: np.ndarray) -> np.ndarray:
        return np.asarray(action, float)

    def to_action(self, command: np.ndarray) -> np.ndarray:
        return np.asarray(command, float)


@contextlib.contextmanager
def named(world: World, task: str, seed: int) -> Iterator[None]:
    """What a world raises in an episode becomes a ValueError of one line that says which world."""
    try:
        yield
    except Exception as error:  # of whatever package
        if isinstance(error, ValueError) and world.name in str(error):
            raise
        said = " ".join(f"{type(error).__name__}: {error}".split())
        raise ValueError(f"{world.name}: {task}, seed {seed}: {said}") from error


def begin(world: World, task: str, seed: int) -> None:
    """Begin an episode; ValueError if what is observed then is not what the world says it has."""
    world.reset(task, seed)
    state = np.asarray(world.observe(look=False).state)
    if state.shape != (len(world.state),):
        raise ValueError(
            f"{world.name}: expected a state of {len(world.state)} numbers of observe(), one for "
            f"each column of `state`, got {list(state.shape)}"
        )


def begin_expert(world: World, task: str, seed: int) -> Act:
    """Begin an episode, and what solves it; ValueError if the world has no expert."""
    begin(world, task, seed)
    act = world.expert()
    if act is None:
        raise ValueError(f"{world.name}: has no expert; expected a world with one, or a checkpoint")
    return act


def check_world(maker: str, made: Any) -> World:
    """What was made, if it has all of a World; ValueError that names what it lacks."""
    asked = (*World.__annotations__, *(name for name in vars(World) if not name.startswith("_")))
    absent = object()
    lacks = [name for name in asked if inspect.getattr_static(made, name, absent) is absent]
    if lacks:
        raise ValueError(
            f"{maker}: expected a World, got {type(made).__name__} without {', '.join(lacks)}"
        )
    world: World = made
    return world


def close_at_exit(world: World) -> None:
    """Have a world closed when this process ends; once more after it has drawn its first picture.

    What was registered last ends first, and the libraries that draw register their own end when
    they are first used: a renderer cannot be freed after it.
    """
    atexit.unregister(world.close)
    atexit.register(world.close)


def check_task(world: str, task: str, tasks: Sequence[str]) -> None:
    """ValueError with the known ones unless `task` is among them."""
    if task not in tasks:
        raise ValueError(
            f"task of {world}: expected one of {', '.join(tasks)}, got {task!r}"
            f"{nearest(task, tasks)}"
        )


def check_action(world: str, action: np.ndarray, width: int) -> np.ndarray:
    """The action as float64 [width]; ValueError if it is something else or not finite."""
    numbers = np.asarray(action, float)
    if numbers.shape != (width,) or not np.isfinite(numbers).all():
        raise ValueError(f"action of {world}: expected {width} finite numbers, got {action!r}")
    return numbers


def parse_tasks(world: World, text: str) -> list[str]:
    """Tasks and groups of the protocol, with commas, as tasks; "" or "all" for all of them.

    Raises ValueError for a name that is neither, the empty one behind a comma too.
    """
    groups = {"all": world.tasks, **world.protocol.groups}
    names = [name.strip() for name in (text.strip() or "all").split(",")]
    known = (*world.protocol.groups, *world.tasks)
    for name in names:
        if name not in groups and name not in world.tasks:
            raise ValueError(
                f"task of {world.name}: expected all or some of {', '.join(known)}, got {name!r}"
                f"{nearest(name, known)}"
            )
    return list(dict.fromkeys(task for name in names for task in groups.get(name, (name,))))
