# SPDX-License-Identifier: Apache-2.0
"""A remote reasoner behind an OpenAI-compatible endpoint: vLLM, NIM, `cosmos3 serve reasoner`."""

from __future__ import annotations

import contextlib
import http.client
import json
import math
import socket
import threading
import time
import urllib.parse
from collections.abc import Sequence
from typing import Any

import numpy as np

from ...model.interface import Answer, Clip, check_image
from ...model.language.question_templates import parse_boxes, split_thought
from ..chat_logprobs import read_yes
from .media_uri import frame_rate, media_part

CONNECT = 5.0  # seconds
MAX_REPLY = 16 << 20
# Statuses by which endpoints refuse a field that they do not know or offer.
NOT_OFFERED = (400, 422)
LOGPROBS = {"logprobs": True, "top_logprobs": 20}  # as many as vLLM and OpenAI tell at most


class RefusedError(ValueError):
    """A reply of another status than 200."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class RemoteReasoner:
    """A `Reasoner`: one thread asks, any other may `cancel`. It connects anew for each question.

    The answer's probability of yes comes from the log-probabilities of its first token; of an
    endpoint that refuses to tell them, they are not asked for again.

    url: up to and with /v1; model: its name there, "": the first one that is offered; token: sent
    as Bearer token; timeout: seconds for an answer. ValueError if the url is none.
    """

    def __init__(self, url: str, model: str = "", token: str = "", timeout: float = 60.0) -> None:
        address = urllib.parse.urlsplit(url)
        if (
            address.scheme not in ("http", "https")
            or not address.hostname
            or address.username
            or address.query
        ):
            raise ValueError(f"remote_url: expected http(s)://HOST[:PORT]/v1, got {url!r}")
        self._kind = (
            http.client.HTTPSConnection if address.scheme == "https" else http.client.HTTPConnection
        )
        self._host, self._port, self._path = (
            address.hostname,
            address.port,
            address.path.rstrip("/"),
        )
        self._url, self._model, self._timeout = url, model, timeout
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._tells = True  # log-probabilities, as far as is known
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._cancelled = self._closed = False

    def ask(
        self, question: str, images: Sequence[np.ndarray | Clip] = (), max_tokens: int = 128
    ) -> Answer:
        """See `Reasoner`.

        OSError if the endpoint does not answer, ValueError if it refuses or answers nonsense.
        """
        began = time.monotonic()
        clips = [image for image in images if isinstance(image, Clip)]
        for number, image in enumerate(images):
            for frame in image.frames if isinstance(image, Clip) else [image]:
                check_image(f"images[{number}]", frame)
        with self._lock:
            self._cancelled = self._closed
        self._model = self._model or self._only_model()
        content = [*map(media_part, images), {"type": "text", "text": question}]
        message = {"role": "user", "content": content}
        asked = {
            "model": self._model,
            "messages": [message],
            "max_tokens": max_tokens,
            "temperature": 0,
        }
        if rates := [frame_rate(clip) for clip in clips if len(clip.frames) > 1]:
            # of vLLM and of our server: look at every frame
            asked["media_io_kwargs"] = {"video": {"fps": math.ceil(max(rates))}}
        reply = self._complete(asked)
        try:
            choice = reply["choices"][0]
            said = choice["message"]
            thought, text = split_thought(said.get("content") or "")
            thought = thought or said.get("reasoning_content") or said.get("reasoning") or ""
            tokens = int((reply.get("usage") or {}).get("completion_tokens", 0))
        except (LookupError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{self._url}: expected a chat completion, got something else ({error!r})"
            ) from None
        seconds = {"remote": time.monotonic() - began}
        return Answer(text, thought, parse_boxes(text), tokens, seconds, read_yes(choice))

    def cancel(self, for_good: bool = False) -> None:
        """Give up the running question: its `ask` raises ConnectionError at once.

        for_good: and each that begins later, too.
        """
        with self._lock:
            self._cancelled = True
            self._closed |= for_good
            if self._socket:
                with contextlib.suppress(OSError):  # the other side was faster
                    self._socket.shutdown(socket.SHUT_RDWR)

    def _complete(self, asked: dict[str, Any]) -> Any:
        """The reply, with log-probabilities where the endpoint tells them."""
        plain = json.dumps(asked).encode()
        if not self._tells:
            return self._exchange("POST", "/chat/completions", plain)
        try:
            return self._exchange(
                "POST", "/chat/completions", json.dumps(asked | LOGPROBS).encode()
            )
        except RefusedError as error:
            if error.status not in NOT_OFFERED:
                raise
        reply = self._exchange("POST", "/chat/completions", plain)
        self._tells = False  # it was that: without them it answers
        return reply

    def _only_model(self) -> str:
        try:
            return str(self._exchange("GET", "/models")["data"][0]["id"])
        except (LookupError, TypeError):
            raise ValueError(f"{self._url}/models: expected a list of models, got none") from None

    def _exchange(self, method: str, path: str, body: bytes | None = None) -> Any:
        connection = self._kind(self._host, self._port, timeout=CONNECT)
        try:
            self._open(connection)
            connection.request(
                method,
                self._path + path,
                body,
                {"Content-Type": "application/json", **self._headers},
            )
            response = connection.getresponse()
            text = response.read(MAX_REPLY + 1)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._fault(error) from None
        finally:
            with self._lock:
                self._socket = None
            connection.close()
        return self._read(response.status, text)

    def _open(self, connection: http.client.HTTPConnection) -> None:
        connection.connect()
        with self._lock:
            if self._cancelled:
                raise ConnectionError
            self._socket = connection.sock
        self._socket.settimeout(self._timeout)

    def _fault(self, error: Exception) -> OSError:
        if self._cancelled:
            return ConnectionError("the question was given up")
        if isinstance(error, TimeoutError):
            limit = self._timeout if self._socket else CONNECT
            return TimeoutError(
                f"{self._url}: no {'answer' if self._socket else 'connection'} within {limit:g} s"
            )
        return ConnectionError(f"{self._url}: {error or type(error).__name__}")

    def _read(self, status: int, text: bytes) -> Any:
        if len(text) > MAX_REPLY:
            raise ValueError(
                f"{self._url}: expected an answer of at most {MAX_REPLY} bytes, got more"
            )
        try:
            reply = json.loads(text)
        except (ValueError, RecursionError):
            reply = None
        if status != 200:
            raise RefusedError(status, f"{self._url}: status {status}: {_complaint(reply)}")
        if not isinstance(reply, dict):
            raise ValueError(f"{self._url}: expected a JSON object, got {text[:80]!r}")
        return reply


def _complaint(reply: Any) -> str:
    """The message of an error in OpenAI's or vLLM's shape."""
    fields = reply.get("error", reply) if isinstance(reply, dict) else {}
    message = fields.get("message", fields.get("detail")) if isinstance(fields, dict) else fields
    return " ".join(str(message or "no reason given").split())[:400]
