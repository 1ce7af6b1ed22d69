# SPDX-License-Identifier: Apache-2.0
"""A policy that another computer computes: `cosmos3 serve openpi`, openpi, RoboArena, vLLM-Omni.

To a node it is a policy like any other, which may be late or fail; what it answers is checked here.
"""

from __future__ import annotations

import dataclasses
import threading
import time
import uuid
from typing import Any

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.table import nearest
from ...model.interface import ActionChunk, Future, Observation, Prediction, committed_rows
from ..openpi_messages import AHEAD, COMMITTED, DESCRIBE
from .policy_connection import Connection, split_url
from .policy_dialects import AUTO, CHOICES, Dialect, choose_dialect
from .policy_replies import (
    read_description,
    read_frame,
    read_metadata,
    read_rows,
    read_server_seconds,
    read_video,
)

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 4.0  # seconds between two attempts: each twice the one before


@dataclasses.dataclass(slots=True)
class _Link:
    """An open connection: how the server is asked, and what it was told."""

    connection: Connection
    dialect: Dialect
    most: int  # rows in an answer
    episode: int = 0  # that the server was told of, 0: none
    answered: bool = False


class RemotePolicy:
    """A `Policy`: one thread infers, any other may `reset` and `close`.

    url, token, timeout: see `Connection`; embodiment: what the server's policy is for; dialect: one
    of `policy_dialects.CHOICES`; rows: the most in an answer, 0: as the embodiment has them;
    soft_rows: see `PolicyOptions`, a server that takes committed rows has to have the same.

    It connects when it is first asked, and again after any failure; while the server cannot be
    reached it is tried more and more seldom, and `infer` fails at once in between.
    """

    def __init__(
        self,
        url: str,
        embodiment: Embodiment,
        dialect: str = AUTO,
        token: str = "",
        timeout: float = 5.0,
        rows: int = 0,
        soft_rows: int = 0,
    ) -> None:
        if dialect not in CHOICES:
            raise ValueError(
                f"dialect: expected one of {', '.join(CHOICES)}, got {dialect!r}"
                f"{nearest(dialect, CHOICES)}"
            )
        split_url(url)  # ValueError
        self.embodiment = dataclasses.replace(embodiment, horizon=rows or embodiment.horizon)
        self._address = (url, token, timeout)
        self._wanted, self._soft_rows = dialect, soft_rows
        self._name, self._episode = uuid.uuid4().hex[:12], 1
        self._lock = threading.Lock()
        self._opening: Connection | None = None
        self._link: _Link | None = None
        self._closed = False
        self._failure: tuple[type[Exception], str] | None = None  # of the last attempt
        self._pause, self._next = 0.0, 0.0  # between attempts, s; when the next one may be
        self._connections = 0

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        """See `Policy`. OSError if the server does not answer, ValueError if that is nonsense.

        Rows due while `committed` lasts are put over the answer of a server that takes none.
        """
        self.embodiment.check_state(observation.state)
        self.embodiment.canvas.check(observation.images)
        kept = committed_rows(committed, self.embodiment, observation.stamp)
        if self._failure and time.monotonic() < self._next:
            kind, words = self._failure
            raise kind(words)
        try:
            known = self._link is not None and self._link.answered
            try:
                prediction = self._ask(observation, committed)
            except ConnectionError:  # a server that has begun anew is asked again at once
                if not known:
                    raise
                self._drop()
                prediction = self._ask(observation, committed)
        except (OSError, ValueError) as error:
            self._give_up(error)
            raise
        assert self._link
        self._failure, self._pause, self._link.answered = None, 0.0, True
        if not self._link.dialect.commits:
            _keep(prediction.chunk, kept, self._soft_rows)
        return prediction

    def decode(self, prediction: Prediction) -> Future:
        """The video that came with the rows; ValueError if none did."""
        if prediction.latents is None:
            raise ValueError("the server sent no video")
        rows, frames = len(prediction.chunk.values), prediction.latents
        step = prediction.chunk.step * rows // max(1, len(frames) - 1)
        return Future(frames, prediction.chunk.stamp, step)

    def reset(self) -> None:
        """A new episode: the server is told with the next request."""
        self._episode += 1

    def close(self) -> None:
        """Give up what is asked, and everything that will be."""
        with self._lock:
            self._closed = True
            open_ones = (self._opening, self._link.connection if self._link else None)
        for connection in open_ones:
            if connection:
                connection.close()

    def status(self) -> dict[str, str | int]:
        """For people: where the policy is, how it is asked, and how often it was connected to."""
        link = self._link
        return {
            "policy server": self._address[0],
            "policy dialect": link.dialect.name if link else "not connected",
            "policy connections": self._connections,
        }

    def note(self, committed: bool) -> str:
        """What is not as it could be with this server; committed: rows are given to it."""
        if committed and self._link and not self._link.dialect.commits:
            return (
                "the server takes no committed rows: they are put over its own, so that replace or "
                "crossfade suit it better"
            )
        return ""

    def _ask(self, observation: Observation, committed: ActionChunk | None) -> Prediction:
        began = time.monotonic()
        link = self._link or self._connect()
        episode, dialect = self._episode, link.dialect
        session = f"{self._name}-{episode}"
        if dialect.resets and link.episode != episode:
            frame = link.connection.exchange({"endpoint": "reset", "session_id": session})
            if isinstance(frame, bytes):  # else words, that it is done
                read_frame(frame)
        link.episode = episode
        message = dialect.write(observation, self.embodiment) | {"prompt": observation.instruction}
        if dialect.sessions:
            message["session_id"] = session
        if dialect.resets:
            message["endpoint"] = "infer"
        if dialect.commits and committed:
            message[COMMITTED] = committed.values
            message[AHEAD] = committed.stamp - observation.stamp
        sent = time.monotonic()
        content = self._read(read_frame, link.connection.exchange(message))
        waited = time.monotonic() - sent
        values = self._read(lambda given: read_rows(given, self.embodiment, link.most), content)
        inside = min(waited, read_server_seconds(content) or 0.0)
        seconds = {"request": sent - began, "network": waited - inside, "server": inside}
        body = self.embodiment
        chunk = ActionChunk(values, body.action_names, observation.stamp, body.step, body.discrete)
        return Prediction(chunk, seconds, read_video(content))

    def _connect(self) -> _Link:
        """Open a connection and agree on how to speak."""
        connection = Connection(*self._address)
        with self._lock:
            if self._closed:
                raise ConnectionError(f"{connection.url}: the request was given up")
            self._opening = connection
        body = self.embodiment
        frame, own = connection.open()
        metadata = self._read(read_metadata, frame)
        dialect = self._read(
            lambda given: choose_dialect(self._wanted, own, connection.path, given, body), metadata
        )
        most = body.horizon
        if dialect.commits:
            answer = self._read(read_frame, connection.exchange({"endpoint": DESCRIBE}))
            most = self._read(lambda given: read_description(given, body, self._soft_rows), answer)
        with self._lock:
            self._link, self._opening = _Link(connection, dialect, most), None
            self._connections += 1
        return self._link

    def _read(self, reader: Any, given: Any) -> Any:
        """What `reader` makes of what came; its ValueError names the server."""
        try:
            return reader(given)
        except ValueError as error:
            raise ValueError(f"{self._address[0]}: {error}") from None

    def _drop(self) -> None:
        """Let go of the connection: an answer that is still to come must not be the next one's."""
        with self._lock:
            gone = (self._opening, self._link.connection if self._link else None)
            self._opening = self._link = None
        for connection in gone:
            if connection:
                connection.close()

    def _give_up(self, error: Exception) -> None:
        self._drop()
        kinds = (TimeoutError, ConnectionError, ValueError)
        self._failure = next(kind for kind in kinds if isinstance(error, kind)), str(error)
        self._pause = min(LONGEST_PAUSE, 2 * self._pause) or FIRST_PAUSE
        self._next = time.monotonic() + self._pause


def _keep(chunk: ActionChunk, kept: dict[int, np.ndarray], soft_rows: int) -> None:
    """Put committed rows, but the soft ones, where the server has its own."""
    for row in sorted(kept)[: max(0, len(kept) - soft_rows)]:
        if row < len(chunk.values):
            chunk.values[row] = kept[row]
