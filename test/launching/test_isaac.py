# SPDX-License-Identifier: Apache-2.0
"""The wiring for Isaac Sim: topic names, commands, clock; the embedded simulation stands in."""

from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim]

# what the embedded checkpoint was trained for, and no more than its share
CHANGES = {"guidance": 1.0, "threads": 1}


def seconds(message: Any) -> float:
    return message.header.stamp.sec + 1e-9 * message.header.stamp.nanosec


def test_the_arm_moves_by_joint_commands_and_everything_begins_anew_when_the_clock_does(
    start: Any, watcher: Any, wait_until: Any
) -> None:
    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.ros import topics

    heard: dict[str, list[Any]] = {}
    for topic in (
        topics.JOINT_COMMAND,
        topics.JOINT_STATES,
        topics.ACTION_CHUNK,
        topics.COMMANDER_STATUS,
    ):
        heard[topic.name] = []
        watcher.create_subscription(topic.type, topic.name, heard[topic.name].append, topic.qos)
    chunks, commands, states = (
        heard[name] for name in ("cosmos3/action_chunk", "joint_command", "joint_states")
    )

    def measured() -> np.ndarray:
        return np.array(states[-1].position[:7])

    def moved() -> bool:
        return len(chunks) > 2 and len(commands) > 50 and np.abs(measured() - begin).max() > 0.03

    options = Options(
        "isaac_droid", use_sim_time=True, armed=True, reasoner=False, instruction="open the drawer"
    )
    robot, policy, commander = processes(options)
    extra = [word for name, value in CHANGES.items() for word in ("-p", f"policy:{name}:={value}")]
    isaac = start(robot.executable, *robot.arguments())
    brain = start(policy.executable, *policy.arguments(), *extra)
    hand = start(commander.executable, *commander.arguments())

    wait_until(lambda: states, "joint states", 60)
    begin = measured()
    wait_until(moved, "the arm to move", 90)
    names = {name for name, _ in watcher.get_topic_names_and_types()}
    assert {"/wrist_cam/rgb", "/over_shoulder_left_camera/rgb", "/joint_command", "/clock"} <= names
    assert not any(
        name.startswith("/camera/wrist/image_raw") and "compressed" not in name for name in names
    )
    assert watcher.count_publishers("arm_controller/joint_trajectory") == 0
    command = commands[-1]
    assert list(command.name) == [*(f"panda_joint{k}" for k in range(1, 8)), "finger_joint"]
    assert len(command.position) == 8
    assert not command.velocity
    assert seconds(command) < 1000, "simulated time"

    wait_until(lambda: seconds(states[-1]) > 3, "a clock that can jump")
    last = seconds(chunks[-1])
    assert isaac.interrupt() == 0  # the timeline stops; played again, it begins at 0
    states.clear()
    start(robot.executable, *robot.arguments())
    hand.wait_for("the clock jumped back: holding until a chunk answers", 60)
    brain.wait_for("the clock jumped back; everything older is forgotten", 60)
    wait_until(lambda: seconds(chunks[-1]) < last, "a chunk on the new clock", 60)
    commands.clear()
    wait_until(lambda: states, "joint states again", 60)
    begin = measured()
    wait_until(lambda: commands and seconds(commands[-1]) < last, "commands on the new clock", 60)
    wait_until(moved, "the arm to move again", 60)
    assert hand.interrupt() == brain.interrupt() == 0
