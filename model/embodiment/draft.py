# SPDX-License-Identifier: Apache-2.0
"""A first embodiment for a robot, from what is seen of it: names, ranges, cameras, rate.

What nobody can see is guessed and to be checked by a person: which end of a gripper is open, and
whether numbers of counts are ticks or percent.
"""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping, Sequence

from .canvas import Canvas, Panel
from .checks import check_embodiment, free_heads
from .embodiment_file import FASTEST, SLOWEST
from .plausibility import TURNS
from .spec import Embodiment, counts_from_state
from .units import UNITS, Column

GRIPPER = re.compile(r"grip|finger|jaw|knuckle|claw", re.IGNORECASE)
SECONDS = 2.1  # of a chunk, as DROID's 32 rows at 15 Hz
TOKEN = 32  # pixels: two cells of the autoencoder
WIDE, SMALL = 640, 192  # pixels of the canvas: for released checkpoints, for a CPU


@dataclasses.dataclass(frozen=True, slots=True)
class Seen:
    """One number of a robot's state, and the range that was seen of it."""

    name: str
    low: float
    high: float
    unit: str = ""  # as the dataset says; "": to be guessed


def draft_embodiment(
    name: str,
    seen: Sequence[Seen],
    cameras: Mapping[str, tuple[int, int]],
    rate: float,
    small: bool = False,
    domain: str = "",
    commands: Sequence[Seen] = (),
) -> Embodiment:
    """An embodiment with joint targets and an action head that is free.

    cameras: height and width by view; small: a canvas for small networks; commands: what the action
    consists of, (): of what the state does. ValueError if nothing was seen, or at a rate that is
    none.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise ValueError(
            f"embodiment {name}: expected {SLOWEST} to {FASTEST:g} rows a second, got {rate:g}"
        )
    if not seen or not cameras:
        raise ValueError(
            f"embodiment {name}: expected joints and cameras, got {[each.name for each in seen]} "
            f"and {[*cameras]}"
        )
    columns = draft_columns(seen)
    action = draft_columns(commands) if commands else columns
    named = {column.name for column in columns}
    canvas = draft_canvas(cameras, SMALL if small else WIDE)
    several = len(canvas.panels) > 1
    embodiment = Embodiment(
        name=name,
        domain=domain or name,
        domain_id=free_heads()[1],
        canvas=canvas,
        state=columns,
        action=action,
        step=round(1e9 / rate),
        horizon=max(4, 4 * round(SECONDS * rate / 4)),
        state_row=True,
        relative=all(each.name in named for each in action if counts_from_state(each)),
        viewpoint="concat_view" if several else "third_person_view",
        view_description=_sentences(canvas) if several else "",
    )
    check_embodiment(embodiment)
    return embodiment


def draft_columns(seen: Sequence[Seen]) -> tuple[Column, ...]:
    """Columns with units that their source says, or else their ranges.

    One gripper is put last; of several each is behind its arm, if they come so. The joints of one
    robot count alike: one that hardly moved says nothing of its unit. ValueError for another unit.
    """
    for each in seen:
        if each.unit and each.unit not in UNITS:
            raise ValueError(f"{each.name}: expected a unit of {[*UNITS]}, got {each.unit!r:.60}")
    joints = [each for each in seen if not GRIPPER.search(each.name)]
    largest = max((max(abs(each.low), abs(each.high)) for each in joints), default=0.0)
    guess = "ticks" if largest > 360 else "deg" if largest > TURNS else "rad"
    grippers = [each for each in seen if GRIPPER.search(each.name)]
    order = seen if len(grippers) > 1 and seen[0] not in grippers else [*joints, *grippers]
    return tuple(
        _gripper(each) if each in grippers else _joint(each.name, each.unit or guess)
        for each in order
    )


def _joint(name: str, unit: str) -> Column:
    if unit == "ticks":  # of an encoder with 4096 in a turn, whose middle is at 0 rad
        return Column(name, unit, scale=round(2 * math.pi / 4096, 8), offset=2048.0)
    return Column(name, unit)


def _gripper(seen: Seen) -> Column:
    """With most drivers a larger number is further open."""
    if seen.unit == "fraction":
        return Column(seen.name, "fraction", gripper=True)
    unit = seen.unit or ("percent" if seen.high > 10 else "rad" if seen.high > 0.2 else "m")
    low, high = (seen.low, seen.high) if seen.low < seen.high else (seen.low, seen.low + 1.0)
    return Column(seen.name, unit, gripper=True, opened=round(high, 4), closed=round(low, 4))


def draft_canvas(cameras: Mapping[str, tuple[int, int]], width: int) -> Canvas:
    """Cameras in rows of two, the first alone if their number is odd, all as wide as there is room.

    Sides are whole tokens; cut off is nothing, but what is not 4:3 or 16:9 is stretched a little.
    """
    views, panels, top = [*cameras], [], 0
    rows = [views[:1]] if len(views) % 2 else []
    rest = views[len(rows) :]
    rows += [rest[at : at + 2] for at in range(0, len(rest), 2)]
    for row in rows:
        share = width // len(row)
        height = max(
            TOKEN,
            TOKEN * round(max(share * cameras[view][0] / cameras[view][1] for view in row) / TOKEN),
        )
        panels += [Panel(view, top, at * share, height, share) for at, view in enumerate(row)]
        top += height
    size = (top, width)
    return Canvas(tuple(panels), size, size, size, smooth=True)


def _sentences(canvas: Canvas) -> str:
    """Where which camera is, as the model is told."""
    rows: dict[int, list[str]] = {}
    for panel in canvas.panels:
        rows.setdefault(panel.top, []).append(panel.view.replace("_", " "))
    if len(rows) == 1:
        left, right = next(iter(rows.values()))
        return f"The left half is from the {left} camera, the right half from the {right} camera."
    texts = []
    for number, names in enumerate(rows.values()):
        place = "top" if number == 0 else "bottom" if number == len(rows) - 1 else "next"
        of = " and ".join(f"the {name} camera" for name in names)
        side = ", side by side" if len(names) > 1 else ""
        texts.append(f"The {place} row is from {of}{side}.")
    return " ".join(texts)
