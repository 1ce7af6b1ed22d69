# SPDX-License-Identifier: Apache-2.0
"""Messages of openpi clients, under any of their keys, as an Observation, and the replies.

RoboLab sends one composed picture, pi0's clients one exterior camera numbered from 1, RoboArena
several from 0.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model.embodiment import EMBODIMENTS, JOINTS, Embodiment
from ..model.embodiment.canvas import Canvas
from ..model.embodiment.droid_names import droid_image_name
from ..model.embodiment.embodiment_yaml import to_fields
from ..model.interface import (
    NS,
    ActionChunk,
    Observation,
    Policy,
    Prediction,
    ReadsInstructions,
    check_image,
)
from ..model.language.plain_words import check_text

COMPOSED = "observation/image"
VLLM = "/v1/realtime/robot/openpi"  # who comes by this path speaks vLLM-Omni's dialect
# What only this package's server and client say to each other. The header of the handshake tells
# such a server; its answer to the endpoint is `description`.
HEADER, DESCRIBE = "Cosmos3-Policy", "describe"
COMMITTED, AHEAD = "committed/values", "committed/ahead"  # rows, and ns that they begin later
MOST_ROWS, MOST_AHEAD = 1000, 60 * NS
_POSE = {"observation/eef_pos": 3, "observation/eef_quat": 4}  # of a robot with one arm
MAX_PROMPT = 1000  # characters
ROBOLAB_CANVAS = EMBODIMENTS["droid_joint_pos"].canvas


def read_observation(
    message: Mapping[str, Any], embodiment: Embodiment, black: bool = False
) -> Observation:
    """A request as what the policy of `body` needs, stamped now.

    ValueError names the key that is missing or wrong.

    black: a camera that the request does not have is a black picture instead of an error.
    """
    pictures = _pictures(message, embodiment)
    missing = {
        view: name for view, name in _keys(message, embodiment).items() if view not in pictures
    }
    if missing and (not black or not pictures):
        hint = (
            "; the server's option black stands in for a camera that is not there"
            if pictures
            else ""
        )
        raise ValueError(
            f"expected images {sorted(missing.values())}, got {_names(message, 'image')}{hint}"
        )
    for view in missing:
        pictures[view] = np.zeros_like(next(iter(pictures.values())))
    return Observation(
        pictures, _state(message, embodiment), prompt_of(message), time.monotonic_ns()
    )


def split(picture: np.ndarray, canvas: Canvas) -> dict[str, np.ndarray]:
    """The views of a picture [H, W, 3] that somebody composed in the proportions of `canvas`."""
    down, across = picture.shape[0] / canvas.composite[0], picture.shape[1] / canvas.composite[1]
    return {
        panel.view: picture[
            round(panel.top * down) : round((panel.top + panel.height) * down),
            round(panel.left * across) : round((panel.left + panel.width) * across),
        ]
        for panel in canvas.panels
    }


def prompt_of(message: Mapping[str, Any]) -> str:
    """The instruction of a request; ValueError if there is none or too much of it."""
    prompt = message.get("prompt")
    if not isinstance(prompt, str) or not 0 < len(prompt.strip()) <= MAX_PROMPT:
        got = (
            f"{len(prompt.strip())} characters"
            if isinstance(prompt, str)
            else type(prompt).__name__
        )
        raise ValueError(
            f"prompt: expected a sentence of at most {MAX_PROMPT} characters, got {got}"
        )
    return check_text("prompt", str(prompt))


def check_readable(policy: Policy, observation: Observation) -> None:
    """ValueError, for the client, if the network cannot read the instruction."""
    if isinstance(policy, ReadsInstructions):
        policy.check_instruction(observation.instruction)


def metadata(embodiment: Embodiment) -> dict[str, Any]:
    """The first frame.

    Exactly RoboArena's fields, whose clients accept no others; none if they cannot say it.
    """
    joints = embodiment.kind == JOINTS and embodiment.same_columns
    if not joints or not set(embodiment.views) <= set(ROBOLAB_CANVAS.views):
        return {}
    return {
        "image_resolution": [360, 640],  # as RoboLab: what the largest panel shows of a wide camera
        "needs_wrist_camera": "wrist" in embodiment.views,
        "n_external_cameras": len(set(embodiment.views) - {"wrist"}),
        "needs_stereo_camera": False,
        "needs_session_id": True,
        "action_space": "joint_position",
    }


def description(embodiment: Embodiment, horizon: int, soft_rows: int) -> dict[str, Any]:
    """What a server of this package says of its policy; horizon: rows that it sends, 0: all."""
    return {
        "embodiment": to_fields(embodiment),
        "rows": min(horizon or embodiment.horizon, embodiment.horizon),
        "soft_rows": soft_rows,
    }


def read_committed(
    message: Mapping[str, Any], embodiment: Embodiment, stamp: int
) -> ActionChunk | None:
    """The rows that the client plays meanwhile, None if it says none; stamp: the observation's."""
    if COMMITTED not in message:
        return None
    values, ahead = message[COMMITTED], message.get(AHEAD)
    width = len(embodiment.action)
    if (
        not isinstance(values, np.ndarray)
        or values.dtype != np.float32
        or values.ndim != 2
        or values.shape[1] != width
        or not 0 < len(values) <= MOST_ROWS
    ):
        got = f"{values.dtype} {list(values.shape)}" if isinstance(values, np.ndarray) else values
        raise ValueError(
            f"{COMMITTED}: expected float32 [1..{MOST_ROWS}, {width}], got {got!s:.80}"
        )
    if type(ahead) is not int or abs(ahead) > MOST_AHEAD:
        raise ValueError(f"{AHEAD}: expected ns within a minute, got {ahead!s:.40}")
    names, discrete = embodiment.action_names, embodiment.discrete
    return ActionChunk(values, names, stamp + ahead, embodiment.step, discrete)


