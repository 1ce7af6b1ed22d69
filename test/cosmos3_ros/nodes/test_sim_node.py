# SPDX-License-Identifier: Apache-2.0
"""The simulation node over DDS: what it publishes, obeys, refuses, and its clean end."""

import os
import signal

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim]

VIEWS = ("wrist", "exterior_1", "exterior_2")
ARM = [f"panda_joint{i}" for i in range(1, 8)]


class Client:
    """A node that keeps the newest message of every topic, and where it came from."""

    def __init__(self, node, executor):
        self.node, self._executor = node, executor
        self.seen = {}

    def listen(self, kind, topic, qos=10):
        self.seen[topic] = []
        self.node.create_subscription(kind, topic, self.seen[topic].append, qos)

    def last(self, topic):
        return self.seen[topic][-1]

    def spin(self, condition):
        """Wait for the condition, taking more messages than arrive, or topics drop some."""
        self._executor.spin_once(timeout_sec=0.05)
        for _ in range(20):
            self._executor.spin_once(timeout_sec=0.0)
        return condition()

    def call(self, wait_until, kind, name, **fields):
        client = self.node.create_client(kind, name)
        wait_until(lambda: self.spin(client.service_is_ready), f"service {name}")
        future = client.call_async(kind.Request(**fields))
        wait_until(lambda: self.spin(future.done), f"an answer of {name}")
        return future.result()


@pytest.fixture
def client(domain):
    import rclpy
    from rclpy.executors import SingleThreadedExecutor

    context = rclpy.Context()
    rclpy.init(context=context, domain_id=domain)
    node = rclpy.create_node("test_client", context=context)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    yield Client(node, executor)
    executor.shutdown()
    node.destroy_node()
    rclpy.shutdown(context=context)


def nanoseconds(message):
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def test_images_infos_and_joints(client, start, wait_until):
    from rclpy.qos import qos_profile_sensor_data
    from sensor_msgs.msg import CameraInfo, CompressedImage, Image, JointState

    from cosmos3_ros.robot.images import to_rgb

    for view in VIEWS:
        client.listen(Image, f"camera/{view}/image_raw", qos_profile_sensor_data)
        client.listen(CameraInfo, f"camera/{view}/camera_info")
    client.listen(CompressedImage, "camera/wrist/image_raw/compressed")
    client.listen(JointState, "joint_states")
    start("sim", "--ros-args", "-p", "image_height:=90", "-p", "image_width:=160")

    def common():
        stamps = [
            {nanoseconds(m) for m in messages}
            for topic, messages in client.seen.items()
            if "camera" in topic
        ]
        return set.intersection(*stamps)

    wait_until(lambda: client.spin(common), "a moment with a message on every camera topic")
    stamp = max(common())
    newest = {
        t: next(m for m in seen if nanoseconds(m) == stamp)
        for t, seen in client.seen.items()
        if "camera" in t
    }
    for view in VIEWS:
        image, info = newest[f"camera/{view}/image_raw"], newest[f"camera/{view}/camera_info"]
        assert (image.encoding, image.height, image.width) == ("rgb8", 90, 160)
        assert to_rgb(image).std() > 5.0
        assert (info.height, info.width) == (90, 160)
        assert image.header.frame_id == info.header.frame_id == f"{view}_optical_frame"
        fovy = 60.0 if view == "wrist" else 38.0
        assert np.allclose(2 * np.degrees(np.arctan(45 / info.k[4])), fovy)
        assert (info.k[2], info.k[5]) == (80.0, 45.0)
    compressed = newest["camera/wrist/image_raw/compressed"]
    raw = to_rgb(newest["camera/wrist/image_raw"]).astype(int)
    assert np.abs(to_rgb(compressed).astype(int) - raw).mean() < 4.0
    wait_until(lambda: client.spin(lambda: client.seen["joint_states"]), "joint states")
    joints = client.last("joint_states")
    assert joints.name == [*ARM, "finger_joint"]
    assert len(joints.position) == len(joints.velocity) == 8
    now = client.node.get_clock().now().nanoseconds
    assert -1 < (now - nanoseconds(joints)) / 1e9 < 5


