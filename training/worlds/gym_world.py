# SPDX-License-Identifier: Apache-2.0
"""Any environment of gymnasium as a world, by LeRobot's convention of what it shows.

`gym:ID` or `gym:MODULE:ID`, where importing the module registers the id; arguments follow as
`?name=value&...`. An observation is a dict with `agent_pos` (the state) and `pixels` (a picture, or
a dict of pictures by camera), or a flat array, which is the state; without pixels `render` gives
the picture. `info` says `is_success`, or `success` as Meta-World's does.

One environment at a time and no vector of them: a worker process plays one episode after the other.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from ...model.embodiment.units import Column
from ...model.interface import NS, Observation
from ..options import GroundTruthOptions
from .own_environment import NAME, NOT_INSTALLED
from .world import Act, ActsByCommands, ExamProtocol, check_action, check_task, close_at_exit

SUCCESS = ("is_success", "success")
_UNLIMITED = 1000  # steps of an episode of which the environment says nothing


class GymWorld(ActsByCommands):
    """One environment of gymnasium; its task is its id. A command is an action."""

    def __init__(
        self, id_: str, protocol: str = "", seed: int | None = None, exam: bool = True
    ) -> None:
        """Raises ValueError for what cannot be made or does not show what the convention asks."""
        where, _, arguments = id_.partition("?")
        if not where or where.count(":") > 1:
            raise ValueError(
                "env: expected gym:ID or gym:MODULE:ID, as gym:gym_pusht:gym_pusht/PushT-v0, got "
                f"'gym:{id_}'"
            )
        if protocol not in ("", "gym"):
            raise ValueError(f"protocol of gym:{where}: expected gym, got {protocol!r}")
        self.name = f"gym:{id_}"
        self.tasks: tuple[str, ...] = (where,)
        self.protocol = ExamProtocol("gym", "gymnasium", 10, 0, {"all": self.tasks})
        self._env = _make(where, _values(arguments, where))
        space = self._env.action_space
        if len(getattr(space, "shape", None) or ()) != 1 or not hasattr(space, "low"):
            raise ValueError(
                f"{self.name}: expected actions that are a row of numbers, got {space}"
            )
        self._low, self._high = np.asarray(space.low, float), np.asarray(space.high, float)
        fps = self._env.metadata.get("render_fps")
        if not isinstance(fps, int | float) or not 0 < fps < math.inf:
            raise ValueError(
                f"{self.name}: expected metadata['render_fps'], its steps per second, got {fps!r}"
            )
        self.fps = float(fps)
        with _in_one_line(where):
            self._seen: Any = self._env.reset(seed=0)[0]
            state, self.views = self._state(), tuple(self._pictures())
        self.state = tuple(Column(f"state_{number}", "fraction") for number in range(len(state)))
        self.commands = tuple(
            Column(f"action_{number}", "fraction") for number in range(len(self._low))
        )
        self.noise: tuple[float, ...] = (0.0,) * len(self._low)  # nobody demonstrates
        self.pull = self.noise
        self.ground_truth: GroundTruthOptions | None = None
        self._steps, self._solved, self._over, self._drawn = 0, False, False, False
        self._command = np.zeros(len(self._low))

    def reset(self, task: str, seed: int) -> None:
        check_task(self.name, task, self.tasks)
        with _in_one_line(self.tasks[0]):
            self._seen, _ = self._env.reset(seed=seed)
        self._steps, self._solved, self._over = 0, False, False
        self._command = np.zeros(len(self._low))

    @property
    def instruction(self) -> str:
        """`task_description` of the environment, else its id as words."""
        try:
            said = self._env.get_wrapper_attr("task_description")
        except AttributeError:
            said = ""
        return str(said or "") or self.tasks[0].rpartition("/")[2].replace("-", " ")

    @property
    def horizon(self) -> int:
        """`_max_episode_steps`, or that of its registration; at an earlier end the steps so far."""
        if self._over:
            return self._steps
        try:
            return int(self._env.get_wrapper_attr("_max_episode_steps"))
        except (AttributeError, TypeError):
            return (self._env.spec and self._env.spec.max_episode_steps) or _UNLIMITED

    @property
    def success(self) -> bool:
        return self._solved

    def observe(self, look: bool = True) -> Observation:
        stamp = round(self._steps * NS / self.fps)
        images = self._pictures() if look else {}
        if look and not self._drawn:
            self._drawn = True
            close_at_exit(self)
        return Observation(images, self._state(), self.instruction, stamp)

    def _state(self) -> np.ndarray:
        """`agent_pos`, or the flat observation: float32 [D]."""
        seen = self._seen
        if isinstance(seen, Mapping):
            if "agent_pos" not in seen:
                raise ValueError(
                    f"{self.name}: expected agent_pos in the observation, got {sorted(seen)}"
                )
            seen = seen["agent_pos"]
        state = np.asarray(seen, np.float32)
        if state.ndim != 1:
            raise ValueError(
                f"{self.name}: expected a dict with agent_pos and pixels, or a row of numbers, as "
                f"observation, got an array of shape {list(state.shape)}"
            )
        return state

    def _pictures(self) -> dict[str, np.ndarray]:
        """Pictures by camera, uint8 [H, W, 3]."""
        seen = self._seen
        if isinstance(seen, Mapping) and "pixels" in seen:
            pixels = seen["pixels"]
            return dict(pixels) if isinstance(pixels, Mapping) else {"pixels": np.asarray(pixels)}
        picture = self._env.render()
        if not isinstance(picture, np.ndarray) or picture.ndim != 3:
            raise ValueError(
                f"{self.name}: expected pixels in the observation, or a picture from render(), got "
                f"{type(picture).__name__}"
            )
        return {"pixels": picture}

    def step(self, action: np.ndarray) -> None:
        """One step; what is outside of the action space is clipped to it."""
        numbers = np.clip(check_action(self.name, action, len(self._low)), self._low, self._high)
        dtype = self._env.action_space.dtype
        with _in_one_line(self.tasks[0]):
            self._seen, _, terminated, truncated, info = self._env.step(numbers.astype(dtype))
        said = [info[key] for key in SUCCESS if key in info]
        if not said:
            raise ValueError(
                f"{self.name}: expected {' or '.join(SUCCESS)} in info, got {sorted(info)}"
            )
        self._solved = self._solved or bool(said[0])
        self._steps += 1
        self._over = bool(terminated or truncated)
        self._command = numbers

    def expert(self) -> Act | None:
        """None: gymnasium's environments bring none."""
        return None

    def truth(self) -> np.ndarray | None:
        """None: they do not tell."""
        return None

    def close(self) -> None:
        self._env.close()


