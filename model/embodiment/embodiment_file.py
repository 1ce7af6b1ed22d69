# SPDX-License-Identifier: Apache-2.0
"""Embodiments as YAML files: the schema, and reading it strictly; `embodiment_yaml` writes them.

One file holds one embodiment; a robot file holds it in its section `embodiment`, a checkpoint
folder in embodiment.yaml. The schema keeps to what a ROS parameter file may hold: tables, and
lists of numbers of one kind. docs/embodiments.md explains every key.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ..arrays import NS
from .canvas import TURNS, WHOLE, Canvas, Panel
from .checks import check_embodiment
from .observed import SKETCH, Observed
from .spec import BASE, JOINTS, POSES, POST_TRAINED, RAW, TWISTS, Embodiment, Normalization
from .table import Table, read_yaml
from .units import COUNT, UNITS, Column

FILE = "embodiment.yaml"  # in a checkpoint folder
SECTION, PARAMETERS = "embodiment", "ros__parameters"  # of a robot file
KEYS = (
    "name",
    "domain",
    "domain_id",
    "kind",
    "relative",
    "rate",
    "horizon",
    "state_row",
    "canvas",
    "state",
    "action",
    "model_gripper",
    "tool",
    "prompt",
    "normalization",
    "state_normalization",
    "weights",
    "observed",
)
VIEWPOINTS = (
    "ego_view",
    "third_person_view",
    "wrist_view",
    "concat_view",
    "top_down_2d_view",
    "video_game_view",
)
SLOWEST = 0.01  # rows a second: a step of 100 s
FASTEST = 1000.0  # rows a second, more than any robot takes
MOST_ROWS = 1000  # of a chunk: the commander plays no longer ones
VIEW = re.compile(r"[A-Za-z][A-Za-z0-9_]*")  # a part of the name of a topic


def read_embodiment(path: str | Path) -> Embodiment:
    """The embodiment of a YAML file or of a robot file's section; ValueError is one line."""
    file = Path(path)
    fields, where = read_yaml(file), str(file)
    section = section_of(fields)
    if section is not None:
        fields, where = section, f"{where}: {SECTION}"
    elif is_robot_file(fields):
        raise ValueError(f"{where}: a robot file, expected a section {SECTION!r} in it")
    return embodiment_from(fields, where)


def is_robot_file(fields: Any) -> bool:
    """Whether these are the sections of a ROS parameter file."""
    return isinstance(fields, dict) and any(
        isinstance(section, dict) and PARAMETERS in section for section in fields.values()
    )


def section_of(fields: Any) -> Any:
    """The embodiment that a robot file's sections hold; None if they hold none."""
    section = fields.get(SECTION) if isinstance(fields, dict) else None
    if isinstance(section, dict) and PARAMETERS in section:
        return section[PARAMETERS]
    return section


def embodiment_from(fields: Any, where: str) -> Embodiment:
    """The embodiment that a table describes; where: names the table in errors."""
    table = Table(where, fields, KEYS)
    kind = table.text("kind", choices=(JOINTS, POSES, TWISTS))
    state = _columns(table, "state") if "state" in table else ()
    action = _columns(table, "action") if "action" in table else state
    if not action:
        raise ValueError(f"{where}: lacks 'action', expected a table of columns and their units")
    gripper = table.table("model_gripper", ("open", "closed"))
    tool = table.table("tool", ("rotation", "offset"))
    turn = tool.numbers("rotation", 9, (1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0))
    prompt = table.table("prompt", ("viewpoint", "view_description", "idle_frames"))
    rate = table.number("rate")
    if not SLOWEST <= rate <= FASTEST:
        raise table.fail("rate", f"rows a second, {SLOWEST} or more and at most {FASTEST:.0f}")
    x, y, z = tool.numbers("offset", 3, (0.0, 0.0, 0.0))
    embodiment = Embodiment(
        name=table.text("name"),
        domain=table.text("domain"),
        domain_id=table.integer("domain_id", 0),
        canvas=_canvas(table.table("canvas", ("views", "composite", "content", "size", "smooth"))),
        state=state,
        action=action,
        step=round(NS / rate),
        horizon=table.integer("horizon", 1, most=MOST_ROWS),
        kind=kind,
        state_row=table.flag("state_row"),
        gripper_values=(gripper.number("open", 1.0), gripper.number("closed", 0.0)),
        normalization=_normalization(table, "normalization"),
        state_normalization=_normalization(table, "state_normalization"),
        relative=table.flag("relative"),
        tool_rotation=(
            (turn[0], turn[1], turn[2]),
            (turn[3], turn[4], turn[5]),
            (turn[6], turn[7], turn[8]),
        ),
        tool_offset=(x, y, z),
        viewpoint=prompt.text("viewpoint", "ego_view", VIEWPOINTS),
        view_description=prompt.text("view_description", ""),
        idle_frames=prompt.flag("idle_frames"),
        weights=table.text("weights", choices=(BASE, POST_TRAINED)) if "weights" in table else "",
        observed=_observed(table) if "observed" in table else None,
    )
    try:
        check_embodiment(embodiment)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return embodiment


