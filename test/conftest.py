# SPDX-License-Identifier: Apache-2.0
"""Fixtures for tests with ROS: a domain of their own, and processes that are gone afterwards.

What is skipped, and why, is decided here from the markers: `ros`, `sim`, `gpu`, `browser`,
`ros2_control`.
"""

import contextlib
import dataclasses
import fcntl
import functools
import importlib.util
import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from cosmos3_ros.bringup.middleware import profile_variable

ROOT = Path(__file__).resolve().parent.parent
# the processes of a test, for the report of its failure
STARTED = pytest.StashKey[list["Started"]]()
# what ros2_control_node needs for config/controllers, and for an arm that is not there
CONTROLLERS = (
    "controller_manager",
    "hardware_interface",
    "joint_trajectory_controller",
    "joint_state_broadcaster",
    "forward_command_controller",
)

# Before anything imports rclpy, and for every process that a test starts. Unless messages check
# their fields, a value of the wrong type is sent as 0.0 without a word.
os.environ["ROS_PYTHON_CHECK_FIELDS"] = "1"
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ[profile_variable()] = str(ROOT / "config" / "fastdds.xml")
# The same examples each time: what one run finds, the next one does. New ones: --hypothesis-profile
# default.
hypothesis.settings.register_profile("same", derandomize=True)
hypothesis.settings.load_profile("same")
# Two workers on a small machine: more threads only get into each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def _missing_controllers() -> str:
    """Which package of ros2_control is not installed; empty if all are."""
    if importlib.util.find_spec("ament_index_python") is None:
        return "ament_index_python is not installed"
    from ament_index_python import PackageNotFoundError, get_package_prefix

    for package in CONTROLLERS:
        try:
            get_package_prefix(package)
        except PackageNotFoundError:
            return f"{package} is not installed"
    return ""


def _missing_browser() -> str:
    """What is not installed of a browser and what drives it; empty if all is."""
    if importlib.util.find_spec("playwright") is None:
        return "playwright is not installed"
    return "" if shutil.which("chromium") else "no chromium: apt-get install chromium"


@functools.cache
def _why_not(marker: str) -> str:
    """Why tests with this marker cannot run here; empty if they can."""
    installed = {"browser": _missing_browser, "ros2_control": _missing_controllers}
    if marker in installed:
        return installed[marker]()
    if marker == "ros":
        if importlib.util.find_spec("rclpy") is None:
            return "rclpy is not installed"
        if not all(map(importlib.util.find_spec, ("cosmos3_ros", "cosmos3_ros.msg"))):
            return "the messages are not built, or install/setup.bash is not sourced"
        with warnings.catch_warnings():
            # an old parser below the generators uses sre_parse
            warnings.simplefilter("ignore", DeprecationWarning)
            import rosidl_generator_py  # noqa: F401
    if marker == "sim":
        if importlib.util.find_spec("mujoco") is None:
            return "mujoco is not installed"
        from cosmos3_ros.sim.gl import NO_GL, mujoco  # noqa: F401

        if os.environ["MUJOCO_GL"] == "disable":
            return NO_GL
    if marker == "gpu":
        import torch

        if not torch.cuda.is_available():
            return "no CUDA device"
    return ""


def _free_shared_memory() -> None:
    """Remove what killed processes left: Fast DDS does not, and a container has 64 MB in all."""
    for lock in Path("/dev/shm").glob(f"fastrtps_{'[0-9a-f]' * 16}_el"):
        with contextlib.suppress(OSError), lock.open("rb+") as file:  # locked: its owner lives
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # it was not made just now, to be locked in a moment
            if time.time() - lock.stat().st_mtime > 10.0:
                lock.with_name(lock.name.removesuffix("_el")).unlink(missing_ok=True)
                lock.unlink()


def pytest_sessionstart() -> None:
    """Begin with the shared memory that belongs to the living."""
    _free_shared_memory()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine cannot run, with the reason; spread the modules with a ROS graph.

    They wait much, and need the processor in time: beside one of them another test only computes.
    """
    places: dict[bool, dict[Path, float]] = {True: {}, False: {}}
    graphs = {item.path: False for item in items}
    for item in items:
        graphs[item.path] |= item.get_closest_marker("ros") is not None
    for kind, found in places.items():
        paths = [path for path, with_graph in graphs.items() if with_graph == kind]
        found.update({path: place / len(paths) for place, path in enumerate(paths)})
    items.sort(key=lambda item: places[graphs[item.path]][item.path])
    for item in items:
        for marker in ("ros", "sim", "gpu", "browser", "ros2_control"):
            if item.get_closest_marker(marker) and (reason := _why_not(marker)):
                item.add_marker(pytest.mark.skip(reason=f"{marker}: {reason}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the tables that tests left with record_property("table: <title>", text)."""
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, text in (
                getattr(report, "user_properties", ())
                if getattr(report, "when", "") == "call"
                else ()
            ):
                if name.startswith("table: "):
                    terminalreporter.section(name.removeprefix("table: "))
                    terminalreporter.write_line(text)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that failed shows what its processes printed, whatever it was waiting for."""
    report = yield
    for process in item.stash.get(STARTED, []) if report.failed else ():
        report.sections.append((f"Output of {process.name}", process.output))
    return report


def _real_time_threads() -> list[int]:
    """Those of this process."""
    hurried = []
    for thread in map(int, os.listdir("/proc/self/task")):
        with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
            if os.sched_getscheduler(thread) in (os.SCHED_FIFO, os.SCHED_RR):
                hurried.append(thread)
    return hurried


@pytest.fixture(autouse=True)
def scheduling() -> Iterator[None]:
    """A test that leaves real-time threads behind fails: they would starve later processes.

    Libraries can do that unasked (libsvtav1 does for root), and there is no way back: Fast DDS
    makes its threads what glibc remembers of the one that begins them.
    """
    yield
    assert not _real_time_threads(), "threads left with real-time scheduling"


# The next domain for each test: processes that were killed are known in theirs for 20 s more.
# Workers of pytest-xdist begin far from each other.
_DOMAINS = itertools.cycle(range(1, 101))
for _ in range(50 * int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 100):
    next(_DOMAINS)


@pytest.fixture
def domain(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A ROS_DOMAIN_ID that no other test uses now, or has used for a while.

    Set in the environment for the processes of this test.
    """
    from domain_coordinator import domain_id

    with domain_id(lambda: next(_DOMAINS)) as number:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(number))
        yield number


