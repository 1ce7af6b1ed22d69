# SPDX-License-Identifier: Apache-2.0
"""A policy server named by parameters: what is refused, and the graph around it, without torch."""

import contextlib
import dataclasses
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

HOME = np.array([0.0, -0.6, 0.0, -2.5, 0.0, 1.9, 0.0])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"embodiment": ""}, "parameter 'embodiment': expected what the policy server's rows"),
        ({"policy_url": "http://gpu:8000"}, "policy_url: expected ws(s)://HOST[:PORT][/PATH], got"),
        ({"policy_dialect": "morse"}, "parameter 'policy_dialect': expected auto or openpi or"),
        ({"policy_timeout": 0.0}, "parameter 'policy_timeout': expected a positive number, got"),
        ({"policy_token_file": "/nowhere"}, "/nowhere"),
        ({"embodiment": "octopus"}, "unknown 'octopus'"),
    ],
)
def test_a_policy_server_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    from cosmos3_ros.nodes.policy_params import Params

    fields = {"policy_url": "ws://gpu:8000", "embodiment": "droid_sim"} | changes
    with pytest.raises((ValueError, OSError)) as caught:
        Params(**fields).remote()
    assert words in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"surprise": "panic"}, "surprise.*expected.*off.*report.*replan.*got 'panic'"),
        ({"surprise_threshold": 0.0}, "parameter 'surprise_threshold': expected a positive number"),
        ({"surprise_persistence": 0}, "surprise_persistence"),
        ({"surprise_horizon": 0}, "surprise_horizon"),
    ],
)
def test_a_surprise_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    from cosmos3_ros.nodes.policy_params import Params

    with pytest.raises(ValueError, match=words) as caught:
        Params(**changes)
    assert len(str(caught.value).splitlines()) == 1


def test_while_an_alarm_lasts_no_more_rows_are_executed_than_it_says() -> None:
    from cosmos3_ros.nodes.policy_params import Params

    assert [Params(execution_horizon=rows).plan(4).horizon for rows in (8, 2, 0)] == [4, 2, 4]
    assert [Params(execution_horizon=rows).plan(0).horizon for rows in (8, 0)] == [8, 0]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"recent_seconds": -1.0}, "recent_seconds: expected 0 or more, got -1.0"),
        ({"recent_seconds": 61.0}, "recent_seconds: expected at most 60"),
        ({"generate_frames": -1}, "generate_frames: expected 0 or more, got -1"),
        ({"generate_frames": 9, "vehicle_frame": "base"}, "'generate_frames': expected 0 with veh"),
    ],
)
def test_what_is_kept_and_generated_has_bounds(given: dict[str, Any], words: str) -> None:
    from cosmos3_ros.nodes.policy_params import Params

    with pytest.raises(ValueError, match=words):
        Params(**given)


def test_a_policy_server_has_no_weights_to_ask(domain: int) -> None:
    import rclpy
    from rclpy.parameter import Parameter

    from cosmos3_ros.nodes.policy_node import PolicyNode

    joints = [*(f"j{number}" for number in range(7)), "g"]
    given = {
        "policy_url": "ws://127.0.0.1:9",
        "embodiment": "droid_sim",
        "joints": joints,
        "gripper_joint": "g",
        "recent_seconds": 1.0,
        "autostart": False,
    }
    overrides = [Parameter(name, value=value) for name, value in given.items()]
    rclpy.init(args=[])
    node = PolicyNode(
        lambda params: pytest.fail("nothing is loaded"), parameter_overrides=overrides
    )
    told: list[str] = []
    heard = {"info": print, "warning": print, "error": told.append}
    node.get_logger = lambda: SimpleNamespace(**heard)  # type: ignore[method-assign]
    try:
        node.trigger_configure()
        assert "'recent_seconds': expected 0 without a checkpoint" in " ".join(told)
    finally:
        node.destroy_node()
        rclpy.shutdown()


