# SPDX-License-Identifier: Apache-2.0
"""The tools below `make`: what is missing, which PyTorch, steps done once, wheels made usable."""

import functools
import http.server
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import fix_ros_wheels
import pytest
import setup_env

from cosmos3_ros.bringup.middleware import profile_variable

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def cpu_index(serving, tmp_path):
    """URL of a package index that has nothing but a tiny torch 0.0.1+cpu."""
    folder = tmp_path / "cpu" / "torch"
    folder.mkdir(parents=True)
    info = "torch-0.0.1+cpu.dist-info"
    with zipfile.ZipFile(folder / "torch-0.0.1+cpu-py3-none-any.whl", "w") as wheel:
        wheel.writestr("torch.py", "")
        wheel.writestr(
            f"{info}/METADATA",
            "Metadata-Version: 2.1\nName: torch\nVersion: 0.0.1+cpu\nRequires-Dist: nothing\n",
        )
        wheel.writestr(
            f"{info}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        wheel.writestr(f"{info}/RECORD", "")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    handler.log_message = None
    with serving(handler) as place:
        yield f"http://{place}/cpu"


def test_cpu_build_of_torch_where_there_is_no_gpu(cpu_index, monkeypatch, tmp_path):
    monkeypatch.setattr(setup_env, "has_nvidia_gpu", lambda: False)
    arguments = setup_env.torch_arguments("", "torch==0.0.1", cpu_index)
    assert arguments == ["--no-deps", "--index-url", cpu_index, "torch==0.0.1+cpu"]
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "-q",
        "--disable-pip-version-check",
        "--target",
        str(tmp_path / "site"),
    ]
    subprocess.run([*pip, *arguments], check=True, capture_output=True)
    assert (tmp_path / "site" / "torch.py").is_file()


def test_torch_of_pypi_with_a_gpu_or_without_an_answer_or_if_asked_for(cpu_index, monkeypatch):
    monkeypatch.setattr(setup_env, "has_nvidia_gpu", lambda: False)
    assert setup_env.torch_arguments("pypi", "torch==0.0.1", cpu_index) == ["torch==0.0.1"]
    assert setup_env.torch_arguments("", "torch==0.0.1", cpu_index + "/wrong") == ["torch==0.0.1"]
    assert setup_env.torch_arguments("", "torch==0.0.1", "http://127.0.0.1:9/cpu") == [
        "torch==0.0.1"
    ]
    monkeypatch.setattr(setup_env, "has_nvidia_gpu", lambda: True)
    assert setup_env.torch_arguments("", "torch==0.0.1", cpu_index) == ["torch==0.0.1"]


def test_torch_of_a_given_index(monkeypatch):
    assert setup_env.torch_arguments("http://x/cu130", "torch==2.13.0")[-2:] == [
        "http://x/cu130",
        "torch==2.13.0",
    ]


def test_one_line_says_what_is_missing(monkeypatch):
    monkeypatch.setattr(setup_env.shutil, "which", lambda name: None)
    with pytest.raises(
        setup_env.SetupError,
        match=r"^missing cmake, a C\+\+ compiler, make.*: apt-get install cmake g\+\+",
    ):
        setup_env.check_machine()


def test_python_and_machine_are_checked_first(monkeypatch):
    monkeypatch.setattr(setup_env.platform, "machine", lambda: "aarch64")
    with pytest.raises(
        setup_env.SetupError,
        match=r"Linux x86_64, this is Linux aarch64: use an installed ROS 2",
    ):
        setup_env.check_machine()
    monkeypatch.setattr(setup_env.sys, "version_info", (3, 13, 0))
    with pytest.raises(
        setup_env.SetupError, match=r"^expected Python 3\.11 or 3\.12, got .*make PYTHON="
    ):
        setup_env.check_machine()


def test_a_step_is_done_once_for_each_key(tmp_path):
    environment, done = setup_env.Environment(tmp_path), []
    for key in ("a", "a", "b"):
        environment.step("packages", key, lambda key=key: done.append(key))
    assert done == ["a", "b"]
    with pytest.raises(ZeroDivisionError):
        environment.step("packages", "c", lambda: 1 / 0)
    assert json.loads((tmp_path / "setup.json").read_text()) == {"packages": "b"}


