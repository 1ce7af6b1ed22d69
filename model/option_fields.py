# SPDX-License-Identifier: Apache-2.0
"""Dataclass fields as ROS parameters and as command line options, converted by type; no ROS.

A field's default is the default of the option, `metadata["doc"]` its description. Both front ends
know fewer types than Python: of a field `X | None`, None is the word `auto`, of a field
`tuple[X, X] | None` the empty list, and a tuple is a list; one of any length is `tuple[X, ...]`.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import math
import os
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

from .embodiment.table import nearest

AUTO = "auto"  # None, where a plain type has to stand for it
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def param(
    default: Any,
    doc: str,
    live: bool = False,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
    omitted: str = "",
    maximum: float | None = None,
) -> Any:
    """A dataclass field that is an option.

    live: of a running node, it takes effect at once; choices, minimum, maximum: what `check` asks;
    omitted: what holds if the option is left out, which then is None and has no word.
    """
    metadata = {
        "doc": doc,
        "live": live,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "omitted": omitted,
    }
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def same_as(cls: Any, name: str, omitted: str = "") -> Any:
    """A field with the default and the description of the field `name` of `cls`.

    omitted: as of `param`; the default then is None.
    """
    field = fields(cls)[name]
    metadata = {**field.metadata, "omitted": omitted}
    return dataclasses.field(default=None if omitted else field.default, metadata=metadata)


def fields(cls: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass by name."""
    return {field.name: field for field in dataclasses.fields(cls)}


def select(cls: Any, source: object, **changes: Any) -> Any:
    """A `cls` from the attributes of `source` that bear the names of its fields, and `changes`."""
    names = fields(cls).keys() - changes.keys()
    return cls(**{name: getattr(source, name) for name in names}, **changes)


def check(options: Any) -> None:
    """ValueError names the first option that is not finite, no choice, too small or too large.

    None is an option that is left out.
    """
    for field in dataclasses.fields(options):
        value, minimum = getattr(options, field.name), field.metadata.get("minimum")
        if value is None:
            continue
        check_finite(field.name, value)
        choices = field.metadata.get("choices")
        if choices and value not in choices:
            expected = " or ".join(repr(choice) for choice in choices)
            close = nearest(value, choices)
            raise ValueError(f"{field.name}: expected {expected}, got {value!r}{close}")
        if minimum is not None and value < minimum:
            bound = f"{minimum} or more" if minimum == 0 else f"at least {minimum}"
            raise ValueError(f"{field.name}: expected {bound}, got {value}")
        most = field.metadata.get("maximum")
        if most is not None and value > most:
            raise ValueError(f"{field.name}: expected at most {most}, got {value}")


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """ValueError unless the parameter `name` has one of the `choices`."""
    if value not in choices:
        raise ValueError(
            f"parameter {name!r}: expected {' or '.join(choices)}, got {value!r}"
            f"{nearest(value, choices)}"
        )


def check_finite(name: str, value: Any) -> None:
    """ValueError if a value, or anything in the lists and tables of it, is NaN or infinite."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{name}: expected a finite number, got {value}")
    if isinstance(value, Mapping):
        for key, entry in value.items():
            check_finite(f"{name}.{key}", entry)
    elif isinstance(value, list | tuple):
        for entry in value:
            check_finite(name, entry)


def finite_float(text: str) -> float:
    """What argparse reads a float by: the number that a text stands for, if it is finite."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"expected a finite number, got {text!r}")
    return value


def to_plain(kind: Any, value: Any) -> Any:
    """The value of a field of type `kind` as a ROS parameter holds it; `coerce` is the inverse."""
    base = _without_none(kind)
    if typing.get_origin(base) is tuple:
        return list(value or ())
    return AUTO if value is None and base is not kind else value


def coerce(name: str, kind: Any, value: Any) -> Any:
    """`value` as `kind`: bool, int, float, str, a list or tuple of them, or one of these and None.

    An int may stand for a float, which has to be finite; a text that begins with ~ is a path below
    a home folder. ValueError says what was expected of the parameter `name`.
    """
    base = _without_none(kind)
    items = typing.get_args(base)
    if base is not kind and (value is None or value == ([] if items else AUTO)):
        return None
    if items:
        return _coerce_items(name, base, items, value, optional=base is not kind)
    if base is float and type(value) is int:
        value = float(value) if abs(value) < 2**1023 else math.inf
    if type(value) is not base:
        expected = base.__name__ if base is kind else f"{AUTO} or {base.__name__}"
        raise ValueError(
            f"parameter {name!r}: expected {expected}, got {type(value).__name__} {value!r}"
        )
    check_finite(f"parameter {name!r}", value)
    return os.path.expanduser(value) if base is str else value


