# SPDX-License-Identifier: Apache-2.0
"""The remote policy: our server and openpi's own, every dialect, and servers that misbehave."""

import contextlib
import dataclasses
import functools
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import ActionChunk, Observation
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.clients import policy_client
from cosmos3_ros.serve.clients.policy_client import RemotePolicy
from cosmos3_ros.serve.msgpack_codec import pack, unpack
from cosmos3_ros.serve.openpi_messages import VLLM, rows
from cosmos3_ros.serve.openpi_server import OpenPiOptions, OpenPiServer

SIM, DROID = EMBODIMENTS["droid_sim"], EMBODIMENTS["droid_joint_pos"]
RNG = np.random.default_rng(0)
IMAGES = {view: RNG.integers(0, 256, (240, 320, 3), np.uint8) for view in SIM.views}
STATE = np.array([0, -0.6, 0, -2.5, 0, 1.9, 0, 0.25], np.float32)
SEEN = Observation(IMAGES, STATE, "reach the cube", 7_000_000_000)
OPENPI = Path(sys.prefix) / "openpi" / "bin" / "python"
ARENA = {
    "image_resolution": [180, 320],
    "needs_wrist_camera": True,
    "n_external_cameras": 2,
    "needs_stereo_camera": False,
    "needs_session_id": True,
    "action_space": "joint_position",
}
Handler = Callable[[ServerConnection], None]


@functools.cache
def tiny() -> Cosmos3Policy:
    return load_policy(tiny_checkpoint(), num_steps=1, guidance=1.0, soft_rows=1)


def own_server(port: int = 0, **options: Any) -> contextlib.AbstractContextManager[int]:
    """Our server with the tiny policy for the length of a context, which has the port."""
    server = OpenPiServer(tiny, OpenPiOptions(**{"soft_rows": 1, **options}))
    return in_background(lambda ready, ended: server.run("127.0.0.1", port, ready, ended))


@pytest.fixture(scope="module")
def own() -> Iterator[str]:
    """Address of our server."""
    with own_server() as port:
        yield f"ws://127.0.0.1:{port}"


