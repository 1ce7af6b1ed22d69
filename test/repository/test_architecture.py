# SPDX-License-Identifier: Apache-2.0
"""The map of the repository is what the code is, and no import points the wrong way."""

import collections
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def architecture():
    return importlib.import_module("architecture")


@pytest.fixture(scope="module")
def modules(architecture):
    return architecture.read_modules()


def test_the_map_is_up_to_date(architecture):
    assert architecture.PAGE.read_text() == architecture.page(), "run: python tools/architecture.py"


def test_every_module_has_a_part_and_says_what_it_is(architecture, modules):
    outside = {module.path for module in modules.values() if not module.part}
    assert outside == {f"{folder}/__init__" for folder in ("model", "cosmos3_ros", "training")}
    assert {module.part for module in modules.values()} - {""} == {*architecture.ORDER}
    assert [module.path for module in modules.values() if not module.line] == []


def test_parts_import_only_what_stands_above_them(architecture, modules):
    """Imports for types and inside of functions count."""
    assert architecture.wrong_way(modules) == []


def test_no_module_and_no_part_imports_itself_around_a_corner(architecture, modules):
    assert architecture.cycle({path: {*module.imports} for path, module in modules.items()}) == []
    assert architecture.cycle(architecture.arrows(modules.values(), modules)) == []


def test_cycles_and_wrong_ways_would_be_found(architecture):
    """The checks above can fail."""
    assert architecture.cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    low, high = (
        architecture.Module(path, part, "", imports)
        for path, part, imports in (
            ("model/arrays", "model/arrays", ("cosmos3_ros/cli",)),
            ("cosmos3_ros/cli", "cosmos3_ros/cli", ()),
        )
    )
    found = architecture.wrong_way({low.path: low, high.path: high})
    assert found == ["model/arrays -> cosmos3_ros/cli"]


def test_no_package_has_more_files_than_one_looks_through(architecture):
    folders = [
        path.parent
        for top in (*architecture.FOLDERS, "test")
        for path in (ROOT / top).rglob("*.py")
    ]
    counts = collections.Counter(str(folder.relative_to(ROOT)) for folder in folders)
    assert {name: count for name, count in counts.items() if count > architecture.MOST_FILES} == {}


def test_tests_mirror_the_tree(modules):
    """A test file tests a module, or a folder, of its name; what tests several is named here."""
    named = {Path(path).name for path in modules} | {Path(path).parent.name for path in modules}
    tests = [
        path
        for top in ("model", "sim", "serve", "training", "cosmos3_ros")
        for path in (ROOT / "test" / top).rglob("test_*.py")
    ]
    several = {
        "test_gpu",  # everything that needs a CUDA device
        "test_golden_chunks",  # the whole policy, bit by bit
        "test_commander_arming",  # the commander node over time, one joint, a stepped clock
        "test_commander_tool",  # the commander and Cartesian controllers over ROS
        "test_tool_sinks",  # those of command_sinks that lead the tool
        "test_policy_observations",  # the policy node's inputs over time, a stepped clock
        "test_inference_nodes",  # policy and reasoner node in one process
        "test_openpi_closed_loop",  # the openpi server drives the simulation
        "test_pose_embodiments",  # policy node, inverse kinematics, commander and simulation
        "test_lerobot_interop",  # lerobot's own reader and writer
    }
    unknown = {path.stem for path in tests if path.stem.removeprefix("test_") not in named}
    assert unknown == several
