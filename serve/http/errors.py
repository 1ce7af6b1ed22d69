# SPDX-License-Identifier: Apache-2.0
"""Why a request was not answered, as a client may read it: status, words and the field."""

from __future__ import annotations

import dataclasses
import logging
import re

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from ..job_queue import BusyError

LOG = logging.getLogger("cosmos3_ros.serve")
CONNECTIONS = logging.getLogger("cosmos3_ros.serve.connections")  # what aiohttp says of them
MOST_WORDS = 1000  # characters of a message
# What Python writes of an object: it tells a client nothing, and an attacker where memory lies.
_OBJECT = re.compile(r"<[^<>]{0,200}? at 0x[0-9a-fA-F]+>")


class RefusedError(Exception):
    """A request that is refused: HTTP status, what to say, OpenAI's word for the reason."""

    def __init__(self, status: int, message: str, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


class BadRequestError(ValueError):
    """What is wrong with a request, and with which field of it."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclasses.dataclass(frozen=True, slots=True)
class Failure:
    """HTTP status, the words, OpenAI's code for the reason, and the field that is wrong."""

    status: int
    message: str
    code: str | None = None
    param: str | None = None


def describe(error: BaseException) -> Failure:
    """What a client is told of an error. What was not meant for one goes to the log instead."""
    failure = _of_request(error)
    if failure is None:
        LOG.error("a request was not answered", exc_info=error)
        failure = Failure(500, "internal error; the server's log says more", "internal_error")
    return failure


class ClientFaults(logging.Filter):
    """Of what aiohttp logs, a request's fault is one line, without the traceback of a defect."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and _of_request(error) is not None:
            record.msg, record.args = "a request was refused: %s", (said(error),)
            record.exc_info, record.exc_text = None, None
            record.levelno, record.levelname = logging.INFO, "INFO"
        return True


CONNECTIONS.addFilter(ClientFaults())


def _of_request(error: BaseException) -> Failure | None:
    """The failure, if it is one of the request or of the hour."""
    match error:
        case RefusedError():
            return Failure(error.status, said(error), error.code)
        case BadRequestError():
            return Failure(400, said(error), None, error.param)
        case BusyError():
            return Failure(503, f"{error}; try again later", "overloaded")
        case web.HTTPException():
            return Failure(error.status, error.text or error.reason)
        case web.RequestPayloadError() | ClientPayloadError() | HttpProcessingError():
            # of its length, its chunks or its compression
            return Failure(400, "the request's body is not what its headers say")
    return None


def said(error: BaseException) -> str:
    """The message of an error in one line that may be sent."""
    text = _OBJECT.sub("an object", " ".join(str(error).split()))
    # a field's name or value that a client sent may hold what UTF-8 lacks
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= MOST_WORDS else text[: MOST_WORDS - 3] + "..."


def openai_error(failure: Failure) -> dict[str, dict[str, str | None]]:
    """A failure as OpenAI's clients read it."""
    kind = "invalid_request_error" if failure.status < 500 else "server_error"
    about = {"message": failure.message, "type": kind}
    return {"error": {**about, "param": failure.param, "code": failure.code}}