@contextlib.contextmanager
def foreign(handler: Handler, port: int = 0) -> Iterator[str]:
    """Address of a server that does with a connection what `handler` does."""

    def handle(connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            handler(connection)

    with serve(handle, "127.0.0.1", port, compression=None, max_size=None) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        server.shutdown()
        thread.join()


def answering(*answers: Any, metadata: Any = None, seen: list[Any] | None = None) -> Handler:
    """Greets, then says each of these, the last of them again and again; text as text frames."""

    def handler(connection: ServerConnection) -> None:
        connection.send(pack(metadata or {}))
        for number, frame in enumerate(connection):
            assert isinstance(frame, bytes)
            if seen is not None:
                seen.append(unpack(frame))
            answer = answers[min(number, len(answers) - 1)]
            connection.send(answer if isinstance(answer, (str, bytes)) else pack(answer))

    return handler


def good(count: int = 16, width: int = 8) -> np.ndarray:
    return np.tile(np.arange(width, dtype=np.float32) / 10, (count, 1))


@contextlib.contextmanager
def client(url: str, embodiment: Any = SIM, **options: Any) -> Iterator[RemotePolicy]:
    policy = RemotePolicy(url, embodiment, **options)
    yield policy
    policy.close()


def here(committed: ActionChunk | None = None, times: int = 1) -> np.ndarray:
    """What the tiny policy says in this process to `SEEN`, asked so many times."""
    policy = tiny()
    policy.reset()
    for _ in range(times):
        prediction = policy.infer(SEEN, committed)
    return rows(prediction)


# -- our server ------------------------------------------------------------------------------------


def test_our_server_says_over_the_network_what_its_policy_says_here(own: str) -> None:
    with client(own, soft_rows=1) as policy:
        predictions = [policy.infer(SEEN), policy.infer(SEEN)]
        policy.reset()
        predictions.append(policy.infer(SEEN))
        assert policy.status()["policy dialect"] == "cosmos3"
        assert policy.status()["policy connections"] == 1
    for prediction, expected in zip(predictions, (here(), here(times=2), here()), strict=True):
        chunk = prediction.chunk
        assert np.array_equal(chunk.values, expected)
        assert (chunk.stamp, chunk.step, chunk.names) == (SEEN.stamp, SIM.step, SIM.action_names)
        assert chunk.discrete == SIM.discrete
        assert prediction.seconds.keys() == {"request", "network", "server"}
        assert min(prediction.seconds.values()) > 0
        assert prediction.latents is None


@pytest.mark.parametrize("late", [0, 3 * SIM.step, SIM.step // 3, -2 * SIM.step])
def test_committed_rows_are_those_of_the_policy_there(own: str, late: int) -> None:
    """As many frozen, and as many drawn towards, as if the network were in this process."""
    committed = ActionChunk(good(5) / 2, SIM.action_names, SEEN.stamp - late, SIM.step)
    with client(own, soft_rows=1) as policy:
        got = policy.infer(SEEN, committed).chunk
        assert policy.note(committed=True) == ""
    assert np.array_equal(got.values, here(committed))
    assert not np.array_equal(got.values, here())


def test_a_server_that_begins_anew_is_asked_again_at_once() -> None:
    with contextlib.ExitStack() as stack:
        with own_server() as port:
            policy = stack.enter_context(client(f"ws://127.0.0.1:{port}", soft_rows=1))
            policy.infer(SEEN)
        with own_server(port):
            assert np.array_equal(policy.infer(SEEN).chunk.values, here())
    assert policy.status()["policy connections"] == 2


def test_the_command_is_killed_and_comes_back(tmp_path: Path) -> None:
    """The real process: refused, served, killed, served again by the same client."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    token = tmp_path / "token"
    token.write_text("correct-horse")
    words = [sys.executable, "-m", "cosmos3_ros.cli", "serve", "openpi", "--port", str(port)]
    options = ["--checkpoint", str(tiny_checkpoint()), "--steps", "1", "--token-file", str(token)]
    url = f"ws://127.0.0.1:{port}"
    with client(url, token="correct-horse", timeout=30.0) as policy:
        with pytest.raises(ConnectionError, match="no connection: Connection refused"):
            policy.infer(SEEN)
        with subprocess.Popen([*words, *options], stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                while not server.stdout.readline().startswith("ready: "):
                    assert server.poll() is None
                wait_for_pause(policy)
                assert len(policy.infer(SEEN).chunk.values) == SIM.horizon
                with (
                    client(url, token="wrong") as stranger,
                    pytest.raises(ValueError, match=r"got status 401 \(see the token\)"),
                ):
                    stranger.infer(SEEN)
            finally:
                server.send_signal(signal.SIGKILL)
                server.wait()
        with pytest.raises(ConnectionError, match=f"{url}: no connection: Connection refused"):
            policy.infer(SEEN)
        with own_server(port, soft_rows=0):
            wait_for_pause(policy)
            assert len(policy.infer(SEEN).chunk.values) == SIM.horizon
        assert policy.status()["policy connections"] == 2


def wait_for_pause(policy: RemotePolicy) -> None:
    """Sleep until the next attempt may be."""
    time.sleep(max(0.0, policy._next - time.monotonic()) + 0.01)


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (
            {"step": 2 * SIM.step},
            {},
            "policy is for embodiment droid_sim, here it is droid_sim: rate is 15.0 there and 7.5",
        ),
        ({"relative": False}, {}, "relative is True there and not given here"),
        ({}, {"soft_rows": 2}, "soft_rows: the server has 1, here 2"),
    ],
)
def test_our_server_with_a_policy_for_another_robot_is_refused_with_both_sides(
    own: str, change: dict[str, Any], options: dict[str, Any], words: str
) -> None:
    wanted = dataclasses.replace(SIM, **change)
    with (
        client(own, wanted, **{"soft_rows": 1, **options}) as policy,
        pytest.raises(ValueError, match=re.escape(words)) as caught,
    ):
        policy.infer(SEEN)
    assert len(str(caught.value).splitlines()) == 1


def test_proxies_of_the_environment_are_not_asked(
    own: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "ws_proxy", "wss_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.setenv(name.upper(), "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    with client(own.replace("127.0.0.1", "localhost"), soft_rows=1) as policy:
        policy.infer(SEEN)


# -- other servers ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dialect", ["openpi", "robolab", "roboarena", "vllm"])
def test_our_server_understands_every_dialect_of_our_client(own: str, dialect: str) -> None:
    path = VLLM if dialect == "vllm" else ""
    with client(own + path, dialect=dialect) as policy:
        values = policy.infer(SEEN).chunk.values
        policy.reset()
        again = policy.infer(SEEN).chunk.values
        assert policy.status()["policy dialect"] == dialect
    assert np.array_equal(values, again) == (dialect != "openpi")  # which has no episodes
    assert np.isfinite(values).all()
    if dialect in ("openpi", "vllm"):  # which lose nothing of the pictures
        assert np.array_equal(values, here())


def test_openpi_gets_the_panels_under_droids_names_and_nothing_else() -> None:
    seen: list[Any] = []
    with (
        foreign(answering({"actions": good(10)}, seen=seen)) as url,
        client(url, DROID) as policy,
    ):
        chunk = policy.infer(SEEN).chunk
    assert (len(chunk.values), chunk.step) == (10, DROID.step)
    assert {name: getattr(value, "shape", value) for name, value in seen[0].items()} == {
        "observation/wrist_image_left": (360, 640, 3),
        "observation/exterior_image_1_left": (180, 320, 3),
        "observation/exterior_image_2_left": (180, 320, 3),
        "observation/joint_position": (7,),
        "observation/gripper_position": (1,),
        "prompt": "reach the cube",
    }


def test_roboarena_gets_what_its_greeting_asks_for_and_is_told_of_episodes() -> None:
    seen: list[Any] = []
    handler = answering(
        "reset successful",
        {"actions": good()},
        "reset successful",
        {"actions": good().astype(np.float64)},
        metadata=ARENA | {"n_external_cameras": 1},
        seen=seen,
    )
    with foreign(handler) as url, client(url) as policy:
        policy.infer(SEEN)
        policy.reset()
        policy.infer(SEEN)
    assert [message["endpoint"] for message in seen] == ["reset", "infer"] * 2
    assert len({message["session_id"] for message in seen}) == 2
    pictures = {name: value.shape for name, value in seen[1].items() if "image" in name}
    assert pictures == {
        "observation/wrist_image_left": (180, 320, 3),
        "observation/exterior_image_0_left": (180, 320, 3),
    }
    assert not seen[1]["observation/wrist_image_left"][:, :40].any(), "its proportions stay"


def test_robolab_gets_one_picture() -> None:
    seen: list[Any] = []
    handler = answering({"action": good(32)}, seen=seen)
    with foreign(handler) as url, client(url, DROID, dialect="robolab") as policy:
        policy.infer(SEEN)
    assert seen[0]["observation/image"].shape == (540, 640, 3)
    assert np.array_equal(seen[0]["observation/image"], DROID.canvas.compose(IMAGES)[:540, :640])
    assert seen[0]["session_id"]


def test_a_video_that_comes_with_the_rows_is_the_future() -> None:
    frames = RNG.integers(0, 256, (5, 32, 48, 3), np.uint8)
    with foreign(answering({"actions": good(), "video": frames})) as url, client(url) as policy:
        future = policy.decode(policy.infer(SEEN))
    assert np.array_equal(future.frames, frames)
    assert (future.stamp, future.step) == (SEEN.stamp, 4 * SIM.step)


def test_a_server_that_takes_no_committed_rows_has_them_put_over_its_own() -> None:
    committed = ActionChunk(good(4) + 1, SIM.action_names, SEEN.stamp, SIM.step)
    with foreign(answering({"actions": good()})) as url, client(url, soft_rows=1) as policy:
        values = policy.infer(SEEN, committed).chunk.values
        assert "takes no committed rows" in policy.note(committed=True)
        assert policy.note(committed=False) == ""
    assert np.array_equal(values, np.vstack([committed.values[:3], good(13)]))


@pytest.mark.skipif(not OPENPI.is_file(), reason="openpi is not installed: make client")
def test_openpis_own_server() -> None:
    """The unchanged class of openpi-server with a policy of their interface."""
    if subprocess.run([OPENPI, "-c", "import openpi_server"], check=False).returncode:
        pytest.skip("openpi-server is not installed: make client")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [OPENPI, "-c", OPENPI_SERVER, str(port)]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server,
        client(f"ws://127.0.0.1:{port}") as policy,
    ):
        try:
            assert server.stdout
            assert server.stdout.readline() == "ready\n"
            chunk = until_served(policy, SEEN).chunk
            assert np.allclose(chunk.values[:, :7], STATE[:7] + 0.1)
            assert policy.status()["policy dialect"] == "openpi"
            with pytest.raises(ValueError, match="the server refused: RuntimeError: no such thing"):
                policy.infer(dataclasses.replace(SEEN, instruction="fail"))
            assert until_served(policy, SEEN).chunk.stamp == SEEN.stamp
        finally:
            server.kill()


OPENPI_SERVER = """
import sys
import numpy as np
from openpi_client.base_policy import BasePolicy
from openpi_server import WebsocketPolicyServer

class Policy(BasePolicy):
    def infer(self, obs):
        if obs["prompt"] == "fail":
            raise RuntimeError("no such thing")
        assert obs["observation/wrist_image_left"].dtype == np.uint8
        row = [*obs["observation/joint_position"] + 0.1, *obs["observation/gripper_position"]]
        return {"actions": np.tile(row, (10, 1))}

    def reset(self):
        pass

print("ready", flush=True)
WebsocketPolicyServer(Policy(), "127.0.0.1", int(sys.argv[1])).serve_forever()
"""


def until_served(policy: RemotePolicy, observation: Observation) -> Any:
    """What it says when it says something, as a node asks again and again."""
    end = time.monotonic() + 20
    while True:
        try:
            return policy.infer(observation)
        except (OSError, ValueError):
            assert time.monotonic() < end
            time.sleep(0.02)


# -- servers that misbehave ------------------------------------------------------------------------


def silent(connection: ServerConnection) -> None:
    connection.recv(timeout=20)


def deaf(connection: ServerConnection) -> None:
    connection.send(pack({}))
    connection.recv(timeout=20)
    connection.recv(timeout=20)


def leaves(connection: ServerConnection) -> None:
    connection.send(pack({}))
    connection.recv(timeout=20)
    connection.socket.shutdown(socket.SHUT_RDWR)


def closes(connection: ServerConnection) -> None:
    connection.send(pack({}))
    connection.recv(timeout=20)
    connection.close(1013, "try again later")


def greeting(frame: str | bytes) -> Handler:
    def handler(connection: ServerConnection) -> None:
        connection.send(frame)
        connection.recv(timeout=20)

    return handler


NAN = np.where(np.eye(16, 8) > 0, np.nan, 0.0)
NONSENSE: dict[str, tuple[Handler, type[Exception], str]] = {
    "never greets": (silent, TimeoutError, "no greeting within 0.5 s"),
    "never answers": (deaf, TimeoutError, "no answer within 0.5 s"),
    "hangs up": (leaves, ConnectionError, "no answer: "),
    "closes with words": (closes, ConnectionError, "closed by the server: try again later"),
    "greets with text": (greeting("go away"), ValueError, "the server refused: go away"),
    "greets with garbage": (greeting(b"\xc1\xff"), ValueError, "expected msgpack"),
    "greets with a list": (greeting(pack([1])), ValueError, "expected a dict as first frame"),
    "refuses with a traceback": (
        answering("Traceback:\n  File x\nKeyError: 'observation/state'\n"),
        ValueError,
        "the server refused: KeyError: 'observation/state'",
    ),
    "refuses as vllm": (
        answering({"type": "error", "message": "no free slot"}),
        ValueError,
        "the server refused: no free slot",
    ),
    "garbage": (answering(b"\x81"), ValueError, "expected msgpack with numpy arrays"),
    "nothing": (answering({}), ValueError, "expected actions in the answer, got []"),
    "other keys": (answering({"velocity": good()}), ValueError, "got ['velocity']"),
    "a list": (answering({"actions": [[0.0] * 8]}), ValueError, "got list"),
    "texts": (answering({"actions": good().astype(str)}), ValueError, "got <U"),
    "wrong width": (
        answering({"actions": good(16, 7)}),
        ValueError,
        "expected at most 16 rows of the 8 columns of droid_sim ['panda_joint1', ",
    ),
    "wider": (answering({"actions": good(16, 14)}), ValueError, "got [16, 14]"),
    "a robot of another horizon": (answering({"actions": good(32)}), ValueError, "got [32, 8]"),
    "no rows": (answering({"actions": good(0)}), ValueError, "got [0, 8]"),
    "one row without its axis": (answering({"actions": good()[0]}), ValueError, "got [8]"),
    "a batch": (answering({"actions": good()[None]}), ValueError, "got [1, 16, 8]"),
    "NaN": (answering({"actions": NAN}), ValueError, "got 8 NaN or infinite"),
    "too large": (
        answering({"actions": good().astype(np.float64) + 1e200}),
        ValueError,
        "got 128 NaN or infinite",
    ),
    "velocities": (
        answering({}, metadata=ARENA | {"action_space": "joint_velocity"}),
        ValueError,
        "action_space: expected joint_position, as embodiment droid_sim acts, the server has "
        "'joint_velocity'",
    ),
    "more cameras": (
        answering({}, metadata=ARENA | {"n_external_cameras": 3}),
        ValueError,
        "the server needs 3 external ones, embodiment droid_sim has ['exterior_1', 'exterior_2']",
    ),
    "stereo": (
        answering({}, metadata=ARENA | {"needs_stereo_camera": True}),
        ValueError,
        "in stereo",
    ),
    "a picture of no size": (
        answering({}, metadata=ARENA | {"image_resolution": [0, "x"]}),
        ValueError,
        "image_resolution: expected [height, width], the server has [0, 'x']",
    ),
}


@pytest.mark.parametrize("case", NONSENSE)
def test_nonsense_is_an_error_in_one_line_and_the_next_server_is_asked(
    case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy_client, "FIRST_PAUSE", 0.1)
    handler, kind, words = NONSENSE[case]
    wrong = [True]

    def handle(connection: ServerConnection) -> None:
        (handler if wrong[0] else answering({"actions": good()}))(connection)

    timeout = 0.5 if kind is TimeoutError else 20.0
    with foreign(handle) as url, client(url, timeout=timeout) as policy:
        for _ in range(2):  # the second is not sent
            with pytest.raises(kind, match=re.escape(words)) as caught:
                policy.infer(SEEN)
            assert str(caught.value).startswith(f"{url}: ")
            assert len(str(caught.value).splitlines()) == 1
        wrong[0] = False
        assert np.array_equal(until_served(policy, SEEN).chunk.values, good())


def test_pauses_between_attempts_grow_and_end_with_an_answer() -> None:
    tried, seen = [], []
    wrong = [True]

    def handle(connection: ServerConnection) -> None:
        tried.append(time.monotonic())
        if not wrong[0]:
            answering({"actions": good()}, seen=seen)(connection)

    with foreign(handle) as url, client(url) as policy:
        end = time.monotonic() + 1.0
        while time.monotonic() < end:
            with contextlib.suppress(OSError):
                policy.infer(SEEN)
        # at 0, 0.25 and 0.75 s
        assert 2 <= len(tried) <= 3
        assert tried[1] - tried[0] >= 0.25
        assert np.all(np.diff(tried, 2) > 0.1)
        wrong[0] = False
        wait_for_pause(policy)
        policy.infer(SEEN)
        wrong[0] = True
        policy.infer(SEEN)
    assert len(seen) == 2


def test_a_late_answer_is_not_that_of_the_next_question() -> None:
    def handle(connection: ServerConnection) -> None:
        connection.send(pack({}))
        for frame in connection:
            assert isinstance(frame, bytes)
            number = int(unpack(frame)["prompt"])
            if number == 1:
                time.sleep(0.6)
            connection.send(pack({"actions": np.full((16, 8), number / 100, np.float32)}))

    with foreign(handle) as url, client(url, timeout=0.4) as policy:
        with pytest.raises(TimeoutError, match=r"no answer within 0\.4 s"):
            policy.infer(dataclasses.replace(SEEN, instruction="1"))
        time.sleep(0.4)
        chunk = until_served(policy, dataclasses.replace(SEEN, instruction="2", stamp=1)).chunk
    assert (chunk.stamp, chunk.values[0, 0]) == (1, np.float32(0.02))


def test_a_server_that_reads_nothing_is_given_up_too() -> None:
    """Whatever the kernel does not take of a request would block for ever."""
    large = {view: np.zeros((1200, 1200, 3), np.uint8) for view in SIM.views}
    canvas = dataclasses.replace(
        SIM.canvas,
        panels=tuple(dataclasses.replace(p, height=1200, width=1200) for p in SIM.canvas.panels),
    )
    with socket.create_server(("127.0.0.1", 0)) as server:

        def greet() -> None:
            from websockets.server import ServerProtocol

            protocol, (peer, _) = ServerProtocol(), server.accept()
            held.append(peer)
            while not (events := protocol.events_received()):
                protocol.receive_data(peer.recv(65536))
            protocol.send_response(protocol.accept(events[0]))
            protocol.send_binary(pack({}))
            for data in protocol.data_to_send():
                peer.sendall(data)

        held: list[socket.socket] = []
        threading.Thread(target=greet).start()
        url = f"ws://127.0.0.1:{server.getsockname()[1]}"
        with client(url, dataclasses.replace(SIM, canvas=canvas), timeout=0.5) as policy:
            began = time.monotonic()
            with pytest.raises(TimeoutError, match=r"no answer within 0\.5 s"):
                policy.infer(dataclasses.replace(SEEN, images=large))
            assert time.monotonic() - began < 10.0
        held[0].close()


def test_close_ends_a_question_at_once_and_every_later_one() -> None:
    with foreign(deaf) as url:
        policy = RemotePolicy(url, SIM, timeout=30.0)
        threading.Timer(0.3, policy.close).start()
        began = time.monotonic()
        with pytest.raises(ConnectionError, match="the answer was given up"):
            policy.infer(SEEN)
        assert time.monotonic() - began < 2.0
        wait_for_pause(policy)
        with pytest.raises(ConnectionError, match="given up"):
            policy.infer(SEEN)


def test_no_thread_stays_behind() -> None:
    before = threading.active_count()
    with foreign(leaves) as url, client(url) as policy:
        for _ in range(3):
            with pytest.raises(ConnectionError):
                policy.infer(SEEN)
            wait_for_pause(policy)
    end = time.monotonic() + 10
    while threading.active_count() > before:
        assert time.monotonic() < end, threading.enumerate()
        time.sleep(0.02)


@pytest.mark.parametrize("url", ["", "http://x", "ws://", "ws://x:port", "gpu:8000", "ws://a@x"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"policy_url: expected ws\(s\)://HOST\[:PORT\]\[/PATH\]"):
        RemotePolicy(url, SIM)


def test_what_is_wrong_here_is_not_the_servers_fault() -> None:
    with foreign(answering({"actions": good()})) as url, client(url) as policy:
        policy.infer(SEEN)
        with pytest.raises(ValueError, match="missing view"):
            policy.infer(dataclasses.replace(SEEN, images={"wrist": IMAGES["wrist"]}))
        with pytest.raises(ValueError, match="state of droid_sim: expected 8 values"):
            policy.infer(dataclasses.replace(SEEN, state=STATE[:7]))
        policy.infer(SEEN)
        assert policy.status()["policy connections"] == 1
        with pytest.raises(ValueError, match="dialect: expected one of auto, openpi"):
            RemotePolicy(url, SIM, "morse")
        with pytest.raises(ValueError, match="got 'openpy', did you mean 'openpi'"):
            RemotePolicy(url, SIM, "openpy")
        with pytest.raises(ValueError, match="the server sent no video"):
            policy.decode(policy.infer(SEEN))
