# SPDX-License-Identifier: Apache-2.0
"""The same package from colcon and from pip, with all its files, executables and dependencies."""

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("cosmos3_ros", "model", "sim", "training", "serve")
EXECUTABLES = ("policy", "reasoner", "server", "brain", "commander", "sim", "console", "cosmos3")
# Import names that differ from the names of the packages that bring them.
BROUGHT_BY = {
    "pinocchio": "pin",
    "cv2": "opencv-python-headless",
    "PIL": "pillow",
    "yaml": "python3-yaml",
    "triton": "torch",
}


def files_of(folder: Path) -> set[str]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder))
        for path in found
        if path.suffix != ".pyc" and path.name != "ruff.toml"
    }


def sources() -> set[str]:
    """Every file that belongs into the Python package, by its place there."""
    places = {folder: "" if folder == "cosmos3_ros" else f"{folder}/" for folder in FOLDERS}
    return {place + name for folder, place in places.items() for name in files_of(ROOT / folder)}


def copy_of_checkout(target: Path) -> Path:
    made = shutil.ignore_patterns(
        ".*", "__pycache__", "build", "install", "log", "out", "*.egg-info"
    )
    return Path(shutil.copytree(ROOT, target, ignore=made))


def imports(folder: str) -> set[str]:
    """Top-level names that the modules of a folder import from elsewhere."""
    names: set[str] = set()
    for path in (ROOT / folder).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"cosmos3_ros"}


def pins(name: str) -> dict[str, Requirement]:
    lines = (
        line.split("#")[0].strip() for line in (ROOT / "tools" / name).read_text().splitlines()
    )
    return {requirement.name: requirement for requirement in map(Requirement, filter(None, lines))}


def from_setup_py() -> list[Requirement]:
    strings = (
        node.value
        for node in ast.walk(ast.parse((ROOT / "setup.py").read_text()))
        if isinstance(node, ast.Constant)
    )
    return [
        Requirement(text)
        for text in strings
        if isinstance(text, str) and re.fullmatch(r"[\w-]+(>=[\d.]+)?", text)
    ]


def test_pip_installs_every_file(tmp_path):
    checkout = copy_of_checkout(tmp_path / "checkout")
    build = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(tmp_path / "lib")]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True)
    robots = {f"config/{name}" for name in files_of(ROOT / "config")}
    assert files_of(tmp_path / "lib" / "cosmos3_ros") == sources() | robots


@pytest.mark.ros
def test_colcon_installed_every_file():
    from ament_index_python import get_package_prefix, get_package_share_directory

    prefix = Path(get_package_prefix("cosmos3_ros"))
    (site,) = prefix.glob("lib/python3*/site-packages/cosmos3_ros")
    assert sources() - files_of(site) == set()
    share = Path(get_package_share_directory("cosmos3_ros"))
    for folder in ("config", "launch"):
        assert files_of(share / folder) == files_of(ROOT / folder)


@pytest.mark.ros
@pytest.mark.parametrize("name", EXECUTABLES)
def test_executable_runs_a_function_that_exists(name):
    from ament_index_python import get_package_prefix

    script = Path(get_package_prefix("cosmos3_ros"), "lib", "cosmos3_ros", name)
    assert os.access(script, os.X_OK)
    module, function = re.search(r"from (\S+) import (\w+)", script.read_text()).groups()
    assert callable(getattr(importlib.import_module(module), function))


def test_every_import_is_a_declared_dependency():
    declared = {
        element.text
        for element in ET.parse(ROOT / "package.xml").getroot()
        if "depend" in element.tag
    }
    pip = {requirement.name for requirement in from_setup_py()}
    for folder in (*FOLDERS, "launch"):
        needed = {BROUGHT_BY.get(name) or name for name in imports(folder)}
        assert needed - declared - pip == set(), (
            f"imported in {folder}/, but in neither package.xml nor setup.py"
        )


def test_one_version():
    from cosmos3_ros import __version__

    version = ET.parse(ROOT / "package.xml").findtext("version")
    assert version == __version__
    told = subprocess.run(
        [sys.executable, "setup.py", "--version"], cwd=ROOT, check=True, capture_output=True
    )
    assert told.stdout.decode().split() == [version]
    assert f"## [{version}]" in (ROOT / "CHANGELOG.md").read_text()


def test_pins_are_exact_unique_and_satisfy_setup_py():
    files = [pins(f"requirements{name}.txt") for name in ("", "-ros", "-test", "-robots")] + [
        pins("constraints.txt")
    ]
    names = [name.lower() for file in files for name in file]
    assert len(names) == len(set(names))
    versions = {
        name: str(requirement.specifier) for file in files for name, requirement in file.items()
    }
    assert all(re.fullmatch(r"==[\d.]+", version) for version in versions.values())
    for requirement in from_setup_py():
        if requirement.name in versions:
            assert requirement.specifier.contains(versions[requirement.name].removeprefix("==")), (
                requirement
            )


@pytest.mark.ros
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("colcon") is None, reason="colcon is not installed")
def test_plain_colcon_build_of_a_checkout(tmp_path):
    """As on a robot: no links; run in the checkout's own folder, which shadows the package."""
    checkout = copy_of_checkout(tmp_path / "checkout")
    build = ["colcon", "build", "--cmake-args", "-DBUILD_TESTING=OFF"]
    plain = {**os.environ, "CFLAGS": "-O0", "CXXFLAGS": "-O0"}  # compiling takes the time
    subprocess.run(build, cwd=checkout, check=True, capture_output=True, timeout=300, env=plain)
    shutil.rmtree(checkout / "build")
    code = (
        "import cosmos3_ros.msg, cosmos3_ros.model;"
        " print(cosmos3_ros.__file__, cosmos3_ros.msg.__file__)"
    )
    shell = ["bash", "-c", f". install/setup.bash && python -c '{code}'"]
    done = subprocess.run(
        shell, cwd=checkout, check=True, capture_output=True, text=True, timeout=60
    )
    assert str(checkout / "cosmos3_ros" / "__init__.py") in done.stdout
    assert str(checkout / "install") in done.stdout
