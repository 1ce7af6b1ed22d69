# SPDX-License-Identifier: Apache-2.0
"""The json of an evaluation: begun before anything is measured, gone on with, by one at a time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any, TypeAlias

from ...model.checkpoint_io.atomic_files import alone, sync

# The list of the rows of a name in what a json holds, which is made there if there is none.
Rows: TypeAlias = Callable[[dict[str, Any], str], list[Any]]

_SHORT = Repr()
_SHORT.maxlist, _SHORT.maxstring = 3, 40
_SHOWN = 3  # differences that are named


class Results:
    """What was measured of something: `content` as it will stand in the json.

    Rows that the json has not yet stand in a journal beside it, named .jsonl: first what is
    measured, then a row a line. One costs as much however many there are, and none is lost when
    the process is killed: the next `results` has them.
    """

    def __init__(self, out: Path | None, content: dict[str, Any], rows: Rows) -> None:
        self.content, self._out, self._rows = content, out, rows
        self._journal = out and out.with_suffix(".jsonl")
        if self._journal and self._journal.exists():
            for name, number, row in _read_journal(self._journal, content["what"]):
                if number >= len(rows(content, name)):  # else the json has it
                    rows(content, name).append(row)

    def keep(self, name: str, row: Mapping[str, Any]) -> None:
        """Add a row of this name. OSError if it cannot be written."""
        rows = self._rows(self.content, name)
        entry = [name, len(rows), row]
        rows.append(row)
        if self._journal is None:
            return
        new = not self._journal.exists()
        lines = [self.content["what"], entry] if new else [entry]
        try:
            with self._journal.open("a", encoding="utf-8") as file:
                file.write("".join(json.dumps(line) + "\n" for line in lines))
            sync(self._journal)
        except OSError as error:
            raise type(error)(error.errno, error.strerror, str(self._journal)) from None
        if new:
            sync(self._journal.parent)

    def write(self) -> None:
        """Put everything in the json."""
        from ...model.checkpoint_io.json_file import write_json

        if self._out and self._journal:
            write_json(self._out, self.content)
            self._journal.unlink(missing_ok=True)


@contextlib.contextmanager
def results(out: Path | None, what: Mapping[str, Any], kept: str, rows: Rows) -> Iterator[Results]:
    """What was measured before of `what`, if anything: {"what": what, kept: {...}}.

    rows: where those of a name stand in it. The file is written at once, so that what cannot be
    written is known before hours of measuring, and at the end, however it comes; if nothing is kept
    after an error, it is removed. ValueError names what the file's results differ in, or that
    somebody else writes to it; OSError for a place that cannot be written to.
    """
    if out is not None and out.suffix != ".json":
        raise ValueError(f"out: expected a file named .json, got {out}")
    with alone(out):
        found = Results(out, _held(out, what, kept), rows)
        found.write()
        try:
            yield found
        except BaseException:
            if found.content[kept]:
                found.write()
            elif out is not None:
                out.unlink(missing_ok=True)
            raise
        found.write()


def _held(out: Path | None, what: Mapping[str, Any], kept: str) -> dict[str, Any]:
    held = read_results(out) if out and out.exists() else {}
    if held.get("what") == what and isinstance(held.get(kept), dict):
        return held
    if held and held.get(kept) != {}:
        raise ValueError(_others(out, held.get("what"), what))
    return {"what": dict(what), kept: {}}


def _others(file: Path | None, held: Any, what: Mapping[str, Any]) -> str:
    return f"{file}: holds results of {differences(held, what)}; expected a new file"


def _read_journal(file: Path, what: Mapping[str, Any]) -> Iterator[tuple[str, int, Any]]:
    """Name, number of that name, and row; without a last line that was not written to its end.

    ValueError if it is of something else than `what`, or damaged.
    """
    for number, line in enumerate(file.read_bytes().split(b"\n")[:-1]):
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{file}:{number + 1}: not readable as json ({error})") from None
        if number == 0 and entry != what:
            raise ValueError(_others(file, entry, what))
        if number > 0:
            if not isinstance(entry, list) or [*map(type, entry)] != [str, int, dict]:
                raise ValueError(
                    f"{file}:{number + 1}: expected a name, a number and a row, got {entry!r:.60}"
                )
            yield entry[0], entry[1], entry[2]


def read_results(file: Path) -> dict[str, Any]:
    """Results that an earlier call wrote; ValueError for a file that holds something else."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected results, not readable as json ({error})") from None
    if not isinstance(content, dict):
        raise ValueError(f"{file}: expected results, got {type(content).__name__}")
    return content


def differences(held: Any, wanted: Mapping[str, Any]) -> str:
    """In what `held` is not `wanted`, as "seeds [0, 9], not [0, 19]"; the first ones."""
    if not isinstance(held, Mapping):
        return "something else"
    found = list(_differing(held, wanted))
    more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
    return (", ".join(found[:_SHOWN]) or "something else") + more


def _differing(held: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    for name in dict.fromkeys((*wanted, *held)):
        theirs, ours = held.get(name), wanted.get(name)
        if isinstance(theirs, Mapping) and isinstance(ours, Mapping):
            yield from _differing(theirs, ours)
        elif theirs != ours:
            yield f"{name} {_SHORT.repr(theirs)}, not {_SHORT.repr(ours)}"
