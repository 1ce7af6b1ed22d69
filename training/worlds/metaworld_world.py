# SPDX-License-Identifier: Apache-2.0
"""Meta-World as a world: its own pictures with shadows, its own experts, published protocols.

The state is what LeRobot gives a policy, the first four numbers of the observation (hand in m, and
how far it is open, here closed: see `Observation`), and where the episode's own clipped commands
add up to. What Meta-World says of objects and goals reaches the expert alone. A command is a place
for the hand, m, and the effort of the fingers; an action is Meta-World's own: a way in cm within
[-1, 1], and the effort.
"""

from __future__ import annotations

import functools
import os
import warnings
from typing import Any
from unittest import mock

import numpy as np

from ...model.embodiment.table import nearest
from ...model.embodiment.units import Column
from ...model.interface import NS, Observation
from ...sim.gl import NO_GL
from ..data.ground_truth import TRUTH_FEATURE
from ..options import GroundTruthOptions
from .metaworld_hand import CommandedHand, clip
from .metaworld_tasks import PROTOCOLS, TASKS, MetaWorldProtocol, expert_name, instruction
from .own_environment import NOT_INSTALLED
from .world import Act, check_action, check_task, close_at_exit

SIDE = 480  # pixels of a picture of Meta-World, as both protocols take them
FPS = 80.0  # steps of 5 x 2.5 ms


class MetaWorld:
    """MT50 as a protocol shows it; one simulation at a time, that of the running task.

    A renderer holds a large shadow map: whoever plays many tasks plays one after the other.
    """

    name = "metaworld"
    tasks = TASKS
    views: tuple[str, ...] = ("corner2",)
    state: tuple[Column, ...] = (
        Column("x", "m"),
        Column("y", "m"),
        Column("z", "m"),
        Column("opening", "fraction", gripper=True, opened=1.0, closed=0.0),
        Column("commanded_x", "m"),
        Column("commanded_y", "m"),
        Column("commanded_z", "m"),
    )
    commands: tuple[Column, ...] = (*state[4:], Column("effort", "controller"))
    fps = FPS
    noise: tuple[float, ...] = (
        0.3,
        0.3,
        0.3,
        0.0,
    )  # nearly all experts still solve their tasks so
    pull: tuple[float, ...] = (
        2.0,
        2.0,
        2.0,
        0.0,
    )  # mostly the whole way along each axis, in either direction

    ground_truth: GroundTruthOptions | None = GroundTruthOptions(
        TRUTH_FEATURE,
        asked=(0, 1, 2, 6, 7, 8),  # the first object and the goal
        around=(3, 4, 5),
        center=(0.0, 0.65, 0.1) * 3,
        spread=(0.1,) * 9,
    )

    def __init__(self, protocol: str = "evo1", seed: int | None = None, exam: bool = True) -> None:
        """seed: of the protocol's first episode. exam: its scenes; else any that a seed draws."""
        if protocol not in PROTOCOLS:
            raise ValueError(
                f"protocol: expected {' or '.join(PROTOCOLS)}, got {protocol!r}"
                f"{nearest(protocol, PROTOCOLS)}"
            )
        metaworld_package()
        self._rules: MetaWorldProtocol = PROTOCOLS[protocol]
        self.protocol = self._rules.exam
        self._first = self.protocol.seed if seed is None else seed
        self._fixed = exam and self._rules.mt50_scenes
        self._task, self._observed = "", np.zeros(39)
        self._env: Any = None  # of gymnasium; None until a task is begun
        self._hand = CommandedHand()
        self._steps, self._solved = 0, False

    def reset(self, task: str, seed: int) -> None:
        """Begin an episode, as the protocol does."""
        check_task(self.name, task, self.tasks)
        if self._fixed and seed < self._first:
            raise ValueError(f"seed: expected at least {self._first}, the first, got {seed}")
        if task != self._task:
            self._open(task)
        if self._fixed:
            self._env.set_task(mt50_scene(self._first, task, seed - self._first))
        else:
            self._env.seed(seed)
        self._observed, _ = self._env.reset()
        self._hand.begin(self._observed)
        self._steps, self._solved = 0, False
        if self._rules.settles:
            self.step(np.zeros(4))
            self._steps, self._solved = 0, False

    def _open(self, task: str) -> None:
        """Make the simulation of a task, in the place of the last one."""
        self.close()
        metaworld, rules = metaworld_package(), self._rules
        env = metaworld.ALL_V3_ENVIRONMENTS[task](
            render_mode="rgb_array", camera_name=rules.camera, width=SIDE, height=SIDE
        )
        if rules.camera_place:
            env.model.cam(rules.camera).pos = rules.camera_place
        if not self._fixed:  # scenes are drawn by the simulation's own generator, not numpy's
            env.set_task(metaworld.MT1(task, seed=42).train_tasks[0])
            env._freeze_rand_vec, env.seeded_rand_vec = False, True  # noqa: SLF001 no other way
        self._task, self._env = task, env

    @property
    def instruction(self) -> str:
        return instruction(self._task, self._rules)

    @property
    def horizon(self) -> int:
        return self._rules.horizon

    @property
    def success(self) -> bool:
        return self._solved

    def observe(self, look: bool = True) -> Observation:
        """Hand, closure, sum of commands [7]; the picture as the protocol turns and crops it."""
        state = self._hand.state(self._observed)
        images = {self.views[0]: self._picture()} if look else {}
        return Observation(images, state, self.instruction, round(self._steps * NS / FPS))

    def _picture(self) -> np.ndarray:
        """Meta-World's own picture, turned by 180 degrees, its middle: uint8 [H, W, 3]."""
        if os.environ["MUJOCO_GL"] == "disable":
            raise RuntimeError(NO_GL)
        viewer = self._env.mujoco_renderer.viewer
        if viewer is not None:  # else another world of this process draws, with its own meshes
            viewer.make_context_current()
        picture = np.flip(self._env.render(), (0, 1))
        if viewer is None:
            close_at_exit(self)
        kept = round(SIDE * self._rules.crop)
        first = (SIDE - kept) // 2
        return np.ascontiguousarray(picture[first : first + kept, first : first + kept])

    def step(self, action: np.ndarray) -> None:
        """One step of 12.5 ms with an action [4], clipped to [-1, 1]."""
        told = self._hand.take(check_action(self.name, action, 4))
        self._observed, _, _, _, info = self._env.step(told)
        self._solved = self._solved or info["success"] == 1
        self._steps += 1

    @property
    def command(self) -> np.ndarray:
        return self._hand.command

    def to_command(self, action: np.ndarray) -> np.ndarray:
        """Where the hand is sent to, m, and the effort [4]."""
        return self._hand.to_command(action)

    def to_action(self, command: np.ndarray) -> np.ndarray:
        """The way from the last command to this one, at most 1 cm an axis, and the effort."""
        return self._hand.to_action(command)

    def expert(self) -> Act:
        """Meta-World's own scripted policy: a function of its whole observation, no memory."""
        import metaworld.policies

        policy = getattr(metaworld.policies, expert_name(self._task))()
        return lambda: clip(np.asarray(policy.get_action(self._observed), float))

    def truth(self) -> np.ndarray:
        """Places of the first and second object and of the goal, m [9]; NaN if there is none."""
        places = np.stack([self._observed[4:7], self._observed[11:14], self._observed[36:39]])
        places[~places.any(axis=1)] = np.nan  # Meta-World says zeros
        return places.ravel()

    def close(self) -> None:
        """Free the renderer."""
        if self._env is not None:
            self._env.close()
        self._task, self._env = "", None


