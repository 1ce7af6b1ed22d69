# SPDX-License-Identifier: Apache-2.0
"""Whether the parts of an embodiment fit together; a ValueError of one line shows both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .canvas import Canvas
from .spec import (
    COLUMNS,
    JOINTS,
    POSES,
    TWISTS,
    Embodiment,
    Normalization,
    counts_from_state,
    parts_of,
)
from .table import nearest
from .units import (
    ANGLE,
    CONTROLLER,
    COUNT,
    LENGTH,
    QUATERNION,
    SPEED,
    TURN_RATE,
    Column,
)

CELL = 16  # pixels; the autoencoder's
# Action heads of the released checkpoints, by the name of their domain. Numbers that stand in no
# row are free.
HEADS = {
    "no_action": 0,
    "av": 1,
    "camera_pose": 2,
    "hand_pose": 3,
    "pusht": 4,
    "libero": 5,
    "umi": 6,
    "bridge_orig_lerobot": 7,
    "droid_lerobot": 8,
    "robomind-franka": 8,
    "galbot": 9,
    "embodiment_b": 9,
    "robomind-franka-dual": 12,
    "robomind-ur": 13,
    "agibotworld": 15,
    "embodiment_c_gripper": 15,
    "embodiment_c_gripper_ext": 15,
    "xdof_yam": 16,
    "molmoact2_yam": 16,
    "abc_yam": 16,
    "robotwin": 17,
    "fractal": 20,
    "drawanything": 21,
    "behavior1k_lerobot": 22,
    "maniparena": 23,
}
LARGEST = 32  # number of heads
_POSE = (LENGTH,) * 3 + (QUATERNION,) * 4
_OF_JOINTS = (ANGLE, LENGTH, COUNT, SPEED, TURN_RATE, CONTROLLER)


def free_heads() -> list[int]:
    """Numbers of action heads that no released embodiment uses."""
    return sorted({*range(LARGEST)} - {*HEADS.values()})


def head_number(name: str) -> int:
    """The number of an action head by its domain or in digits."""
    if name in HEADS:
        return HEADS[name]
    if name.isdecimal() and int(name) < LARGEST:
        return int(name)
    raise ValueError(
        f"unknown action head {name!r}{nearest(name, HEADS)}, expected one of {sorted(HEADS)} or a "
        f"number below {LARGEST}"
    )


def check_embodiment(embodiment: Embodiment) -> None:
    """ValueError if its parts contradict each other."""
    _check_head(embodiment)
    for name, columns in (("state", embodiment.state), ("action", embodiment.action)):
        _check_order(name, columns)
    _check_kind(embodiment)
    if embodiment.state_row and not embodiment.state:
        raise ValueError("state_row: expected false without columns of state, got true")
    _check_canvas(embodiment.canvas)
    _check_rows(embodiment)
    opened, closed = embodiment.gripper_values
    if opened == closed:
        raise ValueError(f"model_gripper: expected two values, got {opened} for open and closed")
    tool = np.array(embodiment.tool_rotation)
    if not np.allclose(tool @ tool.T, np.eye(3), atol=1e-4) or np.linalg.det(tool) < 0:
        raise ValueError(
            "tool.rotation: expected a rotation matrix, three orthogonal rows of length 1, right-"
            f"handed, got {tool.tolist()}"
        )


def _check_head(embodiment: Embodiment) -> None:
    domain, number = embodiment.domain, embodiment.domain_id
    if domain in HEADS and HEADS[domain] != number:
        raise ValueError(f"domain_id: expected {HEADS[domain]}, that of {domain!r}, got {number}")
    owners = [name for name, head in HEADS.items() if head == number]
    if domain not in HEADS and owners:
        raise ValueError(
            f"domain_id: {number} is the action head of {' and '.join(owners)}, got it for "
            f"{domain!r}{nearest(domain, owners)}; free ones are {free_heads()}"
        )


def _check_order(name: str, columns: Sequence[Column]) -> None:
    """Grippers stand behind what they are mounted on; of several arms each may have its own."""
    bodies = [column.name for column in columns if not column.gripper]
    if bodies and columns[0].gripper:
        raise ValueError(
            f"{name}: expected grippers last of their arm, got {columns[0].name!r} before {bodies}"
        )


def _check_kind(embodiment: Embodiment) -> None:
    kind, state, action = embodiment.kind, embodiment.state, embodiment.action
    if embodiment.relative and kind != JOINTS:
        raise ValueError(f"relative: expected false for {kind}, whose rows are deltas, got true")
    if kind == JOINTS:
        _check_joints(embodiment)
        return
    for name, columns in (("state", state if kind == POSES else ()), ("action", action)):
        if columns and not _are_whole(kind, columns):
            expected = (
                "7 columns x, y, z in m or mm and qx, qy, qz, qw of unit quaternion"
                if kind == POSES
                else "6 columns, a translation and a rotation vector"
            )
            got = [f"{c.name} {'gripper' if c.gripper else c.unit}" for c in columns]
            raise ValueError(
                f"{name}: expected of {kind} {expected} for each arm, and grippers between or "
                f"after them, got {got}"
            )
    if kind == POSES and state and parts_of(kind, state) != parts_of(kind, action):
        names = [[column.name for column in columns] for columns in (state, action)]
        raise ValueError(f"state: expected the columns of action {names[1]}, got {names[0]}")


def _are_whole(kind: str, columns: Sequence[Column]) -> bool:
    """Whether the columns are whole poses or twists, at least one, and grippers."""
    fixed = _POSE if kind == POSES else (CONTROLLER,) * COLUMNS[TWISTS]
    bodies = [columns[part.columns] for part in parts_of(kind, columns) if not part.gripper]
    return bool(bodies) and all(
        not any(column.gripper for column in body)
        and len(body) == len(fixed)
        and (kind == TWISTS or tuple(column.quantity for column in body) == fixed)
        for body in bodies
    )


def _check_joints(embodiment: Embodiment) -> None:
    """Columns of the same names in both are the same quantity, and come in one order."""
    state = {column.name: column for column in embodiment.state}
    action = {column.name: column for column in embodiment.action}
    both = [name for name in action if name in state]
    if both != (found := [name for name in state if name in action]):
        raise ValueError(
            f"state: expected the columns that action has too in their order {both}, got {found}"
        )
    for name in both:
        if state[name].gripper != action[name].gripper:
            raise ValueError(
                f"{name}: expected a gripper in state and action or in none, got one in "
                f"{'state' if state[name].gripper else 'action'}"
            )
        if _apart(state[name], action[name]):
            raise ValueError(
                f"{name}: expected units of one quantity in state and action, got "
                f"{state[name].unit} and {action[name].unit}"
            )
    for column in (*state.values(), *action.values()):
        if not column.gripper and column.quantity not in _OF_JOINTS:
            raise ValueError(
                f"{column.name}: expected a unit of a joint: rad, deg, m, mm, ticks, percent or "
                f"fraction, of a mobile base: m/s or rad/s, or controller, got {column.unit!r}"
            )
    if embodiment.relative:
        for column in embodiment.action:
            if counts_from_state(column) and column.name not in state:
                raise ValueError(
                    f"relative: {column.name} of action counts from the column of that name in "
                    f"state, expected one{nearest(column.name, state)}, got {[*state]}"
                )


def _apart(one: Column, other: Column) -> bool:
    """Whether two columns cannot be the same thing in two units; a count may be of anything."""
    return COUNT not in (one.quantity, other.quantity) and one.quantity != other.quantity


def _check_canvas(canvas: Canvas) -> None:
    height, width = canvas.composite
    taken = np.full(canvas.composite, -1)
    for number, panel in enumerate(canvas.panels):
        place = [panel.top, panel.left, panel.height, panel.width]
        if panel.top + panel.height > height or panel.left + panel.width > width:
            raise ValueError(
                f"canvas.views: {panel.view} [top, left, height, width] {place} does not lie "
                f"in the composite of {[height, width]}"
            )
        area = taken[panel.top : panel.top + panel.height, panel.left : panel.left + panel.width]
        if (area >= 0).any():
            other = canvas.panels[int(area.max())].view
            raise ValueError(f"canvas.views: {panel.view} {place} lies on {other}")
        area[:] = number
    if any(have > room for have, room in zip(canvas.content, canvas.size, strict=True)):
        raise ValueError(
            f"canvas.content: expected at most size {list(canvas.size)}, got {list(canvas.content)}"
        )
    for name in ("content", "size"):
        sides = getattr(canvas, name)
        if min(sides) < CELL or (name == "size" and any(side % CELL for side in sides)):
            raise ValueError(f"canvas.{name}: expected multiples of {CELL}, got {list(sides)}")


def _check_rows(embodiment: Embodiment) -> None:
    """The numbers that belong to columns: as many as there are."""
    rows, states = embodiment.normalization, embodiment.state_normalization
    _check_normalization("normalization", rows, embodiment.width, "an action row")
    if embodiment.kind != JOINTS and embodiment.state_normalization.kind != "none":
        raise ValueError(
            f"state_normalization: expected none for {embodiment.kind}, got "
            f"{embodiment.state_normalization.kind}"
        )
    width = len(embodiment.state)
    _check_normalization("state_normalization", states, width, "the state row")
    if embodiment.observed is None:
        return
    for name in ("low", "high", "first_low", "first_high"):
        found = len(getattr(embodiment.observed, name))
        if found not in (0, width):
            raise ValueError(f"observed.{name}: expected {width} numbers, of state, got {found}")
    views = [view for view, _ in embodiment.observed.sketches]
    if unknown := sorted({*views} - {*embodiment.views}):
        raise ValueError(
            f"observed.sketches: unknown view {unknown[0]!r}{nearest(unknown[0], embodiment.views)}"
            f", the views are {list(embodiment.views)}"
        )


def _check_normalization(name: str, normalization: Normalization, width: int, of: str) -> None:
    if normalization.kind == "none":
        return
    deviation = normalization.kind == "mean_std"
    keys = ("mean", "std") if deviation else ("low", "high")
    for key, values in zip(keys, (normalization.low, normalization.high), strict=True):
        if len(values) != width:
            raise ValueError(
                f"{name}.{key}: expected {width} numbers, one for each of {of}, got {len(values)}"
            )
    for column, (low, high) in enumerate(zip(normalization.low, normalization.high, strict=True)):
        if deviation and high < 0:
            raise ValueError(f"{name}.std: expected 0 or more, got {high} (number {column + 1})")
        if not deviation and low > high:
            raise ValueError(
                f"{name}: expected low <= high, got {low} > {high} (number {column + 1})"
            )
