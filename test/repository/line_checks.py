# SPDX-License-Identifier: Apache-2.0
"""A check of a line that people type, which needs no robot and no weights.

Parsers are the real ones, `make` makes a dry run, names come from the graph's table. A check raises
AssertionError or SystemExit.
"""

import argparse
import contextlib
import dataclasses
import importlib.util
import io
import itertools
import re
import runpy
import shlex
import subprocess
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import yaml
from shell_lines import ROOT, Line

# What is neither run nor parsed here, by its first words, and why.
ELSEWHERE = {
    "sudo": "changes the machine",
    "rosdep": "changes the machine",
    ".": "the shell's own: a ROS installation, an environment",
    "mkdir": "the shell's own: a workspace",
    "cd": "the shell's own: a workspace",
    "cp": "the shell's own; test_your_robot.py copies the folder",
    "touch": "the shell's own: a workspace",
    "chmod": "the shell's own: a token file",
    "openssl rand": "OpenSSL's: a token",
    "ros2 security": "SROS 2's, of which nothing is here",
    "git clone": "downloads",
    "hf download": "downloads",
    "pip install pre-commit": "downloads; test_pre_commit.py runs the hooks",
    "pre-commit install": "writes into .git; test_pre_commit.py runs the hooks",
    "python3 -m venv": "the standard library's",
    "python -m build": "PyPA's; test_packaging.py builds the wheel of the source distribution",
    "python -m colcon build": "test_setup_env.py and test_packaging.py build the package",
    "ros2 control": "ros2_control's, of which nothing is here",
    "ros2 bag play": "plays, which needs a recording",
    "ros2 launch foxglove_bridge": "Foxglove's",
    "rerun": "its own; test_bag_recorder.py reads a recording by what it says of itself",
    "python policies/cosmos3/run.py": "RoboLab's",
    "ln": "the shell's own",
    "python3 code/download_physics_iq_data.py": "Physics-IQ's",
    "python3 code/run_physics_iq.py": "Physics-IQ's",
    "python evaluate_vqa.py": "PAI-Bench's",
    "python reason/run.py": "PAI-Bench's",
    "bash scripts/rbench_eval_5tasks.sh": "RBench's",
    "bash scripts/rbench_eval_4embodiments.sh": "RBench's",
    "python scripts/run_lmudata.py": "VANTAGE-Bench's",
    "python run.py": "VANTAGE-Bench's",
    "python scripts/package_submission.py": "VANTAGE-Bench's",
    "python TAR/test/download_test_videos.py": "TAR's",
    "python TAR/test/evaluate.py": "TAR's",
    "closed_loop_eval.py": "the framework's",
    "tools/run.sh .venv .venv/lerobot/bin/lerobot-eval": "LeRobot's; its plug-in's test runs it",
    "tools/run.sh .venv .venv/lerobot/bin/python": "the environment of `make lerobot`",
}


# What `docker build` is told to call its images.
IMAGES = ("cosmos3_ros:cpu", "cosmos3_ros:jazzy")


def is_elsewhere(line: Line, start: str) -> bool:
    """Whether a line begins with these words."""
    return re.match(rf"{re.escape(start)}( |$)", line.text) is not None


def check(line: Line) -> None:
    """Raise unless this command could be typed as it stands."""
    if any(is_elsewhere(line, start) for start in ELSEWHERE):
        return
    program, *words = shlex.split(re.sub(r"<[\w ]+>", "NAME", line.text).replace(" > ", " '>' "))
    assert program in CHECKS, f"{line}: how is it checked? See {Path(__file__).name}"
    try:
        CHECKS[program](words[: words.index(">")] if ">" in words else words)
    except (AssertionError, SystemExit, ValueError):
        if not line.mention or not names_commands(line.text):
            raise


def names_commands(text: str) -> bool:
    """Whether this only names a command in a sentence, as `cosmos3 serve` does."""
    program, *words = shlex.split(text)
    names = [word for word in words if re.fullmatch("[a-z]+", word)]
    if program == "ros2":
        return words in (["launch"], ["bag", "record"])
    if program == "docker":
        return words == names
    return program == "cosmos3" and len(names) >= len(words) - 1 and _shows_help(names)


def _shows_help(names: list[str]) -> bool:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            check_cosmos3([*names, "--help"])
    except SystemExit as end:
        return end.code == 0
    return False


class Parsed(Exception):
    """A program has read its arguments."""


def parse(program: Callable[[], Any]) -> argparse.Namespace:
    """What a program makes of its arguments; it goes no further."""
    real, found = argparse.ArgumentParser.parse_args, []

    def stop(self: argparse.ArgumentParser, *words: Any) -> None:
        found.append(real(self, *words))
        raise Parsed

    with mock.patch.object(argparse.ArgumentParser, "parse_args", stop):
        try:
            program()
        except Parsed:
            return found[0]
    raise AssertionError("it reads no arguments")


