# SPDX-License-Identifier: Apache-2.0
"""Muon (https://kellerjordan.github.io/posts/muon): momentum whose steps are orthogonalized.

The steps are those of torch.optim.Muon with adjust_lr_fn="match_rms_adamw". That one launches some
25 kernels for each matrix, which in a small network took as long as forward and backward together;
here matrices of one shape go together.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, _foreach_lerp

_A, _B, _C = 3.4445, -4.7750, 2.0315  # of the iteration's polynomial, from the reference
_ROUNDS = 5


class Muon(torch.optim.Optimizer):
    """Steps matrices that have a gradient. Raises ValueError for anything but matrices."""

    def __init__(
        self, params: Iterable[Tensor], lr: float, weight_decay: float = 0.1, momentum: float = 0.95
    ):
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "momentum": momentum})
        for group in self.param_groups:
            if odd := [list(p.shape) for p in group["params"] if p.dim() != 2]:
                raise ValueError(f"Muon: expected matrices, got a parameter of shape {odd[0]}")

    @torch.no_grad()
    # nobody needs a closure
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            shapes: dict[torch.Size, list[Tensor]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for parameters in shapes.values():
                self._step(parameters, group["lr"], group["weight_decay"], group["momentum"])

    def _step(self, parameters: list[Tensor], rate: float, decay: float, momentum: float) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        for parameter in parameters:
            if not self.state[parameter]:
                self.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        averages = [self.state[p]["momentum_buffer"] for p in parameters]
        torch._foreach_lerp_(averages, gradients, 1 - momentum)
        ahead = _foreach_lerp(gradients, averages, momentum)
        steps = orthogonal(torch.stack(ahead))
        size = 0.2 * max(steps.shape[1:]) ** 0.5  # so that a step is as large as one of AdamW
        torch._foreach_mul_(parameters, 1 - rate * decay)
        torch._foreach_add_(parameters, list(steps.to(parameters[0].dtype)), alpha=-rate * size)


def orthogonal(matrices: Tensor) -> Tensor:
    """Approximately the nearest orthogonal matrices, by Newton-Schulz iterations.

    [N, rows, columns] -> bfloat16 of the same shape.
    """
    x = matrices.bfloat16()
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=1e-7)
    for _ in range(_ROUNDS):
        square = x @ x.mT
        x = _A * x + (_B * square + _C * square @ square) @ x
    return x.mT if tall else x
