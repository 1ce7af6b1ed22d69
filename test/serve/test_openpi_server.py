# SPDX-License-Identifier: Apache-2.0
"""The websocket server over sockets: every dialect, every kind of bad client."""

import asyncio
import contextlib
import dataclasses
import functools
import http.client
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.interface import ActionChunk, Future, Observation, Policy, Prediction
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.serve import openpi_server
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.msgpack_codec import MAX_BYTES, pack, unpack
from cosmos3_ros.serve.openpi_messages import VLLM
from cosmos3_ros.serve.openpi_server import OpenPiOptions, OpenPiServer

# As RoboLab v0.2.1 sends it.
REQUEST: dict[str, Any] = {
    "observation/image": np.random.default_rng(0).integers(0, 256, (540, 640, 3), np.uint8),
    "observation/joint_position": np.array([0, -0.63, 0, -2.51, 0, 1.88, 0], np.float32),
    "observation/gripper_position": np.zeros(1, np.float32),
    "prompt": "put the banana in the bowl",
}


@functools.cache
def tiny() -> Cosmos3Policy:
    """Random weights with DROID's columns and the released policy's 32 rows."""
    model = load_model(tiny_checkpoint(), reasoner=False)
    trained = {**model.policy_config, "action_chunk_size": 32}
    model = dataclasses.replace(model, path=Path("nowhere"), policy_config=trained)
    return Cosmos3Policy(model, num_steps=1, guidance=1.0)


class Gated:
    """A policy whose inferences wait for a gate.

    `seen` are the instructions of those that began.
    """

    def __init__(self, inner: Policy) -> None:
        self.inner, self.embodiment = inner, inner.embodiment
        self.gate = threading.Event()
        self.seen: list[str] = []
        self.failures: list[str] = []
        self.gate.set()

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        self.seen.append(observation.instruction)
        assert self.gate.wait(30)
        if self.failures:
            raise ValueError(self.failures[0])
        return self.inner.infer(observation, committed)

    def decode(self, prediction: Prediction) -> Future:
        return self.inner.decode(prediction)

    def reset(self) -> None:
        pass  # shared by all sessions, as the lists are


@contextlib.contextmanager
def serving(policy: Policy, told: list[str] | None = None, **options: Any) -> Iterator[str]:
    """Address of a server of `policy`."""
    server = OpenPiServer(
        lambda: policy, OpenPiOptions(**options), (told if told is not None else []).append
    )
    with in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port:
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(tiny()) as address:
        yield address


@pytest.fixture
def gated() -> Iterator[tuple[Gated, str]]:
    policy = Gated(tiny())
    with serving(policy) as address:
        policy.seen.clear()
        yield policy, address
        policy.gate.set()


@contextlib.contextmanager
def client(address: str, path: str = "/", **settings: Any) -> Iterator[ClientConnection]:
    """A connection whose first frame, the metadata, has been read."""
    with connect(
        f"ws://{address}{path}", compression=None, max_size=None, **settings
    ) as connection:
        unpack(connection.recv(timeout=20))
        yield connection


def ask(connection: ClientConnection, **changes: Any) -> Any:
    connection.send(pack(REQUEST | changes))
    reply = connection.recv(timeout=60)
    return unpack(reply) if isinstance(reply, bytes) else reply