def test_without_an_address_a_checkpoint_is_loaded() -> None:
    from cosmos3_ros.nodes.policy_params import Params

    assert Params(embodiment="droid_sim", policy_timeout=1.0).remote() is None


@contextlib.contextmanager
def serving(port: int, answer: Callable[[dict[str, Any]], Any]) -> Iterator[int]:
    """Port of a policy server of somebody else that says what `answer` makes of a request."""
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.server import ServerConnection, serve

    from cosmos3_ros.serve.msgpack_codec import pack, unpack

    connections: list[ServerConnection] = []

    def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        with contextlib.suppress(ConnectionClosed):
            connection.send(pack({}))
            for frame in connection:
                assert isinstance(frame, bytes)
                connection.send(pack({"actions": answer(unpack(frame))}))

    with serve(handle, "127.0.0.1", port, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.socket.getsockname()[1]
        server.shutdown()
        for connection in connections:
            connection.close()
        thread.join()


def swing(request: dict[str, Any]) -> np.ndarray:
    """Rows from where the arm is, 0.2 rad to one side at the end."""
    state = np.append(
        request["observation/joint_position"], request["observation/gripper_position"]
    )
    rows = np.tile(state.astype(np.float32), (16, 1))
    rows[:, 0] += np.linspace(0, 0.2 if state[0] < 0.3 else -0.2, 17)[1:]
    return rows


@pytest.mark.sim
def test_the_graph_outlives_a_policy_server_and_needs_no_torch(
    start: Any, watcher: Any, wait_until: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not there, there, talks nonsense, good again, gone, and back."""
    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.ros import topics

    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported')")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    chunks: list[Any] = []
    seen: dict[str, Any] = {}

    def on_diagnostics(message: Any) -> None:
        for status in message.status:
            if status.name == "policy: observations":
                seen["policy"] = status

    def on_status(message: Any) -> None:
        seen["mode"] = message.mode

    for topic, keep in (
        (topics.ACTION_CHUNK, chunks.append),
        (topics.DIAGNOSTICS, on_diagnostics),
        (topics.COMMANDER_STATUS, on_status),
    ):
        watcher.create_subscription(topic.type, topic.name, keep, topic.qos)

    def says(words: str) -> Callable[[], bool]:
        return lambda: "policy" in seen and words in seen["policy"].message

    with serving(0, swing) as port:
        pass  # a port that is free
    options = Options(policy_url=f"ws://127.0.0.1:{port}", reasoner=False, task="reach")
    options = dataclasses.replace(options, armed=True, instruction="reach the red cube")
    started = {p.executable: start(p.executable, *p.arguments()) for p in processes(options)}
    started["policy"].wait_for("droid_sim ready")
    wait_until(says(f"ConnectionError: ws://127.0.0.1:{port}: no connection"), "words")
    assert not chunks

    wrong = [False]
    with serving(port, lambda request: swing(request) * (np.nan if wrong[0] else 1)):
        wait_until(lambda: len(chunks) > 2 and seen.get("mode") == "playing", "motion")
        wait_until(says("good"), "good news")
        assert {"request", "network"} <= set(chunks[-1].latency_stages)
        values = {pair.key: pair.value for pair in seen["policy"].values}
        assert values["policy server"] == f"ws://127.0.0.1:{port}"
        assert values["policy dialect"] == "openpi"
        wrong[0] = True
        wait_until(says("got 128 NaN or infinite"), "words about nonsense")
        count = len(chunks)
        wait_until(lambda: seen["mode"] != "playing", "the arm to hold")
        assert len(chunks) <= count + 1, "one was on its way"
        wrong[0] = False
        wait_until(lambda: len(chunks) > count + 2, "chunks again")
    wait_until(says("no connection: Connection refused"), "words about its end")
    wait_until(lambda: seen["mode"] != "playing", "the arm to hold")
    count = len(chunks)
    with serving(port, swing):
        wait_until(lambda: len(chunks) > count and seen["mode"] == "playing", "motion again")
    assert started["policy"].interrupt() == 0
    assert "torch was imported" not in started["policy"].output