def check_cosmos3(words: list[str]) -> None:
    """The real parser takes them; robots, tasks and recipes that are named exist."""
    from cosmos3_ros.cli import main
    from cosmos3_ros.robot.robot_file import find_robot_file
    from cosmos3_ros.sim.tasks import parse_names
    from cosmos3_ros.training.recipe import read_recipe
    from cosmos3_ros.training.worlds import metaworld_tasks

    chosen = parse(lambda: main(words))
    robot = str(getattr(chosen, "robot", ""))  # "": none is named
    if robot and not robot.endswith(".yaml"):
        find_robot_file(robot)
    if (getattr(chosen, "task", "") or "").islower():
        if "metaworld" in (getattr(chosen, "env", ""), robot):
            assert {*chosen.task.split(",")} <= {*metaworld_tasks.TASKS, *metaworld_tasks.TIERS}
        else:
            parse_names(chosen.task)
    if str(getattr(chosen, "recipe", "")).startswith("training/"):
        read_recipe(ROOT / chosen.recipe, chosen.changes)


def check_make(words: list[str]) -> None:
    """The targets and variables exist, and what a dry run says could be typed."""
    known = re.findall(r"^(\w+) :=", (ROOT / "Makefile").read_text(), re.M)
    given = [word.split("=")[0] for word in words if "=" in word]
    assert {*given} <= {*known}, f"Makefile: expected some of {known}, got {given}"
    targets = [word for word in words if "=" not in word]
    # with a Python that exists
    dry = ["make", "-n", "--no-print-directory", *targets]
    dry += [word for word in words if "=" in word and not word.startswith("PYTHON=")]
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    for command in re.findall(r"run\.sh \S+ (cosmos3 [^\n;|]*)", done.stdout):
        check_cosmos3(shlex.split(command)[1:])


def check_python(words: list[str]) -> None:
    """A script or module of the repository that takes these arguments."""
    if words[:1] == ["-m"]:
        module, *rest = words[1:]
        assert importlib.util.find_spec(module), module
        if module == "cosmos3_ros.cli":
            check_cosmos3(rest)
        elif module == "cosmos3_ros.brain":
            check_node(rest)
        return
    file, *rest = words
    assert (ROOT / file).is_file(), file
    if not rest:
        return
    with (
        mock.patch.object(sys, "argv", [file, *rest]),
        mock.patch.object(sys, "path", [str((ROOT / file).parent), *sys.path]),
    ):
        parse(lambda: runpy.run_path(str(ROOT / file), run_name="__main__"))


def check_torchrun(words: list[str]) -> None:
    """Its own options are torch's; what follows is a Python program."""
    rest = words[words.index("--nproc-per-node") + 2 :]
    check_python(rest)


def check_node(words: list[str]) -> None:
    """Executables of nodes, and ROS arguments that name their parameters."""
    from cosmos3_ros.bringup.graph_page import NODES

    nodes, rules = words[: words.index("--ros-args")], words[words.index("--ros-args") :]
    assert {*nodes} <= {*NODES}, nodes
    for option, rule in itertools.pairwise(rules):
        if option == "-p":
            name = rule.split(":=")[0].split(":")[-1]
            assert any(name in field_names(NODES[node][1]) for node in nodes), rule
        if option == "-r" and rule != "...":
            assert rule.split(":=")[0] in topics(), rule


def field_names(cls: type) -> set[str]:
    """The parameters of a node."""
    return {field.name for field in dataclasses.fields(cls)}


def topics() -> dict[str, Any]:
    """Name -> type of every topic, with the views of DROID's cameras."""
    from cosmos3_ros.bringup.graph_page import NODES
    from cosmos3_ros.model.embodiment import SIMULATED

    found = {
        topic.name.replace("<view>", view): topic.type
        for interface, _, _ in NODES.values()
        for topic in (*interface.subscribes, *interface.publishes)
        for view in SIMULATED.views
    }
    return found | {f"/{name.lstrip('/')}": kind for name, kind in found.items()}


def services() -> dict[str, Any]:
    """Name -> type of every service."""
    from cosmos3_ros.bringup.graph_page import NODES

    return {
        f"/{service.name.replace('~', node)}": service.type
        for node, (interface, _, _) in NODES.items()
        for service in interface.offers
    }


def check_ros2(words: list[str]) -> None:
    """A verb with names, types, arguments and messages that the package has."""
    verb = " ".join(words[:2])
    if words[0] == "launch":
        check_launch(words[1:])
    elif words[0] == "run":
        check_run(words[1:])
    elif verb == "service call":
        name, kind, *message = words[2:]
        check_message(services(), name, kind, message, "Request")
    elif verb in ("topic pub", "topic echo", "topic hz"):
        name, kind, *message = [*(word for word in words[2:] if word[0] != "-"), "", ""][:3]
        if name:
            check_message(topics(), name, kind, message)
    elif verb == "bag record":
        names = [word for word in words if word.startswith("/")]
        assert {*names} <= {*topics()}, names
    elif verb in ("param describe", "param get", "param set"):
        from cosmos3_ros.bringup.graph_page import NODES

        assert words[3] in field_names(NODES[words[2].removeprefix("/")][1]), words[3]
    else:
        raise AssertionError(f"how is `ros2 {verb}` checked?")


