# SPDX-License-Identifier: Apache-2.0
"""CUDA streams, and how long the stages of the work in them take; on a CPU only the latter."""

from __future__ import annotations

import contextlib
import time
from types import TracebackType
from typing import Any

import torch

from .cuda_graph import CAPTURING


class CudaStream:
    """A CUDA stream as a context, for one thread at a time; on a CPU it does nothing.

    first: high priority, its kernels start before waiting ones of other streams.
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
        """Block until all work in the stream is done."""
        if self._stream is not None:
            self._stream.synchronize()

    def clock(self) -> StageTimer:
        """A timer for the work that is put into this stream from now on."""
        return StageTimer(self._stream)


class StageTimer:
    """Seconds that the stages of some work take.

    On a GPU they are measured by CUDA events, so that the host need not wait between stages.
    """

    def __init__(self, stream: Any):
        self._stream = stream
        self._marks: list[tuple[str, Any]] = []
        self.lap("")

    def lap(self, stage: str) -> None:
        """End a stage, and begin the next one."""
        mark: Any = time.perf_counter()
        if self._stream is not None:
            mark = torch.cuda.Event(enable_timing=True)
            mark.record(self._stream)
        self._marks.append((stage, mark))

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage; waits for their end."""
        taken = {}
        for (_, before), (stage, after) in zip(self._marks, self._marks[1:], strict=False):
            if self._stream is not None:
                after.synchronize()
                taken[stage] = before.elapsed_time(after) / 1e3
            else:
                taken[stage] = after - before
        return taken
