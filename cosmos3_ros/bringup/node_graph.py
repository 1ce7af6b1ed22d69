# SPDX-License-Identifier: Apache-2.0
"""The node graph, described once.

The launch files and `cosmos3 run` both start exactly what `processes` returns.
"""

from __future__ import annotations

import dataclasses
import pathlib
import types
from collections.abc import Mapping
from typing import Any

import yaml

from ..execution.strategies import CHOICES
from ..model.embodiment import SIMULATED
from ..model.model_params import ModelParams, PolicyModelParams
from ..model.option_fields import fields, param, parse, same_as
from ..model.policy_options import PolicyOptions
from ..robot.parameter_file import Sections, Setting, in_force, read_sections
from ..robot.robot_file import (
    embodiment_of,
    find_robot_file,
    read_joints,
    remappings_of,
    scene_of,
    urdf_of,
)
from ..serve.clients.policy_dialects import CHOICES as DIALECTS
from ..serve.console.address import check_usable
from ..sim.arm_constants import ALONE
from ..sim.layout import mounts_of
from ..sim.scene_file.schema import read_scene
from ..sim.tasks import find

# Executable in lib/cosmos3_ros: the module, and its first argument, for `python -m`.
MODULES = {
    "sim": ("cosmos3_ros.nodes.sim_node",),
    "brain": ("cosmos3_ros.brain",),
    "policy": ("cosmos3_ros.brain", "policy"),
    "reasoner": ("cosmos3_ros.brain", "reasoner"),
    "server": ("cosmos3_ros.brain", "server"),
    "commander": ("cosmos3_ros.nodes.commander_node",),
    "task_server": ("cosmos3_ros.nodes.task.task_node",),
    "display": ("cosmos3_ros.nodes.display.display_node",),
    "console": ("cosmos3_ros.nodes.console.console_node",),
}


FILE = "as the robot file says"
_RUNS = (
    "compile",
    "cuda_graphs",
    "weights",
    "attention",
    "text_weights",
    "gpus",
    "tensor_parallel",
)
_MODEL = {name: name for name in ("checkpoint", "device", *_RUNS, "use_sim_time")}
_REMOTE = {name: name for name in ("remote_url", "remote_model", "remote_token_file")}
_SERVED = {name: name for name in ("policy_url", "policy_dialect", "policy_token_file")}
# The option that sets a parameter, by node and parameter.
SETS: dict[str, dict[str, str]] = {
    "sim": {"task": "task", "seed": "seed", "publish_clock": "use_sim_time"},
    "policy": {
        **_MODEL,
        "placement": "placement",
        "preset": "preset",
        "instruction": "instruction",
        "image_transport": "image_transport",
        "strategy": "strategy",
        **_SERVED,
    },
    "reasoner": {**_MODEL, "image_transport": "image_transport", **_REMOTE},
    "server": {
        **_MODEL,
        "placement": "placement",
        "preset": "preset",
        "host": "host",
        "port": "port",
    },
    "commander": {"armed": "armed", "use_sim_time": "use_sim_time"},
    "task_server": {"use_sim_time": "use_sim_time"},
    "display": {"use_sim_time": "use_sim_time"},
    "console": {
        "host": "view_host",
        "port": "view_port",
        "token_file": "view_token_file",
        "control": "view_control",
        "use_sim_time": "use_sim_time",
    },
}

# Options that start a node in a process of its own.
SINGLE = {
    "commander": "commander",
    "task_server": "task_server",
    "display": "display",
    "view": "console",
}
EMBODIED = ("policy", "server")  # nodes that have the parameter `embodiment`


