# SPDX-License-Identifier: Apache-2.0
"""Simulated robots of scene files: units, servos, cameras, and that the expert solves its task."""

import numpy as np
import pytest

from cosmos3_ros.sim.scene_file.schema import read_scene

pytestmark = pytest.mark.sim

URDF = """<robot name="r">
  <link name="base"/>
  {links}
  {joints}
</robot>"""
LINK = """<link name="{0}"><inertial><mass value="0.5"/><origin xyz="0.1 0 0"/>
  <inertia ixx="0.01" iyy="0.01" izz="0.01" ixy="0" ixz="0" iyz="0"/></inertial></link>"""
JOINT = """<joint name="{0}" type="{1}"><parent link="{2}"/><child link="{3}"/><axis xyz="{4}"/>
  <origin xyz="0.2 0 0"/><limit lower="-2" upper="2" effort="50" velocity="2"/></joint>"""


@pytest.fixture
def simulation(write):
    """Function that makes a simulation of the scene file with some words replaced."""
    from cosmos3_ros.sim.scene_file.scene_simulation import SceneSimulation

    made = []

    def make(*words: str, **files: str):
        made.append(SceneSimulation(read_scene(write(*words, **files))))
        return made[-1]

    yield make
    for each in made:
        each.close()


def play(simulation, seed: int) -> float:
    """Follow the expert; how far the arm was from its targets at most."""
    simulation.reset("bow", seed)
    motion, finger, worst = simulation.scene.task("bow"), simulation.opened, 0.0
    grips = dict(motion.grips())
    for at, target, _ in motion.points(simulation.start, 120.0):
        finger = grips.pop(next((time for time in grips if time <= at), -1.0), finger)
        simulation.tick(target, finger)
        worst = max(worst, float(np.abs(simulation.positions()[:2] - target).max()))
    for _ in range(60):
        simulation.tick(target, finger)
    return worst


def test_the_expert_solves_its_task_from_anywhere(simulation) -> None:
    robot = simulation()
    starts = []
    for seed in range(3):
        assert play(robot, seed) < 6.0  # deg, while it moves
        assert robot.success
        assert np.abs(robot.positions()[:2] - [-30.0, 40.0]).max() < 0.1
        assert robot.positions()[2] == pytest.approx(0.0, abs=1.0)
        starts.append(tuple(robot.start))
    assert len({*starts}) == 3
    assert (np.abs(np.array(starts) - [10.0, 60.0]) <= [20.0, 10.0]).all()


def test_positions_and_velocities_are_in_the_units_of_the_topics(simulation) -> None:
    robot = simulation()
    robot.reset("bow", 0)
    data, model = robot.world.data, robot.world.model
    said = robot.positions()
    assert said[0] == pytest.approx(np.degrees(data.joint("r/turn").qpos[0]))
    # counts the other way, and 0 rad is 90
    assert said[1] == pytest.approx(90.0 - np.degrees(data.joint("r/lift").qpos[0]))
    assert said[2] == pytest.approx(100.0)
    data.qvel[model.joint("r/lift").dofadr[0]] = 1.0
    data.qvel[model.joint("r/jaw").dofadr[0]] = -0.05
    assert robot.velocities()[1] == pytest.approx(-np.degrees(1.0))
    assert robot.velocities()[2] == pytest.approx(-100.0)


def test_what_is_not_the_robots_stays_where_the_keyframe_has_it(simulation) -> None:
    robot = simulation()
    play(robot, 0)
    assert robot.world.data.joint("sways").qpos[0] == pytest.approx(0.7, abs=0.15)


def test_targets_are_clipped_and_a_task_is_not_solved_by_itself(simulation) -> None:
    robot = simulation()
    robot.reset("bow", 1)
    for _ in range(240):
        robot.tick(np.array([500.0, 60.0]), 100.0)
    assert robot.positions()[0] == pytest.approx(np.degrees(2.0), abs=0.5)
    assert not robot.success
    with pytest.raises(ValueError, match="expected one of bow"):
        robot.reset("dance", 0)
    assert robot.task == "bow"


def test_each_camera_has_a_size_of_its_own(simulation) -> None:
    robot = simulation()
    robot.reset("bow", 0)
    for view, size in (("side", (48, 64)), ("hand", (32, 96)), ("side", (48, 64))):
        picture = robot.render(view)
        assert picture.shape == (*size, 3)
        assert picture.std() > 5
    assert robot.intrinsics("hand")[0, 0] == pytest.approx(16 / np.tan(np.radians(30)))
    assert robot.intrinsics("hand")[:2, 2].tolist() == [48.0, 16.0]


def test_a_urdf_without_any_servo_moves_as_well(simulation) -> None:
    joints = (
        ("turn", "revolute", "0 0 1"),
        ("lift", "revolute", "0 1 0"),
        ("jaw", "prismatic", "0 1 0"),
    )
    links = ["base", *(f"{name}_link" for name, _, _ in joints)]
    described = [
        JOINT.format(f"r_{name}", kind, links[i], links[i + 1], axis)
        for i, (name, kind, axis) in enumerate(joints)
    ]
    text = URDF.format(links="".join(map(LINK.format, links[1:])), joints="".join(described))
    words = ["robot.xml", "robot.urdf", "prefix: r/", "prefix: r_", "body: hand", "body: lift_link"]
    words += ["{camera: side, ", "{position: [0, -1, 1], looks_at: [0, 0, 0], "]
    robot = simulation(*words, model=text, name="robot.urdf")
    play(robot, 0)
    assert robot.success


LACKS = {
    "a joint": ("{joint: lift,", "{joint: lifts,", "joints: .* no 'r/lifts', .* mean 'r/lift'"),
    "a camera": ("camera: side,", "camera: sied,", "cameras: .* no 'sied', .* mean 'side'"),
    "a body": ("body: hand", "body: hnad", "cameras: .* no 'hnad', did you mean 'hand'"),
    "a keyframe": ("prefix", "keyframe: redy\nprefix", "keyframe: .* no 'redy', .* 'ready'"),
    "servos": ("servo: 5.0", "servo: 0.0", "no position servo for r/turn, r/lift, r/jaw; exp"),
}


@pytest.mark.parametrize("name", LACKS)
def test_what_the_model_lacks_is_named(simulation, name: str) -> None:
    old, new, expected = LACKS[name]
    with pytest.raises(ValueError, match=expected) as error:
        simulation(old, new)
    assert "\n" not in str(error.value)
    assert "robot.xml" in str(error.value)


def test_a_damaged_model_is_one_line(simulation) -> None:
    with pytest.raises(ValueError, match=r"robot.xml: .*") as error:
        simulation(model="<mujoco><worldbody><body></worldbody></mujoco>")
    assert "\n" not in str(error.value)
