# SPDX-License-Identifier: Apache-2.0
"""Guidance on two GPUs: one process reads the prompt, the other what to stay away from, and they exchange velocities.

Both take the same steps from the same start, so that nothing but velocities has to travel in between. Each process has
called `torch.distributed.init_process_group` with two ranks ("nccl" on GPUs, "gloo" on CPUs) and made the same policy.
"""

from __future__ import annotations

import dataclasses

import torch
import torch.distributed as dist
from torch import Tensor

from .denoiser import Denoiser, Guidance, Start, Wish
from .sampler import Schedule

_LEAVE, _RUN = 0, 1


class Pair:
    """This process as one of two. Rank 0 leads: it has the observation, and its policy is asked; rank 1 follows."""

    def __init__(self, device: torch.device):
        if dist.get_world_size() != 2:
            raise ValueError(f"guidance on two GPUs: expected 2 processes, got {dist.get_world_size()}")
        self.rank, self._device = dist.get_rank(), device

    def exchange(self, mine: Tensor) -> Tensor:
        """This process' velocity [1, n] -> both, the leader's first: [2, n]."""
        both = [torch.empty_like(mine), torch.empty_like(mine)]
        dist.all_gather(both, mine.contiguous())
        return torch.cat(both)

    def lead(self, caption: str, start: Start, seed: int) -> None:
        """Tell the follower what is about to be denoised; its shapes are those of `start` with the same options."""
        text = torch.tensor([*caption.encode()], dtype=torch.uint8, device=self._device)
        self._send(torch.tensor([_RUN, len(text), seed, start.wish is not None], device=self._device))
        for tensor in (text, *start.tensors()):
            self._send(tensor)

    def leave(self) -> None:
        """Let the follower go."""
        self._send(torch.tensor([_LEAVE, 0, 0, 0], device=self._device))

    def follow(self, denoiser: Denoiser, start: Start, schedule: Schedule, guidance: Guidance) -> None:
        """Compute the other branch until the leader leaves. start: any with the leader's shapes and constants."""
        while True:
            order, length, seed, wish = self._receive(torch.empty(4, dtype=torch.long, device=self._device)).tolist()
            if order == _LEAVE:
                return
            wished = None
            if wish and start.actions is not None:
                wished = Wish(start.actions, start.actions[0, :, 0].contiguous())
            start = dataclasses.replace(start, wish=wished)
            text = self._receive(torch.empty(length, dtype=torch.uint8, device=self._device))
            given = start.filled([self._receive(torch.empty_like(tensor)) for tensor in start.tensors()])
            caption = bytes(text.tolist()).decode()
            denoiser.run(given, denoiser.read(caption), denoiser.read(""), schedule, guidance, seed)

    def _send(self, tensor: Tensor) -> None:
        dist.broadcast(tensor.contiguous().view(torch.uint8), src=0)

    def _receive(self, tensor: Tensor) -> Tensor:
        dist.broadcast(tensor.view(torch.uint8), src=0)
        return tensor
