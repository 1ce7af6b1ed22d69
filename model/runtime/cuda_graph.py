# SPDX-License-Identifier: Apache-2.0
"""CUDA graphs: record a function of tensors once, replay it without launching its kernels."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

# Held during a capture: it fails if another thread waits for the device or captures meanwhile.
CAPTURING = threading.Lock()


class CudaGraph:
    """`function(*inputs)` as a CUDA graph; the function must not wait for the device.

    A call copies the given tensors into the inputs, runs, and returns the outputs, which the next
    call overwrites. warm: the function has run before, else it runs twice now. shared: outputs and
    intermediate results may lie in memory that other graphs with `shared` use too.
    """

    # The graphs that share memory.
    _sharing: ClassVar[weakref.WeakSet[CudaGraph]] = weakref.WeakSet()

    def __init__(
        self,
        function: Callable[..., tuple[Tensor, ...]],
        inputs: Sequence[Tensor],
        warm: bool = False,
        shared: bool = False,
    ):
        self._inputs = [tensor.clone() for tensor in inputs]
        self.device = device = inputs[0].device
        current = torch.cuda.current_stream(device)
        # the kernels of the graph keep the priority
        stream = torch.cuda.Stream(device, priority=current.priority)
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(0 if warm else 2):  # libraries allocate, compilers compile
                function(*self._inputs)
        current.wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        with CAPTURING:
            # A pool may be joined only while a graph uses it: its handle alone does not keep it.
            pools = (graph.pool() for graph in self._sharing if graph.device == device)
            pool = next(pools, None) if shared else None
            with torch.cuda.graph(
                self._graph, pool=pool, stream=stream, capture_error_mode="thread_local"
            ):
                self._outputs = function(*self._inputs)
            if shared:
                self._sharing.add(self)

    def pool(self) -> Any:
        """Handle of the memory pool that the graph lies in."""
        return self._graph.pool()

    def __call__(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        for mine, new in zip(self._inputs, inputs, strict=True):
            mine.copy_(new)
        self._graph.replay()
        return self._outputs
