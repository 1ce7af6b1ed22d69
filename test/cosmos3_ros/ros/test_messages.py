# SPDX-License-Identifier: Apache-2.0
"""Messages and types say the same, and a message that does not fit is refused."""

import array

import numpy as np
import pytest

from cosmos3_ros.model.interface import NS, ActionChunk, Answer, Box, Future

pytestmark = pytest.mark.ros

CHUNK = ActionChunk(
    np.arange(6, dtype=np.float32).reshape(3, 2), ("a", "g"), 5 * NS + 7, NS // 15, ("g",)
)


def test_a_chunk_survives_the_way_through_a_message() -> None:
    from rclpy.serialization import deserialize_message, serialize_message

    from cosmos3_ros.msg import ActionChunk as Message
    from cosmos3_ros.ros.messages import chunk_from, chunk_message

    sent = chunk_message(
        CHUNK, number=4, instruction="go", embodiment="e", seconds={"network": 0.25}
    )
    got = deserialize_message(serialize_message(sent), Message)
    back = chunk_from(got)
    assert np.array_equal(back.values, CHUNK.values)
    assert (back.names, back.stamp, back.step, back.discrete) == (
        CHUNK.names,
        CHUNK.stamp,
        CHUNK.step,
        CHUNK.discrete,
    )
    assert (got.number, got.instruction, list(got.latency_stages), list(got.latency_seconds)) == (
        4,
        "go",
        ["network"],
        [0.25],
    )


def test_a_chunk_message_whose_lengths_do_not_fit_is_refused() -> None:
    from cosmos3_ros.ros.messages import chunk_from, chunk_message

    message = chunk_message(CHUNK, number=1, instruction="go", embodiment="e", seconds={})
    message.values = array.array("f", [1.0] * 5)
    with pytest.raises(ValueError, match="5 values for 3 rows of 2 joints"):
        chunk_from(message)
    message.values = array.array("f", [1.0] * 5 + [float("inf")])
    with pytest.raises(ValueError, match="1 NaN or infinite"):
        chunk_from(message)


@pytest.mark.parametrize(("stamped", "stamp"), [(True, 7 * NS + 5), (False, 0)])
def test_a_trajectory_has_the_points_and_a_stamp_if_they_are_due_by_the_clock(
    stamped: bool, stamp: int
) -> None:
    from cosmos3_ros.execution.trajectory_replacement import Waypoints
    from cosmos3_ros.ros.messages import to_ns, trajectory_message

    times = np.array([7 * NS + 5, 7 * NS + NS // 50, 9 * NS])
    positions, velocities = np.arange(6.0).reshape(3, 2), np.zeros((3, 2))
    waypoints = Waypoints(7 * NS + 5, times, positions, velocities)
    message = trajectory_message(waypoints, ("x", "y"), stamped)
    assert to_ns(message.header.stamp) == stamp
    assert message.joint_names == ["x", "y"]
    assert [to_ns(p.time_from_start) for p in message.points] == [0, NS // 50 - 5, 2 * NS - 5]
    assert np.allclose([list(point.positions) for point in message.points], positions)
    assert np.allclose([list(point.velocities) for point in message.points], velocities)


def test_frames_of_a_future_carry_their_own_stamps() -> None:
    from cosmos3_ros.ros.messages import future_message, to_ns

    message = future_message(
        Future(np.zeros((3, 16, 16, 3), np.uint8), 10 * NS, NS // 15), number=2, instruction="go"
    )
    assert [to_ns(frame.header.stamp) - 10 * NS for frame in message.frames] == [
        0,
        NS // 15,
        2 * (NS // 15),
    ]


def test_a_scene_carries_text_and_boxes() -> None:
    from cosmos3_ros.ros.messages import scene_message

    answer = Answer(
        "a cube",
        boxes=(Box("cube", 0.1, 0.2, 0.3, 0.4),),
        tokens=3,
        seconds={"prefill": 0.5, "decode": 0.25},
    )
    message = scene_message(answer, stamp=NS, views=["wrist"], question="what?")
    assert (message.text, message.tokens, message.seconds, message.boxes[0].label) == (
        "a cube",
        3,
        0.75,
        "cube",
    )


def test_a_candidate_survives_the_way_through_a_message() -> None:
    from cosmos3_ros.execution.candidates.candidate import Candidate
    from cosmos3_ros.ros.messages import candidate_from, candidate_message

    sent = Candidate(("a", "b"), np.array([0.25, 1.5]), np.array([[0.1, 0.2], [0.3, -0.4]]))
    found = candidate_from(candidate_message(sent))
    assert found.names == sent.names
    assert np.array_equal(found.times, sent.times)
    assert np.array_equal(found.positions, sent.positions)


@pytest.mark.parametrize(
    ("names", "points", "words"),
    [
        (["a", "b"], [[1.0, 2.0], [1.0]], "2 positions, one of each joint, in point 2 of 2, got 1"),
        (["a"], [[1.0, 2.0]], "1 positions, one of each joint, in point 1 of 1, got 2"),
        (["a"], [], "expected 1 to 1000 points, got 0"),
        ([], [], "expected distinct joint names"),
        ([], [[]], "expected distinct joint names"),
        (["a"], [[1.0], [1.0]], "expected rising times from 0 to 30 s, got 0, 0"),
    ],
)
def test_a_message_that_is_no_candidate_is_one_line(names, points, words) -> None:
    from trajectory_msgs.msg import JointTrajectory, JointTrajectoryPoint

    from cosmos3_ros.ros.messages import candidate_from

    message = JointTrajectory(
        joint_names=names, points=[JointTrajectoryPoint(positions=point) for point in points]
    )
    with pytest.raises(ValueError, match=f"^candidate: .*{words}"):
        candidate_from(message)


def test_the_frames_of_a_future_come_back() -> None:
    from cosmos3_ros import msg
    from cosmos3_ros.ros.messages import future_from, future_message

    sent = Future(np.full((3, 16, 16, 3), 90, np.uint8), 7 * NS, NS // 15)
    found = future_from(future_message(sent, number=0, instruction="wait"))
    assert (found.stamp, found.step, found.frames.shape) == (sent.stamp, sent.step, (3, 16, 16, 3))
    assert np.abs(found.frames.astype(int) - 90).max() <= 2
    with pytest.raises(ValueError, match="future: expected frames, got none"):
        future_from(msg.Future())
