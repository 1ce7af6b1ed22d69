# SPDX-License-Identifier: Apache-2.0
"""ROS messages as what the console's page is sent: plain values that JSON has. Times in s."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ... import msg
from ...model.interface import NS
from ...ros.messages import to_ns

STATUS = (
    "armed",
    "mode",
    "reason",
    "chunk",
    "remaining",
    "played",
    "rejected",
    "limited",
    "superseded",
    "last_rejection",
    "last_limit",
    "strategy",
)
SIMULATION = ("task", "seed", "instruction", "episode", "elapsed", "success", "real_time_factor")
TASK = (
    "phase",
    "instruction",
    "step",
    "steps",
    "chunk",
    "latency",
    "progress",
    "surprise",
    "elapsed",
)
TASK_RESULT = (
    "outcome",
    "message",
    "steps_done",
    "steps",
    "seconds",
    "question",
    "answer",
    "yes",
)


def number(value: float) -> float | None:
    """A number, None for what is not finite, which JSON has no word for."""
    return float(value) if math.isfinite(value) else None


def fields(message: Any, names: tuple[str, ...]) -> dict[str, Any]:
    """These fields of a message."""
    found = {name: getattr(message, name) for name in names}
    return {k: number(v) if isinstance(v, float) else v for k, v in found.items()}


def status_value(message: msg.CommanderStatus) -> dict[str, Any]:
    """What the commander does, and why."""
    begin = to_ns(message.chunk_stamp) / NS
    return {**fields(message, STATUS), "stamp": to_ns(message.header.stamp) / NS, "begin": begin}


def chunk_value(message: msg.ActionChunk, scales: Mapping[str, tuple[float, float]]) -> Any:
    """A chunk: rows by joint in rad or m, and where its time went.

    scales: what `to_si` needs, by joint.
    """
    width = len(message.joint_names)
    rows = np.asarray(message.values, np.float64).reshape(message.horizon, width)
    si = {
        name: [number(to_si(value, scales.get(name))) for value in rows[:, k]]
        for k, name in enumerate(message.joint_names)
    }
    step = to_ns(message.step) / NS
    stages = zip(message.latency_stages, map(float, message.latency_seconds), strict=True)
    return {
        "number": message.number,
        "stamp": to_ns(message.header.stamp) / NS,
        "step": step,
        "duration": step * message.horizon,
        "rows": si,
        "stages": [[name, number(seconds)] for name, seconds in stages],
        "instruction": message.instruction,
        "strategy": message.strategy,
    }


def to_si(value: float, scale: tuple[float, float] | None) -> float:
    """A joint's position in rad or m; scale: what the topics say at 0, and more for each rad or m.

    None: they are in rad or m.
    """
    return value if scale is None else (value - scale[0]) / scale[1]


def joints_value(
    positions: Mapping[str, float], stamp: int, scales: Mapping[str, tuple[float, float]]
) -> dict[str, Any]:
    """Positions by joint in rad or m, of the stamp (ns)."""
    si = {name: number(to_si(value, scales.get(name))) for name, value in positions.items()}
    return {"stamp": stamp / NS, "positions": si}


def scene_value(message: msg.Scene) -> dict[str, Any]:
    """What the reasoner said, with its boxes."""
    boxes = [
        {
            "label": box.label,
            "left": number(box.x_min),
            "top": number(box.y_min),
            "right": number(box.x_max),
            "bottom": number(box.y_max),
        }
        for box in message.boxes
    ]
    checks = zip(message.checks, map(number, message.checks_yes), strict=True)
    return {
        **fields(message, ("question", "text", "thought", "yes", "seconds", "tokens")),
        "stamp": to_ns(message.header.stamp) / NS,
        "view": message.views[0] if message.views else "",
        "boxes": boxes,
        "checks": [*map(list, checks)],
    }


def surprise_value(message: msg.Surprise) -> dict[str, Any]:
    """How far what the cameras showed was from what was predicted, by view and by place."""
    views = zip(message.views, map(number, message.values), strict=True)
    return {
        **fields(message, ("number", "value", "rows", "columns", "alarm", "reaction")),
        "stamp": to_ns(message.header.stamp) / NS,
        "views": [*map(list, views)],
        "grid": [None if (one := number(v)) is None else round(one, 2) for v in message.grid],
    }


def future_value(message: msg.Future) -> dict[str, Any]:
    """When the frames of a predicted video are due; they themselves go out as pictures."""
    return {
        "stamp": to_ns(message.header.stamp) / NS,
        "step": to_ns(message.step) / NS,
        "number": message.number,
    }