def test_key_depends_on_names_contents_and_words(tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    first.write_text("x")
    second.write_text("x")
    keys = {
        setup_env.digest([first]),
        setup_env.digest([second]),
        setup_env.digest([first], "word"),
    }
    first.write_text("y")
    assert len(keys | {setup_env.digest([first])}) == 4


def test_meta_world_is_installed_before_it_shares_other_packages(tmp_path, monkeypatch):
    environment, ran = setup_env.Environment(tmp_path), []
    site = tmp_path / "metaworld" / "lib" / "python{}.{}".format(*sys.version_info)

    def run(*command):
        ran.append((command, (site / "site-packages" / "shared.pth").exists()))
        (site / "site-packages").mkdir(parents=True, exist_ok=True)

    monkeypatch.setattr(environment.progress, "run", run)
    file = ROOT / "tools" / "requirements-metaworld.txt"
    environment.install_metaworld(file)
    assert [command[-1] for command, _ in ran] == [tmp_path / "metaworld", file]
    assert not any(shared for _, shared in ran)  # else pip would meddle with what is shared
    shared = (site / "site-packages" / "shared.pth").read_text()
    assert shared == f"{tmp_path / site.relative_to(tmp_path / 'metaworld') / 'site-packages'}\n"


def test_failing_command_shows_its_end_and_names_the_log(tmp_path, capsys):
    progress = setup_env.Progress(tmp_path / "setup.log")
    with pytest.raises(
        setup_env.SetupError, match=r"exit code 3 from sh; its output is in .*setup\.log"
    ):
        progress.run("sh", "-c", "echo the reason; exit 3")
    assert "the reason" in capsys.readouterr().out
    assert "the reason" in (tmp_path / "setup.log").read_text()


def test_a_waiting_person_is_told_how_far_it_is(tmp_path, capsys):
    """Not what pip replaces in a new environment, nor a compiler's remarks."""
    lines = (
        "Installing collected packages: torch",
        "  Found existing installation: setuptools 65.5.0",
        "    Successfully uninstalled setuptools-65.5.0",
        "  WARNING: The script wheel is not on PATH.",
        "a.cpp:7:1: warning: unused variable",
        "    7 | int unused;",
        "      | ^~~~~~~~~~~",
    )
    progress = setup_env.Progress(tmp_path / "setup.log", period=0.2)
    progress.run("sh", "-c", "printf '%s\\n' \"$@\"; sleep 1", "sh", *lines)
    shown = [line.partition("]")[2].strip() for line in capsys.readouterr().out.splitlines()]
    assert shown[:2] == [lines[0], f"still: {lines[0]}"]
    assert {*shown} == {*shown[:2]}
    assert all(line in (tmp_path / "setup.log").read_text() for line in lines)


def test_a_folder_that_is_no_environment_is_kept(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(
        setup_env.SetupError, match="is no virtual environment: name another one with VENV="
    ):
        setup_env.Environment(tmp_path).create()
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.parametrize("distribution", setup_env.DISTRIBUTIONS)
def test_an_environment_keeps_its_distribution(distribution, tmp_path):
    version = setup_env.pinned(setup_env.ros_wheels(distribution), "ros-rclpy")
    Path(tmp_path, f"lib/python3.11/site-packages/ros_rclpy-{version}.dist-info").mkdir(
        parents=True
    )
    setup_env.check_distribution(tmp_path, distribution)
    (other,) = set(setup_env.DISTRIBUTIONS) - {distribution}
    words = f"holds ROS 2 {distribution.title()}, expected {other.title()}.*VENV="
    with pytest.raises(setup_env.SetupError, match=words):
        setup_env.check_distribution(tmp_path, other)


def test_make_and_the_script_agree_about_the_folder_of_a_distribution():
    for distribution in setup_env.DISTRIBUTIONS:
        command = ["make", "-n", "setup", f"ROS={distribution}", "PYTHON=sh"]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        folder = setup_env.default_folder(distribution).name
        assert f'--ros "{distribution}" --venv "{folder}"' in done.stdout
    assert set(setup_env.DISTRIBUTIONS) == {
        path.stem.removeprefix("requirements-ros-")
        for path in (ROOT / "tools").glob("requirements-ros-*.txt")
    }


def make(*words: str) -> subprocess.CompletedProcess[str]:
    """`make`, not as a part of the `make test` that may run the tests."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(
        ["make", *words], cwd=ROOT, env=env, check=False, capture_output=True, text=True
    )


def test_make_says_first_that_there_is_no_such_test():
    for words in ("test/nope.py", "test/serve test/nope.py::test_x"):
        planned = make("-n", "test", f"TEST={words}", "PYTHON=sh")
        assert planned.returncode == 0
        assert "test -e" in planned.stdout.splitlines()[0]
        done = make("found", f"TEST={words}")
        assert done.stderr.splitlines()[0] == "error: TEST: no test/nope.py"
        assert done.returncode == 2
    done = make("found", "TEST=test/serve test/conftest.py::test_x -k 'some thing'")
    assert done.returncode == 0


def test_what_is_built_is_ignored_and_removed():
    """The wheel, too: 57 MB of it and as much of the source distribution."""
    done = make("-n", "clean")
    assert done.returncode == 0
    for folder in ("build", "dist", "install", "log", "out"):
        assert folder in done.stdout.split()
        assert f"/{folder}/" in (ROOT / ".gitignore").read_text().splitlines()
        assert folder in (ROOT / ".dockerignore").read_text().splitlines()


def test_cmake_files_of_the_wheels_are_pointed_at_this_python():
    image = "/opt/python/cp311-cp311"
    text = f"{image}/include/python3.11;{image}/lib/python3.11/site-packages/numpy/_core/include"
    text += ";/opt/python/other"
    assert fix_ros_wheels.point_at(text, "/P\\1", "/N") == "/P\\1;/N;/opt/python/other"


@pytest.mark.ros
def test_commands_run_without_a_sourced_ros_installation():
    environment = {
        **os.environ,
        "AMENT_PREFIX_PATH": "/opt/ros/other",
        "PYTHONPATH": "/opt/ros/other/python",
    }
    command = [ROOT / "tools" / "run.sh", sys.prefix, "env"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    variables = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    assert "/opt/ros/other" not in done.stdout
    assert f"{sys.prefix}/bin" in variables["PATH"].split(":")
    assert sys.prefix in variables["AMENT_PREFIX_PATH"].split(":")
    assert Path(variables[profile_variable()]).is_file()
