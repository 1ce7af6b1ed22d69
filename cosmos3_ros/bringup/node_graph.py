# SPDX-License-Identifier: Apache-2.0
"""The node graph, described once.

The launch files and `cosmos3 run` both start exactly what `processes` returns.
"""

from __future__ import annotations

import dataclasses
import pathlib
import types
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import yaml

from ..model.checkpoint_io.foreign import checkpoint_path, find_checkpoint
from ..robot.parameter_file import Sections, in_force, read_sections
from ..robot.robot_file import (
    find_robot_file,
    read_joints,
    remappings_of,
    scene_of,
)
from ..serve.console.address import check_usable
from ..serve.http.address import check_free
from ..sim.arm_constants import ALONE
from ..sim.layout import mounts_of
from ..sim.scene_file.schema import read_scene
from ..sim.tasks import find
from .graph_options import SETS, Options, flag
from .graph_settings import Settings
from .middleware import check_environment

# Executable in lib/cosmos3_ros: the module, and its first argument, for `python -m`.
MODULES = {
    "sim": ("cosmos3_ros.nodes.sim_node",),
    "world": ("cosmos3_ros.training.worlds.nodes.world_node",),
    "brain": ("cosmos3_ros.brain",),
    "policy": ("cosmos3_ros.brain", "policy"),
    "reasoner": ("cosmos3_ros.brain", "reasoner"),
    "server": ("cosmos3_ros.brain", "server"),
    "commander": ("cosmos3_ros.nodes.commander_node",),
    "task_server": ("cosmos3_ros.nodes.task.task_node",),
    "display": ("cosmos3_ros.nodes.display.display_node",),
    "console": ("cosmos3_ros.nodes.console.console_node",),
}
# Options that start a node in a process of its own.
SINGLE = {
    "commander": "commander",
    "task_server": "task_server",
    "display": "display",
    "view": "console",
}


@dataclasses.dataclass(frozen=True)
class Process:
    """One process of the graph: an executable with its parameters and remappings."""

    executable: str
    nodes: tuple[str, ...]
    robot_file: pathlib.Path
    parameters: dict[str, Any]
    remappings: tuple[tuple[str, str], ...]
    log_level: str = "info"
    replaced: tuple[str, ...] = ()  # in words, what of the robot file the parameters replace
    essential: bool = True  # its end ends the others

    def arguments(self) -> list[str]:
        """The arguments after the program's name."""
        words = [*self.nodes] if self.executable == "brain" else []
        words += [
            "--ros-args",
            "--log-level",
            self.log_level,
            "--params-file",
            str(self.robot_file),
        ]
        for node, values in self.parameters.items():
            for name, value in values.items():
                # for all, which holds in a namespace; for the node, which wins over /** of the file
                rule = f"{name}:={yaml_value(value)}"
                words += ["-p", rule, "-p", f"{node}:{rule}"]
        for name, target in self.remappings:
            words += ["-r", f"{name}:={target}"]
        return words


def yaml_value(value: Any) -> str:
    """A parameter value as it stands in YAML, so that words and numbers keep their types."""
    if isinstance(value, bool):
        return str(value).lower()
    return (
        yaml.safe_dump(value, default_style='"' if isinstance(value, str) else None)
        .strip()
        .removesuffix("\n...")
    )


def _simulated_joints(options: Options, sections: Sections) -> set[str]:
    """The joints of the arms that the task is for."""
    setting = in_force(sections, "/sim").get("task")
    task = options.task or (str(setting.value) if setting else "")
    mounts = mounts_of(find(task).kind) if task else ALONE
    return {name for mount in mounts for name in (*mount.joints, mount.finger)}


def _check_simulated(options: Options, path: pathlib.Path, sections: Sections, scene: str) -> None:
    """Raise ValueError if nodes that move the arm are for joints that the simulation lacks."""
    nodes = [node for node in ("policy", "commander") if getattr(options, node)]
    known = set(read_scene(scene).names) if scene else _simulated_joints(options, sections)
    strange = [joint for node in nodes for joint in read_joints(path, node) if joint not in known]
    if strange and scene:
        raise ValueError(
            f"robot {path.stem}: the scene {scene} has no {', '.join(dict.fromkeys(strange))}; it "
            f"has {', '.join(read_scene(scene).names)}"
        )
    if strange:
        raise ValueError(
            f"robot {path.stem}: the embedded simulation has no {', '.join(dict.fromkeys(strange))}"
            "; expected a robot file with its joints, as droid_sim has them, a scene file "
            "(scene of sim), or the robot itself (sim:=false, --no-sim)"
        )


