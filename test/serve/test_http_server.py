# SPDX-License-Identifier: Apache-2.0
"""The life cycle that the HTTP servers share, with a model that is never asked."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.libero_server import LiberoServer
from cosmos3_ros.serve.openai_server import OpenAiServer


def openai_server() -> Any:
    return OpenAiServer(SimpleNamespace(), "tiny")


def libero_server() -> Any:
    def nothing(*_: Any) -> None: ...

    policy = SimpleNamespace(embodiment=EMBODIMENTS["libero"], infer=nothing, reset=nothing)
    return LiberoServer(lambda: (policy, nothing))


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
