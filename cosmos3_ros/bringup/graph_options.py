# SPDX-License-Identifier: Apache-2.0
"""What a person chooses when starting the graph, and which parameters of nodes that sets."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..execution.strategies import CHOICES, STRATEGIES
from ..model.model_params import ModelParams, PolicyModelParams
from ..model.option_fields import check, check_choice, fields, param, parse, same_as
from ..model.policy_options import PolicyOptions
from ..serve.clients.policy_dialects import CHOICES as DIALECTS

FILE = "as the robot file says"
# How a checkpoint is run.
RUNS = (
    "compile",
    "cuda_graphs",
    "weights",
    "attention",
    "text_weights",
    "gpus",
    "tensor_parallel",
)
_MODEL = {name: name for name in ("checkpoint", "device", *RUNS, "use_sim_time")}
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

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")


@dataclasses.dataclass(frozen=True)
class Options:
    """What a person chooses when starting the graph: launch arguments and command line options.

    One that is a parameter of a node, too, is None unless it is given: the robot file's holds.
    ValueError names one that cannot be.
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
        None,
        f"how one chunk of the policy follows another: {CHOICES}",
        choices=tuple(STRATEGIES),
        omitted=FILE,
    )
    image_transport: str | None = param(
        None,
        "how pictures come to policy and reasoner: raw or compressed",
        choices=("raw", "compressed"),
        omitted=FILE,
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
        choices=tuple(DIALECTS),
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

    def __post_init__(self) -> None:
        check(self)
        level = self.log_level.rpartition(":=")[2]  # ROS takes NAME:=LEVEL, too
        check_choice("log_level", level.lower(), LOG_LEVELS)


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


def flag(option: str) -> str:
    """An option as a launch argument, and as a command line option."""
    return f"{option} (--{option.replace('_', '-')})"
