# SPDX-License-Identifier: Apache-2.0
"""A queue of one's own on a GPU, and how long the stages of what is put there take.

On a CPU only the latter.
"""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Any

import torch

from .cuda_graph import CAPTURING


class CudaStream:
    """A CUDA stream as a context.

    `first`: its kernels begin before those that wait in other streams.

    One thread at a time uses a lane.
    """

    def __init__(self, device: torch.device, first: bool = False):
        self._stream: Any = None
        self._inside: contextlib.AbstractContextManager[Any] = contextlib.nullcontext()
        if device.type == "cuda":
            with CAPTURING:
                torch.cuda.synchronize(device)  # the weights are there
            self._stream = torch.cuda.Stream(device, priority=-1 if first else 0)

    def __enter__(self) -> CudaStream:
        if self._stream is not None:
            self._inside = torch.cuda.stream(self._stream)
        self._inside.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._inside.__exit__(kind, error, trace)

    def wait(self) -> None:
        """Until all that was put here is done."""
        if self._stream is not None:
            self._stream.synchronize()

    def clock(self) -> Clock:
        """A clock for what is put into this lane from now on."""
        return Clock(self._stream)


class Clock:
    """Seconds between marks.

    On a GPU the marks travel with the work, so that nobody waits for it between them.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self._marks: list[tuple[str, Any]] = []
        self.lap("")

    def lap(self, stage: str) -> None:
        """A stage ends here."""
        mark: Any = time.perf_counter()
        if self._stream is not None:
            mark = torch.cuda.Event(enable_timing=True)
            mark.record(self._stream)
        self._marks.append((stage, mark))

    def seconds(self) -> dict[str, float]:
        """How long each stage took, once all are over."""
        taken = {}
        for (_, before), (stage, after) in zip(self._marks, self._marks[1:], strict=False):
            if self._stream is not None:
                after.synchronize()
                taken[stage] = before.elapsed_time(after) / 1e3
            else:
                taken[stage] = after - before
        return taken