@functools.cache
def metaworld_package() -> Any:
    """The package, with the OpenGL backend that `sim.gl` chose; ImportError if it is missing."""
    try:
        import metaworld
    except ImportError as error:
        raise ModuleNotFoundError(NOT_INSTALLED) from error
    # Its experts say so once in a process, of actions that are clipped here.
    warnings.filterwarnings("ignore", r"Constant\(s\) may be too high", UserWarning)
    return metaworld


@functools.cache
def mt50_scenes(seed: int) -> dict[str, list[Any]]:
    """The 50 scenes of each task of the benchmark of a seed; takes five seconds of a core.

    Meta-World draws them by resetting each task 50 times, and nearly all of the time would go into
    letting the hand come to rest, which no draw depends on.
    """
    metaworld = metaworld_package()
    from metaworld.sawyer_xyz_env import SawyerXYZEnv

    scenes: dict[str, list[Any]] = {task: [] for task in TASKS}
    with mock.patch.object(SawyerXYZEnv, "_reset_hand", _place_hand):
        for scene in metaworld.MT50(seed=seed).train_tasks:
            scenes[scene.env_name].append(scene)
    return scenes


def _place_hand(env: Any, steps: int = 0) -> None:
    """Meta-World's `_reset_hand` without its 50 steps: the hand stays where the model has it."""
    import mujoco

    mujoco.mj_forward(env.model, env.data)  # a reset looks at where things are
    env.init_tcp = env.tcp_center


def mt50_scene(seed: int, task: str, episode: int) -> Any:
    """The scene of a task that MT50's vector environment of a seed shows at its n-th reset.

    Every environment of the vector draws one of its 50 at each reset, with replacement, by a
    generator of its own with that seed; so every task has the same draws.
    """
    from gymnasium.utils import seeding

    scenes, (random, _) = mt50_scenes(seed)[task], seeding.np_random(seed)
    draws = [int(random.choice(len(scenes))) for _ in range(episode + 1)]
    return scenes[draws[-1]]
