# SPDX-License-Identifier: Apache-2.0
"""A robot that nobody knows: two hinges, a slide for a gripper, and its scene file."""

from collections.abc import Callable
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODEL, SCENE = ((HERE / name).read_text() for name in ("robot.xml", "scene.yaml"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Function write(old, new, ...) -> the scene file, with some words replaced by others."""

    def make(*words: str, model: str = MODEL, name: str = "robot.xml") -> Path:
        text = SCENE
        for old, new in zip(words[::2], words[1::2], strict=True):
            assert old in text
            text = text.replace(old, new)
        (tmp_path / name).write_text(model)
        (tmp_path / "scene.yaml").write_text(text)
        return tmp_path / "scene.yaml"

    return make