def _wait_until(condition: Callable[[], object], what: str, timeout: float = 40.0) -> None:
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            pytest.fail(f"waited {timeout:.0f} s for {what}")
        time.sleep(0.02)


@pytest.fixture
def wait_until() -> Callable[..., None]:
    """Function wait_until(condition, what, timeout=40.0) that returns as soon as it holds.

    It fails the test with the given words when the time is over.
    """
    return _wait_until


class Started:
    """A process with all that it started, and all they print."""

    def __init__(self, command: Sequence[str | Path], log: Path) -> None:
        self._log = log
        self.name = " ".join(Path(word).name for word in command[:3])
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "PYTHONUNBUFFERED": "1"},
            )

    @property
    def output(self) -> str:
        """What it printed until now."""
        return self._log.read_text(errors="replace")

    def wait_for(self, text: str, timeout: float = 60.0) -> None:
        """Return when it has printed `text`; fail when it ends or when the time is over before."""
        end = time.monotonic() + timeout
        while text not in self.output:
            if self.process.poll() is not None and text not in self.output:
                pytest.fail(f"exit code {self.process.returncode} before {text!r}")
            if time.monotonic() > end:
                pytest.fail(f"{text!r} not printed in {timeout:.0f} s")
            time.sleep(0.02)

    def running(self) -> list[int]:
        """Process ids of its session that are still alive."""
        alive = []
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                state, _, _, session = stat.read_text().rpartition(")")[2].split()[:4]
            except OSError:  # it ended meanwhile
                continue
            if int(session) == self.process.pid and state != "Z":
                alive.append(int(stat.parent.name))
        return alive

    def interrupt(self, timeout: float = 15.0) -> int:
        """Press Ctrl-C: SIGINT to the whole session.

        Returns the exit code of the first process; fails if one stays.
        """
        for pid in self.running():
            with contextlib.suppress(ProcessLookupError):  # it ended meanwhile
                os.kill(pid, signal.SIGINT)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            pytest.fail(f"still running {timeout:.0f} s after Ctrl-C")
        _wait_until(
            lambda: not self.running(),
            f"the children to end; still there: {self.running()}",
            timeout,
        )
        return code

    def kill(self) -> None:
        """End the session: by SIGTERM, so that shared memory is freed, after 3 s by SIGKILL."""
        end = time.monotonic() + 3.0
        for number in (signal.SIGTERM, signal.SIGKILL):
            for pid in self.running():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            while number == signal.SIGTERM and self.running() and time.monotonic() < end:
                time.sleep(0.02)
        self.process.wait()


@pytest.fixture
def start(
    domain: int, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[..., Started]]:
    """Function start("commander", "--ros-args", ...) -> Started, in this test's domain.

    A first word without a slash is one of the package's executables. After the test none of them is
    alive.
    """
    from ament_index_python import get_package_prefix

    executables = Path(get_package_prefix("cosmos3_ros"), "lib", "cosmos3_ros")
    started = request.node.stash[STARTED] = []

    def run(program: str | Path, *arguments: str | Path) -> Started:
        script = [program] if "/" in str(program) else [sys.executable, executables / program]
        started.append(Started([*script, *arguments], tmp_path / f"process{len(started)}.log"))
        return started[-1]

    yield run
    for process in started:
        process.kill()
    _free_shared_memory()


@pytest.fixture(scope="session")
def smallest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of the smallest network and autoencoder: its folder."""
    from cosmos3_ros.model.checkpoint_io import tiny
    from cosmos3_ros.model.network.config import TINY

    folder = tmp_path_factory.mktemp("checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.VAE, "base_dim", 4)
        patch.setitem(tiny.VAE, "decoder_base_dim", 4)
        size = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)
        tiny.write_tiny(folder, config=size)
    return folder


@pytest.fixture
def watcher(domain: int) -> Iterator[Any]:
    """A node spun by a thread, which hears a process until its end."""
    import rclpy

    from cosmos3_ros.ros.spin_thread import spinning

    rclpy.init(args=[])
    node = rclpy.create_node("watcher")
    with spinning(node):
        yield node
    node.destroy_node()
    rclpy.shutdown()