def test_commands_move_the_arm_and_wrong_ones_are_refused(client, start, wait_until):
    from builtin_interfaces.msg import Duration
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64MultiArray
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    client.listen(JointState, "joint_states")
    process = start("sim", "--ros-args", "-p", "publish_clock:=true", "-p", "real_time_factor:=0.0")
    trajectories = client.node.create_publisher(
        JointTrajectory, "arm_controller/joint_trajectory", 5
    )
    streams = client.node.create_publisher(Float64MultiArray, "arm_position_controller/commands", 5)
    grips = client.node.create_publisher(Float64MultiArray, "gripper_controller/commands", 5)
    names = client.node.create_publisher(JointState, "joint_command", 5)

    def matched() -> bool:
        outputs = (trajectories, streams, grips, names)
        return all(publisher.get_subscription_count() for publisher in outputs)

    wait_until(
        lambda: client.spin(lambda: matched() and client.seen["joint_states"]), "the simulation"
    )

    def arrives(joint, position, tolerance=0.01):
        def there():
            last = client.last("joint_states")
            return abs(last.position[last.name.index(joint)] - position) < tolerance

        wait_until(lambda: client.spin(there), f"{joint} at {position}")

    goal = list(client.last("joint_states").position[:7])
    goal[0] += 0.3
    point = JointTrajectoryPoint(positions=goal[::-1], time_from_start=Duration(sec=1))
    trajectories.publish(JointTrajectory(joint_names=ARM[::-1], points=[point]))
    arrives("panda_joint1", goal[0])

    trajectories.publish(JointTrajectory(joint_names=ARM[:6], points=[point]))
    process.wait_for(
        "arm_controller/joint_trajectory refused: trajectory: expected each of the joints"
    )
    goal[0] -= 0.2
    streams.publish(Float64MultiArray(data=goal))
    arrives("panda_joint1", goal[0])
    grips.publish(Float64MultiArray(data=[0.8]))
    arrives("finger_joint", 0.8)
    names.publish(JointState(name=["finger_joint", "panda_joint7"], position=[0.0, goal[6] + 0.2]))
    arrives("finger_joint", 0.0)
    arrives("panda_joint7", goal[6] + 0.2)
    arrives("panda_joint1", goal[0])


def test_resets_status_clock_and_end(client, start, wait_until):
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState

    from cosmos3_ros.msg import TaskStatus
    from cosmos3_ros.srv import ResetTask

    for kind, topic in (
        (Clock, "/clock"),
        (TaskStatus, "sim/status"),
        (JointState, "joint_states"),
    ):
        client.listen(kind, topic)
    options = ("task:=lift", "seed:=4", "publish_clock:=true", "real_time_factor:=0.0")
    process = start("sim", "--ros-args", *(word for option in options for word in ("-p", option)))
    wait_until(lambda: client.spin(lambda: all(client.seen.values())), "clock, status and joints")
    wait_until(
        lambda: client.spin(lambda: client.last("sim/status").real_time_factor > 1.0),
        "a factor above 1",
    )
    status = client.last("sim/status")
    assert (status.task, status.seed, status.episode, status.success) == ("lift", 4, 1, False)
    assert status.instruction.startswith("pick up the ")

    answer = client.call(wait_until, ResetTask, "sim/reset_task", task="drawer", seed=7)
    assert (answer.success, answer.instruction) == (True, "open the drawer")
    wait_until(
        lambda: client.spin(lambda: client.last("sim/status").episode == 2), "the second episode"
    )
    status = client.last("sim/status")
    assert (status.task, status.seed) == ("drawer", 7)
    assert answer.stamp.sec <= status.header.stamp.sec

    answer = client.call(wait_until, ResetTask, "sim/reset_task", task="fly", seed=0)
    assert not answer.success
    assert "reach, lift, push, bowl, drawer" in answer.message
    assert "'fly'" in answer.message

    answer = client.call(wait_until, ResetTask, "sim/reset_task", task="", seed=-1)
    assert answer.success
    wait_until(
        lambda: client.spin(lambda: client.last("sim/status").episode == 3), "the third episode"
    )
    status = client.last("sim/status")
    assert (status.task, status.seed) == ("drawer", 8)
    for number, seed in enumerate((2**63 - 1, -1)):  # the next of the last seed is the first
        assert client.call(wait_until, ResetTask, "sim/reset_task", task="", seed=seed).success
        wait_until(
            lambda episode=4 + number: client.spin(
                lambda: client.last("sim/status").episode == episode
            ),
            "the next episode",
        )
    assert client.last("sim/status").seed == 0
    # Simulated time goes on over resets, and everything is stamped with it.
    clocks = [
        message.clock.sec * 10**9 + message.clock.nanosec for message in client.seen["/clock"]
    ]
    assert clocks == sorted(clocks)
    assert 0 < nanoseconds(client.last("joint_states")) < 1000 * 10**9

    os.kill(process.process.pid, signal.SIGINT)
    assert process.interrupt() == 0
    assert "Traceback" not in process.output


