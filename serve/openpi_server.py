# SPDX-License-Identifier: Apache-2.0
"""A policy behind a websocket, for clients of openpi (pi0), RoboLab, RoboArena and vLLM-Omni.

One connection, one conversation: the server says what it needs, then answers each request in order.
The event loop never waits for the network, so pings and health checks are answered during an
inference of any length.
"""

from __future__ import annotations

import asyncio
import collections
import copy
import dataclasses
import http
import time
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as listen
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from ..model.interface import ActionChunk, Observation, Policy, Prediction, warm_up
from .http.access import Access
from .http.errors import RefusedError, said
from .job_queue import BusyError, JobQueue, SupersededError
from .msgpack_codec import MAX_BYTES, pack, unpack
from .openpi_messages import (
    DESCRIBE,
    HEADER,
    VLLM,
    check_readable,
    description,
    metadata,
    read_committed,
    read_observation,
    rows,
)

SESSIONS = 32  # that one connection may have; the one not used for longest is forgotten
PIPELINE = 4  # requests of one connection that are read before the first is answered
CONNECTIONS = 256


@dataclasses.dataclass(frozen=True, slots=True)
class OpenPiOptions:
    """How to serve."""

    token: str = ""  # see `auth`
    horizon: int = 0  # rows of a chunk to send, 0: all
    black: bool = False  # a missing camera is a black picture instead of an error
    video: bool = False  # send the predicted video too
    soft_rows: int = 0  # of the policy, see PolicyOptions: clients that commit rows have to agree

    def __post_init__(self) -> None:
        if self.horizon < 0:
            raise ValueError(f"horizon: expected 0 or more, got {self.horizon}")


class OpenPiServer:
    """See the module. load: makes the policy, while clients may connect already.

    tell: takes lines for people.
    """

    def __init__(
        self,
        load: Callable[[], Policy],
        options: OpenPiOptions | None = None,
        tell: Callable[[str], object] = print,
    ) -> None:
        self.options, self.tell = options or OpenPiOptions(), tell
        self.queue = JobQueue()
        self._load = load
        self._policy: Policy | None = None
        self._loaded = asyncio.Event()
        self._talking = 0
        self._access = Access(self.options.token, "localhost")

    async def run(
        self, host: str, port: int, ready: Callable[[int], None], ended: asyncio.Event
    ) -> None:
        """Listen (port 0: any), load, call `ready` with the port, serve until `ended`.

        Raises what loading raises.
        """
        self._access = Access(self.options.token, host)
        async with listen(
            self._talk,
            host,
            port,
            process_request=self._admit,
            process_response=_sign,
            origins=[None],  # no web page may speak to a robot's policy on this machine
            compression=None,
            max_size=MAX_BYTES,
            max_queue=1,
            ping_timeout=None,  # a client may stand still in its simulator for minutes
        ) as server:
            try:
                self._policy = await self.queue.run("load", self._make)
                self._loaded.set()
                ready(server.sockets[0].getsockname()[1])
                await ended.wait()
            finally:
                self._loaded.set()  # whoever waits for it
                self.queue.close()

    def session(self) -> Policy:
        """A policy at the beginning of an episode; weights and caches are those of all others."""
        assert self._policy is not None
        policy = copy.copy(self._policy)
        policy.reset()
        return policy

    def _make(self) -> Policy:
        policy = self._load()
        warm_up(policy)
        return policy

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """Answer plain HTTP, and turn away who may not come in."""
        if request.path in ("/health", "/healthz"):
            return connection.respond(http.HTTPStatus.OK, "OK\n")
        if request.path == "/readyz":
            status = http.HTTPStatus.OK if self._policy else http.HTTPStatus.SERVICE_UNAVAILABLE
            return connection.respond(status, "OK\n" if self._policy else "loading\n")
        try:
            self._access.check(_headers(request))
        except RefusedError as error:
            return connection.respond(http.HTTPStatus(error.status), f"{error}\n")
        if request.path == "/metrics":
            return connection.respond(http.HTTPStatus.OK, self.queue.metrics.page().decode())
        if self._talking >= CONNECTIONS:
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, f"{CONNECTIONS} clients already\n"
            )
        return None

    async def _talk(self, connection: ServerConnection) -> None:
        self._talking += 1
        try:
            await self._loaded.wait()
            if self._policy is not None:
                await _Conversation(self, connection, self._policy).run()
        except ConnectionClosed:
            pass
        finally:
            self._talking -= 1


