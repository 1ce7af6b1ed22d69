# SPDX-License-Identifier: Apache-2.0
"""The node graph, described once.

The launch files and `cosmos3 run` both start exactly what `processes` returns.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import yaml

from ..model.model_params import ModelParams
from ..model.option_fields import param, same_as
from ..robot.robot_file import config_folder, find_robot_file, read_joints, read_remappings
from ..sim.arm_constants import JOINTS

# Executable in lib/cosmos3_ros: the module, and its first argument, for `python -m`.
MODULES = {
    "sim": ("cosmos3_ros.nodes.sim_node",),
    "brain": ("cosmos3_ros.brain",),
    "policy": ("cosmos3_ros.brain", "policy"),
    "reasoner": ("cosmos3_ros.brain", "reasoner"),
    "server": ("cosmos3_ros.brain", "server"),
    "commander": ("cosmos3_ros.nodes.commander_node",),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What a person chooses when starting the graph: launch arguments and command line options."""

    robot: str = param("droid_sim", "robot file: a name in config/ or the path of a YAML file")
    checkpoint: str = same_as(ModelParams, "checkpoint")
    device: str = same_as(ModelParams, "device")
    instruction: str = param(
        "", "what to do, in words; empty: wait for the topic cosmos3/instruction"
    )
    policy: bool = param(True, "start the policy node")
    reasoner: bool = param(
        True, "start the reasoner node, in the policy's process if that runs too"
    )
    server: bool = param(False, "serve openpi clients too, in the policy's process if that runs")
    host: str = param("127.0.0.1", "address the server listens on; 0.0.0.0: all of this machine's")
    port: int = param(8000, "port the server listens on; 0: any that is free")
    remote_url: str = param(
        "", "the reasoner asks this OpenAI-compatible endpoint instead, http(s)://HOST:PORT/v1"
    )
    remote_model: str = param(
        "", "the endpoint's name of the model; empty: the first one it offers"
    )
    remote_token_file: str = param("", "file with the endpoint's token; empty: none is sent")
    commander: bool = param(True, "start the commander node, which alone moves the robot")
    sim: bool = param(True, "start the embedded simulation in place of a robot")
    armed: bool = param(
        False,
        "let the commander move the robot at once; false: dry run until /commander/arm is called",
    )
    task: str = param("reach", "task of the simulation")
    seed: int = param(0, "seed of the simulation's first scene")
    use_sim_time: bool = param(
        False, "everybody follows /clock; the embedded simulation then publishes it"
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
                words += ["-p", f"{node}:{name}:={yaml_value(value)}"]
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


def environment() -> dict[str, str]:
    """Environment of the processes: shared memory for images, unless there is a DDS profile."""
    name = "FASTRTPS_DEFAULT_PROFILES_FILE"
    return {} if name in os.environ else {name: str(config_folder() / "fastdds.xml")}


def _check_simulated(options: Options, path: pathlib.Path) -> None:
    """Raise ValueError if nodes that move the arm are for joints that the simulation lacks."""
    nodes = [node for node in ("policy", "commander") if getattr(options, node)]
    strange = [joint for node in nodes for joint in read_joints(path, node) if joint not in JOINTS]
    if strange:
        raise ValueError(
            f"robot {path.stem}: the embedded simulation has no {', '.join(dict.fromkeys(strange))}"
            "; expected a robot file with its joints, as droid_sim has them, or the robot itself "
            "(sim:=false, --no-sim)"
        )


def processes(options: Options) -> list[Process]:
    """What to start, in order; ValueError names an option that cannot be."""
    path = find_robot_file(options.robot)
    remappings = read_remappings(path)
    clock = {"use_sim_time": options.use_sim_time}
    model = {"checkpoint": options.checkpoint, "device": options.device, **clock}
    names = ("remote_url", "remote_model", "remote_token_file")
    remote = {name: getattr(options, name) for name in names if getattr(options, name)}
    # The embedded checkpoint moves the embedded simulation, in the place of whichever robot that
    # stands.
    own = {"embodiment": ""} if options.sim and not options.checkpoint else {}
    found = []

    def add(
        executable: str,
        parameters: dict[str, dict[str, Any]],
        names: tuple[tuple[str, str], ...] = remappings,
    ) -> None:
        found.append(
            Process(executable, tuple(parameters), path, parameters, names, options.log_level)
        )

    if options.sim:
        _check_simulated(options, path)
        add(
            "sim",
            {
                "sim": {
                    "task": options.task,
                    "seed": options.seed,
                    "publish_clock": options.use_sim_time,
                }
            },
        )
    brain = {}
    if options.policy:
        brain["policy"] = {**model, **own, "instruction": options.instruction}
    if options.reasoner and options.remote_url:  # has no weights to share
        add("reasoner", {"reasoner": {**model, **remote}})
    elif options.reasoner:
        brain["reasoner"] = {**model, **remote}
    if options.server:
        brain["server"] = {**model, **own, "host": options.host, "port": options.port}
    if brain:
        add("brain" if len(brain) > 1 else next(iter(brain)), brain)
    if options.commander:
        add("commander", {"commander": {"armed": options.armed, **clock}})
    if not found:
        raise ValueError(
            "nothing to start: policy, reasoner, server, commander and sim are all false"
        )
    return found
