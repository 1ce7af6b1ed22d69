# SPDX-License-Identifier: Apache-2.0
"""The policy node's inputs over time, by its own callbacks and a stepped clock."""

import contextlib
import dataclasses
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.execution.observation_buffer import Sample
from cosmos3_ros.model.embodiment import EMBODIMENTS, Embodiment
from cosmos3_ros.model.embodiment.units import Column
from cosmos3_ros.model.interface import NS, ActionChunk, Observation, Prediction

DROID_SIM = EMBODIMENTS["droid_sim"]

pytestmark = pytest.mark.ros

ARM = [f"panda_joint{k}" for k in range(1, 8)]
JOINTS = [*ARM, "finger_joint"]
MS = NS // 1000
VIEWS = DROID_SIM.views
LATENCY = 30 * MS


class Idle:
    """A policy whose network is never asked."""

    def __init__(self, embodiment: Embodiment = DROID_SIM) -> None:
        self.embodiment = embodiment

    def reset(self) -> None: ...


class AtOnce:
    """In place of the inference thread: what is handed over is answered at once."""

    idle = True

    def __init__(self, node: Any) -> None:
        self._node = node
        self.samples: list[tuple[int, Sample]] = []

    def submit(self, job: tuple[int, str, Sample]) -> None:
        now, sample = self._node.now(), job[2]
        self.samples.append((now, sample))
        values = np.zeros((DROID_SIM.horizon, len(JOINTS)), np.float32)
        chunk = ActionChunk(values, DROID_SIM.action_names, sample.stamp, DROID_SIM.step)
        self._node._replanner.published(chunk, len(self.samples), now)

    def drop(self) -> None: ...

    def close(self) -> None: ...


@pytest.fixture
def policy(domain: int) -> Iterator[Any]:
    with configured(Idle()) as node:
        yield node


@contextlib.contextmanager
def configured(idle: Idle, **parameters: Any) -> Iterator[Any]:
    """The active node of a policy, with a stepped clock."""
    import rclpy
    from rclpy.parameter import Parameter
    from rclpy.signals import SignalHandlerOptions

    from cosmos3_ros.nodes.policy_node import PolicyNode

    class Stepped(PolicyNode):
        clock = 1_790_000_000 * NS

        def now(self) -> int:
            return self.clock

        def _warm_up(self) -> None: ...

    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    given = {
        "joints": JOINTS,
        "gripper_joint": "finger_joint",
        "gripper_closed": 0.8,
        "instruction": "go",
        "autostart": False,
        **parameters,
    }
    # an empty list has no type
    overrides = [Parameter(name, value=value) for name, value in given.items() if value != []]
    node = Stepped(lambda params: idle, parameter_overrides=overrides)  # type: ignore[arg-type, return-value]
    node.trigger_configure()
    node._infer.close()
    node._infer = AtOnce(node)
    node._workers = [node._decode]
    node.trigger_activate()
    try:
        yield node
    finally:
        node.trigger_deactivate()
        node.trigger_cleanup()
        node.destroy_node()
        rclpy.shutdown()


def image(stamp: int, data: bytes = b"") -> Any:
    from sensor_msgs.msg import CompressedImage

    from cosmos3_ros.ros.messages import header

    return CompressedImage(header=header(stamp), format="jpeg", data=data)


def joints(stamp: int, names: list[str], positions: list[float]) -> Any:
    from sensor_msgs.msg import JointState

    from cosmos3_ros.ros.messages import header

    return JointState(header=header(stamp), name=names, position=positions)


def play(node: Any, events: list[tuple[int, Any]]) -> list[tuple[int, Sample]]:
    """Call each event's function (no arguments) at its time, ns from now; what was inferred."""
    begin, before = node.clock, len(node._infer.samples)
    for at, happen in sorted(events, key=lambda event: event[0]):
        node.clock = begin + at
        happen()
    return node._infer.samples[before:]


def cameras(node: Any, seconds: int, hz: float, phases: list[float]) -> list[tuple[int, Any]]:
    """Pictures of the three cameras, received LATENCY after their stamps."""
    events = []
    for view, phase in zip(VIEWS, phases, strict=True):
        for k in range(int(seconds * hz)):
            stamp = int((k + phase) / hz * NS)
            message = image(node.clock + stamp, bytes([k % 256, phase > 0]))
            events.append((stamp + LATENCY, lambda v=view, m=message: node._on_image(v)(m)))
    return events


def states(
    node: Any, seconds: int, hz: float, names: list[str], ahead: int = 0
) -> list[tuple[int, Any]]:
    """Joint states: each joint moves by 0.1 rad/s."""
    events = []
    for k in range(int(seconds * hz)):
        at = int(k / hz * NS)
        message = joints(node.clock + at + ahead, names, [0.1 * at / NS] * len(names))
        events.append((at, lambda m=message: node._on_joint_state(m)))
    return events


