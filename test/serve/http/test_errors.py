# SPDX-License-Identifier: Apache-2.0
"""What a client reads of an error, and what only the log does."""

import io
import logging

import pytest
from aiohttp import web

from cosmos3_ros.serve.http.errors import (
    BadRequestError,
    Failure,
    RefusedError,
    describe,
    openai_error,
    said,
)
from cosmos3_ros.serve.job_queue import BusyError


@pytest.mark.parametrize(
    ("error", "failure"),
    [
        (RefusedError(404, "no", "gone"), Failure(404, "no", "gone")),
        (BadRequestError("n: no", "n"), Failure(400, "n: no", None, "n")),
        (BusyError("9 wait"), Failure(503, "9 wait; try again later", "overloaded")),
        (web.HTTPNotFound(), Failure(404, "404: Not Found")),
        (web.RequestPayloadError(), Failure(400, "the request's body is not what its headers say")),
    ],
)
def test_errors_of_requests_are_told(error, failure, caplog):
    assert describe(error) == failure
    assert not caplog.records


@pytest.mark.parametrize("error", [ValueError("/secret"), RuntimeError("CUDA"), KeyError("x")])
def test_defects_are_for_the_log(error, caplog):
    with caplog.at_level(logging.ERROR):
        failure = describe(error)
    assert (failure.status, failure.code) == (500, "internal_error")
    assert str(error) not in failure.message
    assert str(error) in caplog.text


def test_words_hold_no_addresses_of_objects_no_lines_and_can_be_written():
    text = said(ValueError(f"cannot identify\n image file {io.BytesIO()!r}: \ud800"))
    assert text == "cannot identify image file an object: \\ud800"
    assert len(said(ValueError("x" * 10**6))) == 1000


def test_the_form_of_openai():
    body = openai_error(Failure(400, "n: no", None, "n"))["error"]
    assert body == {"message": "n: no", "type": "invalid_request_error", "param": "n", "code": None}
    assert openai_error(Failure(503, "wait"))["error"]["type"] == "server_error"
