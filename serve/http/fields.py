# SPDX-License-Identifier: Apache-2.0
"""Fields of a JSON object that a client sent: of the right type, within bounds, all understood."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from ...model.embodiment.table import nearest, show
from ...model.language.plain_words import PromptError, check_text
from .errors import BadRequestError


def kind(value: Any) -> str:
    """The type of a JSON value, as Python calls it."""
    return type(value).__name__


def get(fields: Mapping[str, Any], name: str, expected: type, default: Any, where: str = "") -> Any:
    """A field that may be absent or null, as the type that is expected; an int is a float, too.

    where: what stands before its name in a message. BadRequestError for another type.
    """
    value = fields.get(name)
    if value is None:
        return default
    path = where + name
    if type(value) is not expected and not (expected is float and type(value) is int):
        raise BadRequestError(f"{path}: expected {expected.__name__}, got {kind(value)}", path)
    return text(value, path) if isinstance(value, str) else value


def text(value: str, path: str) -> str:
    """A text that UTF-8 can write."""
    try:
        return check_text(path, value)
    except PromptError as error:
        raise BadRequestError(str(error), path) from None


def number(
    fields: Mapping[str, Any], name: str, least: float, most: float, where: str = ""
) -> float | None:
    """A number within bounds, None if there is none."""
    value = get(fields, name, float, None, where)
    # compared before it becomes a float: an int may be too large for one
    if value is not None and not (least <= value <= most and math.isfinite(value)):
        path = where + name
        raise BadRequestError(f"{path}: expected {least:g} to {most:g}, got {show(value)}", path)
    return None if value is None else float(value)


def integer(
    fields: Mapping[str, Any], name: str, least: int, most: int, where: str = ""
) -> int | None:
    """A whole number within bounds, None if there is none."""
    value = get(fields, name, int, None, where)
    if value is not None and not least <= value <= most:
        path = where + name
        raise BadRequestError(f"{path}: expected {least} to {most}, got {show(value)}", path)
    return value


def check_known(
    fields: Mapping[str, Any],
    known: Collection[str],
    neutral: Mapping[str, tuple[Any, ...]],
    where: str = "",
) -> None:
    """BadRequestError names a field that is not understood, unless its value asks for nothing.

    known: fields that are read; neutral: of others the values that ask for nothing, () for any.
    null asks for nothing.
    """
    for name, value in fields.items():
        if name in known or value is None:
            continue
        path = f"{where}{name[:200]}"
        values = neutral.get(name)
        if values is None:
            close = nearest(name[:200], known)
            raise BadRequestError(f"{path}: not offered here{close}", path)
        if values and not any(_same(value, one) for one in values):
            raise BadRequestError(
                f"{path}: not offered here, expected {values[0]!r} or nothing", path
            )


def _same(given: Any, wanted: Any) -> bool:
    """Equal and of one type, so that true is not 1; an int may stand for a float."""
    numbers = type(given) in (int, float) and type(wanted) in (int, float)
    return (numbers or type(given) is type(wanted)) and bool(given == wanted)
