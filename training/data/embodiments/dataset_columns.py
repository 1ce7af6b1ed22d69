# SPDX-License-Identifier: Apache-2.0
"""Names, order and units of a LeRobot dataset's columns, beside those of an embodiment."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ....model.embodiment.units import COUNT, Column, in_unit

UNITS_KEY = "units"  # in the `info` of a feature: the unit of each of its columns


def dataset_columns(
    features: Mapping[str, Any],
    names: Sequence[str],
    columns: Sequence[Column],
    units: Sequence[str] = (),
    gripper: tuple[float, float] | None = None,
) -> list[Column]:
    """The embodiment's `columns` as the features `names` of a dataset count them.

    units: of each column, "" or (): as the dataset says, else as the embodiment; gripper: what it
    says when open and when closed, likewise. ValueError has both sides of a contradiction, without
    the place.
    """
    _check_order(feature_names(features, names), columns)
    if units and len(units) != len(columns):
        raise ValueError(
            f"has {len(columns)} columns {[column.name for column in columns]}, `units` "
            f"{len(units)}: {[*units]}"
        )
    own = feature_units(features, names)
    said = [unit or as_said for unit, as_said in zip(units or own, own, strict=True)]
    found = [
        in_unit(column, unit) if unit else column
        for column, unit in zip(columns, said, strict=True)
    ]
    if gripper is None:
        return found
    opened, closed = gripper
    return [
        dataclasses.replace(column, opened=opened, closed=closed) if column.gripper else column
        for column in found
    ]


def feature_names(features: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """What the dataset calls the columns of these features; "": it does not say."""
    found = []
    for name in names:
        width, given = _width(features[name]), features[name].get("names")
        if isinstance(given, Mapping):  # {"motors": [...]}, as older datasets have it
            given = [entry for entries in given.values() for entry in entries]
        fits = isinstance(given, Sequence) and not isinstance(given, str) and len(given) == width
        found += (
            [str(entry).removesuffix(".pos") for entry in given or ()] if fits else [""] * width
        )
    return found


def feature_units(features: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """In which units the dataset says that these features are; "": it does not say."""
    found = []
    for name in names:
        width = _width(features[name])
        given = (features[name].get("info") or {}).get(UNITS_KEY)
        found += [*map(str, given)] if given and len(given) == width else [""] * width
    return found


def own_unit(column: Column) -> str:
    """The unit in which this package writes a column into datasets."""
    if column.gripper:
        return "fraction"
    if column.quantity == COUNT:
        return "rad"
    return {"deg": "rad", "mm": "m"}.get(column.unit, column.unit)


def _check_order(names: Sequence[str], columns: Sequence[Column]) -> None:
    """Columns of the same names in another order are a mistake; other names are only names."""
    ours = [column.name for column in columns]
    if twice := [name for name in names if name and names.count(name) > 1]:
        raise ValueError(f"has the column {twice[0]!r} twice: {[*names]}")
    if {*names} == {*ours} and [*names] != ours:
        raise ValueError(f"has the columns {[*names]}, the embodiment the same in the order {ours}")


def _width(feature: Mapping[str, Any]) -> int:
    width = 1
    for side in feature["shape"]:
        width *= int(side)
    return width
