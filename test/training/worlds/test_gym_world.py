# SPDX-License-Identifier: Apache-2.0
"""Environments of gymnasium by LeRobot's convention, and what is refused of others."""

from typing import ClassVar

import numpy as np
import pytest

from cosmos3_ros.training.worlds.catalog import open_world
from cosmos3_ros.training.worlds.gym_world import GymWorld
from cosmos3_ros.training.worlds.world import check_world

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium is not installed")


class Point(gymnasium.Env):
    """A point on a line, which is to come to 1; `shows` and `says` break the convention."""

    metadata: ClassVar = {"render_modes": ["rgb_array"], "render_fps": 10}
    action_space = gymnasium.spaces.Box(-0.5, 0.5, (2,))
    observation_space = gymnasium.spaces.Dict({})
    task_description = "bring the point to one"

    def __init__(self, render_mode=None, shows="both", says="is_success", goal=1.0):
        self.shows, self.says, self.goal = shows, says, goal

    def _see(self):
        picture = np.zeros((8, 12, 3), np.uint8)
        seen = {"agent_pos": self.at.astype(np.float64), "pixels": picture}
        cases = {
            "both": seen,
            "cameras": {**seen, "pixels": {"top": picture, "side": picture}},
            "flat": self.at,
            "pixels": {"pixels": picture},
            "picture": picture,
        }
        if self.shows == "raises":
            raise RuntimeError("no light\nin here")
        return cases[self.shows]

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.at = self.np_random.uniform(-0.1, 0.1, 2)
        return self._see(), {}

    def step(self, action):
        assert (np.abs(action) <= 0.5).all()
        assert action.dtype == np.float32
        self.at = self.at + action
        done = bool(self.at[0] >= self.goal)
        return self._see(), 0.0, done, False, {self.says: done}

    def render(self):
        return np.ones((8, 12, 3), np.uint8)


gymnasium.register("here/Point-v0", entry_point=Point, max_episode_steps=6)


def test_an_episode_of_the_convention():
    open_world.cache_clear()
    world = open_world("gym:here/Point-v0?goal=0.8")
    world.reset("here/Point-v0", 3)
    assert world.instruction == "bring the point to one"
    assert (world.fps, world.horizon, len(world.commands)) == (10.0, 6, 2)
    seen = world.observe()
    assert seen.state.dtype == np.float32
    assert seen.images["pixels"].shape == (8, 12, 3)
    assert not world.observe(look=False).images
    world.step(np.array([2.0, 0.0]))  # clipped
    assert world.command.tolist() == [0.5, 0.0]
    assert not world.success
    world.step(np.array([0.5, 0.0]))
    assert world.success
    assert world.horizon == 2  # it is over
    assert world.observe().stamp == 200_000_000
    first = seen.state
    world.reset("here/Point-v0", 3)
    assert world.observe().state.tolist() == first.tolist()
    assert not world.success
    assert world.expert() is world.truth() is None
    assert check_world("here", world) is world
    open_world.cache_clear()


def test_pictures_of_several_cameras_and_of_none():
    assert GymWorld("here/Point-v0?shows=cameras").views == ("top", "side")
    flat = GymWorld("here/Point-v0?shows=flat")
    assert flat.observe().images["pixels"].max() == 1  # from render()
    assert len(flat.state) == 2


@pytest.mark.parametrize(
    ("id_", "words"),
    [
        ("", "env: expected gym:ID or gym:MODULE:ID, .* got 'gym:'"),
        ("a:b:c", "env: expected gym:ID or gym:MODULE:ID, .* got 'gym:a:b:c'"),
        ("here/Point-v0?goal", "gym:here/Point-v0: expected name=value&.*, got 'goal'"),
        ("here/Point-v0?shows=raises", "^gym:here/Point-v0: no light in here$"),
        ("Nowhere-v0", "gym:Nowhere-v0: .*Nowhere"),
        ("no_such_module:Env-v0", "gym:no_such_module:Env-v0: .*no_such_module"),
        ("here/Point-v0?speed=3", "gym:here/Point-v0: .*speed"),
        ("here/Point-v0?shows=pixels", r"expected agent_pos in the observation, got \['pixels'\]"),
        ("here/Point-v0?shows=picture", r"got an array of shape \[8, 12, 3\]"),
        ("CartPole-v1", "CartPole-v1: expected actions that are a row of numbers, got Discrete"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(id_, words):
    with pytest.raises(ValueError, match=words) as refused:
        GymWorld(id_)
    assert "\n" not in str(refused.value)


def test_actions_and_rates_of_other_kinds_are_refused(monkeypatch):
    for space in (gymnasium.spaces.MultiDiscrete([3, 3]), gymnasium.spaces.MultiBinary(2)):
        monkeypatch.setattr(Point, "action_space", space)
        with pytest.raises(ValueError, match="expected actions that are a row of numbers, got M"):
            GymWorld("here/Point-v0")
    monkeypatch.undo()
    for rate in ("fast", None, 0, float("nan")):
        monkeypatch.setattr(Point, "metadata", {**Point.metadata, "render_fps": rate})
        with pytest.raises(ValueError, match=rf"expected metadata\['render_fps'\].*, got {rate!r}"):
            GymWorld("here/Point-v0")


def test_meta_world_through_gymnasium_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"^Meta-World is not installed: make metaworld$"):
        GymWorld("metaworld:Meta-World/MT1")


def test_what_an_environment_raises_in_mid_episode_names_it(monkeypatch):
    world = GymWorld("here/Point-v0")
    world.reset("here/Point-v0", 0)
    monkeypatch.setattr(Point, "step", lambda self, action: {}["joint"])
    with pytest.raises(ValueError, match=r"^gym:here/Point-v0: KeyError: 'joint'$"):
        world.step(np.zeros(2))
    monkeypatch.setattr(Point, "task_description", None)
    assert world.instruction == "Point v0"


def test_a_world_that_does_not_say_when_it_is_solved_is_refused():
    world = GymWorld("here/Point-v0?says=won")
    world.reset("here/Point-v0", 0)
    with pytest.raises(ValueError, match=r"expected is_success or success in info, got \['won'\]"):
        world.step(np.zeros(2))
    with pytest.raises(ValueError, match="protocol of gym:here/Point-v0: expected gym, got 'evo1'"):
        GymWorld("here/Point-v0", "evo1")
