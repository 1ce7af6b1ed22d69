# SPDX-License-Identifier: Apache-2.0
"""Which memory CUDA graphs share, with a fake of CUDA that keeps the rules of its allocator."""

import contextlib
import gc
import itertools
import types

import pytest
import torch

from cosmos3_ros.model.runtime.cuda_graph import CudaGraph

INPUTS = [torch.arange(3.0)]


class Graph:
    """Counts the graphs of every pool, as the allocator does."""

    numbers = itertools.count(1)

    def __init__(self):
        self.users = None

    def pool(self):
        return self.users

    def begin(self, pool):
        assert pool is None or pool["graphs"] > 0, (
            "memory that no graph uses any more cannot be joined"
        )
        self.users = {"graphs": 0, "number": next(self.numbers)} if pool is None else pool
        self.users["graphs"] += 1

    def __del__(self):
        if self.users:
            self.users["graphs"] -= 1


@pytest.fixture(autouse=True)
def cuda(monkeypatch):
    @contextlib.contextmanager
    def capture(graph, pool, stream, capture_error_mode):
        gc.collect()  # whoever is gone is gone before the capture begins
        graph.begin(pool)
        yield

    def stream(*_, **__):
        return types.SimpleNamespace(priority=0, wait_stream=lambda other: None)

    fakes = {"CUDAGraph": Graph, "graph": capture, "Stream": stream, "current_stream": stream}
    for name, fake in {**fakes, "stream": lambda _: contextlib.nullcontext()}.items():
        monkeypatch.setattr(torch.cuda, name, fake)


def record(shared=True):
    return CudaGraph(lambda x: (2 * x,), INPUTS, shared=shared)


def pool(recording):
    return recording.pool()["number"]


def test_recordings_that_live_together_share_their_memory():
    first, second = record(), record()
    assert pool(first) == pool(second)
    old = pool(first)
    del first
    assert pool(record()) == old  # of the second one


def test_the_first_recording_after_all_are_gone_has_memory_of_its_own():
    recording = record()
    old = pool(recording)
    del recording
    assert pool(record()) != old


def test_who_does_not_share_has_memory_of_their_own():
    mine, shared = record(shared=False), record()
    assert len({pool(mine), pool(shared), pool(record(shared=False))}) == 3


def test_a_recording_that_fails_is_not_shared():
    def fail(x):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        CudaGraph(fail, INPUTS, warm=True, shared=True)
    record()
