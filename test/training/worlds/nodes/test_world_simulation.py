# SPDX-License-Identifier: Apache-2.0
"""A world in ticks: its commands are joints, its readings are measured, its end is its own."""

import numpy as np
import pytest

from cosmos3_ros.model.embodiment.units import Column
from cosmos3_ros.training.worlds.nodes.world_simulation import WorldSimulation

STAY = np.zeros(1)


def test_commands_are_joints_that_follow_at_once(ideal):
    simulation = WorldSimulation(ideal)
    simulation.reset("1", 100)
    assert (simulation.rate, simulation.views) == (30, ideal.views)
    assert simulation.arm == tuple(column.name for column in ideal.commands)
    assert (simulation.task, simulation.seed) == ("1", 100)
    assert simulation.start.tolist() == [0.0] * 8
    simulation.tick(np.full(8, 0.05), STAY)
    assert simulation.positions().tolist() == [0.05] * 8
    assert simulation.velocities().tolist() == pytest.approx([1.5] * 8)
    assert simulation.elapsed == 33333333
    simulation.tick(np.full(8, 0.1), STAY)
    assert simulation.success
    assert simulation.instruction == "go to 0.1"


def test_the_effort_of_fingers_is_a_grippers(ideal, monkeypatch):
    columns = (*ideal.commands[:7], Column("effort", "controller"))
    monkeypatch.setattr(ideal, "commands", columns, raising=False)
    simulation = WorldSimulation(ideal)
    simulation.reset("1", 101)
    assert (simulation.arm, simulation.finger) == (tuple(c.name for c in columns[:7]), "effort")
    assert simulation.start.shape == (7,)
    simulation.tick(np.full(7, 0.05), np.array([-0.5]))
    assert simulation.positions().tolist() == [0.05] * 7 + [-0.5]


def test_a_world_waits_for_the_first_command(ideal):
    simulation = WorldSimulation(ideal)
    simulation.reset("1", 101)
    for _ in range(ideal.horizon + 5):
        simulation.tick(simulation.start, STAY)
    assert (len(ideal.sent), simulation.elapsed) == (0, 0)
    simulation.tick(np.full(8, 0.05), STAY)
    simulation.tick(np.zeros(8), STAY)  # back at the beginning is no waiting
    assert (len(ideal.sent), simulation.elapsed) == (2, 2 * 10**9 // 30)


def test_a_world_rests_after_its_horizon_and_its_clock_goes_on(ideal):
    simulation = WorldSimulation(ideal)
    simulation.reset("1", 101)
    for _ in range(ideal.horizon + 5):
        simulation.tick(np.full(8, 0.1), STAY)
    assert len(ideal.sent) == ideal.horizon
    assert simulation.elapsed == (ideal.horizon + 5) * 10**9 // 30
    simulation.reset("2", 102)
    assert (simulation.elapsed, ideal.sent) == (0, [])


def test_what_no_command_has_is_read_in_the_units_of_the_world(ideal, monkeypatch):
    names = ("height", "opening", *(column.name for column in ideal.commands[2:]))
    columns = [Column(name, "rad") for name in names]
    columns[1] = Column("opening", "fraction", gripper=True, opened=1.0, closed=0.0)
    monkeypatch.setattr(ideal, "state", tuple(columns), raising=False)
    simulation = WorldSimulation(ideal)
    simulation.reset("1", 100)
    simulation.tick(np.full(8, 0.25), STAY)
    assert simulation.readings() == pytest.approx({"height": 0.25, "opening": 0.75})


def test_pictures_have_their_size_and_no_calibration(ideal):
    simulation = WorldSimulation(ideal)
    simulation.reset("1", 100)
    view = simulation.views[0]
    assert simulation.size(view) == (36, 64)
    assert simulation.render(view).shape == (36, 64, 3)
    assert not simulation.intrinsics(view).any()


def test_what_cannot_be_played_is_refused(ideal, monkeypatch):
    with pytest.raises(ValueError, match="task of ideal: expected one of 1, 2, 3, got '4'"):
        WorldSimulation(ideal).reset("4", 0)
    with pytest.raises(ValueError, match="wording of ideal: expected 0, got 1"):
        WorldSimulation(ideal).reset("1", 0, 1)
    monkeypatch.setattr(ideal, "fps", 12.5, raising=False)
    with pytest.raises(ValueError, match=r"ideal: expected a whole number of steps .*got 12\.5"):
        WorldSimulation(ideal)