def rows(prediction: Prediction, horizon: int = 0) -> np.ndarray:
    """The first `horizon` rows of a chunk (0: all), float32 [rows, D], grippers clipped to 0..1."""
    chunk = prediction.chunk
    values = np.array(chunk.values[: horizon or None])
    columns = [chunk.names.index(name) for name in chunk.discrete]
    values[:, columns] = values[:, columns].clip(0.0, 1.0)
    return values


def _keys(message: Mapping[str, Any], embodiment: Embodiment) -> dict[str, str]:
    """Which key each view comes under in this message."""
    first = 0 if "observation/exterior_image_0_left" in message else 1
    common = {view: f"observation/{droid_image_name(view, first)}" for view in embodiment.views}
    if "agentview" in embodiment.views:  # LIBERO as openpi has it
        common = {"agentview": COMPOSED, "wrist": "observation/wrist_image"}
    return {
        view: name if (name := f"observation/{view}") in message else common.get(view, name)
        for view in embodiment.views
    }


def _pictures(message: Mapping[str, Any], embodiment: Embodiment) -> dict[str, np.ndarray]:
    keys = _keys(message, embodiment)
    found = {view: _picture(message, key) for view, key in keys.items() if key in message}
    if COMPOSED in message and COMPOSED not in keys.values() and not found:
        views = split(_picture(message, COMPOSED), ROBOLAB_CANVAS)
        found = {view: views[view] for view in embodiment.views if view in views}
    return found


def _picture(message: Mapping[str, Any], key: str) -> np.ndarray:
    value = message[key]
    newest = (
        value[-1] if isinstance(value, np.ndarray) and value.ndim == 4 and len(value) else value
    )
    check_image(key, newest)
    if not 8 <= min(newest.shape[:2]) <= max(newest.shape[:2]) <= 4096:
        raise ValueError(f"{key}: expected sides of 8 to 4096 pixels, got {list(newest.shape)}")
    # torch warns of arrays that must not be written, and the request need not stay
    return newest.copy()


def _state(message: Mapping[str, Any], embodiment: Embodiment) -> np.ndarray:
    """float32 [len(body.state)], from the keys of its parts or from the one key of the whole."""
    if not embodiment.state:
        return np.zeros(0, np.float32)
    gripper = np.array([column.gripper for column in embodiment.state])
    grippers, bodies = int(gripper.sum()), int((~gripper).sum())
    parts = dict(_POSE)
    if embodiment.kind == JOINTS:
        parts = {"observation/joint_position": bodies}
    if grippers:
        parts["observation/gripper_position"] = grippers
    several = embodiment.kind != JOINTS and bodies > sum(_POSE.values())
    if several or ("observation/state" in message and not set(parts) & set(message)):
        state = _numbers(message, "observation/state", len(gripper))
    else:  # the joints or the pose, then the grippers, whichever columns these are
        found = [_numbers(message, key, count) for key, count in parts.items()]
        state = np.empty(len(gripper), np.float32)
        state[np.argsort(gripper, kind="stable")] = np.concatenate(found)
    embodiment.check_state(state)
    return state


def _numbers(message: Mapping[str, Any], key: str, count: int) -> np.ndarray:
    """The newest `count` numbers under a key: a scalar, [count], or a history [T, count]."""
    if key not in message:
        raise ValueError(f"expected {key}, got {_names(message, '')}")
    value = message[key]
    array = (
        np.asarray(value)
        if isinstance(value, (np.ndarray, np.generic, float, int)) or _flat(value)
        else None
    )
    if array is None or array.dtype.kind not in "iuf":
        got = type(value).__name__ if array is None else array.dtype
        raise ValueError(f"{key}: expected {count} number(s), got {got}")
    newest = (
        array.reshape(-1)[-count:]
        if array.ndim < 2 and (count == 1 or array.shape == (count,))
        else array
    )
    newest = newest[-1] if newest.ndim == 2 and len(newest) else newest
    if newest.shape != (count,):
        raise ValueError(f"{key}: expected {count} number(s), got {list(array.shape)}")
    with np.errstate(over="ignore"):  # it becomes infinite, and that is refused
        return newest.astype(np.float32)


def _flat(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(number, (int, float)) for number in value)


def _names(message: Mapping[str, Any], part: str) -> list[str]:
    return sorted(str(name)[:60] for name in message if part in str(name))[:20]