def get(address: str, path: str, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection(address, timeout=30)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def assert_served(address: str) -> None:
    """The server lives: the next client gets its chunk."""
    with client(address) as connection:
        assert ask(connection)["action"].shape == (32, 8)


# -- dialects --------------------------------------------------------------------------------------


def test_the_request_of_robolab_gets_32_finite_rows_of_8_with_the_gripper_in_0_to_1(
    address: str,
) -> None:
    with connect(f"ws://{address}/any/path", compression=None, max_size=None) as connection:
        assert set(unpack(connection.recv())) == {
            *(
                "image_resolution",
                "needs_wrist_camera",
                "n_external_cameras",
                "needs_stereo_camera",
            ),
            *("needs_session_id", "action_space"),
        }
        first, second = ask(connection), ask(connection, session_id="robolab-episode-0-env-1")
    for reply in (first, second):
        rows = reply["action"]
        assert (rows.shape, rows.dtype) == ((32, 8), np.float32)
        assert np.isfinite(rows).all()
        assert rows[:, 7].min() >= 0 <= 1 >= rows[:, 7].max()
        assert np.array_equal(rows, reply["actions"])
        assert reply["server_timing"]["infer_ms"] >= reply["policy_timing"]["infer_ms"] > 0
    assert "prev_total_ms" not in first["server_timing"]
    assert second["server_timing"]["prev_total_ms"] > 0


def test_the_reply_is_what_the_policy_says_in_process(address: str) -> None:
    from cosmos3_ros.serve.openpi_messages import read_observation, rows

    policy = tiny()
    policy.reset()
    expected = rows(policy.infer(read_observation(REQUEST, policy.embodiment)))
    with client(address) as connection:
        assert np.array_equal(ask(connection)["action"], expected)


def test_each_session_has_its_own_state_and_can_be_reset(address: str) -> None:
    with client(address) as connection:
        first = ask(connection, endpoint="infer", session_id="a")["actions"]
        assert np.array_equal(ask(connection, session_id="b")["actions"], first), (
            "a has drawn, b has not"
        )
        assert not np.array_equal(ask(connection, session_id="a")["actions"], first)
        connection.send(pack({"endpoint": "reset", "session_ids": ["a"]}))
        assert connection.recv(timeout=10) == "reset successful"
        assert np.array_equal(ask(connection, session_id="a")["actions"], first)
        assert not np.array_equal(ask(connection, session_id="b")["actions"], first)
        connection.send(pack({"endpoint": "reset", "session_ids": None}))
        assert connection.recv(timeout=10) == "reset successful"
        assert np.array_equal(ask(connection, session_id="b")["actions"], first)


def test_vllm_omni_has_bare_arrays_and_errors_that_keep_the_connection(address: str) -> None:
    with client(address, VLLM) as connection:
        rows = ask(connection, session_id="a")
        assert (rows.shape, rows.dtype) == (((32, 8)), np.float32)
        connection.send("text")
        reply = unpack(connection.recv(timeout=10))
        assert (reply["type"], "a text frame" in reply["message"]) == ("error", True)
        assert (
            "endpoint: expected 'infer' or 'reset', got 'dance'"
            in ask(connection, endpoint="dance")["message"]
        )
        connection.send(pack({"endpoint": "reset", "session_id": "a"}))
        assert unpack(connection.recv(timeout=10)) == {"status": "reset successful"}
        assert np.array_equal(ask(connection, session_id="a"), rows)


def test_rows_can_be_cut_and_the_video_sent() -> None:
    with serving(tiny(), horizon=8, video=True) as address, client(address) as connection:
        reply = ask(connection)
    assert reply["action"].shape == (8, 8)
    assert (reply["video"].shape, reply["video"].dtype) == ((33, 160, 192, 3), np.uint8)


# -- bad clients -----------------------------------------------------------------------------------

BAD: dict[str, tuple[Any, str]] = {
    "text": ("hello", "expected a binary frame with a msgpack dict, got a text frame"),
    "truncated": (pack(REQUEST)[:-100], "expected msgpack with numpy arrays"),
    "no dict": (pack([1, 2]), "expected a binary frame with a msgpack dict, got list"),
    "no picture": (
        pack({**REQUEST, "observation/image": 0}),
        "observation/image: expected a uint8 array",
    ),
    "floats": (
        pack(REQUEST | {"observation/image": np.zeros((540, 640, 3), np.float32)}),
        "got float32",
    ),
    "six joints": (
        pack(REQUEST | {"observation/joint_position": np.zeros(6)}),
        "expected 7 number(s), got [6]",
    ),
    "no words": (pack(REQUEST | {"prompt": ""}), "prompt: expected a sentence"),
    "odd session": (
        pack(REQUEST | {"session_id": [1]}),
        "session_id: expected a short text, got list",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_request_is_a_text_frame_then_1011_and_the_next_client_is_served(
    address: str, name: str
) -> None:
    frame, words = BAD[name]
    with client(address) as connection:
        connection.send(frame)
        reply = connection.recv(timeout=20)
        assert isinstance(reply, str)
        assert words in reply
        with pytest.raises(ConnectionClosedError) as closed:
            connection.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1011
    assert_served(address)


def test_a_frame_of_65_mib_is_refused_by_its_size(address: str) -> None:
    with client(address) as connection:
        with contextlib.suppress(ConnectionClosed):  # perhaps it hangs up before all is sent
            connection.send(bytes(MAX_BYTES + 2**20))
        with pytest.raises(ConnectionClosedError) as closed:
            connection.recv(timeout=20)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
    assert_served(address)


def test_slow_writers_hold_nobody_up(address: str) -> None:
    """Half a handshake, and half a frame."""
    host, port = address.split(":")
    with socket.create_connection((host, int(port))) as slow, client(address) as half:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n")
        half.socket.sendall(b"\x82\xfe\x10\x00\x01\x02\x03\x04abc")  # 3 of 4096 bytes
        assert_served(address)
        half.socket.shutdown(socket.SHUT_RDWR)


class Memo:
    """Says the same again, at once."""

    def __init__(self, prediction: Prediction) -> None:
        self.prediction = prediction

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        return self.prediction


def memo(policy: Gated) -> Any:
    views = {view: np.zeros((9, 9, 3), np.uint8) for view in policy.embodiment.views}
    return Memo(tiny().infer(Observation(views, np.zeros(8, np.float32), "go", 0)))


def test_100_clients_at_once_are_all_served(gated: tuple[Gated, str]) -> None:
    policy, address = gated
    policy.inner = memo(policy)
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(client(address)) for _ in range(100)]
        for connection in connections[:50]:
            connection.send(pack(REQUEST))
        assert all(
            unpack(connection.recv(timeout=20))["action"].shape == (32, 8)
            for connection in connections[:50]
        )
        assert all(ask(connection)["action"].shape == (32, 8) for connection in connections)
    assert len(policy.seen) == 150


def test_more_clients_than_it_bears_are_turned_away(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openpi_server, "CONNECTIONS", 1)
    with client(address), pytest.raises(InvalidStatus, match="503"), client(address):
        pass


def test_more_requests_than_may_wait_are_refused_and_the_connection_kept(
    gated: tuple[Gated, str],
) -> None:
    policy, address = gated
    policy.inner = memo(policy)
    policy.gate.clear()
    with contextlib.ExitStack() as stack:
        *patient, late = [stack.enter_context(client(address)) for _ in range(65)]
        for connection in patient:
            connection.send(pack(REQUEST))
            assert connection.ping().wait(10), "the server has read it"
        assert ask(late) == "error: 64 requests wait already"
        policy.gate.set()
        assert all(
            unpack(connection.recv(timeout=20))["action"].shape == (32, 8) for connection in patient
        )
        assert ask(late)["action"].shape == (32, 8)


def test_who_leaves_during_an_inference_is_forgotten_and_the_next_is_served(
    gated: tuple[Gated, str], wait_until: Callable[..., None]
) -> None:
    policy, address = gated
    policy.gate.clear()
    with client(address) as running, client(address) as waiting:
        running.send(pack(REQUEST | {"prompt": "runs"}))
        wait_until(lambda: policy.seen == ["runs"], "the first inference")
        waiting.send(pack(REQUEST | {"prompt": "waits"}))
        assert waiting.ping().wait(10), "the server has read all that was sent before"
        running.socket.shutdown(socket.SHUT_RDWR)
    policy.gate.set()
    assert_served(address)
    assert policy.seen == ["runs", REQUEST["prompt"]], "who left was not waited for"


# -- time ------------------------------------------------------------------------------------------


def test_pings_and_health_are_answered_during_an_inference(
    gated: tuple[Gated, str], wait_until: Callable[..., None]
) -> None:
    policy, address = gated
    policy.gate.clear()
    with client(address) as connection:
        connection.send(pack(REQUEST))
        wait_until(lambda: policy.seen, "the inference to begin")
        assert connection.ping().wait(10)
        assert get(address, "/healthz") == (200, "OK\n")
        assert get(address, "/readyz") == (200, "OK\n")
        policy.gate.set()
        assert unpack(connection.recv(timeout=20))["action"].shape == (32, 8)


def test_who_comes_while_it_loads_waits_for_the_metadata() -> None:
    gate, opened = threading.Event(), socket.create_server(("127.0.0.1", 0))
    port = opened.getsockname()[1]
    opened.close()

    def load() -> Policy:
        assert gate.wait(30)
        return tiny()

    server = OpenPiServer(load, tell=lambda line: None)

    def early() -> None:
        address = f"127.0.0.1:{port}"
        with contextlib.closing(until_listening(address)):
            assert get(address, "/healthz")[0] == 200
            assert get(address, "/readyz") == (503, "loading\n")
        with connect(f"ws://{address}", compression=None, max_size=None) as connection:
            with pytest.raises(TimeoutError):
                connection.recv(timeout=0.1)
            gate.set()
            unpack(connection.recv(timeout=20))
            replies.append(ask(connection))

    replies: list[Any] = []
    thread = threading.Thread(target=early)
    thread.start()
    with in_background(lambda ready, ended: server.run("127.0.0.1", port, ready, ended)):
        thread.join(60)
    assert replies[0]["action"].shape == (32, 8)


def until_listening(address: str) -> socket.socket:
    host, port = address.split(":")
    for _ in range(1000):
        with contextlib.suppress(ConnectionRefusedError):
            return socket.create_connection((host, int(port)))
        threading.Event().wait(0.01)
    pytest.fail("not listening")


def test_the_newest_request_of_a_session_wins_and_replies_keep_their_order(
    gated: tuple[Gated, str], wait_until: Callable[..., None]
) -> None:
    policy, address = gated
    policy.gate.clear()
    with client(address) as connection:
        connection.send(pack(REQUEST | {"prompt": "first"}))
        wait_until(lambda: policy.seen == ["first"], "the first inference")
        for prompt in ("second", "third"):
            connection.send(pack(REQUEST | {"prompt": prompt}))
        assert connection.ping().wait(10), "the server has read all three"
        policy.gate.set()
        assert unpack(connection.recv(timeout=20))["action"].shape == (32, 8)
        assert "a newer request of the same session" in str(connection.recv(timeout=20))
        assert unpack(connection.recv(timeout=20))["action"].shape == (32, 8)
    assert policy.seen == ["first", "third"]


# -- access and secrets ----------------------------------------------------------------------------


def test_a_token_is_asked_for_and_health_is_not_secret() -> None:
    with serving(tiny(), token="correct-horse") as address:
        for wrong in (None, "Bearer wrong", "Basic correct-horse", "correct-horse", "Bearer"):
            headers = {"Authorization": wrong} if wrong else {}
            with (
                pytest.raises(InvalidStatus, match="401"),
                client(address, additional_headers=headers),
            ):
                pass
        doubled = [("Authorization", "Bearer correct-horse"), ("Authorization", "Bearer wrong")]
        with pytest.raises(InvalidStatus, match="401"), client(address, additional_headers=doubled):
            pass
        for right in ("Bearer correct-horse", "Api-Key correct-horse"):
            with client(address, additional_headers={"Authorization": right}) as connection:
                assert ask(connection)["action"].shape == (32, 8)
        assert get(address, "/healthz")[0] == 200


def test_web_pages_may_not_connect(address: str) -> None:
    with pytest.raises(InvalidStatus, match="403"), client(address, origin="http://evil.example"):
        pass


def test_what_goes_wrong_inside_is_for_the_log_alone() -> None:
    policy, told = Gated(tiny()), list[str]()
    with serving(policy, told) as address:
        policy.failures.append("cannot read /home/somebody/weights")
        with client(address) as connection:
            assert ask(connection) == "error: internal error; the server's log says more"
        with client(address, VLLM) as connection:
            assert ask(connection) == {
                "type": "error",
                "message": "internal error; the server's log says more",
            }
            policy.failures.clear()
            assert ask(connection).shape == (32, 8)
    assert len(told) == 2
    assert "/home/somebody/weights" in told[0]


def test_what_loading_raises_ends_the_server() -> None:
    def load() -> Policy:
        raise ValueError("no such checkpoint")

    async def run() -> None:
        await OpenPiServer(load).run("127.0.0.1", 0, lambda port: None, asyncio.Event())

    with pytest.raises(ValueError, match="no such checkpoint"):
        asyncio.run(run())


ENDLESS = """
import threading
from cosmos3_ros.serve.openpi_server import OpenPiServer
from cosmos3_ros.serve.asyncio_runner import until_interrupted


def load():
    print("loading", flush=True)
    threading.Event().wait()


until_interrupted(lambda ready, ended: OpenPiServer(load).run("127.0.0.1", 0, ready, ended), print)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_loads_ends_at_once(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", ENDLESS], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            assert process.stdout.readline() == b"loading\n"
            process.send_signal(number)
            assert process.wait(20) == -number
        finally:
            process.kill()
