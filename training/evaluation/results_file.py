# SPDX-License-Identifier: Apache-2.0
"""The json of an evaluation: begun before anything is measured, gone on with, by one at a time."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from reprlib import Repr
from typing import Any

from ...model.checkpoint_io.atomic_files import alone

_SHORT = Repr()
_SHORT.maxlist, _SHORT.maxstring = 3, 40
_SHOWN = 3  # differences that are named


@contextlib.contextmanager
def results(out: Path | None, what: Mapping[str, Any], kept: str) -> Iterator[dict[str, Any]]:
    """What was measured before of `what`, if anything: {"what": what, kept: {...}}.

    The file is written at once, so that what cannot be written is known before hours of measuring;
    if nothing is kept after an error, it is removed. ValueError names what the file's results
    differ in, or that somebody else writes to it; OSError for a place that cannot be written to.
    """
    if out is not None and out.suffix != ".json":
        raise ValueError(f"out: expected a file named .json, got {out}")
    with alone(out):
        content = _begin(out, what, kept)
        try:
            yield content
        except BaseException:
            if out is not None and not content[kept]:
                out.unlink(missing_ok=True)
            raise


def _begin(out: Path | None, what: Mapping[str, Any], kept: str) -> dict[str, Any]:
    from ...model.checkpoint_io.json_file import write_json

    content: dict[str, Any] = {"what": dict(what), kept: {}}
    if out is None:
        return content
    held = read_results(out) if out.exists() else {}
    if held.get("what") == what and isinstance(held.get(kept), dict):
        content = held
    elif held and held.get(kept) != {}:
        others = differences(held.get("what"), what)
        raise ValueError(f"{out}: holds results of {others}; expected a new file")
    write_json(out, content)
    return content


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
