# SPDX-License-Identifier: Apache-2.0
"""A checkpoint whose pictures take no time, and the command as people type it."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.cli import main
from cosmos3_ros.model.checkpoint_io import tiny
from cosmos3_ros.model.network.config import TINY


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.VAE, "base_dim", 4)
        patch.setitem(tiny.VAE, "decoder_base_dim", 4)
        small = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)
        tiny.write_tiny(folder, seed=1, config=small)
    return folder


@pytest.fixture
def benchmark_command(
    checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Function that runs `cosmos3 benchmark` with words; the exit code and what it printed."""

    def function(*words: object) -> tuple[int, str]:
        capfd.readouterr()
        command = ["benchmark", *map(str, words), "--checkpoint", str(checkpoint)]
        code = main([*command, "--device", "cpu"])
        said = capfd.readouterr()
        return code, said.out + said.err

    return function


@pytest.fixture
def small() -> tuple[str, ...]:
    """Options of a request that is made at once."""
    return ("--height", "32", "--width", "48", "--steps", "1")


@pytest.fixture(scope="session")
def picture() -> Callable[[Path], None]:
    """Function that writes a picture."""
    return _picture


@pytest.fixture(scope="session")
def film() -> Callable[[Path, int, int], None]:
    """Function that writes a video of so many frames at a rate, which gets brighter."""
    return _film


@pytest.fixture(scope="session")
def frames_and_seconds() -> Callable[[Path], tuple[int, float]]:
    """Function that counts the frames of a video, and says how long it is."""
    return _frames_and_seconds


def _picture(file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 48), (90, 40, 200)).save(file)


def _film(file: Path, frames: int, fps: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(file), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for number in range(frames):
            pixels = np.full((48, 64, 3), 20 + 200 * number // frames, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())


def _frames_and_seconds(file: Path) -> tuple[int, float]:
    with av.open(str(file)) as container:
        seconds = (container.duration or 0) / av.time_base
        return sum(1 for _ in container.decode(video=0)), seconds
