# SPDX-License-Identifier: Apache-2.0
"""Whether two descriptions of an embodiment can be of the same training; both sides in one line."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from .embodiment_yaml import to_fields
from .spec import RAW, Embodiment
from .table import show

# What need not agree: the name, how long a chunk is, and what the demonstrations looked like.
# Columns are compared by what they are, not by the units of one robot or dataset.
_FREE = {"name", "horizon", "observed", "state", "action", "weights"}


def contradiction(trained: Embodiment, wanted: Embodiment) -> str:
    """The first thing that differs: "KEY is A there and B here"; empty if nothing does.

    there: in `trained`, here: in `wanted`, where statistics may be missing.
    """
    changes = {
        name: getattr(trained, name)
        for name in ("normalization", "state_normalization")
        if getattr(wanted, name) == RAW
    }
    completed = dataclasses.replace(wanted, **changes)
    for key, there, here in _differences(_trained(trained), _trained(completed)):
        return f"{key} is {_said(there)} there and {_said(here)} here"
    return ""


def joined(trained: Embodiment, wanted: Embodiment) -> Embodiment:
    """`trained` for the robot that `wanted` describes, whose columns may have other units.

    ValueError shows both sides of a contradiction.
    """
    if why := contradiction(trained, wanted):
        raise ValueError(why)
    return dataclasses.replace(trained, state=wanted.state, action=wanted.action)


def _trained(embodiment: Embodiment) -> dict[str, Any]:
    fields = {key: value for key, value in to_fields(embodiment).items() if key not in _FREE}
    for name in ("state", "action"):
        fields[name] = [
            f"{column.name} ({'gripper' if column.gripper else 'joint or pose'})"
            for column in getattr(embodiment, name)
        ]
    return fields


def _differences(ours: Any, theirs: Any, above: str = "") -> Iterator[tuple[str, Any, Any]]:
    """Key, and what each of two tables has there; None: nothing."""
    for name in dict.fromkeys((*ours, *theirs)):
        our, their, key = ours.get(name), theirs.get(name), f"{above}{name}"
        if isinstance(our, Mapping) and isinstance(their, Mapping):
            yield from _differences(our, their, f"{key}.")
        elif our != their:
            yield key, our, their


def _said(value: Any) -> str:
    return "not given" if value is None else show(value)