def test_three_cameras_at_random_phases_give_chunks_all_the_time(policy: Any) -> None:
    chance = random.Random(1)
    draws = [[0.0, 1 / 3, 2 / 3], [0.0, 0.3, 0.6], [0.0, 0.2, 0.45]]
    draws += [[chance.random() for _ in VIEWS] for _ in range(6)]
    for phases in [[0.0] * 3, *draws]:
        policy._forget()
        seen = play(policy, cameras(policy, 4, 15, phases) + states(policy, 4, 50, JOINTS))
        if phases == [0.0] * 3:
            together = len(seen)
        times = [now for now, _ in seen]
        assert len(seen) >= 0.95 * together
        assert max(np.diff(times)) < 0.6 * NS
        assert all("no inference" not in fault for fault in policy._faults.now)
        for _, sample in seen:
            stamps = [
                m.header.stamp.sec * NS + m.header.stamp.nanosec for m in sample.images.values()
            ]
            assert max(stamps) - min(stamps) <= 50 * MS
            assert min(stamps) == sample.stamp


def test_arm_and_gripper_of_two_drivers_are_merged(policy: Any) -> None:
    begin = policy.clock
    events = cameras(policy, 3, 15, [0.0] * 3) + states(policy, 3, 50, ARM)
    events += states(policy, 3, 30, ["finger_joint", "other"])
    seen = play(policy, events)
    assert len(seen) > 6
    for _, sample in seen:
        moment = 0.1 * (sample.stamp - begin) / NS
        expected = [*[moment] * 7, moment / 0.8]  # the gripper in the policy's unit
        assert sample.state.tolist() == pytest.approx(expected, abs=1e-6)


def test_a_base_is_measured_by_its_odometry_and_may_stand(domain: int) -> None:
    from nav_msgs.msg import Odometry

    from cosmos3_ros.ros.messages import header

    base = (Column("base_x", "m/s"), Column("base_yaw", "rad/s"))
    kind = dataclasses.replace(
        DROID_SIM, state=(*DROID_SIM.state, *base), action=(*DROID_SIM.action, *base)
    )
    names = {"joints": [*JOINTS, "vx", "wz"], "mobile_base": ["vx", "", "wz"]}
    with configured(Idle(kind), **names) as node:
        events = cameras(node, 6, 15, [0.0] * 3) + states(node, 6, 50, JOINTS)
        seen = play(node, events)
        assert seen == []
        assert "vx" in node._faults.now["no inference"]
        node._forget()
        events = cameras(node, 6, 15, [0.0] * 3) + states(node, 6, 50, JOINTS)
        for k in range(6 * 20):
            at = k * NS // 20
            message = Odometry(header=header(node.clock + at))
            message.twist.twist.linear.x, message.twist.twist.linear.y = 0.25, 7.0
            events.append((at, lambda m=message: node._on_odometry(m)))
        seen = play(node, events)
        assert len(seen) > 12
        assert all(sample.state[-2:].tolist() == [0.25, 0.0] for _, sample in seen)
        assert "frozen joint" not in node._faults.now  # the arm moved by 0.6 rad meanwhile


class Road(Idle):
    """A policy that drives along an arc."""

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        kind, rows = self.embodiment, np.zeros((self.embodiment.horizon, 7), np.float32)
        assert observation.state.shape == (0,)
        turn = 0.02 * np.arange(1, len(rows) + 1)
        rows[:, 0], rows[:, 1] = 10 * np.sin(turn), 10 * (1 - np.cos(turn))
        rows[:, 5], rows[:, 6] = np.sin(turn / 2), np.cos(turn / 2)
        return Prediction(ActionChunk(rows, kind.action_names, observation.stamp, kind.step))


