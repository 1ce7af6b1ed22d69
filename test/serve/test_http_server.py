# SPDX-License-Identifier: Apache-2.0
"""The life cycle that the HTTP servers share, with a model that is never asked."""

import asyncio
import contextlib
import http.client
import json
import logging
import socket
import time
import zlib
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.serve import http_server
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.libero_server import LiberoServer
from cosmos3_ros.serve.openai_server import OpenAiServer


def openai_server() -> Any:
    return OpenAiServer(SimpleNamespace(), "tiny")


def libero_server() -> Any:
    def nothing(*_: Any) -> None: ...

    policy = SimpleNamespace(embodiment=EMBODIMENTS["libero"], infer=nothing, reset=nothing)
    return LiberoServer(lambda: (policy, nothing))


@pytest.mark.parametrize("make", [openai_server, libero_server])
def test_a_request_that_is_announced_too_long_is_refused_at_once(make: Callable[[], Any]) -> None:
    server = make()
    with in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        with contextlib.closing(line):
            line.putrequest("POST", "/predict")
            line.putheader("Content-Length", str(1 << 40))
            line.endheaders()
            reply = line.getresponse()
            assert (reply.status, b"67108864 bytes" in reply.read()) == (413, True)


def is_let_go(client: socket.socket) -> bool:
    """Whether the server closes the connection of a client that has asked nothing."""
    with contextlib.suppress(ConnectionResetError):
        return client.recv(1) == b""
    return True


@pytest.mark.parametrize("iterations", range(6))
@pytest.mark.parametrize("make", [openai_server, libero_server])
def test_a_client_that_connects_while_the_server_ends_is_not_left_waiting(
    make: Callable[[], Any], iterations: int
) -> None:
    """The end comes so many iterations of the event loop after the connection.

    Asyncio is half done with accepting it in between.
    """
    server = make()
    with contextlib.ExitStack() as clients:

        async def run(ready: Callable[[socket.socket], None], ended: asyncio.Event) -> None:
            def connect(port: int) -> None:
                client = clients.enter_context(socket.create_connection(("127.0.0.1", port), 10))
                ready(client)
                end(iterations)

            def end(after: int) -> None:
                asyncio.get_running_loop().call_soon(end, after - 1) if after else ended.set()

            await server.run("127.0.0.1", 0, connect, ended)

        with in_background(run) as client:
            pass
        assert is_let_go(client)


@pytest.mark.parametrize("make", [openai_server, libero_server])
def test_a_client_of_a_server_that_cannot_become_ready_is_not_left_waiting(
    make: Callable[[], Any],
) -> None:
    server = make()
    with contextlib.ExitStack() as clients:
        came: list[socket.socket] = []

        def fail(port: int) -> None:
            came.append(clients.enter_context(socket.create_connection(("127.0.0.1", port), 10)))
            raise RuntimeError("not ready after all")

        with pytest.raises(RuntimeError, match="not ready after all"):
            asyncio.run(server.run("127.0.0.1", 0, fail, asyncio.Event()))
        assert is_let_go(came[0])


def test_a_server_may_end_by_itself() -> None:
    """The context that it runs in ends without an error, however late."""

    async def run(ready: Callable[[Any], None], ended: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        ready(loop)

    with in_background(run) as loop:
        while not loop.is_closed():
            pass


@contextlib.contextmanager
def served(server: Any) -> Any:
    with in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port:
        yield port


def ask(
    port: int, path: str, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=30)) as line:
        line.request(
            method, path, body, {name.replace("_", "-"): headers[name] for name in headers}
        )
        reply = line.getresponse()
        return reply.status, reply.read().decode()


