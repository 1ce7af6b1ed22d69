# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs: a function of tensors recorded once and played again without the host launching its kernels."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

# a capture does not survive that another thread waits for the device, or captures too
CAPTURING = threading.Lock()


class CudaGraph:
    """`function(*inputs)` as a CUDA graph.

    Calling it copies new contents into the inputs, runs, and returns the outputs, which the next
    call overwrites. The function must not wait for the device, nor look at its values; warm: it has
    run before, else it runs twice now. shared: the outputs and everything in between may lie in
    memory that other shared recordings use too.
    """

    _living: ClassVar[weakref.WeakSet[CudaGraph]] = weakref.WeakSet()  # those that share

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        inputs: Sequence[Tensor],
        warm: bool = False,
        shared: bool = False,
    ):
        self._inputs = [tensor.clone() for tensor in inputs]
        self._device = device = inputs[0].device
        current = torch.cuda.current_stream(device)
        # which the graph's kernels keep
        stream = torch.cuda.Stream(device, priority=current.priority)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(0 if warm else 2):  # libraries allocate, compilers compile
                function(*self._inputs)
        current.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with CAPTURING:
            # Memory may be joined only while a graph uses it: the handle alone does not keep it.
            beside = (
                next((one for one in self._living if one._device == device), None)
                if shared
                else None
            )
            pool = beside._graph.pool() if beside else None
            with torch.cuda.graph(
                self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"
            ):
                self._outputs = function(*self._inputs)
            if shared:
                self._living.add(self)

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        for mine, new in zip(self._inputs, inputs, strict=True):
            mine.copy_(new)
        self._graph.replay()
        return self._outputs
