# SPDX-License-Identifier: Apache-2.0
"""The executable `world`: a world's state is measured, its commands are obeyed, over DDS."""

import time

import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim]

ARGUMENTS = [
    word
    for setting in ("env:=sim", "task:=reach", "camera_rate:=5.0", "joint_rate:=15.0")
    for word in ("-p", setting)
]


def test_a_world_measures_obeys_and_is_reset(start, watcher, wait_until):
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import Image, JointState

    from cosmos3_ros.ros import topics
    from cosmos3_ros.srv import ResetTask

    states, images, status = [], [], []
    watcher.create_subscription(JointState, "joint_states", states.append, 10)
    watcher.create_subscription(
        Image, "camera/wrist/image_raw", images.append, qos_profile_sensor_data
    )
    watcher.create_subscription(
        topics.SIM_STATUS.type, topics.SIM_STATUS.name, status.append, topics.SIM_STATUS.qos
    )
    command = watcher.create_publisher(JointState, topics.JOINT_COMMAND.name, 10)
    world = start("world", "--ros-args", *ARGUMENTS)
    wait_until(lambda: states and images and status, "joints, a picture and the status")
    assert list(states[-1].name) == [*(f"panda_joint{n}" for n in range(1, 8)), "gripper"]
    wait_until(lambda: command.get_subscription_count() > 0, "the world to listen")
    first = states[-1].position[0]

    def moved():
        command.publish(JointState(name=["panda_joint1"], position=[first + 0.1]))
        time.sleep(0.05)
        return abs(states[-1].position[0] - first - 0.1) < 1e-6

    wait_until(moved, "the joint where it was sent")
    client = watcher.create_client(ResetTask, "sim/reset_task")
    wait_until(client.service_is_ready, "the service")
    answer = client.call(ResetTask.Request(task="lift", seed=3))
    assert answer.success, answer.message
    assert answer.instruction
    wait_until(lambda: (status[-1].task, status[-1].seed) == ("lift", 3), "the new episode")
    wait_until(lambda: abs(states[-1].position[0] - first) < 0.05, "the arm where episodes begin")
    answer = client.call(ResetTask.Request(task="nothing", seed=3))
    assert not answer.success
    assert "task of sim: expected one of reach" in answer.message
    assert world.interrupt() == 0


@pytest.mark.parametrize(
    ("settings", "code", "words"),
    [
        ([], 2, "parameter 'env': expected a world, got ''"),
        (["env:=nothing"], 2, "env: expected sim, metaworld or gym:ID, got 'nothing'"),
        (["env:=sim", "task:=nothing"], 2, "task of sim: expected one of reach"),
        (["env:=sim", "protocol:=evo1"], 2, "protocol of sim: expected suite, got 'evo1'"),
        (
            ["env:=sim", "camera_rate:=4.0"],
            2,
            "'camera_rate': expected a divisor of 15 Hz, got 4.0",
        ),
        (["env:=sim", "scene:=x.yaml"], 2, "expected one of them"),
        (["protocol:=evo1"], 2, "'protocol': expected '' without env"),
    ],
)
def test_what_cannot_be_played_is_said_in_one_line(start, settings, code, words):
    rates = [] if any("camera_rate" in word for word in settings) else ["camera_rate:=5.0"]
    rates = [*rates, "joint_rate:=15.0"] if "env:=sim" in settings else []
    given = [word for setting in (*settings, *rates) for word in ("-p", setting)]
    world = start("world", "--ros-args", *given)
    assert world.process.wait(60) == code
    lines = [line for line in world.output.splitlines() if "error:" in line]
    assert len(lines) == 1
    assert words in lines[0]
