# SPDX-License-Identifier: Apache-2.0
"""Tables of a YAML file, read strictly: one line says which key, what it has and what may stand."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml

from ..media.lfs_pointer import POINTER, is_pointer

Default = TypeVar("Default")
MOST = 16384  # of whole numbers where nothing else is said: a picture has no longer side
_MISSING: Any = object()
_SHOWN = 80  # characters of a value that an error repeats


_Fast: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # nine files in 10 ms instead of 90


class _Loader(_Fast):
    """Refuses a key that stands twice, of which YAML would take the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        seen: dict[Any, int] = {}
        for key, _ in node.value:
            name, line = key.value, key.start_mark.line + 1
            if isinstance(name, str) and name in seen:
                raise ValueError(f"line {line}: {name!r} stands twice, first in line {seen[name]}")
            seen[name if isinstance(name, str) else str(name)] = line
        fields: dict[Any, Any] = super().construct_mapping(node, deep)
        return fields


def read_yaml(path: Path) -> Any:
    """What a YAML file says; ValueError of one line if it cannot be read."""
    try:
        data = path.read_bytes()
        if is_pointer(data):
            raise ValueError(POINTER)
        return yaml.load(data.decode("utf-8"), _Loader)
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        what = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ValueError(f"{path}: {line}not readable as YAML: {what}") from None
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


class Table:
    """One table of a file. Each getter takes a key; without `default` the key has to be there.

    where: of the table, for errors; known: the keys that may stand in it, empty: any name.
    """

    def __init__(self, where: str, fields: Any, known: Sequence[str] = ()) -> None:
        if not isinstance(fields, dict):
            expected = f"with some of {', '.join(known)}" if known else "of names"
            raise ValueError(f"{where}: expected a table {expected}, got {show(fields)}")
        for key, value in fields.items():
            if not isinstance(key, str) or not key:
                raise ValueError(f"{where}: expected a name before the colon, got {show(key)}")
            if known and key not in known:
                raise ValueError(
                    f"{where}: unknown key {key!r} ({show(value)}){nearest(key, known)}, expected "
                    f"some of {', '.join(known)}"
                )
        self.where, self._fields, self._known = where, fields, known

    def __contains__(self, key: str) -> bool:
        return key in self._fields

    def names(self) -> list[str]:
        """The keys, in the order of the file."""
        return [*self._fields]

    def value(self, key: str) -> Any:
        """As YAML has it."""
        return self._fields[key]

    def fail(self, key: str, expected: str) -> ValueError:
        """The error about a value."""
        got = show(self._fields[key]) if key in self._fields else "nothing"
        return ValueError(f"{self.where}: {key}: expected {expected}, got {got}")

    def text(self, key: str, default: str = _MISSING, choices: Iterable[str] = ()) -> str:
        value, known = self._get(key, default, "a text"), [*choices]
        if not isinstance(value, str) or (not value and default is _MISSING):
            raise self.fail(key, " or ".join(known) if known else "a text")
        if not value.isprintable():
            raise self.fail(key, "one line that can be printed")
        if known and value not in known:
            raise self.fail(key, f"{', '.join(known)}{nearest(value, known)}")
        return value

    def flag(self, key: str, default: bool = False) -> bool:
        value = self._get(key, default, "true or false")
        if not isinstance(value, bool):
            raise self.fail(key, "true or false")
        return value

    def integer(self, key: str, least: int, default: int = _MISSING, most: int = MOST) -> int:
        expected = f"a whole number of at least {least} and at most {most}"
        value = self._get(key, default, expected)
        if type(value) is not int or not least <= value <= most:
            raise self.fail(key, expected)
        return value

    def number(self, key: str, default: Default = _MISSING) -> float | Default:
        value = self._get(key, default, "a finite number")
        if value is default:
            return default
        found = as_number(value)
        if found is None:
            raise self.fail(key, "a finite number")
        return found

    def numbers(
        self, key: str, count: int = 0, default: Sequence[float] = _MISSING
    ) -> tuple[float, ...]:
        """A list of numbers; count: how many, 0: any."""
        expected = f"a list of {count or 'finite'} {'finite ' if count else ''}numbers"
        value = self._get(key, default, expected)
        if not isinstance(value, (list, tuple)) or (count and len(value) != count):
            found = f"{len(value)} of them: " if isinstance(value, (list, tuple)) else ""
            raise ValueError(f"{self.where}: {key}: expected {expected}, got {found}{show(value)}")
        found_numbers = [as_number(entry) for entry in value]
        wrong = [
            show(entry) for entry, is_ in zip(value, found_numbers, strict=True) if is_ is None
        ]
        if wrong:
            raise ValueError(f"{self.where}: {key}: expected {expected}, got {wrong[0]} in it")
        return tuple(number for number in found_numbers if number is not None)

    def integers(self, key: str, count: int, least: int = 0, most: int = MOST) -> tuple[int, ...]:
        """A list of `count` whole numbers."""
        expected = f"a list of {count} whole numbers of at least {least} and at most {most}"
        value = self._get(key, _MISSING, expected)
        if not isinstance(value, list) or len(value) != count:
            raise self.fail(key, expected)
        if not all(type(entry) is int and least <= entry <= most for entry in value):
            raise self.fail(key, expected)
        return tuple(value)

    def table(self, key: str, known: Sequence[str] = ()) -> Table:
        """A table in this one; empty if the key is not there."""
        return Table(f"{self.where}: {key}", self._fields.get(key, {}), known)

    def _get(self, key: str, default: Any, expected: str) -> Any:
        if key in self._fields:
            return self._fields[key]
        if default is _MISSING:
            given = ", ".join(self._fields) or "nothing"
            raise ValueError(f"{self.where}: lacks {key!r}, expected {expected}; it has {given}")
        return default


def as_number(value: Any) -> float | None:
    """A finite number as float, also where YAML reads one as text (1e-6); None if it is none."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None


def nearest(name: object, known: Iterable[str]) -> str:
    """ ", did you mean 'X'?" with the most similar name; empty if none is similar.

    Put behind the wrong name, before the list of the known ones. One rule for all such errors.
    """
    close = difflib.get_close_matches(str(name), [*known], 1)
    return f", did you mean {close[0]!r}?" if close else ""


def show(value: Any) -> str:
    """A value as an error repeats it, in one line."""
    text = " ".join(repr(value).split())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
