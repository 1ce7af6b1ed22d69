# SPDX-License-Identifier: Apache-2.0
"""A group of processes that share one model, each on its own GPU.

Tensor parallelism over N ranks (see `acceleration.tensor_parallel`); with 2 N ranks also parallel
classifier-free guidance (arXiv 2207.12598): half the ranks compute the conditional velocity, half
the unconditional one, and they exchange them. All ranks take the same steps from the same noise.
Rank 0 leads `Cosmos3Policy.infer` and the answers of `Cosmos3Reasoner`: it is called, and orders
the other ranks to follow. Anything else has to be called on every rank.
"""

from __future__ import annotations

import contextlib
import datetime
import gc
import threading
from collections.abc import Iterator
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

NUMBERS = 6  # in an order: the member it is for, and up to five arguments
# A robot may be idle for long; the end of a process is noticed at once all the same.
TIMEOUT = datetime.timedelta(days=365)

# The last order is kept: gloo's thread would free its tensor at any time, for which it needs
# Python, and the process would abort if Python is ending by then.
_last: list[dist.Work] = []
_meshes: list[DeviceMesh] = []  # of `make_mesh`


class Member(Protocol):
    """An object that every rank has, whose computations rank 0 leads."""

    def follow(self, numbers: list[int]) -> None:
        """Compute what the member on rank 0 computes.

        numbers: the arguments of its order, then zeros.
        """


def init_processes(gpus: bool, patience: datetime.timedelta) -> None:
    """Meet the processes that torchrun started, unless this process has: gloo, NCCL between GPUs.

    patience: how long a process waits for another one before it fails.
    """
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=patience)


def make_mesh(device: str, shape: tuple[int, ...], names: tuple[str, ...] = ()) -> DeviceMesh:
    """All processes as a mesh, whose groups end with `leave_processes`."""
    _meshes.append(init_device_mesh(device, shape, mesh_dim_names=names or None))
    return _meshes[-1]


def leave_processes() -> None:
    """Leave the group, and end its threads, if this process has joined one.

    A thread of gloo that frees a tensor while Python ends would abort the process. They end with
    the last that holds the group: a sharded model, and meshes, which DTensor's caches keep (torch
    2.13).
    """
    if not dist.is_initialized():
        return
    dist.destroy_process_group()
    _last.clear()
    for mesh in _meshes:
        getattr(mesh, "_pg_registry", {}).clear()
    _meshes.clear()
    gc.collect()


def take_gpu() -> torch.device:
    """The GPU of this process, the one of its number on this machine, made the current one."""
    device = torch.device("cuda", dist.get_node_local_rank(dist.get_rank()))
    torch.cuda.set_device(device)
    return device


def check_device(device: str) -> None:
    """ValueError unless every process of a group can take its own device of this kind."""
    if device not in ("cpu", "cuda"):
        raise ValueError(
            f"device: expected 'cpu' or 'cuda', of which each process takes its own, got {device!r}"
        )


def join(device: str = "cpu", tensor: int = 1) -> InferenceGroup:
    """Join the processes that torchrun started; the arguments of rank 0 hold for all.

    See `InferenceGroup`.
    """
    check_device(device)
    init_processes(torch.cuda.is_available(), TIMEOUT)
    terms = torch.tensor([tensor, device == "cuda"])
    dist.broadcast(terms, src=0)
    return InferenceGroup("cuda" if terms[1] else "cpu", int(terms[0]))


class InferenceGroup:
    """A process group for inference, with orders that are broadcast on CPUs.

    device: "cpu" or "cuda", each rank takes the GPU of its local rank; tensor: how many processes
    split a layer; with twice as many in the group, the branches of guidance are split as well.
    lock: to hold while giving orders; mesh: the processes that split a layer, if they do.
    """

    def __init__(self, device: str, tensor: int = 1):
        count = dist.get_world_size()
        if tensor < 1 or count not in (tensor, 2 * tensor):
            raise ValueError(
                f"tensor parallelism {tensor}: expected {tensor} or {2 * tensor} processes, "
                f"got {count}"
            )
        self.device = torch.device("cpu")
        if device == "cuda":
            self.device = take_gpu()
        mesh = make_mesh(device, (count // tensor, tensor), ("guidance", "tensor"))
        self._branches = mesh.get_group("guidance") if count > tensor else None
        # 0: the conditional branch
        self.branch = mesh.get_local_rank("guidance") if count > tensor else None
        self.tensor, self.mesh = tensor, mesh["tensor"] if tensor > 1 else None
        self.leads, self.lock = dist.get_rank() == 0, threading.Lock()
        self._members: list[Member] = []

    def splits_nothing(self, guidance: float) -> bool:
        """Whether every rank computes the same, said by the leader; guidance: the scale."""
        return self.leads and self.branch is not None and self.tensor == 1 and guidance == 1.0

    def add(self, member: Member) -> int:
        """Register a member for orders; all ranks add the same members in the same order."""
        self._members.append(member)
        return len(self._members) - 1

    def order(self, member: int, *numbers: int) -> None:
        """Let that member follow on the other ranks."""
        self._exchange_order(torch.tensor([member, *numbers, *[0] * (NUMBERS - 1 - len(numbers))]))

    def leave(self) -> None:
        """End `follow` on all other ranks."""
        self.order(-1)

    def follow(self) -> None:
        """Follow the orders of rank 0 until it leaves."""
        while True:
            member, *numbers = self._exchange_order(torch.empty(NUMBERS, dtype=torch.long)).tolist()
            if member < 0:
                return
            self._members[member].follow(numbers)

    @staticmethod
    def _exchange_order(order: Tensor) -> Tensor:
        work = dist.broadcast(order, src=0, async_op=True)
        work.wait()
        _last[:] = [work]
        return order

    def send(self, tensor: Tensor) -> None:
        """Send from rank 0 to all others, which `receive` a tensor of this shape and dtype."""
        dist.broadcast(tensor.contiguous().view(torch.uint8), src=0)

    def receive(self, tensor: Tensor) -> Tensor:
        """Fill `tensor` with what rank 0 sends."""
        dist.broadcast(tensor.view(torch.uint8), src=0)
        return tensor

    def send_text(self, text: str) -> None:
        """Send a text whose length in UTF-8 the other ranks know."""
        self.send(torch.tensor([*text.encode()], dtype=torch.uint8))

    def receive_text(self, length: int) -> str:
        return bytes(self.receive(torch.empty(length, dtype=torch.uint8)).tolist()).decode()

    def exchange(self, mine: Tensor) -> Tensor:
        """The velocity [1, n] of this rank's branch -> both: [2, n], the conditional one first."""
        both = [torch.empty_like(mine), torch.empty_like(mine)]
        dist.all_gather(both, mine.contiguous(), group=self._branches)
        return torch.cat(both)

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """Run something on all ranks; ValueError on every rank if it fails on one of them."""
        failed = torch.ones(1)
        try:
            yield
            failed.zero_()
        finally:
            dist.all_reduce(failed)
        if failed:
            raise ValueError("another process of the team refused, its own message says why")
