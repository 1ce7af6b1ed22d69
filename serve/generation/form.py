# SPDX-License-Identifier: Apache-2.0
"""Bodies of requests as fields: JSON, or a form with files, which clients use for uploads."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from ..http.base64_text import decode_base64, split_data_uri
from ..http.errors import BadRequestError, RefusedError
from ..http.fields import check_known, kind, text
from ..http_server import UPLOAD, read_json

FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
_WHOLE = re.compile(r"-?[0-9]{1,18}")
_REAL = re.compile(r"[-+]?[0-9.]{1,32}([eE][-+]?[0-9]{1,4})?")
_FLAGS = {"true": True, "false": False}


async def read_form(request: web.Request) -> dict[str, Any]:
    """The fields of a request; files are bytes. BadRequestError or RefusedError if it is none."""
    if request.content_type == "application/json":
        return await read_json(request)
    if request.content_type not in FORMS:
        expected = ", ".join(("application/json", *FORMS))
        raise RefusedError(415, f"Content-Type: expected one of {expected}")
    try:
        async with asyncio.timeout(UPLOAD):
            form = await request.post()
    except TimeoutError:
        reason = f"the request did not arrive within {UPLOAD:.0f} s"
        raise RefusedError(408, reason, "timeout") from None
    # of aiohttp, for what is no form: of its boundary, its parts, their charset
    except (ValueError, AssertionError, RuntimeError, LookupError) as error:
        raise BadRequestError(f"expected a form: {error}") from None
    fields: dict[str, Any] = {}
    try:
        for name, value in form.items():
            if name in fields:
                raise BadRequestError(f"{name[:80]}: expected once, got it again", name[:80])
            fields[name] = value.file.read() if isinstance(value, web.FileField) else value
    finally:
        for value in form.values():
            if isinstance(value, web.FileField):
                value.file.close()
    return fields


def read_object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A field that is a JSON object, or the text of one, as forms have it; {} if there is none."""
    value = fields.get(name)
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            raise BadRequestError(f"{name}: expected a JSON object, got other text", name) from None
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadRequestError(f"{name}: expected a JSON object, got {kind(value)}", name)
    return value


def read_value(fields: Mapping[str, Any], name: str, expected: type, where: str = "") -> Any:
    """A field as text, whole number, number or yes and no, of JSON or the text of a form.

    None if there is none, or an empty one. BadRequestError for another value.
    """
    value, path = fields.get(name), where + name
    if value is None or (value == "" and expected is not str):
        return None
    if isinstance(value, str):
        text(value, path)
        if expected is int and _WHOLE.fullmatch(value):
            value = int(value)
        elif expected is bool:
            value = _FLAGS.get(value.lower(), value)
        elif expected is float and _REAL.fullmatch(value) and value.count(".") <= 1:
            value = float(value) if value.strip("+-.") else value
    if type(value) is int and expected is float and abs(value) < 1 << 53:
        value = float(value)
    if type(value) is not expected:
        got = repr(value)[:60] if isinstance(value, (str, int, float)) else kind(value)
        raise BadRequestError(f"{path}: expected {expected.__name__}, got {got}", path)
    return value


def read_file(fields: Mapping[str, Any], name: str) -> bytes | None:
    """A file: an upload, a data URI, or an object with one, as OpenAI and vLLM-Omni have it.

    The object may be its text, or single fields of a form (`input_reference[image_url]`).
    """
    spread = {
        key[len(name) + 1 : -1]: fields[key]
        for key in fields
        if key.startswith(f"{name}[") and key.endswith("]")
    }
    value = fields.get(name, spread or None)
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, str) and value.lstrip().startswith("{"):
        value = read_object(fields, name)
    if isinstance(value, dict):
        check_known(value, ("image_url", "video_url"), {}, f"{name}.")
        given = [one for one in value.values() if one is not None]
        value = given[0] if len(given) == 1 else None
        if isinstance(value, dict):
            check_known(value, ("url",), {}, f"{name}.")
            value = value.get("url")
    found = split_data_uri(value) if isinstance(value, str) else None
    if found is None:
        raise BadRequestError(
            f"{name}: expected a file, or one data URI in base64; this server opens no addresses",
            name,
        )
    try:
        return decode_base64(f"{name}: expected base64 after the comma", found[1])
    except ValueError as error:
        raise BadRequestError(str(error), name) from None
