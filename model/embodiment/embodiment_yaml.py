# SPDX-License-Identifier: Apache-2.0
"""Writes embodiments as YAML, so that `embodiment_file` reads the same ones; no defaults in it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from .canvas import WHOLE, Panel
from .observed import Observed
from .spec import RAW, Embodiment, Normalization
from .units import Column


class _Row(dict[str, Any]):
    """A table that stands in one line."""


class _Dumper(yaml.SafeDumper):
    """Lists and rows in one line, other tables line by line."""


_Dumper.add_representer(
    list,
    lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True),
)
_Dumper.add_representer(
    _Row,
    lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True),
)


def to_yaml(embodiment: Embodiment, comment: str = "") -> str:
    """The text of an embodiment's file.

    comment: lines that stand before it, without their `#`.
    """
    lines = "".join(f"# {line}\n" for line in comment.splitlines())
    fields = to_fields(embodiment)
    return lines + yaml.dump(fields, Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)


def write_embodiment(file: Path, embodiment: Embodiment, comment: str = "") -> None:
    """Write an embodiment's file, in one step, and make its folder if there is none."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.draft")
    draft.write_text(to_yaml(embodiment, comment), encoding="utf-8")
    draft.replace(file)


def to_fields(embodiment: Embodiment) -> dict[str, Any]:
    """The table that `embodiment_file.embodiment_from` reads as this embodiment."""
    canvas, state, action = embodiment.canvas, embodiment.state, embodiment.action
    opened, closed = embodiment.gripper_values
    fields: dict[str, Any] = {
        "name": embodiment.name,
        "domain": embodiment.domain,
        "domain_id": embodiment.domain_id,
        "kind": embodiment.kind,
        "relative": embodiment.relative,
        "rate": embodiment.fps,
        "horizon": embodiment.horizon,
        "state_row": embodiment.state_row,
        "canvas": {
            "views": {panel.view: _panel(panel) for panel in canvas.panels},
            "composite": [*canvas.composite],
            "content": [*canvas.content],
            "size": [*canvas.size],
            **({"smooth": True} if canvas.smooth else {}),
        },
        "state": _columns(state),
        "action": _columns(action) if action != state else {},
        "model_gripper": {} if (opened, closed) == (1.0, 0.0) else _Row(open=opened, closed=closed),
        "tool": _tool(embodiment),
        "prompt": _without_defaults(
            viewpoint=embodiment.viewpoint,
            view_description=embodiment.view_description,
            idle_frames=embodiment.idle_frames,
        ),
        "normalization": _normalization(embodiment.normalization),
        "state_normalization": _normalization(embodiment.state_normalization),
        "weights": embodiment.weights,
        "observed": _observed(embodiment.observed) if embodiment.observed else {},
    }
    return _without_defaults(**fields)


def _without_defaults(**fields: Any) -> dict[str, Any]:
    """Without what is empty or false, which is what a missing key means."""
    return {name: value for name, value in fields.items() if not _is_default(value)}


def _is_default(value: Any) -> bool:
    return value is False or value in ("", {})


def _panel(panel: Panel) -> list[int] | _Row:
    place = [panel.top, panel.left, panel.height, panel.width]
    crop = {} if panel.crop == WHOLE else {"crop": [*panel.crop]}
    turn = {"turn": panel.turn} if panel.turn else {}
    return _Row(place=place, **crop, **turn) if crop or turn else place


def _columns(columns: Sequence[Column]) -> dict[str, Any]:
    return {column.name: _column(column) for column in columns}


def _column(column: Column) -> str | _Row:
    if column.gripper:
        return _Row(unit=column.unit, open=column.opened, closed=column.closed)
    if (column.scale, column.offset) == (1.0, 0.0):
        return column.unit
    return _Row(unit=column.unit, scale=column.scale, offset=column.offset)


def _tool(embodiment: Embodiment) -> dict[str, Any]:
    turn = [number for row in embodiment.tool_rotation for number in row]
    offset = [*embodiment.tool_offset]
    fields: dict[str, Any] = {}
    if turn != [1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0]:
        fields["rotation"] = turn
    if any(offset):
        fields["offset"] = offset
    return fields


def _normalization(rows: Normalization) -> dict[str, Any]:
    if rows.kind == "none":
        return {}
    names = ("mean", "std") if rows.kind == "mean_std" else ("low", "high")
    floor = {} if rows.floor == RAW.floor else {"floor": rows.floor}
    numbers = dict(zip(names, ([*rows.low], [*rows.high]), strict=True))
    return {"kind": rows.kind, **numbers, **floor, **({"clamp": True} if rows.clamp else {})}


def _observed(seen: Observed) -> dict[str, Any]:
    ranges = {
        "low": [*seen.low],
        "high": [*seen.high],
        "first_low": [*seen.first_low],
        "first_high": [*seen.first_high],
    }
    sketches = {view: [*gray] for view, gray in seen.sketches}
    found = {name: values for name, values in ranges.items() if values}
    return {**found, **({"sketches": sketches} if sketches else {})}
