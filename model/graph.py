# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs: a function of tensors recorded once and played again without the host launching its kernels."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

CAPTURING = threading.Lock()  # a capture does not survive that another thread waits for the device, or captures too


@functools.cache
def _pool(device: torch.device) -> Any:
    """The memory that all graphs of a device share; they never run at the same time on what they share."""
    with torch.cuda.device(device):
        return torch.cuda.graph_pool_handle()


class Recording:
    """`function(*inputs)` as a CUDA graph.

    Calling it copies new contents into the inputs, runs, and returns the outputs, which the next call overwrites. The
    function must not wait for the device, nor look at its values; warm: it has run before, else it runs twice now.
    shared: the outputs and everything in between may lie in memory that other shared recordings use too.
    """

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        inputs: Sequence[Tensor],
        warm: bool = False,
        shared: bool = False,
    ):
        self._inputs = [tensor.clone() for tensor in inputs]
        device = inputs[0].device
        current = torch.cuda.current_stream(device)
        stream = torch.cuda.Stream(device, priority=current.priority)  # which the graph's kernels keep
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(0 if warm else 2):  # libraries allocate, compilers compile
                function(*self._inputs)
        current.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        pool = _pool(device) if shared else None
        mode = "thread_local"
        with CAPTURING, torch.cuda.graph(self._graph, pool=pool, stream=stream, capture_error_mode=mode):
            self._outputs = function(*self._inputs)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        for mine, new in zip(self._inputs, inputs, strict=True):
            mine.copy_(new)
        self._graph.replay()
        return self._outputs