def processes(
    options: Options, fallback: Mapping[str, Any] = types.MappingProxyType({})
) -> list[Process]:
    """What to start, in order; ValueError names an option, or a variable, that cannot be.

    fallback: options for which neither `options` nor the robot file has a value.
    """
    # which needs ROS
    from ..nodes.known_parameters import KNOWN
    from ..ros.arguments import check_arguments, check_sections
    from .remapped_names import check_remappings

    check_environment()
    path = find_robot_file(options.robot)
    sections = read_sections(path)
    check_sections(str(path), sections, KNOWN)
    remappings = remappings_of(sections)
    # whatever a node's default is: nothing moves unless somebody says so
    graph = Settings(options, path, sections, {"armed": False, **fallback})
    check_remappings(path, sections, options.sim)
    found = []

    def add(executable: str, *nodes: str) -> None:
        parameters = {node: graph.given(node) for node in nodes}
        replaced = tuple(line for node in nodes for line in graph.replaced(node, parameters[node]))
        process = Process(
            executable,
            nodes,
            path,
            parameters,
            remappings,
            options.log_level,
            replaced,
            essential=executable != "console",
        )
        check_arguments(process.arguments(), nodes, KNOWN)
        found.append(process)

    if options.sim:
        world = graph.value("sim", "env")
        if not world:
            _check_simulated(options, path, sections, scene_of(path, sections))
        add("world" if world else "sim", "sim")
    brain = [node for node in ("policy", "reasoner", "server") if getattr(options, node)]
    for node, url in (("policy", "policy_url"), ("reasoner", "remote_url")):
        if node in brain and graph.value(node, url):  # has no weights to share
            brain.remove(node)
            add(node, node)
    if brain:
        _check_checkpoints(graph, brain)
        add("brain" if len(brain) > 1 else brain[0], *brain)
    _check_addresses(options, graph)
    for option, node in SINGLE.items():
        if getattr(options, option):
            add(node, node)
    if not found:
        raise ValueError(
            "nothing to start: policy, reasoner, server, commander, task_server, display, sim and "
            "view are all false"
        )
    return found


def _check_checkpoints(graph: Settings, nodes: Iterable[str]) -> None:
    """ValueError says what a folder is that is no checkpoint run here.

    One that is not there may be a name on the Hub, which its node fetches or refuses.
    """
    for node in nodes:
        checkpoint = graph.value(node, "checkpoint")
        if checkpoint and checkpoint_path(checkpoint).is_dir():
            find_checkpoint(checkpoint)


def _check_addresses(options: Options, graph: Settings) -> None:
    """ValueError names where server or console cannot listen, before anything is started."""
    if options.server:
        host, port = _chosen(graph, "server", "host", "port")
        check_free(host, port, _named(graph, "server"))
    given = [name for name in SETS["console"].values() if name.startswith("view_")]
    given = [name for name in given if getattr(options, name) is not None]
    if not options.view:
        if given:
            raise ValueError(
                f"{', '.join(map(flag, given))}: no console is started; expected "
                f"{flag('view')}, too"
            )
        return
    host, port, token_file = _chosen(graph, "console", "host", "port", "token_file")
    check_usable(host, port, token_file, _named(graph, "console"))


def _chosen(graph: Settings, node: str, *names: str) -> list[Any]:
    """What a node will have as these parameters, its own defaults among them."""
    from ..nodes.known_parameters import PARAMS

    default, given = PARAMS[node](), {name: graph.value(node, name) for name in names}
    return [getattr(default, name) if value is None else value for name, value in given.items()]


def _named(graph: Settings, node: str) -> Callable[[str], str]:
    """What a parameter of a node is called where it was given."""
    return lambda name: graph.place(node, name) or flag(SETS[node][name])


def parameter_of(options: Options, node: str, name: str) -> Any:
    """What a node will have as a parameter, of options and robot file; None: its own default."""
    path = find_robot_file(options.robot)
    sections = read_sections(path)
    return Settings(options, path, sections, {}).value(node, name)
