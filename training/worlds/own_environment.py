# SPDX-License-Identifier: Apache-2.0
"""The environment of `make metaworld`: an older MuJoCo beside everything else of this package.

metaworld does not start with the MuJoCo of the simulation (shapes of its welds), so a command that
is to play it goes on in the environment that has both.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path

NAME = "metaworld"
NOT_INSTALLED = "Meta-World is not installed: make metaworld"


def environment_python(prefix: str = sys.prefix) -> Path:
    """Its Python, whether it is there or not; a folder of the environment that `make` makes."""
    return Path(prefix) / NAME / "bin" / "python"


def enter(env: str, arguments: Sequence[str]) -> None:
    """Run `cosmos3 arguments` in that environment instead, if `env` needs it and this has it not.

    Does not return then. Where there is no such environment, opening the world says how to make it.
    """
    enter_module(env, "cosmos3_ros.cli", arguments)


def enter_module(env: str, module: str, arguments: Sequence[str]) -> None:
    """`enter` for another module than the command's."""
    needs = env == NAME or env.startswith(f"gym:{NAME}:")
    python = environment_python()
    if not needs or importlib.util.find_spec(NAME) or not python.is_file():
        return
    sys.stdout.flush()
    os.execv(python, [str(python), "-m", module, *arguments])