class _Conversation:
    """One connection: its dialect and its sessions."""

    def __init__(self, server: OpenPiServer, connection: ServerConnection, policy: Policy) -> None:
        self._server, self._connection, self._body = server, connection, policy.embodiment
        request = connection.request
        self._vllm = request is not None and request.path.partition("?")[0] == VLLM
        self._sessions: collections.OrderedDict[Any, Policy] = collections.OrderedDict()
        self._slots = asyncio.Semaphore(PIPELINE)
        self._total_ms: float | None = None  # of the exchange before this

    async def run(self) -> None:
        """Until the client leaves; what it still waits for then is forgotten."""
        await self._connection.send(pack(metadata(self._body)))
        tasks: set[asyncio.Task[None]] = set()
        try:
            async for frame in self._connection:
                await self._slots.acquire()
                task = asyncio.create_task(self._answer(frame))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                task.add_done_callback(lambda _: self._slots.release())
        finally:
            for task in tasks:
                task.cancel()

    async def _answer(self, frame: str | bytes) -> None:
        try:
            await self._connection.send(await self._reply(frame))
        except ConnectionClosed:
            pass
        except (BusyError, SupersededError) as error:
            await self._refuse(str(error), stay=True)
        except ValueError as error:
            await self._refuse(said(error), stay=self._vllm)
        # a defect of ours or of the policy: the client learns that, the log learns what
        except Exception:
            self._server.tell(traceback.format_exc().rstrip())
            await self._refuse("internal error; the server's log says more", stay=self._vllm)

    async def _refuse(self, reason: str, stay: bool) -> None:
        """Say why there is no answer, as the dialect has it; openpi's server then hangs up."""
        try:
            if self._vllm:
                await self._connection.send(pack({"type": "error", "message": reason}))
            else:
                await self._connection.send(f"error: {reason}")
            if not stay:
                await self._connection.close(1011, "error, see the frame before")
        except ConnectionClosed:
            pass

    async def _reply(self, frame: str | bytes) -> bytes | str:
        began = time.perf_counter()
        message = unpack(frame) if isinstance(frame, bytes) else None
        if not isinstance(message, dict):
            got = "a text frame" if isinstance(frame, str) else type(message).__name__
            raise ValueError(f"expected a binary frame with a msgpack dict, got {got}")
        endpoint = message.get("endpoint", "infer")
        if not isinstance(endpoint, str):
            raise ValueError(f"endpoint: expected text, got {type(endpoint).__name__}")
        if endpoint == DESCRIBE:
            options = self._server.options
            return pack(description(self._body, options.horizon, options.soft_rows))
        if endpoint == "reset":
            self._reset(message)
            return pack({"status": "reset successful"}) if self._vllm else "reset successful"
        if endpoint != "infer":
            raise ValueError(f"endpoint: expected 'infer' or 'reset', got {str(endpoint)[:40]!r}")
        return await self._infer(message, began)

    def _reset(self, message: dict[str, Any]) -> None:
        """Forget the sessions that are named, or all of this connection."""
        named = message.get("session_ids")
        if named is None or (isinstance(named, list) and not named):
            named = message.get("session_id")
        names = [_name(one) for one in (named if isinstance(named, list) else [named])]
        for name in [one for one in names if one] or list(self._sessions):
            self._sessions.pop(name, None)

    async def _infer(self, message: dict[str, Any], began: float) -> bytes:
        options = self._server.options
        observation = read_observation(message, self._body, options.black)
        name = _name(message.get("session_id"))
        policy = self._sessions.pop(name, None) or self._server.session()
        self._sessions[name] = policy
        while len(self._sessions) > SESSIONS:
            self._sessions.popitem(last=False)
        committed = read_committed(message, self._body, observation.stamp)
        job = _Job(policy, observation, committed, options.video)
        await self._server.queue.run((id(self), name), job.run)
        assert job.prediction is not None
        values = rows(job.prediction, options.horizon)
        timing = {"infer_ms": 1000 * job.seconds}
        if self._total_ms is not None:
            timing["prev_total_ms"] = self._total_ms
        self._total_ms = 1000 * (time.perf_counter() - began)
        if self._vllm:
            return pack(values)
        inside = {"infer_ms": 1000 * sum(job.prediction.seconds.values())}
        reply = {
            "action": values,
            "actions": values,
            "server_timing": timing,
            "policy_timing": inside,
        }
        return pack(reply if job.frames is None else {**reply, "video": job.frames})


class _Job:
    """One inference, for the thread that does them."""

    def __init__(
        self,
        policy: Policy,
        observation: Observation,
        committed: ActionChunk | None,
        video: bool,
    ) -> None:
        self._policy, self._video = policy, video
        self._observation, self._committed = observation, committed
        self.prediction: Prediction | None = None
        self.frames: np.ndarray | None = None
        self.seconds = 0.0

    def run(self) -> None:
        began = time.perf_counter()
        check_readable(self._policy, self._observation)
        try:
            self.prediction = self._policy.infer(self._observation, self._committed)
            self.frames = self._policy.decode(self.prediction).frames if self._video else None
        # the request was checked: this one is not for the client's eyes
        except ValueError as error:
            raise RuntimeError(str(error)) from error
        self.seconds = time.perf_counter() - began


def _sign(connection: ServerConnection, request: Request, response: Response) -> None:
    """Tell clients of this package whose server this is; others do not look."""
    response.headers[HEADER] = DESCRIBE


def _headers(request: Request) -> dict[str, str]:
    """The headers that say who asks; one that stands there twice is no right one."""
    names = ("Host", "Origin", "Sec-Fetch-Site", "Authorization")
    found = {name: request.headers.get_all(name) for name in names}
    return {name: ", ".join(values) for name, values in found.items() if values}


def _name(session: Any) -> str:
    if not isinstance(session, (str, int, type(None))) or len(str(session)) > 200:
        raise ValueError(f"session_id: expected a short text, got {type(session).__name__}")
    return "" if session is None else str(session)