def test_a_vehicle_gets_poses_that_are_due_and_needs_no_joints(domain: int) -> None:
    from cosmos3_ros.robot.images import encode
    from cosmos3_ros.ros.messages import header, to_ns

    kind = EMBODIMENTS["av"]
    own = {"joints": [], "gripper_joint": "", "vehicle_frame": "base_link"}
    with configured(Road(kind), **own) as node:
        sent: list[Any] = []
        assert node._chunks.topic_name == "/cosmos3/trajectory"
        node._chunks.publish = sent.append
        events = []
        for k in range(20):
            picture = encode(np.full((72, 128, 3), k, np.uint8))
            picture.header = header(node.clock + k * NS // 10)
            events.append((k * NS // 10 + LATENCY, lambda m=picture: node._on_image("front")(m)))
        sample = play(node, events)[-1][1]
        node._run((node._episode, "drive on", sample))
    (path,) = sent
    assert (path.header.frame_id, to_ns(path.header.stamp)) == ("base_link", sample.stamp)
    dues = sample.stamp + kind.step * np.arange(1, kind.horizon + 1)
    assert [to_ns(pose.header.stamp) for pose in path.poses] == dues.tolist()
    last = path.poses[-1].pose
    assert last.position.x == pytest.approx(10 * np.sin(1.2), abs=1e-5)
    assert last.orientation.z == pytest.approx(np.sin(0.6), abs=1e-5)


@pytest.mark.parametrize(
    ("name", "own", "words"),
    [
        ("droid_sim", {"joints": []}, "expected an embodiment of one pose without a state"),
        ("droid_midtrain", {"joints": []}, "expected an embodiment of one pose without a state"),
        ("av", {}, "parameter 'joints' is ['panda_joint1', "),
    ],
)
def test_what_is_no_vehicle_is_refused(name: str, own: dict[str, Any], words: str) -> None:
    from cosmos3_ros.robot.kinematics.vehicle import check_vehicle

    with pytest.raises(ValueError) as refused:  # noqa: PT011 (its words are compared below)
        check_vehicle(EMBODIMENTS[name], own.get("joints", JOINTS))
    assert words in str(refused.value)


def test_names_that_differ_are_listed_both_ways(policy: Any) -> None:
    names = [f"fr3_joint{k}" for k in range(1, 8)]
    events = cameras(policy, 3, 15, [0.0] * 3)
    events += states(policy, 3, 50, [*names, "finger_joint"])
    assert not play(policy, events)
    why = policy._faults.now["no inference"]
    assert f"lack {ARM}; heard instead: {names}" in why


def test_velocities_and_efforts_alone_are_nothing(policy: Any) -> None:
    from sensor_msgs.msg import JointState

    events = cameras(policy, 2, 15, [0.0] * 3) + states(policy, 2, 50, JOINTS)
    other = JointState(name=JOINTS, velocity=[0.1] * 8)
    events += [(k * 7 * MS, lambda: policy._on_joint_state(other)) for k in range(200)]
    assert len(play(policy, events)) > 4
    assert policy._faults.now == {}


def test_messages_without_stamps_are_of_now(policy: Any) -> None:
    events = cameras(policy, 2, 15, [0.0] * 3)
    begin = policy.clock
    for k in range(100):
        message = joints(0, JOINTS, [0.002 * k] * 8)
        events.append((k * 20 * MS, lambda m=message: policy._on_joint_state(m)))
    seen = play(policy, events)
    assert len(seen) > 4
    for _, sample in seen:
        assert sample.state[0] == pytest.approx(0.1 * (sample.stamp - begin) / NS, abs=1e-6)


@pytest.mark.parametrize(
    ("ahead", "words"),
    [(300 * MS, "stamped 0.30 s ahead"), (-2 * NS, "2.00 s old"), (-(10**18), "another epoch")],
)
def test_a_clock_that_differs_is_named_and_nothing_is_inferred(
    policy: Any, ahead: int, words: str
) -> None:
    events = cameras(policy, 2, 15, [0.0] * 3) + states(policy, 2, 50, JOINTS, ahead)
    assert not play(policy, events)
    assert words in policy._faults.now["joint states"]
    assert words in policy._faults.now["no inference"]
    policy._diagnose()
    assert policy._seen._left_out["joint states"] == 100
    play(policy, cameras(policy, 2, 15, [0.0] * 3) + states(policy, 2, 50, JOINTS))
    policy._diagnose()
    assert policy._faults.now == {}


def test_a_camera_that_shows_one_picture_while_the_arm_moves_is_said(policy: Any) -> None:
    begin, frozen = policy.clock, policy._on_image("wrist")
    messages = [image(begin + k * NS // 15, b"frozen") for k in range(75)]
    events = [(k * NS // 15, lambda m=m: frozen(m)) for k, m in enumerate(messages)]
    play(policy, events + states(policy, 5, 50, JOINTS))
    policy._diagnose()
    assert "the same picture for 4.9 s" in policy._faults.now["camera wrist"]


def test_a_first_observation_that_cannot_be_is_refused_before_anything_moves(policy: Any) -> None:
    """Degrees, a gripper out of range, one picture twice; the next good one is taken."""
    from rclpy.parameter import Parameter

    rng = np.random.default_rng(0)
    pictures = {view: rng.integers(0, 256, (24, 32, 3), dtype=np.uint8) for view in VIEWS}
    same = {**pictures, VIEWS[1]: pictures[VIEWS[2]]}
    rest = [0.0, -0.6, 0.0, -2.5, 0.0, 2.0, 0.0, 0.1]

    def look(positions: list[float], shown: dict[str, np.ndarray], episode: int = 1) -> None:
        policy._seen.joints.forget()
        policy._on_joint_state(joints(policy.clock, JOINTS, positions))
        state = policy._robot.to_policy(np.array(positions)).astype(np.float32)
        policy._seen.check(Observation(shown, state, "go", policy.clock), episode)

    degrees = [float(np.rad2deg(value)) for value in rest[:7]] + [0.1]
    with pytest.raises(ValueError, match=r"panda_joint2 is at 34.4 rad, .* are these degrees\?"):
        look(degrees, pictures)
    with pytest.raises(ValueError, match=r"finger_joint is at 45.000, expected from 0.0 \(open\)"):
        look([*rest[:7], 45.0], pictures)
    with pytest.raises(ValueError, match="show the same picture"):
        look(rest, same)
    look(rest, pictures)
    look(rest, same)  # the episode has begun
    with pytest.raises(ValueError, match="show the same picture"):
        look(rest, same, episode=2)
    policy.set_parameters([Parameter("check_observation", value=False)])
    look(rest, same, episode=3)
