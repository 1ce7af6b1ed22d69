# SPDX-License-Identifier: Apache-2.0
"""AdamW, or Muon for matrices, with a linear schedule and a running average of the weights.

Saved and resumed without pickle.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ..options import OptimizerOptions
from .muon import Muon
from .process_group import TrainingGroup

_INNER = (".layers.", ".blocks.", "merger")  # of the towers and of the reasoner's vision encoder
# what AdamW and Muon remember of a parameter
_MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")


def average_exponent(width: float) -> float:
    """Exponent g of EDM2's power-function EMA (arXiv 2312.02696) with this width.

    beta = (1 - 1 / (step + 1)) ** (g + 1); width: standard deviation of the average's weights, as a
    share of the steps.
    """
    inverse = width**-2
    return float(
        max(
            root.real
            for root in np.roots([1, 7, 16 - inverse, 12 - inverse])
            if abs(root.imag) < 1e-9
        )
    )


class Optimizer:
    """Steps parameters by name and keeps their running average.

    Gradients are left by the caller's backward().

    group: all its processes step together, by the mean of their gradients. spent: seconds, by the
    first one's clock.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        options: OptimizerOptions,
        group: TrainingGroup | None = None,
    ):
        self.options, self.group, self.step_number, self.spent = (
            options,
            group or TrainingGroup(),
            0,
            0.0,
        )
        self._since = time.monotonic()
        self.named = {
            f"{prefix}.{name}": parameter
            for prefix, module in modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        parameters = list(self.named.values())
        self._sharded = any(isinstance(parameter, DTensor) for parameter in parameters)
        inner = {name for name in self.named if any(part in name for part in _INNER)}
        matrices = {name for name in inner if options.muon and self.named[name].dim() == 2}
        others, decay = (
            [p for name, p in self.named.items() if name not in matrices],
            options.weight_decay,
        )
        adam = torch.optim.AdamW(
            others, options.rate, options.betas, weight_decay=decay, fused=parameters[0].is_cuda
        )
        self._steppers: list[tuple[torch.optim.Optimizer, float]] = [(adam, options.rate)]
        if matrices:
            muon = Muon(
                [p for name, p in self.named.items() if name in matrices], options.muon, decay
            )
            self._steppers.append((muon, options.muon))
        self._average = [parameter.detach().clone() for parameter in parameters]
        self._exponent = average_exponent(options.average)

    @property
    def progress(self) -> float:
        """0 at the beginning to 1 at the end."""
        return min(
            1.0, max(self.step_number / self.options.steps, self.spent / self.options.seconds)
        )

    @property
    def share(self) -> float:
        """Factor of the learning rates in the next step."""
        rise = min(1.0, (self.step_number + 1) / max(1, self.options.warmup))
        return rise * max(0.0, 1.0 - self.progress)

    def step(self) -> Tensor:
        """Apply the gradients; returns their norm."""
        parameters = list(self.named.values())
        if not self._sharded:  # else FSDP has done so
            self.group.average(
                [parameter.grad for parameter in parameters if parameter.grad is not None]
            )
        norm = nn.utils.clip_grad_norm_(parameters, self.options.clip)
        share = self.share
        for stepper, rate in self._steppers:
            for group in stepper.param_groups:
                group["lr"] = rate * share
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        self.step_number += 1
        beta = (1 - 1 / (self.step_number + 1)) ** (self._exponent + 1)
        torch._foreach_lerp_(self._average, [p.detach() for p in parameters], 1 - beta)
        now = time.monotonic()
        self.spent, self._since = self.group.agree(self.spent + now - self._since), now
        return norm.full_tensor() if isinstance(norm, DTensor) else norm

    def averaged(self) -> dict[str, Tensor]:
        """The running averages by parameter name."""
        return dict(zip(self.named, self._average, strict=True))

    def _stepper(self, parameter: nn.Parameter) -> torch.optim.Optimizer:
        steppers = [stepper for stepper, _ in self._steppers]
        return next(
            s
            for s in steppers
            if any(p is parameter for group in s.param_groups for p in group["params"])
        )

    def save(self, file: Path) -> None:
        """Write everything needed to resume, in one step so that nobody sees half a file.

        The first process writes `file`: all tensors, or its shards. Every other process writes its
        shards and its random state beside it.
        """
        tensors: dict[str, Tensor] = {}
        for (name, parameter), average in zip(self.named.items(), self._average, strict=True):
            tensors |= {f"weight/{name}": parameter, f"average/{name}": average}
            state = self._stepper(parameter).state[parameter]  # empty if no gradient ever came here
            tensors |= {f"{key}/{name}": state[key] for key in _MOMENTS if key in state}
        kept = {
            name: _local(tensor).contiguous()
            for name, tensor in tensors.items()
            if self._sharded or self.group.leads
        }
        kept["random/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            kept["random/cuda"] = torch.cuda.get_rng_state()
        numbers = {"step": self.step_number, "seconds": self.spent, "parts": self._parts}
        path = self._path(file, self.group.rank)
        save_file(
            kept,
            path.with_suffix(".draft"),
            metadata={name: str(value) for name, value in numbers.items()},
        )
        self.group.wait()
        path.with_suffix(".draft").replace(path)

    def resume(self, file: Path) -> None:
        """Go on from a file of `save`.

        Raises ValueError if it belongs to other parameters or other shards.
        """
        own = self._path(file, self.group.rank)
        with safe_open(own if self._sharded else file, framework="pt") as content:
            about = content.metadata()
            parts, step = int(about.get("parts", 1)), int(about["step"])
            if parts != self._parts:
                raise ValueError(
                    f"{file}: of a training in {parts} shard(s), expected {self._parts} as now"
                )
            if step != self.group.agree(step):
                raise ValueError(f"{own}: of step {step}, that of the first process is of another")
            self._take(file, content, step)
        self.step_number, self.spent = step, self.group.agree(float(about["seconds"]))
        if own.exists():  # else there are more processes now, and the random state is a new one
            with safe_open(own, framework="pt") as content:
                torch.set_rng_state(content.get_tensor("random/cpu"))
                if torch.cuda.is_available() and "random/cuda" in content.keys():  # noqa: SIM118
                    torch.cuda.set_rng_state(content.get_tensor("random/cuda"))

    def _take(self, file: Path, content: Any, step: int) -> None:
        keys = set(content.keys())
        saved = {name.removeprefix("weight/") for name in keys if name.startswith("weight/")}
        if saved != set(self.named):
            odd = sorted(saved ^ set(self.named))
            raise ValueError(
                f"{file}: belongs to another training; {odd[0]} and {len(odd) - 1} more differ"
            )
        for (name, parameter), average in zip(self.named.items(), self._average, strict=True):
            _local(parameter).copy_(content.get_tensor(f"weight/{name}"))
            _local(average).copy_(content.get_tensor(f"average/{name}"))
            state = {
                key: torch.zeros_like(parameter) for key in _MOMENTS if f"{key}/{name}" in keys
            }
            for key, moment in state.items():
                _local(moment).copy_(content.get_tensor(f"{key}/{name}"))
            if state:
                count = torch.tensor(
                    float(step), device=parameter.device if parameter.is_cuda else "cpu"
                )
                self._stepper(parameter).state[parameter] = {"step": count, **state}

    @property
    def _parts(self) -> int:
        """Into how many shards every tensor is cut."""
        return self.group.size if self._sharded else 1

    @staticmethod
    def _path(file: Path, rank: int) -> Path:
        return file.with_stem(f"{file.stem}-{rank}") if rank else file


def _local(tensor: Tensor) -> Tensor:
    """The local shard of a DTensor (any other tensor as it is), detached."""
    return (tensor.to_local() if isinstance(tensor, DTensor) else tensor).detach()
