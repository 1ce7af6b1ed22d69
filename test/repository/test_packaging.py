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
        if isinstance(text, str) and re.fullmatch(r"\w[\w-]*\w(>=[\d.]+)?", text)
    ]


def setup_py(*command: str, cwd: Path) -> None:
    command = (sys.executable, "setup.py", "-q", *command)
    subprocess.run(command, cwd=cwd, check=True, capture_output=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """What a wheel unpacks to, built of a source distribution."""
    folder = tmp_path_factory.mktemp("wheel")
    checkout = copy_of_checkout(folder / "checkout")
    setup_py("sdist", "--formats=tar", "-d", str(folder), cwd=checkout)
    shutil.rmtree(checkout)
    (archive,) = folder.glob("*.tar")
    shutil.unpack_archive(archive, folder, filter="data")
    archive.unlink()
    (source,) = folder.glob("cosmos3_ros-*")
    setup_py("bdist_wheel", "--compression=stored", "-d", str(folder), cwd=source)
    shutil.rmtree(source)
    (built,) = folder.glob("*.whl")
    shutil.unpack_archive(built, folder / "site", "zip")
    return folder / "site"


def test_pip_installs_every_file(wheel):
    robots = {f"config/{name}" for name in files_of(ROOT / "config")}
    messages = {
        f"{kind}/{path.name}"
        for kind in ("msg", "srv", "action")
        for path in (ROOT / kind).glob(f"*.{kind}")
    }
    files = ("CMakeLists.txt", "package.xml", "tools/fix_ros_wheels.py", "cosmos3_ros/__init__.py")
    interfaces = {f"interfaces/{name}" for name in messages | set(files)}
    assert files_of(wheel / "cosmos3_ros") == sources() | robots | interfaces


def test_the_wheel_works_without_ros_and_without_the_checkout(wheel, tmp_path):
    code = """
import importlib, pathlib, sys
for name in ("rclpy", "ament_index_python", "launch"):
    sys.modules[name] = None
import cosmos3_ros
from cosmos3_ros.cli import main
assert pathlib.Path(cosmos3_ros.__file__).is_relative_to(sys.path[0]), cosmos3_ros.__file__
for name in ("openai_server", "libero_server", "openpi_server", "generation.server"):
    importlib.import_module(f"cosmos3_ros.serve.{name}")
for words in (["--help"], ["eval", "--help"], ["serve", "openpi", "--help"]):
    try:
        main(words)
    except SystemExit as left:
        assert left.code == 0, words
folder = pathlib.Path(cosmos3_ros.__file__).parent / "model" / "checkpoints" / "droid_sim"
assert main(["inspect", str(folder)]) == 0
sys.exit(main(["run"]))
"""
    environment = {**os.environ, "PYTHONPATH": str(wheel), "PYTHONSAFEPATH": "1"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "this needs ROS 2" in done.stderr
    assert "usage: cosmos3" in done.stdout
    assert "would load" in done.stdout


def test_extras_of_a_distribution_are_its_pins(wheel):
    (metadata,) = wheel.glob("cosmos3_ros-*.dist-info/METADATA")
    text = metadata.read_text()
    for distribution in ("jazzy", "kilted"):
        for name, requirement in pins(f"requirements-ros-{distribution}.txt").items():
            extra = "".join(f"[{word}]" for word in requirement.extras)
            line = f"Requires-Dist: {name}{extra}{requirement.specifier}"
            assert f'{line}; extra == "{distribution}"' in text


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


@pytest.mark.parametrize("distribution", ["jazzy", "kilted"])
def test_pins_are_exact_unique_and_satisfy_setup_py(distribution):
    lists = ("", "-build", f"-ros-{distribution}", "-test", "-robots")
    files = [pins(f"requirements{name}.txt") for name in lists] + [pins("constraints.txt")]
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
    for folder in ("msg", "srv", "action"):  # compiling takes the time: of one message
        for file in (checkout / folder).iterdir():
            if file.name != "Surprise.msg":
                file.unlink()
    build = ["colcon", "build", "--cmake-args", "-DBUILD_TESTING=OFF"]
    # Not CXXFLAGS: what a build type says comes after them.
    build += [f"-DCMAKE_{language}_FLAGS_RELEASE=-O0" for language in ("C", "CXX")]
    subprocess.run(build, cwd=checkout, check=True, capture_output=True, timeout=300)
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