@dataclasses.dataclass(frozen=True)
class Options:
    """What a person chooses when starting the graph: launch arguments and command line options.

    One that is a parameter of a node, too, is None unless it is given: the robot file's holds.
    """

    robot: str = param("droid_sim", "robot file: a name in config/ or the path of a YAML file")
    checkpoint: str | None = same_as(ModelParams, "checkpoint", FILE)
    device: str | None = same_as(ModelParams, "device", FILE)
    preset: str | None = same_as(PolicyOptions, "preset", FILE)
    compile: bool | None = same_as(ModelParams, "compile", FILE)
    cuda_graphs: bool | None = same_as(ModelParams, "cuda_graphs", FILE)
    weights: str | None = same_as(ModelParams, "weights", FILE)
    attention: str | None = same_as(ModelParams, "attention", FILE)
    text_weights: str | None = same_as(ModelParams, "text_weights", FILE)
    gpus: int | None = same_as(ModelParams, "gpus", FILE)
    tensor_parallel: int | None = same_as(ModelParams, "tensor_parallel", FILE)
    placement: str | None = same_as(PolicyModelParams, "placement", FILE)
    strategy: str | None = param(
        None, f"how one chunk of the policy follows another: {CHOICES}", omitted=FILE
    )
    image_transport: str | None = param(
        None, "how pictures come to policy and reasoner: raw or compressed", omitted=FILE
    )
    instruction: str | None = param(
        None, "what to do, in words; empty: wait for the topic cosmos3/instruction", omitted=FILE
    )
    policy_url: str | None = param(
        None,
        "the policy asks this server instead of loading weights, ws(s)://HOST:PORT",
        omitted=FILE,
    )
    policy_dialect: str | None = param(
        None,
        f"how the policy server is asked: {', '.join(DIALECTS[1:])}; auto: as it greets",
        omitted=FILE,
    )
    policy_token_file: str | None = param(
        None, "file with the policy server's token; empty: none is sent", omitted=FILE
    )
    policy: bool = param(True, "start the policy node")
    reasoner: bool = param(
        True, "start the reasoner node, in the policy's process if that runs too"
    )
    server: bool = param(False, "serve openpi clients too, in the policy's process if that runs")
    host: str | None = param(
        None, "address the server listens on; 0.0.0.0: all of this machine's", omitted=FILE
    )
    port: int | None = param(None, "port the server listens on; 0: any that is free", omitted=FILE)
    remote_url: str | None = param(
        None,
        "the reasoner asks this OpenAI-compatible endpoint instead, http(s)://HOST:PORT/v1",
        omitted=FILE,
    )
    remote_model: str | None = param(
        None, "the endpoint's name of the model; empty: the first one it offers", omitted=FILE
    )
    remote_token_file: str | None = param(
        None, "file with the endpoint's token; empty: none is sent", omitted=FILE
    )
    commander: bool = param(True, "start the commander node, which alone moves the robot")
    task_server: bool = param(
        False, "start the task server, which does what `cosmos3 task` asks for until it is done"
    )
    display: bool = param(
        False, "start the display node, which gives RViz and Foxglove chunk and future to draw"
    )
    view: bool = param(
        False, "start the console, a page in the browser that shows the graph: docs/console.md"
    )
    view_port: int | None = param(None, "port of the console; 0: any that is free", omitted=FILE)
    view_host: str | None = param(
        None, "address the console listens on; another one needs view_token_file", omitted=FILE
    )
    view_token_file: str | None = param(
        None,
        "file with the token of the console's link; empty: a new one at every start",
        omitted=FILE,
    )
    view_control: bool | None = param(
        None,
        "the console may arm, instruct and reset; the simulation it may unless this is false",
        omitted=FILE,
    )
    sim: bool = param(True, "start the embedded simulation in place of a robot")
    armed: bool | None = param(
        None,
        "let the commander move the robot at once; false: dry run until /commander/arm is called",
        omitted=FILE,
    )
    task: str | None = param(None, "task of the simulation", omitted=FILE)
    seed: int | None = param(None, "seed of the simulation's first scene", omitted=FILE)
    use_sim_time: bool | None = param(
        None,
        "everybody follows /clock; the embedded simulation then publishes it",
        omitted=FILE,
    )
    log_level: str = param("info", "debug, info, warn or error")


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


def argument_text(name: str, value: Any, fallback: Any = None) -> str:
    """The default of an option as a launch argument: its value, or what holds without one."""
    if value is not None:
        return _text(value)
    omitted: str = fields(Options)[name].metadata["omitted"]
    return omitted if fallback is None else f"{omitted}, else {_text(fallback)}"


def parse_argument(name: str, text: str) -> Any:
    """The value of an option from a launch argument; ValueError says what was expected."""
    omitted = fields(Options)[name].metadata["omitted"]
    return None if omitted and text.startswith(omitted) else parse(Options, name, text)


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


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
    """What to start, in order; ValueError names an option that cannot be.

    fallback: options for which neither `options` nor the robot file has a value.
    """
    # which needs ROS
    from ..nodes.known_parameters import KNOWN
    from ..ros.arguments import check_arguments, check_sections

    path = find_robot_file(options.robot)
    sections = read_sections(path)
    check_sections(str(path), sections, KNOWN)
    remappings = remappings_of(sections)
    # whatever a node's default is: nothing moves unless somebody says so
    graph = _Settings(options, path, sections, {"armed": False, **fallback})
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
        _check_simulated(options, path, sections, scene_of(path, sections))
        add("sim", "sim")
    brain = [node for node in ("policy", "reasoner", "server") if getattr(options, node)]
    for node, url in (("policy", "policy_url"), ("reasoner", "remote_url")):
        if node in brain and graph.value(node, url):  # has no weights to share
            brain.remove(node)
            add(node, node)
    if brain:
        add("brain" if len(brain) > 1 else brain[0], *brain)
    _check_console(options, graph)
    for option, node in SINGLE.items():
        if getattr(options, option):
            add(node, node)
    if not found:
        raise ValueError(
            "nothing to start: policy, reasoner, server, commander, task_server, display, sim and "
            "view are all false"
        )
    return found


