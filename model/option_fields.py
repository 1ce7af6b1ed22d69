# SPDX-License-Identifier: Apache-2.0
"""Dataclass fields as ROS parameters and as command line options, converted by type; no ROS.

A field's default is the default of the option, `metadata["doc"]` its description. Both front ends
know fewer types than Python: of a field `X | None`, None is the word `auto`, of a field
`tuple[X, ...] | None` the empty list, and a tuple is a list.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import types
import typing
from collections.abc import Collection, Mapping
from typing import Any

AUTO = "auto"  # None, where a plain type has to stand for it
_WORDS = {"true": True, "1": True, "false": False, "0": False}


def param(
    default: Any,
    doc: str,
    live: bool = False,
    choices: tuple[str, ...] = (),
    minimum: float | None = None,
) -> Any:
    """A dataclass field that is an option.

    live: of a running node, it takes effect at once; choices, minimum: what `check` asks for.
    """
    metadata = {"doc": doc, "live": live, "choices": choices, "minimum": minimum}
    if isinstance(default, list):
        return dataclasses.field(default_factory=lambda: list(default), metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def same_as(cls: Any, name: str) -> Any:
    """A field with the default and the description of the field `name` of `cls`."""
    field = fields(cls)[name]
    return dataclasses.field(default=field.default, metadata=field.metadata)


def fields(cls: Any) -> dict[str, dataclasses.Field[Any]]:
    """The fields of a dataclass by name."""
    return {field.name: field for field in dataclasses.fields(cls)}


def select(cls: Any, source: object, **changes: Any) -> Any:
    """A `cls` from the attributes of `source` that bear the names of its fields, and `changes`."""
    names = fields(cls).keys() - changes.keys()
    return cls(**{name: getattr(source, name) for name in names}, **changes)


def check(options: Any) -> None:
    """ValueError names the first option whose value is not among its choices or too small."""
    for field in dataclasses.fields(options):
        value, minimum = getattr(options, field.name), field.metadata.get("minimum")
        choices = field.metadata.get("choices")
        if choices and value not in choices:
            expected = " or ".join(repr(choice) for choice in choices)
            raise ValueError(f"{field.name}: expected {expected}, got {value!r}")
        if minimum is not None and value < minimum:
            bound = f"{minimum} or more" if minimum == 0 else f"at least {minimum}"
            raise ValueError(f"{field.name}: expected {bound}, got {value}")


def to_plain(kind: Any, value: Any) -> Any:
    """The value of a field of type `kind` as a ROS parameter holds it; `coerce` is the inverse."""
    base = _without_none(kind)
    if typing.get_origin(base) is tuple:
        return list(value or ())
    return AUTO if value is None and base is not kind else value


def coerce(name: str, kind: Any, value: Any) -> Any:
    """`value` as `kind`: bool, int, float, str, a list or tuple of them, or one of these and None.

    An int may stand for a float. ValueError says what was expected of the parameter `name`.
    """
    base = _without_none(kind)
    items = typing.get_args(base)
    if base is not kind and (value is None or value == ([] if items else AUTO)):
        return None
    if items:
        return _coerce_items(name, base, items, value, optional=base is not kind)
    if base is float and type(value) is int:
        return float(value)
    if type(value) is not base:
        expected = base.__name__ if base is kind else f"{AUTO} or {base.__name__}"
        raise ValueError(
            f"parameter {name!r}: expected {expected}, got {type(value).__name__} {value!r}"
        )
    return value


def _coerce_items(
    name: str, base: Any, items: tuple[Any, ...], value: Any, optional: bool
) -> list[Any] | tuple[Any, ...] | None:
    fixed = typing.get_origin(base) is tuple
    expected = f"a list of {f'{len(items)} ' if fixed else ''}{items[0].__name__}"
    if isinstance(value, (str, bytes)) or not hasattr(value, "__len__"):
        raise ValueError(f"parameter {name!r}: expected {expected}, got {value!r}")
    if optional and len(value) == 0:  # an array of ROS, which is not equal to []
        return None
    if fixed and len(value) != len(items):
        raise ValueError(f"parameter {name!r}: expected {expected}, got {list(value)}")
    found = [coerce(name, items[0], entry) for entry in value]
    return tuple(found) if fixed else found


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
        parser.add_argument(
            flags.get(name, "--" + name.replace("_", "-")),
            dest=name,
            default=default,
            required=name in required,
            help=text if default is None else f"{text} (default: %(default)r)",
            **_argument_type(kinds[name]),
        )


def argument_values(chosen: argparse.Namespace, cls: Any) -> dict[str, Any]:
    """The values of those fields of `cls` that options were added for."""
    kinds, given = typing.get_type_hints(cls), vars(chosen)
    return {name: coerce(name, kinds[name], given[name]) for name in fields(cls) if name in given}


def _argument_type(kind: Any) -> dict[str, Any]:
    """How argparse reads a value of this type."""
    base = _without_none(kind)
    if items := typing.get_args(base):
        number: int | str = len(items) if typing.get_origin(base) is tuple else "*"
        return {"type": items[0], "nargs": number, "metavar": items[0].__name__.upper()}
    if base is not kind:
        return {"type": functools.partial(_parse_optional, base), "metavar": AUTO.upper()}
    return {"action": argparse.BooleanOptionalAction} if base is bool else {"type": base}


def _parse_optional(base: Any, text: str) -> Any:
    if text == AUTO:
        return None
    try:
        return _WORDS[text.lower()] if base is bool else base(text)
    except (KeyError, ValueError):
        raise argparse.ArgumentTypeError(
            f"expected {AUTO} or {'true or false' if base is bool else base.__name__}, got {text!r}"
        ) from None


def _without_none(kind: Any) -> Any:
    """X of the type X | None; any other type as it is."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        (kind,) = set(typing.get_args(kind)) - {type(None)}
    return kind
