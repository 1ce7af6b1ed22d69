# SPDX-License-Identifier: Apache-2.0
"""Demonstrations by the scripted experts, some disturbed or begun off the path."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from ...model.checkpoint_io.atomic_files import alone
from ...model.embodiment import EMBODIMENTS, Embodiment
from ...sim.env import Env, shared_env
from ...sim.expert import Expert
from ...sim.kinematics import Kinematics, downwards
from ...sim.layout import COLORS
from ...sim.tasks import find, instruction, robot_of
from .episodes import Episode
from .ground_truth import TURN_RADIUS, GroundTruth, cube
from .lerobot_writer import RECORDED, finish, has_shard, remember, write_shard
from .parallel import write_missing

LIMIT = 260  # actions after which an episode has failed
MISTAKEN = 0.5  # of the experts that are interrupted
HOLD = 8  # actions recorded after the expert has come to rest
_OVER_TABLE = ((0.33, -0.26, 0.14), (0.60, 0.26, 0.40))  # corners of where the hand may be, m


@dataclasses.dataclass(frozen=True, slots=True)
class Demonstration:
    """What to record: a task and a seed of the simulation decide everything."""

    task: str
    seed: int
    distractors: int = 2  # see Simulation
    height: int = 180  # of the images, pixels
    width: int = 320
    # standard deviation of what is added to the executed arm positions in 7 of 10 episodes, rad;
    # the recorded action stays the intended one
    noise: float = 0.01
    # share of the episodes that begin somewhere in the middle of the task, after the arm was
    # pulled away
    astray: float = 0.35
    # share of the episodes that begin with the hand anywhere over the table, or low over the cube
    # that it is to grasp, turned in any way: so its pose says nothing about the pose it is to have
    scatter: float = 0.0


def record(wanted: Demonstration, look: Callable[[int], bool] | None = None) -> Episode | None:
    """Perform one demonstration; None if the expert failed.

    Raises ValueError for an unknown task or seed.

    look: at which steps to take pictures (they cost most of the time), by default at all.
    """
    random = np.random.default_rng([zlib.crc32(wanted.task.encode()), wanted.seed, 1])
    env = env_of(wanted)
    begin(env, wanted, random)
    noise = wanted.noise if random.random() < 0.7 else 0.0
    watch = look or (lambda step: True)
    expert, seen, held = Expert(env.simulation), env.observe(watch(0)), 0
    steps: list[tuple] = []
    while not (env.success and held >= HOLD):
        if len(steps) == LIMIT:
            return None
        action = expert.act()
        steps.append((seen, action, scene_truth(env)))
        held += expert.finished
        arms = len(env.simulation.world.arms)
        env.move(action + _actions(random.normal(0.0, noise, 7 * arms), np.zeros(arms)))
        seen = env.observe(watch(len(steps)))
        if expert.finished and not env.success and held >= HOLD:
            return None
    observations, actions, truth = zip(*steps, strict=True)
    layout = env.simulation.layout
    wordings = range(len(find(wanted.task).wordings) - 1)  # the last one is for tests
    return Episode(
        views={
            view: np.stack([o.images[view] for o in observations if o.images])
            for view in env.simulation.views
        },
        states=np.stack([o.state for o in observations]),
        actions=np.stack(actions).astype(np.float32),
        instructions=tuple(instruction(wanted.task, layout, number) for number in wordings),
        truth=np.stack(truth).astype(np.float32),
        task=wanted.task,
        seed=wanted.seed,
        looks=None
        if look is None
        else np.array([step for step in range(len(steps)) if look(step)]),
    )


def begin(env: Env, wanted: Demonstration, random: np.random.Generator) -> None:
    """Bring the simulation to where a demonstration begins."""
    env.reset(wanted.task, wanted.seed)
    where = random.random()
    if where < wanted.astray:
        _lead_astray(env, random)
    elif where < wanted.astray + wanted.scatter:
        _scatter(env, random)


def env_of(wanted: Demonstration) -> Env:
    """This process's simulation for the demonstration's task."""
    return shared_env(wanted.task, wanted.height, wanted.width, wanted.distractors)


def random_pose(random: np.random.Generator) -> tuple[np.ndarray, float]:
    """A position of the tool somewhere over the table, m [3], and its yaw, rad."""
    return random.uniform(*_OVER_TABLE), random.uniform(-0.8, 0.8)


def _lead_astray(env: Env, random: np.random.Generator) -> None:
    """Let an expert begin and pull its arm away for half a second, often with a cube in the hand.

    Half of these experts are wrong about how cubes are turned, and half of those stop where they
    are: cubes that were squeezed out of the fingers, as it happens to learners.
    """
    wrong = random.random() < MISTAKEN
    expert = Expert(env.simulation, twist=random.uniform(-np.pi / 4, np.pi / 4) if wrong else 0.0)
    start = env.simulation.layout.start
    arms = len(start) // 7
    action = _actions(start, np.zeros(arms))
    for _ in range(int(random.integers(0, find(env.simulation.task).lead))):
        if env.success:
            break
        action = expert.act()
        env.move(action)
    pull = random.normal(0.0, 0.12, 7 * arms) * np.tile([1, 1, 1, 1, 1, 1, 2], arms)
    steps = int(random.integers(5, 11))
    if wrong and random.random() < 0.5:
        pull[:] = 0.0
    joints, grips = action.reshape(-1, 8)[:, :7].ravel(), action[7::8]
    if random.random() >= 0.5:
        grips = (random.random(arms) < 0.3).astype(float)
    _sweep(env, joints, joints + pull, steps, grips)


def _scatter(env: Env, random: np.random.Generator) -> None:
    """Bring the hand to a random place over the table, in 2 s and at rest; of one arm only.

    Where a cube is to be grasped, in half of the cases down over it, turned in any way. Experts
    turn the hand long before: who learns from them alone has only seen hands near cubes that were
    turned as they should be (of 4800 frames 52 by more than 10 degrees), takes how the hand is
    turned for how the cube is, and does not turn it.
    """
    world, layout = env.simulation.world, env.simulation.layout
    if len(world.arms) > 1:
        return
    place, yaw = random_pose(random)
    if not find(env.simulation.task).grasps or random.random() < 0.5:
        _bring(env, layout.start, place, yaw, 30)
        return
    cube = world.position(layout.target)
    cube[:2] += random.normal(0.0, 0.007, 2)
    above = _bring(env, layout.start, cube + np.array([0.0, 0.0, 0.09]), yaw, 30)
    _bring(env, above, cube + np.array([0.0, 0.0, random.uniform(0.0, 0.09)]), yaw, 8)


def _bring(env: Env, start: np.ndarray, place: np.ndarray, yaw: float, steps: int) -> np.ndarray:
    """Move the open hand there in so many steps, and to rest; the joints that it then has."""
    goal = Kinematics(env.simulation.world).solve(start, place, downwards(yaw), rounds=60)
    _sweep(env, start, goal, steps, 0.0)
    return goal


def _sweep(
    env: Env, start: np.ndarray, goal: np.ndarray, steps: int, grips: float | np.ndarray
) -> None:
    """Move the joints there in so many steps, and three to rest."""
    for step in range(1, steps + 4):
        share = 0.5 - 0.5 * np.cos(np.pi * min(step / steps, 1.0))
        env.move(_actions(start + share * (goal - start), np.atleast_1d(grips)))


def _actions(joints: np.ndarray, grips: np.ndarray) -> np.ndarray:
    """Joints [7 for each arm] and grippers [1 for each] as an action [8 for each]."""
    return np.column_stack([joints.reshape(-1, 7), grips]).ravel()


def scene_truth(env: Env) -> np.ndarray:
    """Where things of a scene are: float64 [GroundTruth.WIDTH], NaN if they are not there."""
    world, layout = env.simulation.world, env.simulation.layout
    truth = np.full(GroundTruth.WIDTH, np.nan)
    if world.kind == "bar":
        truth[GroundTruth.TARGET] = world.position("bar")
        return truth
    truth[GroundTruth.TARGET] = world.position(layout.target) if layout.target else world.handle()
    if world.kind in ("bowl", "circle"):
        truth[GroundTruth.GOAL] = *layout.place, 0.0
    elif layout.base:
        truth[GroundTruth.GOAL] = world.position(layout.base)
    for number, color in enumerate(COLORS):
        if color in layout.cubes:
            truth[cube(number)] = world.position(color)
    if layout.target in layout.cubes:
        turn = 4 * world.yaw(layout.target)
        truth[GroundTruth.TURN] = TURN_RADIUS * np.cos(turn), TURN_RADIUS * np.sin(turn)
    return truth


@dataclasses.dataclass(frozen=True, slots=True)
class _Shard:
    folder: Path
    number: int
    first: int
    wanted: tuple[Demonstration, ...]


def collect(
    folder: Path,
    wanted: Sequence[Demonstration],
    workers: int = 0,
    per_shard: int = 20,
    tell: Callable[[str], None] = print,
) -> None:
    """Record demonstrations into a LeRobotDataset.

    What a stopped run has finished is kept by the next one.

    Raises ValueError if the folder holds a recording of something else.
    """
    _embodiment(wanted)
    with alone(folder / RECORDED):
        remember(folder, [dataclasses.asdict(demonstration) for demonstration in wanted])
        parts = [
            tuple(wanted[begin : begin + per_shard]) for begin in range(0, len(wanted), per_shard)
        ]
        jobs = [
            _Shard(folder, number, number * per_shard, part)
            for number, part in enumerate(parts)
            if not has_shard(folder, number)
        ]
        written = len(wanted) - sum(len(job.wanted) for job in jobs)
        write_missing(_write, jobs, written, len(wanted), workers, tell)
        finish(folder, len(parts), _embodiment(wanted), "panda_robotiq_2f85")


def _write(shard: _Shard) -> int:
    """Record a shard and write it; how many episodes it has."""
    episodes = [_surely(demonstration) for demonstration in shard.wanted]
    write_shard(shard.folder, shard.number, shard.first, episodes, _embodiment(shard.wanted))
    return len(episodes)


def _embodiment(wanted: Sequence[Demonstration]) -> Embodiment:
    """What the demonstrations are of; ValueError if that are several robots."""
    robots = {robot_of(demonstration.task) for demonstration in wanted}
    if len(robots) > 1:
        raise ValueError(f"tasks: expected those of one robot, got those of {sorted(robots)}")
    return EMBODIMENTS[robots.pop()]


def _surely(wanted: Demonstration) -> Episode:
    """Record, with another, far seed where the expert fails (in one of a thousand episodes)."""
    for attempt in range(10):
        episode = record(dataclasses.replace(wanted, seed=wanted.seed + attempt * 1_000_000_007))
        if episode is not None:
            return episode
    raise RuntimeError(f"the expert failed 10 times at {wanted}")
