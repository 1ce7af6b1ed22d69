# SPDX-License-Identifier: Apache-2.0
"""Processes that train together, started by torchrun; one that trains alone is a group too."""

from __future__ import annotations

import atexit
import dataclasses
import datetime
from collections.abc import Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from ...model.runtime.device import resolve_device
from ...model.runtime.process_group import init_processes, leave_processes, take_gpu

# the others wait while the first process writes a large checkpoint
_PATIENCE = datetime.timedelta(hours=2)


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingGroup:
    """This process is number `rank` of `size` and computes on `device`.

    All must call the same methods in turn.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = dataclasses.field(default_factory=lambda: torch.device("cpu"))

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes files and says what happens."""
        return self.rank == 0

    def agree(self, value: float) -> float:
        """The first process's value, for all.

        It goes from CPU to CPU, so that no GPU is waited for.
        """
        said = torch.tensor(value, dtype=torch.float64)
        if self.size > 1:
            dist.broadcast(said, 0)
        return said.item()

    def any(self, value: bool) -> bool:
        """Whether it is true in any process, for all."""
        said = torch.tensor(float(value))
        if self.size > 1:
            dist.all_reduce(said)
        return bool(said)

    def wait(self) -> None:
        """Return when every process is here."""
        if self.size > 1:
            dist.all_reduce(torch.zeros(1))

    def spread(self, tensors: Sequence[Tensor]) -> None:
        """Give all processes the first one's tensors, in place."""
        for tensor in tensors if self.size > 1 else ():
            dist.broadcast(tensor, 0)

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors of one type by their means over the processes, in place."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        dist.all_reduce(flat)
        parts = (flat / self.size).split([tensor.numel() for tensor in tensors])
        means = [part.view_as(tensor) for part, tensor in zip(parts, tensors, strict=True)]
        torch._foreach_copy_(list(tensors), means)


def join(device: str) -> TrainingGroup:
    """The group of the processes that torchrun started, or of this process alone.

    device: of torch, or "auto" for a GPU if there is one; of several processes each takes its own
    GPU.
    """
    wanted = torch.device(resolve_device(device))
    if not dist.is_torchelastic_launched():
        return TrainingGroup(device=wanted)
    if not dist.is_initialized():
        init_processes(wanted.type == "cuda", _PATIENCE)
        atexit.register(leave_processes)
    own = take_gpu() if wanted.type == "cuda" else wanted
    return TrainingGroup(dist.get_rank(), dist.get_world_size(), own)
