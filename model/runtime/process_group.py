# SPDX-License-Identifier: Apache-2.0
"""Several processes that share one model, each on a GPU of its own: the layers, the branches of guidance, or both.

N processes split every layer (see `parallel`); with twice as many, one half reads the prompt and
the other what to stay away from, and they exchange velocities. All take the same steps from the
same start. The first process leads: it is asked, and tells the others what they have to compute
beside it. What is asked of the model by other ways than `Cosmos3Policy.infer` and the answers of
`Cosmos3Reasoner` has to be asked in every process alike.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import threading
from collections.abc import Iterator
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from ..acceleration.tensor_parallel import Split
from ..diffusion.denoiser import RtcTarget, Start

NUMBERS = 6  # in an order: whom it is for, and what that needs to know
# a robot may be idle; of a process that died the others hear at once
PATIENCE = datetime.timedelta(days=365)

# The last order remains: gloo's thread would let go of its tensor whenever it gets to it, for which
# it needs Python; if Python is ending by then, the process aborts.
_last: list[dist.Work] = []


class Member(Protocol):
    """Something that every process has, and computes in all of them when the first one says so."""

    def follow(self, numbers: list[int]) -> None:
        """Do what the leader's counterpart does.

        numbers: what it gave with its order, then zeros.
        """


def init_processes(gpus: bool, patience: datetime.timedelta) -> None:
    """Meet the processes that torchrun started, unless this process has: gloo, NCCL between GPUs.

    patience: how long a process waits for another one before it fails.
    """
    if not dist.is_initialized():
        dist.init_process_group("cpu:gloo,cuda:nccl" if gpus else "gloo", timeout=patience)


def take_gpu() -> torch.device:
    """The GPU of this process, the one of its number on this machine, made the current one."""
    device = torch.device("cuda", dist.get_node_local_rank(dist.get_rank()))
    torch.cuda.set_device(device)
    return device


def join(device: str = "cpu", tensor: int = 1) -> InferenceGroup:
    """Meet the other processes that torchrun started.

    The first one's arguments hold, see `Team`.
    """
    if device not in ("cpu", "cuda"):
        raise ValueError(
            f"device: expected 'cpu' or 'cuda', of which each process takes its own, got {device!r}"
        )
    init_processes(torch.cuda.is_available(), PATIENCE)
    terms = torch.tensor([tensor, device == "cuda"])
    dist.broadcast(terms, src=0)
    return InferenceGroup("cuda" if terms[1] else "cpu", int(terms[0]))


class InferenceGroup:
    """This process and the others, in a process group that broadcasts on CPUs too.

    device: "cpu" or "cuda", of which it takes the one of its number; tensor: how many processes
    split a layer; with twice as many in the group, the branches of guidance are split as well.
    turn: for whoever gives orders.
    """

    def __init__(self, device: str, tensor: int = 1):
        count = dist.get_world_size()
        if tensor < 1 or count not in (tensor, 2 * tensor):
            raise ValueError(
                f"tensor parallelism {tensor}: expected {tensor} or {2 * tensor} processes, got {count}"
            )
        self.device = torch.device("cpu")
        if device == "cuda":
            self.device = take_gpu()
        mesh = init_device_mesh(
            device, (count // tensor, tensor), mesh_dim_names=("guidance", "tensor")
        )
        self._branches = mesh.get_group("guidance") if count > tensor else None
        # 0: reads the prompt
        self.branch = mesh.get_local_rank("guidance") if count > tensor else None
        self.tensor, self.split = tensor, Split(mesh["tensor"]) if tensor > 1 else None
        self.leads, self.turn = dist.get_rank() == 0, threading.Lock()
        self._members: list[Member] = []

    def add(self, member: Member) -> int:
        """A number for orders to it: all processes add the same members in the same order."""
        self._members.append(member)
        return len(self._members) - 1

    def order(self, member: int, *numbers: int) -> None:
        """Let that member follow in the other processes."""
        self._exchange_order(torch.tensor([member, *numbers, *[0] * (NUMBERS - 1 - len(numbers))]))

    def leave(self) -> None:
        """Let all others go."""
        self.order(-1)

    def follow(self) -> None:
        """Do as the leader orders, until it leaves."""
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
        """From the leader to all others, which `receive` one of this shape and type."""
        dist.broadcast(tensor.contiguous().view(torch.uint8), src=0)

    def receive(self, tensor: Tensor) -> Tensor:
        """`tensor` with what the leader sends."""
        dist.broadcast(tensor.view(torch.uint8), src=0)
        return tensor

    def send_text(self, text: str) -> None:
        """Its length in UTF-8 has to be known to the others."""
        self.send(torch.tensor([*text.encode()], dtype=torch.uint8))

    def receive_text(self, length: int) -> str:
        return bytes(self.receive(torch.empty(length, dtype=torch.uint8)).tolist()).decode()

    def send_start(self, member: int, caption: str, start: Start, seed: int) -> None:
        """Order to denoise; the shapes are those of any start of this member."""
        self.order(member, len(caption.encode()), seed, start.wish is not None)
        self.send_text(caption)
        for tensor in start.tensors():
            self.send(tensor)

    def receive_start(self, numbers: list[int], like: Start) -> tuple[str, Start, int]:
        """Caption, start and seed. like: any start with the leader's shapes and constants, without a wish."""
        length, seed, wish, *_ = numbers
        if wish and like.actions is not None:
            like = dataclasses.replace(like, wish=RtcTarget(like.actions, like.actions[0, :, 0]))
        caption = self.receive_text(length)
        return (
            caption,
            like.filled([self.receive(torch.empty_like(tensor)) for tensor in like.tensors()]),
            seed,
        )

    def exchange(self, mine: Tensor) -> Tensor:
        """The velocity [1, n] of this process' branch -> those of both, the prompt's first: [2, n]."""
        both = [torch.empty_like(mine), torch.empty_like(mine)]
        dist.all_gather(both, mine.contiguous(), group=self._branches)
        return torch.cat(both)

    @contextlib.contextmanager
    def agreed(self) -> Iterator[None]:
        """What every process does; if it fails in one of them, it has failed in all: ValueError."""
        failed = torch.ones(1)
        try:
            yield
            failed.zero_()
        finally:
            dist.all_reduce(failed)
        if failed:
            raise ValueError("another process of the team refused, its own message says why")
