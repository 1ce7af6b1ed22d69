# SPDX-License-Identifier: Apache-2.0
"""A bar of denoising steps with the time that is left, on stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator

from tqdm import tqdm

QUIET = 10.0  # s between two lines where stderr is a file


@contextlib.contextmanager
def progress_bar(name: str, steps: int) -> Iterator[Callable[[], None]]:
    """A bar as long as the block runs; what it yields counts a step."""
    place = int(os.environ.get("LOCAL_RANK", "0"))  # one line for each process of torchrun
    often = 0.1 if sys.stderr.isatty() else QUIET
    with tqdm(total=steps, desc=name, unit="step", mininterval=often, position=place) as bar:

        def step() -> None:
            bar.update()

        yield step
