# SPDX-License-Identifier: Apache-2.0
"""What makes pictures, videos and actions for a server. No torch here."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy as np

from ...model.generation.action_options import ActionOptions
from ...model.generation.options import CompleteRequest, GenerateOptions


class Engine(Protocol):
    """What a server needs of `model.generation.engine.Engine`."""

    def complete(self, options: GenerateOptions) -> CompleteRequest: ...
    def steps(self, asked: CompleteRequest) -> int: ...
    def write(
        self, asked: CompleteRequest, file: Path, progress: Callable[[], None] | None = None
    ) -> None: ...
    def check_actions(self, options: ActionOptions) -> None: ...
    def actions(
        self, options: ActionOptions, progress: Callable[[], None] | None = None
    ) -> np.ndarray: ...
    def write_dynamics(
        self, options: ActionOptions, file: Path, progress: Callable[[], None] | None = None
    ) -> None: ...
