# SPDX-License-Identifier: Apache-2.0
"""What a policy server answers: rows, times and video; ValueError names what is wrong with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...model.embodiment import Embodiment
from ...model.embodiment.agreement import contradiction
from ...model.embodiment.embodiment_file import embodiment_from
from ..msgpack_codec import unpack

WORDS = 300  # characters of a server's complaint that are passed on


def read_frame(frame: str | bytes) -> Any:
    """What a frame holds; ValueError with the server's words if it is a complaint."""
    if isinstance(frame, str):
        raise ValueError(f"the server refused: {_last_line(frame)}")
    content = unpack(frame)
    if isinstance(content, dict) and content.get("type") == "error":
        raise ValueError(f"the server refused: {_last_line(str(content.get('message')))}")
    return content


def read_metadata(frame: str | bytes) -> dict[str, Any]:
    """The first frame of a connection."""
    content = read_frame(frame)
    if not isinstance(content, dict):
        raise ValueError(f"expected a dict as first frame, got {_kind(content)}")
    return content


def read_description(content: Any, embodiment: Embodiment, soft_rows: int) -> int:
    """The rows that a server of this package sends.

    ValueError shows both sides if its policy is not for `embodiment`, or draws towards another
    number of committed rows.
    """
    if not isinstance(content, dict) or type(content.get("rows")) is not int:
        raise ValueError(f"expected the description of a policy, got {_kind(content)}")
    theirs = embodiment_from(content.get("embodiment"), "the server's embodiment")
    if why := contradiction(theirs, embodiment):
        raise ValueError(
            f"the server's policy is for embodiment {theirs.name}, here it is {embodiment.name}: "
            f"{why}"
        )
    if content.get("soft_rows") != soft_rows:
        raise ValueError(f"soft_rows: the server has {content.get('soft_rows')}, here {soft_rows}")
    rows: int = content["rows"]
    return rows


def read_rows(content: Any, embodiment: Embodiment, most: int) -> np.ndarray:
    """Commands float32 [1..most, len(action)]; grippers within 0..1."""
    values = content
    if isinstance(content, dict):
        values = content.get("actions", content.get("action"))
        if values is None:
            raise ValueError(f"expected actions in the answer, got {sorted(content)[:20]}")
    width, names = len(embodiment.action), [*embodiment.action_names]
    expected = f"expected at most {most} rows of the {width} columns of {embodiment.name} {names}"
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        raise ValueError(f"{expected}, got {_kind(values)}")
    if values.ndim != 2 or values.shape[1] != width or not 0 < len(values) <= most:
        raise ValueError(f"{expected}, got {list(values.shape)}")
    with np.errstate(over="ignore", invalid="ignore"):  # it becomes infinite, and that is refused
        rows = values.astype(np.float32)
    if not np.isfinite(rows).all():
        count = int((~np.isfinite(rows)).sum())
        raise ValueError(f"{expected}, got {count} NaN or infinite")
    columns = [names.index(name) for name in embodiment.discrete]
    rows[:, columns] = rows[:, columns].clip(0.0, 1.0)
    return rows


def read_server_seconds(content: Any) -> float | None:
    """How long the server says that it took; None if it says nothing that can be."""
    timing = content.get("server_timing") if isinstance(content, dict) else None
    taken = timing.get("infer_ms") if isinstance(timing, Mapping) else None
    if not isinstance(taken, int | float | np.number) or not math.isfinite(taken) or taken < 0:
        return None
    return float(taken) / 1000


def read_video(content: Any) -> np.ndarray | None:
    """Frames uint8 [T, H, W, 3], if the server sends its video."""
    frames = content.get("video") if isinstance(content, dict) else None
    if not isinstance(frames, np.ndarray) or frames.dtype != np.uint8 or frames.ndim != 4:
        return None
    return frames if frames.shape[3] == 3 and len(frames) else None


def _last_line(text: str) -> str:
    """The last line of a traceback is the one that says what went wrong."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:WORDS] if lines else "no reason given"


def _kind(value: Any) -> str:
    return f"{value.dtype} array" if isinstance(value, np.ndarray) else type(value).__name__