def _values(text: str, where: str) -> dict[str, Any]:
    """Arguments behind the question mark; numbers, true and false as JSON has them, else text."""
    values: dict[str, Any] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=bool(text))
    except ValueError:
        raise ValueError(
            f"gym:{where}: expected name=value&... behind the question mark, got {text!r}"
        ) from None
    for name, value in pairs:
        try:
            values[name] = json.loads(value)
        except ValueError:
            values[name] = value
    return values


def _make(where: str, arguments: dict[str, Any]) -> Any:
    with contextlib.suppress(ImportError):  # an environment may be of MuJoCo
        from ...sim import gl  # noqa: F401 chooses what to render with, headless too
    try:
        import gymnasium
    except ImportError as error:
        raise ModuleNotFoundError("gymnasium is not installed: pip install gymnasium") from error
    if where.startswith(f"{NAME}:") and not importlib.util.find_spec(NAME):
        raise ModuleNotFoundError(NOT_INSTALLED)
    fixed = {"disable_env_checker": True}  # advice for authors; what is asked is checked here
    with _in_one_line(where):
        return gymnasium.make(where, **{"render_mode": "rgb_array", **fixed, **arguments})


@contextlib.contextmanager
def _in_one_line(where: str) -> Iterator[None]:
    """ValueError that names the environment, for what gymnasium, it or its libraries raise."""
    try:
        yield
    except Exception as error:  # of whatever package
        if str(error).startswith("gym:"):
            raise
        words = " ".join(str(error).split())
        if isinstance(error, LookupError) or not words:  # as "KeyError: 'joint'"
            words = f"{type(error).__name__}: {words}"
        raise ValueError(f"gym:{where}: {words}") from error
