# SPDX-License-Identifier: Apache-2.0
"""One websocket to a policy server, on which one thread at a time sends and waits, with a limit.

Whatever blocks is ended by closing the socket, by a timer or by another thread.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import urllib.parse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.sync.client import connect

from ..msgpack_codec import MAX_BYTES, pack
from ..openpi_messages import HEADER

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

OPEN = 2.0  # seconds for a connection, less than what a process has to end in


class Connection:
    """A connection that is not open yet; `close` from any thread ends it for good.

    url: ws(s)://HOST[:PORT][/PATH], proxies are not asked; token: sent as Bearer token; timeout: of
    a greeting and of an answer, s. ValueError if the url is none.
    """

    def __init__(self, url: str, token: str = "", timeout: float = 5.0) -> None:
        self.url, self._timeout = url, timeout
        self._host, self._port, self.path = split_url(url)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._websocket: ClientConnection | None = None
        self._closed = self._late = False

    def open(self) -> tuple[str | bytes, bool]:
        """The server's first frame, and whether it is a server of this package.

        OSError if there is no connection, ValueError if there is no such server.
        """
        with self._limited("greeting"):
            made = socket.create_connection((self._host, self._port), OPEN)
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._hold(made)
            self._websocket = connect(
                self.url,
                sock=made,
                compression=None,
                max_size=MAX_BYTES,
                open_timeout=self._timeout,
                ping_interval=None,  # openpi's server answers no ping while it computes
                close_timeout=0.0,
                additional_headers=self._headers,
            ).__enter__()
            self._hold(self._websocket.socket)  # with wss it is another one
            frame = self._websocket.recv()
            response = self._websocket.response
        return frame, bool(response and HEADER in response.headers)

    def exchange(self, message: dict[str, Any]) -> str | bytes:
        """The answer to a message; OSError if none comes. After any error it must be closed."""
        assert self._websocket is not None  # open
        with self._limited("answer"):
            self._websocket.send(pack(message))
            return self._websocket.recv()

    def close(self) -> None:
        """End the connection and whatever waits for it."""
        with self._lock:
            self._closed = True
            made, websocket = self._socket, self._websocket
            if made:
                with contextlib.suppress(OSError):  # the other side was faster
                    made.shutdown(socket.SHUT_RDWR)
        if websocket:
            with contextlib.suppress(OSError, WebSocketException):
                websocket.close()
        if made:
            made.close()

    def _hold(self, made: socket.socket) -> None:
        with self._lock:
            self._socket = made
            if self._closed or self._late:
                raise ConnectionError

    @contextlib.contextmanager
    def _limited(self, what: str) -> Iterator[None]:
        """No longer than the timeout; every failure of a connection in words."""
        timer = threading.Timer(self._timeout, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        except InvalidStatus as error:
            status = error.response.status_code
            why = " (see the token)" if status in (401, 403) else ""
            raise ValueError(
                f"{self.url}: expected a policy server, got status {status}{why}"
            ) from None
        except ValueError as error:  # of an address, or a redirection
            raise ValueError(f"{self.url}: {error}") from None
        except (OSError, EOFError, WebSocketException) as error:
            raise self._fault(what, error) from None
        finally:
            timer.cancel()

    def _expire(self) -> None:
        with self._lock:
            self._late = True
            if self._socket:
                with contextlib.suppress(OSError):
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _fault(self, what: str, error: Exception) -> ConnectionError | TimeoutError:
        what = what if self._socket else "connection"
        if self._closed:
            return ConnectionError(f"{self.url}: the {what} was given up")
        if self._late or isinstance(error, TimeoutError):
            limit = self._timeout if self._socket else OPEN
            return TimeoutError(f"{self.url}: no {what} within {limit:g} s")
        if isinstance(error, ConnectionClosed) and error.rcvd and error.rcvd.reason:
            return ConnectionError(f"{self.url}: closed by the server: {error.rcvd.reason}")
        why = error.strerror if isinstance(error, OSError) else None
        return ConnectionError(f"{self.url}: no {what}: {why or error or type(error).__name__}")


def split_url(url: str) -> tuple[str, int, str]:
    """Host, port and path of a policy server's address; ValueError if it is none."""
    fault = ValueError(f"policy_url: expected ws(s)://HOST[:PORT][/PATH], got {url!r}")
    try:
        address = urllib.parse.urlsplit(url)
        port = address.port
    except ValueError:
        raise fault from None
    if address.scheme not in ("ws", "wss") or not address.hostname or address.username:
        raise fault
    return address.hostname, port or (443 if address.scheme == "wss" else 80), address.path
