# SPDX-License-Identifier: Apache-2.0
"""What a page may ask for: which acts there are, what comes with them, which need the control."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

LONGEST = 1000  # characters of a text


@dataclasses.dataclass(frozen=True, slots=True)
class Act:
    """One act: how its fields are read, whether it needs the control, and how long it may take."""

    read: Callable[[Mapping[str, Any]], dict[str, Any]]
    control: bool  # False: allowed whenever the page is
    seconds: float


def _nothing(body: Mapping[str, Any]) -> dict[str, Any]:
    return {}


def _text(body: Mapping[str, Any], key: str) -> str:
    text = body.get(key)
    if not isinstance(text, str) or not text.strip() or len(text) > LONGEST:
        raise ValueError(f"{key}: expected a text of 1 to {LONGEST} characters, got {text!r:.60}")
    if not text.strip().isprintable():
        raise ValueError(f"{key}: expected one line that can be printed, got {text!r:.60}")
    return text.strip()


def _reset(body: Mapping[str, Any]) -> dict[str, Any]:
    seed = body.get("seed", -1)
    if type(seed) is not int or not -(2**63) <= seed < 2**63:
        raise ValueError(f"seed: expected an integer of 64 bits, got {seed!r:.60}")
    return {"task": _text(body, "task"), "seed": seed}


ACTS = {
    "stop": Act(_nothing, False, 3.0),
    "disarm": Act(_nothing, False, 3.0),
    "cancel": Act(_nothing, False, 5.0),  # a task, after which the arm holds
    "ask": Act(lambda body: {"question": _text(body, "question")}, False, 120.0),
    "arm": Act(_nothing, True, 5.0),
    "instruct": Act(lambda body: {"instruction": _text(body, "instruction")}, True, 3.0),
    "reset": Act(_reset, True, 10.0),
}


def read_act(name: str, body: Any) -> tuple[Act, dict[str, Any]]:
    """An act and its fields, from the JSON of a request; ValueError says what was expected."""
    if name not in ACTS:
        raise ValueError(f"expected one of {', '.join(ACTS)}, got {name!r:.60}")
    if not isinstance(body, dict):
        raise ValueError(f"{name}: expected an object, got {body!r:.60}")
    return ACTS[name], ACTS[name].read(body)