def _columns(table: Table, key: str) -> tuple[Column, ...]:
    columns = table.table(key)
    return tuple(read_column(columns, name) for name in columns.names())


def read_column(columns: Table, name: str) -> Column:
    """The column of this name: a unit, or a table with what differs."""
    fields = columns.value(name)
    if isinstance(fields, str):
        fields = {"unit": fields}
    table = Table(f"{columns.where}: {name}", fields, ("unit", "scale", "offset", "open", "closed"))
    if "open" in table or "closed" in table:
        for key in ("scale", "offset"):
            if key in table:
                raise table.fail(key, "only open and closed of a gripper")
        opened, closed = table.number("open"), table.number("closed")
        if opened == closed:
            raise table.fail("closed", f"another value than open, {opened}")
        unit = table.text("unit", "fraction", UNITS)
        return Column(name, unit, gripper=True, opened=opened, closed=closed)
    unit = table.text("unit", choices=UNITS)
    if UNITS[unit][0] == COUNT and "scale" not in table:
        raise ValueError(
            f"{table.where}: lacks 'scale', expected rad or m of one of {unit}; or open and closed "
            "of a gripper"
        )
    scale = table.number("scale", 1.0)
    if scale == 0:
        raise table.fail("scale", "a number other than 0")
    return Column(name, unit, scale=scale, offset=table.number("offset", 0.0))


def _canvas(table: Table) -> Canvas:
    views = table.table("views")
    if not views.names():
        raise ValueError(f"{table.where}: lacks 'views', expected NAME: [top, left, height, width]")
    panels = []
    for view in views.names():
        if not VIEW.fullmatch(view):
            raise ValueError(
                f"{views.where}: expected names of letters, digits and _, as topics have, "
                f"got {view!r}"
            )
        panels.append(_panel(views, view))
    composite = _size(table, "composite")
    content = _size(table, "content", composite)
    return Canvas(
        tuple(panels), composite, content, _size(table, "size", content), table.flag("smooth")
    )


def _panel(views: Table, view: str) -> Panel:
    """A view: its place, or a table of place, crop and turn."""
    fields = views.value(view)
    fields = fields if isinstance(fields, dict) else {"place": fields}
    table = Table(f"{views.where}: {view}", fields, ("place", "crop", "turn"))
    named, key = (table, "place") if isinstance(views.value(view), dict) else (views, view)
    top, left, height, width = named.integers(key, 4)
    if not height or not width:
        raise named.fail(key, "[top, left, height, width] with some height and width")
    turn = table.integer("turn", 0, 0)
    if turn not in TURNS:
        raise table.fail("turn", " or ".join(f"{degrees}" for degrees in TURNS) + " degrees")
    y, x, high, wide = crop = table.numbers("crop", 4, WHOLE)
    if min(crop) < 0 or min(high, wide) <= 0 or max(y + high, x + wide) > 1 + 1e-6:
        raise table.fail(
            "crop", "[top, left, height, width] as shares of the picture, which it lies in"
        )
    return Panel(view, top, left, height, width, (y, x, high, wide), turn)


def _size(table: Table, key: str, default: tuple[int, int] | None = None) -> tuple[int, int]:
    """Height and width in pixels."""
    if default is not None and key not in table:
        return default
    height, width = table.integers(key, 2, 1)
    return height, width


def _normalization(table: Table, key: str) -> Normalization:
    if key not in table:
        return RAW
    known = ("kind", "low", "high", "mean", "std", "floor", "clamp")
    fields = table.table(key, known)
    kind = fields.text("kind", choices=("none", "quantile", "min_max", "mean_std"))
    names = {"none": (), "mean_std": ("mean", "std")}.get(kind, ("low", "high"))
    for name in ("low", "high", "mean", "std"):
        if name in fields and name not in names:
            raise fields.fail(name, f"{' and '.join(names) or 'no numbers'} of kind {kind}")
    if not names:
        return RAW
    low, high = (fields.numbers(name) for name in names)
    floor = fields.number("floor", RAW.floor)
    if floor <= 0:
        raise fields.fail("floor", "a number above 0")
    return Normalization(kind, low, high, floor, fields.flag("clamp"))


def _observed(table: Table) -> Observed:
    fields = table.table("observed", ("low", "high", "first_low", "first_high", "sketches"))
    low, high, first_low, first_high = (
        fields.numbers(name, default=()) for name in ("low", "high", "first_low", "first_high")
    )
    sketches = fields.table("sketches")
    count = SKETCH[0] * SKETCH[1]
    return Observed(
        low,
        high,
        first_low,
        first_high,
        tuple((view, sketches.integers(view, count)) for view in sketches.names()),
    )
