# SPDX-License-Identifier: Apache-2.0
"""What is asked of a policy server, in the dialect that it speaks: keys, pictures and state.

`serve.openpi_messages` reads the same requests. Pictures travel in the size of the canvas' panels,
which is all that the model sees of them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ...model.embodiment import JOINTS, Embodiment
from ...model.embodiment.canvas import resize
from ...model.embodiment.droid_names import droid_image_name
from ...model.interface import Observation
from ..openpi_messages import COMPOSED, ROBOLAB_CANVAS, VLLM

OWN, OPENPI, ROBOLAB, ROBOARENA, VLLM_OMNI = "cosmos3", "openpi", "robolab", "roboarena", "vllm"
AUTO = "auto"
CHOICES = (AUTO, OPENPI, ROBOLAB, ROBOARENA, VLLM_OMNI)

Fields = dict[str, Any]


@dataclasses.dataclass(frozen=True, slots=True)
class Dialect:
    """How a server is asked.

    write: an observation as fields of a request; sessions: a request names its episode; resets: a
    new episode is announced; commits: the server takes the rows that are executed meanwhile.
    """

    name: str
    write: Callable[[Observation, Embodiment], Fields]
    sessions: bool = False
    resets: bool = False
    commits: bool = False


def choose_dialect(
    wanted: str, own: bool, path: str, metadata: Mapping[str, Any], embodiment: Embodiment
) -> Dialect:
    """The dialect for a server; ValueError if it needs what the embodiment cannot give.

    wanted: one of CHOICES; own: whether it is this package's; path: of its address; metadata: its
    first frame.
    """
    if wanted == AUTO:
        arena = {"action_space", "n_external_cameras"} <= metadata.keys()
        wanted = VLLM_OMNI if path == VLLM else ROBOARENA if arena else OPENPI
        if own:
            return Dialect(OWN, _write_own, sessions=True, commits=True)
    if wanted == ROBOLAB:
        if missing := set(ROBOLAB_CANVAS.views) - set(embodiment.views):
            raise ValueError(
                f"dialect robolab: expected an embodiment with the views {ROBOLAB_CANVAS.views}, "
                f"{embodiment.name} has no {sorted(missing)}"
            )
        return Dialect(ROBOLAB, _write_robolab, sessions=True)
    if wanted == ROBOARENA:
        return Dialect(ROBOARENA, _arena_writer(metadata, embodiment), sessions=True, resets=True)
    if wanted == VLLM_OMNI:
        return Dialect(VLLM_OMNI, _write_openpi, sessions=True, resets=True)
    return Dialect(OPENPI, _write_openpi)


def _pictures(observation: Observation, embodiment: Embodiment) -> dict[str, np.ndarray]:
    canvas = embodiment.canvas
    return {panel.view: canvas.slim(panel, observation.images) for panel in canvas.panels}


def _write_own(observation: Observation, embodiment: Embodiment) -> Fields:
    pictures = _pictures(observation, embodiment).items()
    return {
        **{f"observation/{view}": picture for view, picture in pictures},
        "observation/state": observation.state,
    }


def _write_openpi(observation: Observation, embodiment: Embodiment) -> Fields:
    """DROID's names as openpi has them, and LIBERO's."""
    pictures = _pictures(observation, embodiment)
    if "agentview" in pictures:
        named = {"agentview": COMPOSED, "wrist": "observation/wrist_image"}
        keys = {view: named.get(view, f"observation/{view}") for view in pictures}
    else:
        keys = {view: f"observation/{droid_image_name(view)}" for view in pictures}
    return {keys[view]: picture for view, picture in pictures.items()} | _state(
        observation.state, embodiment
    )


def _write_robolab(observation: Observation, embodiment: Embodiment) -> Fields:
    """One picture of all cameras, the wrist's above both others."""
    picture = dataclasses.replace(ROBOLAB_CANVAS, size=ROBOLAB_CANVAS.composite)
    return {COMPOSED: picture.compose(observation.images)} | _state(observation.state, embodiment)


def _arena_writer(
    metadata: Mapping[str, Any], embodiment: Embodiment
) -> Callable[[Observation, Embodiment], Fields]:
    """Cameras counted from 0, in the size that the server's first frame asks for."""
    space, stereo = metadata.get("action_space"), metadata.get("needs_stereo_camera")
    external = [view for view in embodiment.views if view != "wrist"]
    wanted, size = metadata.get("n_external_cameras", 0), metadata.get("image_resolution")
    if embodiment.kind == JOINTS and space not in (None, "joint_position"):
        raise ValueError(
            f"action_space: expected joint_position, as embodiment {embodiment.name} acts, the "
            f"server has {space!r}"
        )
    if type(wanted) is not int or wanted > len(external) or stereo:
        raise ValueError(
            f"cameras: the server needs {wanted!r} external ones{' in stereo' if stereo else ''}, "
            f"embodiment {embodiment.name} has {external}"
        )
    if size is not None and not _is_size(size):
        raise ValueError(f"image_resolution: expected [height, width], the server has {size!r}")

    def write(observation: Observation, embodiment: Embodiment) -> Fields:
        fields = {}
        for view in [*external[:wanted], *({"wrist"} & {*embodiment.views})]:
            picture = observation.images[view]
            key = f"observation/{droid_image_name(view, first=0)}"
            fields[key] = picture if size is None else _letterbox(picture, (size[0], size[1]))
        return fields | _state(observation.state, embodiment)

    return write


def _is_size(size: Any) -> bool:
    return (
        isinstance(size, list)
        and len(size) == 2
        and all(type(side) is int and 8 <= side <= 4096 for side in size)
    )


def _letterbox(picture: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """As large as fits into `size` (H, W) with its proportions, on black."""
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    height, width = (max(1, round(scale * side)) for side in picture.shape[:2])
    whole = np.zeros((*size, 3), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    fitted = resize(picture, (height, width), cubic=False, antialias=True)
    whole[top : top + height, left : left + width] = np.clip(np.rint(fitted), 0, 255)
    return whole


def _state(state: np.ndarray, embodiment: Embodiment) -> Fields:
    """The state by its parts: joints or pose, and grippers."""
    if not len(state):
        return {}
    gripper = np.array([column.gripper for column in embodiment.state])
    arm, fingers = state[~gripper], state[gripper]
    if embodiment.kind == JOINTS:
        fields = {"observation/joint_position": arm}
    else:
        fields = {"observation/eef_pos": arm[:3], "observation/eef_quat": arm[3:]}
    return fields | ({"observation/gripper_position": fingers} if gripper.any() else {})