def test_real_time(client, start, wait_until):
    from sensor_msgs.msg import Image

    from cosmos3_ros.msg import TaskStatus

    client.listen(TaskStatus, "sim/status")
    client.listen(Image, "camera/wrist/image_raw")
    process = start("sim")
    arrived = client.seen["sim/status"]
    wait_until(
        lambda: client.spin(lambda: any(0.97 < s.real_time_factor < 1.03 for s in arrived)),
        "real time",
    )
    os.kill(process.process.pid, signal.SIGTERM)
    assert process.process.wait(30) == 0


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (
            "task:=fly",
            "error: task: expected one of reach, lift, push, bowl, drawer, close_drawer, stack, "
            "lift_small, lift_edge, lift_clutter, lift_knocked, lift_turning, catch, "
            "bowl_then_lift, lift_bar, got 'fly'",
        ),
        ("scene:=nowhere.yaml", "error: nowhere.yaml: no such file"),
        (
            "camera_rate:=7.0",
            "error: parameter 'camera_rate': expected a divisor of 120 Hz, got 7.0",
        ),
    ],
)
def test_wrong_parameters_end_it_with_one_line(start, option, words):
    process = start("sim", "--ros-args", "-p", option)
    assert process.process.wait(60) == 2
    # colored: of Fast DDS
    ours = [line for line in process.output.splitlines() if not line.startswith("\x1b")]
    assert [line for line in ours if line.strip()] == [words]


def test_no_opengl_ends_it_with_one_line(start, monkeypatch):
    monkeypatch.setenv("MUJOCO_GL", "disable")
    process = start("sim")
    assert process.process.wait(60) == 1
    errors = [line for line in process.output.splitlines() if line.startswith("error")]
    assert len(errors) == 1
    assert "apt-get install libegl1" in errors[0]
    assert "Traceback" not in process.output


def test_an_experts_actions_solve_the_task_through_commander_and_controllers(
    client, start, wait_until
):
    """Recorded in this process and sent as one chunk: over ROS the same seed ends the same."""
    from cosmos3_ros.model.interface import NS, ActionChunk
    from cosmos3_ros.msg import CommanderStatus, TaskStatus
    from cosmos3_ros.robot.robot_file import find_robot_file
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_message
    from cosmos3_ros.sim.arm_constants import FINGER, FINGER_CLOSED, JOINTS
    from cosmos3_ros.sim.env import Env
    from cosmos3_ros.sim.expert import Expert
    from cosmos3_ros.srv import ResetTask

    env, actions = Env(views=()), []
    env.reset("lift", 0)
    expert = Expert(env.simulation)
    while not env.success:
        actions.append(expert.act())
        env.step(actions[-1])
    values = np.array(actions + 10 * actions[-1:], np.float32)
    values[:, 7] *= FINGER_CLOSED

    client.listen(TaskStatus, "sim/status")
    client.listen(CommanderStatus, topics.COMMANDER_STATUS.name, topics.COMMANDER_STATUS.qos)
    chunks = client.node.create_publisher(
        topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, topics.ACTION_CHUNK.qos
    )
    status, robot = (
        topics.COMMANDER_STATUS.name,
        ("--ros-args", "--params-file", find_robot_file("droid_sim")),
    )
    start("sim", *robot)
    patient = ("-p", "max_state_age:=2.0")  # the machine may stand still for a moment
    commander = start("commander", *robot, *patient, "-p", "armed:=true")
    wait_until(
        lambda: client.spin(lambda: all(client.seen.values()) and chunks.get_subscription_count()),
        "the nodes",
    )
    commander.wait_for("armed: commands go to the controllers")

    def accepted():
        """Sent until the commander plays it: it wants to have seen joint states first."""
        now = client.node.get_clock().now().nanoseconds
        chunk = ActionChunk(values, JOINTS, stamp=now, step=NS // 15, discrete=(FINGER,))
        chunks.publish(
            chunk_message(chunk, number=1, instruction="", embodiment="droid_sim", seconds={})
        )
        return client.spin(lambda: client.last(status).mode == "playing")

    def performed():
        """From a reset to the end of the chunk; why the cube was not lifted, empty if it was."""
        client.call(wait_until, ResetTask, "sim/reset_task", task="lift", seed=0)
        wait_until(accepted, "the commander to play")
        wait_until(
            lambda: client.spin(lambda: client.last(status).mode != "playing"),
            "the chunk to end",
            60.0,
        )
        heard = len(client.seen["sim/status"])
        wait_until(
            lambda: client.spin(lambda: len(client.seen["sim/status"]) > heard + 1), "how it ended"
        )
        return "" if client.last("sim/status").success else client.last(status).reason

    why = ""
    # after a second's standstill the arm, rightly, holds or is late for the rest
    for _ in range(3):
        if not (why := performed()):
            return
    pytest.fail(why)


def test_a_reset_that_comes_while_it_ends_is_refused(domain):
    import rclpy

    from cosmos3_ros.nodes.sim_node import SimNode
    from cosmos3_ros.ros.shutdown_signal import Stop
    from cosmos3_ros.srv import ResetTask

    rclpy.init(args=[])
    try:
        node, stop = SimNode(), Stop()
        stop.set()
        node.run(stop)
        answer = node._on_reset(ResetTask.Request(), ResetTask.Response())
        assert (answer.success, answer.message) == (False, "the simulation is ending")
        node.close()
        node.destroy_node()
    finally:
        rclpy.shutdown()
