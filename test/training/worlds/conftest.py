# SPDX-License-Identifier: Apache-2.0
"""A world without physics, installed as another package would install its own."""

import numpy as np
import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import NS, Observation
from cosmos3_ros.training.options import GroundTruthOptions
from cosmos3_ros.training.worlds import catalog
from cosmos3_ros.training.worlds.world import ExamProtocol, check_action, check_task

ROBOT = EMBODIMENTS["droid_sim"]


class Ideal:
    """Joints that are at once where they are sent; solved where they are to be, if that is near.

    The task is where to, in tenths of a rad; with an odd seed it cannot be solved.
    """

    name = "ideal"
    protocol = ExamProtocol("plain", "here", 2, 100, {"near": ("1", "2"), "far": ("3",)})
    tasks = ("1", "2", "3")
    views = ROBOT.views
    state = ROBOT.state
    commands = ROBOT.action
    fps = 30.0
    horizon = 12
    success = False
    ground_truth = GroundTruthOptions("simulation.truth", (0, 1), (), (0.0, 0.0), (1.0, 1.0))
    noise = (0.01,) * 8
    pull = (0.3,) * 8

    def __init__(self, protocol="", seed=None, exam=True):
        self.opened = (protocol, seed, exam)
        self.sent = []

    def reset(self, task, seed):
        check_task(self.name, task, self.tasks)
        self.goal, self.solvable = float(task) / 10, seed % 2 == 0
        self.at, self.success, self.sent = np.zeros(8), False, []

    @property
    def instruction(self):
        return f"go to {self.goal}"

    def observe(self, look=True):
        gray = np.full((36, 64, 3), 128, np.uint8)
        images = {view: gray for view in self.views if look}
        stamp = round(len(self.sent) * NS / self.fps)
        return Observation(images, self.at.astype(np.float32), self.instruction, stamp)

    def step(self, action):
        self.at = check_action(self.name, action, 8)
        self.sent.append(self.at)
        near = np.abs(self.at[:7] - self.goal).max() < 0.04
        self.success = self.success or bool(near and self.solvable)

    @property
    def command(self):
        return self.at

    def to_command(self, action):
        return action

    def to_action(self, command):
        return command

    def expert(self):
        return lambda: self.at + np.clip(self.goal - self.at, -0.05, 0.05)

    def truth(self):
        return np.array([self.goal, np.nan])

    def close(self):
        """Nothing is held."""


class Point:
    """An entry point, as `importlib.metadata` has them."""

    name, value = "ideal", "other_package:Ideal"

    def __init__(self, made):
        self.load = lambda: made


@pytest.fixture
def ideal(monkeypatch):
    """The world, which `open_world` finds under its name."""
    monkeypatch.setattr(catalog, "entry_points", lambda group: [Point(Ideal)])
    catalog.open_world.cache_clear()
    yield Ideal()
    catalog.open_world.cache_clear()
