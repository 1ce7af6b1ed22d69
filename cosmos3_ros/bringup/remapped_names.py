# SPDX-License-Identifier: Apache-2.0
"""The names that a robot file may remap: those that one of the graph's nodes uses."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Collection, Iterator

from ..model.embodiment import find_embodiment
from ..model.embodiment.table import nearest
from ..nodes.known_parameters import PARAMS
from ..robot import topic_names
from ..robot.parameter_file import Sections, in_force
from ..robot.robot_file import (
    EMBODIMENT,
    REMAPPINGS,
    embodiment_of,
    remapping_settings,
    scene_of,
    world_of,
)
from ..sim.arm_constants import FACING
from ..sim.camera_table import CAMERAS, TWO_ARM_CAMERAS
from ..sim.scene_file.schema import read_scene
from .graph_page import NODES

# Used by ROS itself, by some of our nodes with some parameters, or by nodes that run beside them.
OF_ROS = (
    "clock",
    "parameter_events",
    "robot_description",
    "rosout",
    "set_simulation_state",
    "tf",
    "tf_static",
)
OF_EVERY_NODE = (
    "change_state",
    "describe_parameters",
    "get_available_states",
    "get_available_transitions",
    "get_parameter_types",
    "get_parameters",
    "get_state",
    "get_transition_graph",
    "get_type_description",
    "list_parameters",
    "set_parameters",
    "set_parameters_atomically",
    "transition_event",
)
# before a name: the node that the rule is for, and the kind of name
_PREFIX = re.compile(r"(?:\w+:(?!/))?(?:ros(?:topic|service)://)?")
# behind the name of an action
_ACTION = re.compile(r"/_action/(?:send_goal|cancel_goal|get_result|feedback|status)$")
_CAMERA = re.compile(r"/?camera/\w+/(?:camera_info|image_raw(?:/compressed)?)")


def check_remappings(path: pathlib.Path, sections: Sections, simulated: bool) -> None:
    """ValueError for the remapping of a name that no node of the graph uses, with the nearest one.

    simulated: whether a simulation runs in place of the robot.
    """
    views = _views(path, sections, simulated)
    names = {*_names(sections, views or ())}
    chosen = _chosen(sections)
    wrong = [
        f"{setting.place}: {REMAPPINGS}: no node uses the name {name!r}{nearest(name, names)}"
        for name, setting in remapping_settings(sections).items()
        if not _is_known(name, names | chosen, views is None)
    ]
    if wrong:
        raise ValueError(f"{'; '.join(wrong)}; expected names of docs/graph.md")


def _is_known(name: str, names: Collection[str], any_view: bool) -> bool:
    bare = _ACTION.sub("", name[_PREFIX.match(name).end() :])  # type: ignore[union-attr]
    # in a namespace, an absolute name begins with it
    parts = bare.strip("/").split("/")
    tails = ["/".join(parts[first:]) for first in range(len(parts) if bare[:1] == "/" else 1)]
    return (
        bare.startswith("__")  # __node, __ns
        or (any_view and _CAMERA.fullmatch(bare) is not None)
        or not {*names}.isdisjoint(tails)
    )


def _names(sections: Sections, views: Collection[str]) -> Iterator[str]:
    """Topics, services and actions of all nodes, without a slash before them."""
    groups = _groups(sections)
    yield from OF_ROS
    for node, (interface, _, _) in NODES.items():
        for topic in (*interface.subscribes, *interface.watched, *interface.publishes):
            name = topic.name.lstrip("/")
            yield from (name.replace("<view>", view) for view in views or ("<view>",))
            if name in topic_names.OF_GROUPS:
                yield from (f"{group}/{name}" for group in groups)
        offers = (*(service.name for service in interface.offers), *_each(OF_EVERY_NODE))
        for name in offers:
            yield from (name, name.replace("~", node, 1))
    action = PARAMS["commander"]().gripper_action
    yield from (action, *(f"{group}/{action}" for group in groups))


def _each(names: Collection[str]) -> Iterator[str]:
    return (f"~/{name}" for name in names)


def _chosen(sections: Sections) -> set[str]:
    """Texts among the parameters of a robot file, some of which are names of topics or actions."""
    values = [
        setting.value
        for section, settings in sections.items()
        if not section.endswith((REMAPPINGS, EMBODIMENT))
        for setting in settings.values()
    ]
    texts = [text for value in values for text in (value if isinstance(value, list) else [value])]
    return {text.lstrip("/") for text in texts if isinstance(text, str)}


def _groups(sections: Sections) -> set[str]:
    """Groups of joints with controllers of their own, here or in the embedded simulation."""
    said = in_force(sections, "/commander").get("groups")
    named = said.value if said and isinstance(said.value, list) else []
    return {*map(str, named), *(mount.group for mount in FACING)} - {""}


def _views(path: pathlib.Path, sections: Sections, simulated: bool) -> set[str] | None:
    """The cameras of the robot file and of what simulates the robot; None: not known."""
    wanted = embodiment_of(path, sections, "policy")
    if world_of(sections) or not wanted:  # of the checkpoint
        return None
    said = in_force(sections, "/reasoner").get("views")
    looked_at = said.value if said else PARAMS["reasoner"]().views
    views = {*find_embodiment(wanted).views, *(looked_at if isinstance(looked_at, list) else ())}
    if scene := scene_of(path, sections):
        return views | {*read_scene(scene).cameras}
    simulation = (*CAMERAS, *TWO_ARM_CAMERAS) if simulated else ()
    return views | {camera.view for camera in simulation}