def _check_console(options: Options, graph: _Settings) -> None:
    """ValueError names an option of the console that cannot be, before anything is started."""
    from ..nodes.known_parameters import PARAMS

    given = [name for name in SETS["console"].values() if name.startswith("view_")]
    given = [name for name in given if getattr(options, name) is not None]
    if not options.view:
        if given:
            raise ValueError(
                f"{', '.join(map(_flag, given))}: no console is started; expected "
                f"{_flag('view')}, too"
            )
        return
    default = PARAMS["console"]()
    values = {}
    for name in ("host", "port", "token_file"):
        value = graph.value("console", name)
        values[name] = getattr(default, name) if value is None else value
    check_usable(
        **values, name=lambda name: graph.place("console", name) or _flag(SETS["console"][name])
    )


def _flag(option: str) -> str:
    """An option as a launch argument, and as a command line option."""
    return f"{option} (--{option.replace('_', '-')})"


def parameter_of(options: Options, node: str, name: str) -> Any:
    """What a node will have as a parameter, of options and robot file; None: its own default."""
    path = find_robot_file(options.robot)
    sections = read_sections(path)
    return _Settings(options, path, sections, {}).value(node, name)


def _same(said: Any, value: Any) -> bool:
    """Whether a value is that of the robot file, whose paths count from where it lies."""
    return bool(said == value or (str(value).startswith("/") and str(value).endswith(f"/{said}")))


class _Settings:
    """The parameters that options set, and those that the robot file has."""

    def __init__(
        self,
        options: Options,
        path: pathlib.Path,
        sections: Sections,
        fallback: Mapping[str, Any],
    ) -> None:
        self._options, self._fallback = options, fallback
        self._path, self._sections = path, sections
        self._file = {node: in_force(sections, f"/{node}") for node in SETS}

    def given(self, node: str) -> dict[str, Any]:
        """The parameters that are set for a node, beside those of the robot file."""
        file, values = self._file[node], dict(self._shown if node == "console" else {})
        for parameter, option in SETS[node].items():
            value = getattr(self._options, option)
            if value is None and parameter not in file:
                value = self._fallback.get(option)
            if value is not None:
                values[parameter] = value
        if node == "sim" and "publish_clock" not in (values | file) and self._follows_clock():
            values["publish_clock"] = True
        if "urdf" in file and (described := urdf_of(self._path, file["urdf"].value)):
            values["urdf"] = described
        # The embedded checkpoint moves the embedded simulation, in the place of whichever robot
        # that stands.
        scene = scene_of(self._path, self._sections)
        if node == "sim" and scene:
            values["scene"] = scene
        others = any(self._value(values, file, name) for name in ("checkpoint", "policy_url"))
        embedded = self._options.sim and not others and not scene
        if node in EMBODIED and (wanted := embodiment_of(self._path, self._sections, node)):
            if embedded and wanted != SIMULATED.name:
                values["embodiment"] = ""
            elif wanted.endswith((".yaml", ".yml")):
                values["embodiment"] = wanted
        return values

    @property
    def _shown(self) -> dict[str, Any]:
        """What the console shows, and that a simulation may be moved by whoever looks."""
        shown: dict[str, Any] = {"robot": str(self._path), "simulation": self._options.sim}
        says = "control" in self._file["console"]
        return shown | ({"control": True} if self._options.sim and not says else {})

    def value(self, node: str, parameter: str) -> Any:
        """What a node will have as a parameter; None if its own default."""
        return self._value(self.given(node), self._file[node], parameter)

    def place(self, node: str, parameter: str) -> str:
        """Where in the robot file a parameter of a node is set; "": an option or nobody does."""
        said = self._file[node].get(parameter)
        return f"{said.place}: {parameter}" if said and parameter not in self.given(node) else ""

    def _follows_clock(self) -> bool:
        return any(self.value(node, "use_sim_time") for node in SETS if node != "sim")

    def _value(self, given: Mapping[str, Any], file: Mapping[str, Setting], name: str) -> Any:
        said = file.get(name)
        return given.get(name, said.value if said else None)

    def replaced(self, node: str, given: Mapping[str, Any]) -> list[str]:
        """In words, which values of the robot file the given ones replace."""
        return [
            f"{node}: {name} {value!r} instead of {said.value!r} ({said.place})"
            for name, value in given.items()
            if (said := self._file[node].get(name))
            and not _same(said.value, value)
            and name != "urdf"  # the path of the robot description is only made whole
        ]