@pytest.mark.parametrize("make", [openai_server, libero_server])
def test_all_servers_say_how_they_are(make: Callable[[], Any]) -> None:
    with served(make()) as port:
        for path in ("/health", "/healthz", "/readyz"):
            assert ask(port, path) == (200, "OK\n")
        assert ask(port, "/nowhere")[0] == 404
        status, page = ask(port, "/metrics")
    assert status == 200
    assert 'cosmos3_requests_total{route="/readyz",status="200"} 1.0' in page
    assert 'cosmos3_requests_total{route="other",status="404"} 1.0' in page
    assert 'cosmos3_request_seconds_count{route="/health"} 1.0' in page
    assert "cosmos3_queue_waiting 0.0" in page


def test_a_server_that_loads_is_alive_but_not_ready() -> None:
    seen: list[tuple[int, str]] = []
    server = LiberoServer(lambda: pytest.fail("is not reached"))

    async def run() -> None:
        with contextlib.closing(socket.socket()) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]

        async def look() -> None:
            for path in ("/health", "/readyz", "/info", "/metrics"):
                seen.append(await asyncio.to_thread(ask, port, path))
            raise RuntimeError("seen")

        server._server._load = look
        with pytest.raises(RuntimeError, match="seen"):
            await server.run("127.0.0.1", port, lambda _: None, asyncio.Event())

    asyncio.run(run())
    assert seen[0] == (200, "OK\n")
    assert seen[1] == (503, "loading\n")
    assert seen[2] == (503, '{"error": "loading"}')
    assert seen[3][0] == 503


@pytest.mark.parametrize("make", [openai_server, libero_server])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Host": "evil.example"}, 403),
        ({"Origin": "http://evil.example"}, 403),
        ({"Sec_Fetch_Site": "cross-site"}, 403),
        ({"Host": "localhost:1"}, 200),
    ],
)
def test_web_pages_and_other_names_are_refused_by_all(
    make: Callable[[], Any], headers: dict[str, str], status: int
) -> None:
    with served(make()) as port:
        got, text = ask(port, "/healthz", **headers)
        assert got == status
        assert status == 200 or "error" in json.loads(text)


def assert_one_line(records: list[logging.LogRecord]) -> None:
    """What a log says of a client's fault has no traceback."""
    assert not [record for record in records if record.exc_info]
    assert len(records) <= 1
    assert all("\n" not in record.getMessage() for record in records)


@pytest.mark.parametrize("make", [openai_server, libero_server])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"no gzip", {"Content_Encoding": "gzip"}),
        (zlib.compress(bytes(200 << 20)), {"Content_Encoding": "deflate"}),  # 200 kB
        (b"{}", {"Content_Encoding": "nobody knows"}),
        (b'{"model": "\xff"}', {}),
        (b'{"model": 1' + b"0" * 5000 + b"}", {}),
    ],
    ids=["compression", "bomb", "encoding", "bytes", "number"],
)
def test_a_broken_body_is_the_clients_fault_in_json(
    make: Callable[[], Any], body: bytes, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    path = "/v1/chat/completions" if make is openai_server else "/predict"
    headers = {"Content_Type": "application/json"} | headers
    with served(make()) as port:
        status, text = ask(port, path, "POST", body, **headers)
        assert 400 <= status < 500
        assert json.loads(text)["error"]
        assert ask(port, "/healthz")[0] == 200
    assert_one_line(caplog.records)


@pytest.mark.parametrize(("pause", "status"), [(0.0, b"400"), (0.1, b"408")])
@pytest.mark.parametrize("make", [openai_server, libero_server])
def test_a_body_of_broken_chunks_is_answered(
    make: Callable[[], Any],
    pause: float,
    status: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """What comes with its head is refused at once; of what comes later aiohttp says nothing."""
    monkeypatch.setattr(http_server, "UPLOAD", 0.5)
    path = b"/v1/chat/completions" if make is openai_server else b"/predict"
    head = (
        b"POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n" % path
    )
    broken = b"zz\r\nno chunk"
    with served(make()) as port:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port), 30)) as line:
            line.sendall(head if pause else head + broken)
            time.sleep(pause)
            line.sendall(broken if pause else b"")
            assert line.recv(1000).split()[1] == status
        assert ask(port, "/healthz")[0] == 200
    assert_one_line(caplog.records)