def _coerce_items(
    name: str, base: Any, items: tuple[Any, ...], value: Any, optional: bool
) -> list[Any] | tuple[Any, ...] | None:
    kept = typing.get_origin(base) is tuple
    fixed = kept and Ellipsis not in items
    expected = f"a list of {f'{len(items)} ' if fixed else ''}{items[0].__name__}"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        raise ValueError(f"parameter {name!r}: expected {expected}, got {value!r}")
    if optional and len(value) == 0:  # an array of ROS, which is not equal to []
        return None
    if fixed and len(value) != len(items):
        raise ValueError(f"parameter {name!r}: expected {expected}, got {list(value)}")
    found = [coerce(name, items[0], entry) for entry in value]
    return tuple(found) if kept else found


def add_arguments(
    parser: argparse._ActionsContainer,
    cls: Any,
    names: Collection[str] = (),
    flags: Mapping[str, str] = types.MappingProxyType({}),
    defaults: Mapping[str, Any] = types.MappingProxyType({}),
    required: Collection[str] = (),
) -> None:
    """One command line option for each field of the dataclass `cls` (names: only for these).

    flags: where the option is not called as the field is; defaults: where it has another one here.
    """
    kinds = typing.get_type_hints(cls)
    for name, field in fields(cls).items():
        if names and name not in names:
            continue
        text = field.metadata.get("doc", "").replace("%", "%%")
        default = defaults.get(name, field.default)
        omitted = field.metadata.get("omitted")
        shown = omitted if omitted and default is None else "%(default)r"
        parser.add_argument(
            flags.get(name, "--" + name.replace("_", "-")),
            dest=name,
            default=default,
            required=name in required,
            help=text if default is None and not omitted else f"{text} (default: {shown})",
            **_argument_type(_without_none(kinds[name]) if omitted else kinds[name]),
        )


def argument_values(
    chosen: argparse.Namespace, cls: Any, names: Collection[str] = ()
) -> dict[str, Any]:
    """The values of those fields of `cls` that options were added for (names: only of these)."""
    kinds, given = typing.get_type_hints(cls), vars(chosen)
    values = {}
    for name, field in fields(cls).items():
        if names and name not in names:
            continue
        if field.metadata.get("omitted") and given.get(name) is not None:
            values[name] = coerce(name, _without_none(kinds[name]), given[name])
        elif name in given:
            values[name] = coerce(name, kinds[name], given[name])
    return values


def parse(cls: Any, name: str, text: str) -> Any:
    """The value of the field `name` of `cls` from its text; ValueError says what was expected.

    A list is its items with commas.
    """
    hint = typing.get_type_hints(cls)[name]
    kind = _without_none(hint)
    if items := typing.get_args(kind):
        found = [_item(name, items[0], part) for part in text.split(",") if part.strip()]
        return coerce(name, hint, found)
    return _item(name, kind, text)


def _item(name: str, kind: Any, text: str) -> Any:
    try:
        return _WORDS[text.lower()] if kind is bool else _reader(kind)(text)
    except (KeyError, ValueError, argparse.ArgumentTypeError):
        expected = "true or false" if kind is bool else kind.__name__
        raise ValueError(f"{name}: expected {expected}, got {text!r}") from None


def _argument_type(kind: Any) -> dict[str, Any]:
    """How argparse reads a value of this type."""
    base = _without_none(kind)
    if items := typing.get_args(base):
        fixed = typing.get_origin(base) is tuple and Ellipsis not in items
        number: int | str = len(items) if fixed else "*"
        return {"type": _reader(items[0]), "nargs": number, "metavar": items[0].__name__.upper()}
    if base is not kind:
        return {"type": functools.partial(_parse_optional, base), "metavar": AUTO.upper()}
    return {"action": argparse.BooleanOptionalAction} if base is bool else {"type": _reader(base)}


def _reader(kind: Any) -> Any:
    return finite_float if kind is float else kind


def _parse_optional(base: Any, text: str) -> Any:
    if text == AUTO:
        return None
    try:
        return _WORDS[text.lower()] if base is bool else _reader(base)(text)
    except (KeyError, ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"expected {AUTO} or {'true or false' if base is bool else base.__name__}, got {text!r}"
        ) from None


def _without_none(kind: Any) -> Any:
    """X of the type X | None; any other type as it is."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = set(typing.get_args(kind)) - {type(None)}
    return kind