def check_message(
    table: dict[str, Any], name: str, kind: str, message: list[str], part: str = ""
) -> None:
    """The name has this type, and the message has fields of it."""
    from cosmos3_ros.bringup.graph_page import type_text

    assert name in table, f"{name}: expected one of {sorted(table)}"
    assert kind in ("", type_text(table[name])), f"{name} is a {type_text(table[name])}"
    shape = getattr(table[name], part) if part else table[name]
    fields = yaml.safe_load(message[0]) if message and message[0] else {}
    assert {*fields} <= {*shape.get_fields_and_field_types()}, f"{kind} has no {[*fields]}"


def check_launch(words: list[str]) -> None:
    """A launch file of the package, with arguments it declares, and a graph that can be started."""
    from cosmos3_ros.bringup.node_graph import Options, processes
    from cosmos3_ros.bringup.view_graph import ViewOptions, view

    package, file, *rest = words
    assert package == "cosmos3_ros", package
    assert (ROOT / "launch" / file).is_file(), file
    stub = types.ModuleType("stub")
    stub.describe = lambda names=(), **fixed: (Options, names, fixed)  # type: ignore[attr-defined]
    stub.describe_view = lambda: (ViewOptions, (), {})  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"cosmos3_ros.bringup.launch_description": stub}):
        loaded = runpy.run_path(str(ROOT / "launch" / file))
        options, names, chosen = loaded["generate_launch_description"]()
    kinds = {
        name: next(kind for kind in (*typing.get_args(hint), hint) if kind is not type(None))
        for name, hint in typing.get_type_hints(options).items()
    }
    for word in rest:
        if word == "--show-args":
            continue
        name, value = word.split(":=", 1)
        assert name in (names or kinds), f"{file}: expected one of {names}, got {name}"
        assert kinds[name] is not bool or value in ("true", "false"), word
        chosen[name] = value == "true" if kinds[name] is bool else kinds[name](value)
    if not str(chosen.get("robot")).startswith("/path/to/"):
        (view if options is ViewOptions else processes)(options(**chosen))


def check_run(words: list[str]) -> None:
    """An executable of the package, or the spawner with controllers of a file in config/."""
    package, program, *names = words
    if package == "controller_manager":
        files = (ROOT / "config/controllers").glob("*.yaml")
        known = [
            {*yaml.safe_load(file.read_text())["controller_manager"]["ros__parameters"]}
            for file in files
        ]
        assert program == "spawner"
        assert any({*names} <= controllers for controllers in known), names
        return
    from cosmos3_ros.bringup.node_graph import MODULES

    assert package == "cosmos3_ros", package
    assert program in MODULES, program


def check_pip(words: list[str]) -> None:
    """Requirements that are there, or this package with extras that it has."""
    assert words[0] == "install"
    for word in words[1:]:
        if word.endswith(".txt"):
            assert (ROOT / word.removeprefix("src/cosmos3_ros/")).is_file(), word
        for extra in re.findall(r"\w+", word) if word.startswith(".[") else ():
            assert f'"{extra}"' in (ROOT / "setup.py").read_text(), extra


def check_pytest(words: list[str]) -> None:
    """Tests and markers that are there."""
    for option, word in itertools.pairwise(("", *words)):
        if option == "-m":
            assert f'"{word}: ' in (ROOT / "pyproject.toml").read_text(), word
        elif option != "-k" and word[0] != "-":
            assert (ROOT / word).exists(), word


def check_run_sh(words: list[str]) -> None:
    """A command in the environment of `make`."""
    if words[1:]:
        check(Line("tools/run.sh", shlex.join(words[1:])))


def check_docker(words: list[str]) -> None:
    """Files that are there; in a container, a command that could be typed."""
    files = [word for option, word in itertools.pairwise(words) if option == "-f"]
    assert all((ROOT / file).is_file() for file in files), files
    if words[0] != "run":
        assert files, "expected docker build or compose with -f FILE"
        return
    image = next((place for place, word in enumerate(words) if word in IMAGES), None)
    assert image is not None, f"expected one of {IMAGES}"
    if words[image + 1 :]:
        check(Line("docker", shlex.join(words[image + 1 :])))


def check_export(words: list[str]) -> None:
    """A file that an installed package has in this place."""
    name, _, value = words[0].partition("=")
    assert name.isupper()
    if "/share/cosmos3_ros/" in value:
        assert (ROOT / value.split("/share/cosmos3_ros/")[1]).is_file(), value


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "cosmos3": check_cosmos3,
    "make": check_make,
    "python": check_python,
    "torchrun": check_torchrun,
    "ros2": check_ros2,
    "pip": check_pip,
    "pytest": check_pytest,
    "tools/run.sh": check_run_sh,
    "docker": check_docker,
    "export": check_export,
}
