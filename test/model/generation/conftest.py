# SPDX-License-Identifier: Apache-2.0
"""A tiny checkpoint, a small request of it, and the command as people type it."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cosmos3_ros.cli import main
from cosmos3_ros.model.network.config import TINY


@pytest.fixture(scope="session")
def tiny(write) -> Path:
    """A checkpoint whose autoencoder takes no time."""
    return write(TINY)


@pytest.fixture
def generate(tiny, capfd) -> Callable[..., tuple[int, str]]:
    """Function that runs `cosmos3 generate` with words; returns exit code and what it printed."""

    def function(*words: object, checkpoint: Path = tiny) -> tuple[int, str]:
        capfd.readouterr()
        code = main(["generate", *map(str, words), "--checkpoint", str(checkpoint)])
        said = capfd.readouterr()
        return code, said.out + said.err

    return function
