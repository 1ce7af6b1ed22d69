# SPDX-License-Identifier: Apache-2.0
"""AdamW, or Muon for matrices, with a linear schedule and averaged weights, saved and resumed without pickle."""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from .muon import Muon

_INNER = (".layers.", ".blocks.", "merger")  # of the towers and of the reasoner's vision encoder
_MOMENTS = ("exp_avg", "exp_avg_sq", "momentum_buffer")  # what AdamW and Muon remember of a parameter


@dataclasses.dataclass(frozen=True, slots=True)
class OptimiserOptions:
    """steps, seconds: the training ends with whichever comes first. rate: of learning, after `warmup` steps, from where
    it falls to 0 in a straight line. average: width of the weights' running average as a share of the steps so far
    (Cosmos 3: 0.1; short trainings are spoilt by stale weights). muon: rate for the matrices of towers and vision
    encoder, which Muon then steps instead of AdamW; 0: AdamW for all.
    """

    steps: int = 10_000
    seconds: float = float("inf")
    batch: int = 64
    rate: float = 1e-3
    warmup: int = 100
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.05
    clip: float = 1.0
    muon: float = 0.0
    average: float = 0.05


def average_exponent(width: float) -> float:
    """Exponent g of the running average beta = (1 - 1 / (step + 1)) ** (g + 1) whose width is a share of the steps."""
    inverse = width**-2
    return float(max(root.real for root in np.roots([1, 7, 16 - inverse, 12 - inverse]) if abs(root.imag) < 1e-9))


class Optimiser:
    """Steps parameters by name and keeps their running average. Gradients are left by the caller's backward()."""

    def __init__(self, modules: dict[str, nn.Module], options: OptimiserOptions):
        self.options, self.step_number, self._before = options, 0, 0.0
        self._began = time.monotonic()
        self.named = {
            f"{prefix}.{name}": parameter
            for prefix, module in modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        parameters = list(self.named.values())
        inner = {name for name in self.named if any(part in name for part in _INNER)}
        matrices = {name for name in inner if options.muon and self.named[name].dim() == 2}
        others, decay = [p for name, p in self.named.items() if name not in matrices], options.weight_decay
        adam = torch.optim.AdamW(others, options.rate, options.betas, weight_decay=decay, fused=parameters[0].is_cuda)
        self._steppers: list[tuple[torch.optim.Optimizer, float]] = [(adam, options.rate)]
        if matrices:
            muon = Muon([p for name, p in self.named.items() if name in matrices], options.muon, decay)
            self._steppers.append((muon, options.muon))
        self._average = [parameter.detach().clone() for parameter in parameters]
        self._exponent = average_exponent(options.average)

    @property
    def progress(self) -> float:
        """0 at the beginning to 1 at the end."""
        spent = self._before + time.monotonic() - self._began
        return min(1.0, max(self.step_number / self.options.steps, spent / self.options.seconds))

    @property
    def share(self) -> float:
        """Of the learning rates, in the next step."""
        rise = min(1.0, (self.step_number + 1) / max(1, self.options.warmup))
        return rise * max(0.0, 1.0 - self.progress)

    def step(self) -> Tensor:
        """Apply the gradients; returns their norm."""
        parameters = list(self.named.values())
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
        return norm

    def averaged(self) -> dict[str, Tensor]:
        """The running averages by parameter name."""
        return dict(zip(self.named, self._average, strict=True))

    def _stepper(self, parameter: nn.Parameter) -> torch.optim.Optimizer:
        steppers = [stepper for stepper, _ in self._steppers]
        return next(s for s in steppers if any(p is parameter for group in s.param_groups for p in group["params"]))

    def save(self, file: Path) -> None:
        """Everything that is needed to go on, in one step so that nobody sees half a file."""
        tensors: dict[str, Tensor] = {}
        for (name, parameter), average in zip(self.named.items(), self._average, strict=True):
            tensors |= {f"weight/{name}": parameter, f"average/{name}": average}
            state = self._stepper(parameter).state[parameter]  # empty if no gradient ever came here
            tensors |= {f"{key}/{name}": state[key] for key in _MOMENTS if key in state}
        tensors["random/cpu"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["random/cuda"] = torch.cuda.get_rng_state()
        spent = self._before + time.monotonic() - self._began
        draft = file.with_suffix(".draft")
        content = {name: tensor.detach().contiguous() for name, tensor in tensors.items()}
        save_file(content, draft, metadata={"step": str(self.step_number), "seconds": str(spent)})
        draft.replace(file)

    def resume(self, file: Path) -> None:
        """Go on from a file of `save`. Raises ValueError if it belongs to other parameters."""
        with safe_open(file, framework="pt") as content:
            saved = {name.removeprefix("weight/") for name in content.keys() if name.startswith("weight/")}  # noqa: SIM118
            if saved != set(self.named):
                odd = sorted(saved ^ set(self.named))
                raise ValueError(f"{file}: belongs to another training; {odd[0]} and {len(odd) - 1} more differ")
            with torch.no_grad():
                for (name, parameter), average in zip(self.named.items(), self._average, strict=True):
                    parameter.copy_(content.get_tensor(f"weight/{name}"))
                    average.copy_(content.get_tensor(f"average/{name}"))
                    known = [key for key in _MOMENTS if f"{key}/{name}" in content.keys()]  # noqa: SIM118
                    if not known:
                        continue
                    state = {key: content.get_tensor(f"{key}/{name}").to(parameter) for key in known}
                    number = float(content.metadata()["step"])
                    step = torch.tensor(number, device=parameter.device if parameter.is_cuda else "cpu")
                    self._stepper(parameter).state[parameter] = {"step": step, **state}
            self.step_number, self._before = int(content.metadata()["step"]), float(content.metadata()["seconds"])
            torch.set_rng_state(content.get_tensor("random/cpu"))
            if torch.cuda.is_available() and "random/cuda" in content.keys():  # noqa: SIM118
                torch.cuda.set_rng_state(content.get_tensor("random/cuda"))
