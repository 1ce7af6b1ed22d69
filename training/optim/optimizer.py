# SPDX-License-Identifier: Apache-2.0
"""AdamW, or Muon for matrices, with a linear schedule and a running average of the weights.

Nothing that is not finite is applied or saved. Saved and resumed without pickle.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors import safe_open
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from ...model.checkpoint_io.atomic_files import put, sync, write_safetensors
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

    A training is rounds of `begin_round`, the caller's backward(), and `step`, until `ended`.
    Between its steps it is saved only if the gradient by the weights to be saved is finite.

    group: all its processes step together, by the mean of their gradients. spent: seconds, by the
    first one's clock; skipped: rounds whose gradient was not finite.
    """

    def __init__(
        self,
        modules: dict[str, nn.Module],
        options: OptimizerOptions,
        group: TrainingGroup | None = None,
    ):
        self.options, self.group = options, group or TrainingGroup()
        self.step_number, self.spent, self.skipped = 0, 0.0, 0
        self._skipped_in_row = 0
        self._since = time.monotonic()
        self._save: Callable[[], None] | None = None
        self._every, self._saved, self._due = math.inf, 0.0, False
        self._random: dict[str, Tensor] = {}  # at the beginning of a round; empty: as it is
        self._resumed: dict[str, Tensor] = {}  # that the next round begins with
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
    def ended(self) -> bool:
        """Whether there are no more rounds: time is up, and the last gradient was finite."""
        return self.progress >= 1 and not self._skipped_in_row

    @property
    def share(self) -> float:
        """Factor of the learning rates in the next step."""
        rise = min(1.0, (self.step_number + 1) / max(1, self.options.warmup))
        return rise * max(0.0, 1.0 - self.progress)

    def save_by(self, save: Callable[[], None], every: float) -> None:
        """Have `save` called every so many seconds, and at the end."""
        self._save, self._every, self._saved = save, every, self.spent

    def begin_round(self) -> None:
        """Before anything random is drawn: a training that is resumed draws the same."""
        _set_random(self._resumed)
        self._resumed = {}
        self._due = self.spent - self._saved > self._every
        self._random = _get_random() if self._due else {}

    def step(self) -> Tensor:
        """Apply the gradients; returns their norm.

        A gradient that is not finite is dropped. ValueError after `options.skip` of them in a row.
        """
        parameters = list(self.named.values())
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        if not self._sharded:  # else FSDP has done so
            self.group.average(gradients)
        total = nn.utils.get_total_norm(gradients)
        norm = total.full_tensor() if isinstance(total, DTensor) else total
        if not bool(torch.isfinite(norm)):
            self._skip()
            return norm
        self._skipped_in_row = 0
        if self._due:
            self._call_save()
        nn.utils.clip_grads_with_norm_(parameters, self.options.clip, total)
        self._apply(parameters)
        if self.ended:
            self._call_save()
        return norm

    def _call_save(self) -> None:
        if self._save is not None:
            self._save()
        self._saved, self._due, self._random = self.spent, False, {}

    def is_told(self, every: int) -> bool:
        """Whether a line of the log is due after `step`."""
        return self.step_number % every == 0 or self.ended

    def oddities(self) -> dict[str, int]:
        """For the log: how many gradients were not finite, if any."""
        return {"skipped": self.skipped} if self.skipped else {}

    def _skip(self) -> None:
        self.skipped += 1
        self._skipped_in_row += 1
        self._drop_gradients()
        self._look_at_clock()
        if self._skipped_in_row > self.options.skip:
            part = next(iter(self.named)).partition(".")[0]
            raise ValueError(
                f"{part}: gradient not finite {self._skipped_in_row} times in a row after step "
                f"{self.step_number}: none of it was applied, what was saved before stays; a "
                "smaller rate or a longer warmup may help"
            )

    def _drop_gradients(self) -> None:
        for stepper, _ in self._steppers:
            stepper.zero_grad(set_to_none=True)

    def _apply(self, parameters: list[nn.Parameter]) -> None:
        share = self.share
        for stepper, rate in self._steppers:
            for group in stepper.param_groups:
                group["lr"] = rate * share
            stepper.step()
            stepper.zero_grad(set_to_none=True)
        self.step_number += 1
        beta = (1 - 1 / (self.step_number + 1)) ** (self._exponent + 1)
        torch._foreach_lerp_(self._average, [p.detach() for p in parameters], 1 - beta)
        self._look_at_clock()

    def _look_at_clock(self) -> None:
        now = time.monotonic()
        self.spent, self._since = self.group.agree(self.spent + now - self._since), now

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
        """Write everything needed to resume; whenever it is stopped, the last state is there.

        The first process writes `file`: all tensors, or its shards. Every other process writes its
        shards and its random state beside it. ValueError names a tensor that is not finite.
        """
        kept, late = {}, {}
        for name, tensor, state in self._tensors():
            kept[name] = _local(tensor).contiguous()
            if state is not None and "step" in state and int(state["step"]) != self.step_number:
                late[name.partition("/")[2]] = int(state["step"])
        odd = [name for name, tensor in kept.items() if not bool(torch.isfinite(tensor).all())]
        if self.group.any(bool(odd)):
            where = f"{odd[0]} and {len(odd) - 1} more" if odd else "those of another process"
            raise ValueError(f"{file}: not saved, weights are not finite: {where}")
        random = self._random or self._resumed or _get_random()
        kept |= {f"random/{name}": state for name, state in random.items()}
        numbers: dict[str, Any] = {"step": self.step_number, "seconds": self.spent}
        numbers["parts"] = self._parts
        numbers |= {"late": json.dumps(late)} if late else {}
        path = self._path(file, self.group.rank)
        draft = _draft(path)
        shutil.rmtree(draft.parent, ignore_errors=True)
        draft.parent.mkdir()
        write_safetensors(draft, kept, {name: str(value) for name, value in numbers.items()})
        sync(draft)
        self.group.wait()  # all drafts are complete: from now on the new state counts
        if self.group.leads:
            put(draft, path)
        self.group.wait()
        if not self.group.leads:
            put(draft, path)
        draft.parent.rmdir()

    def _tensors(self) -> Iterator[tuple[str, Tensor, dict[str, Any] | None]]:
        """Names and tensors of what this process saves; with weights the state of their stepper."""
        if not (self._sharded or self.group.leads):
            return
        for (name, parameter), average in zip(self.named.items(), self._average, strict=True):
            state = self._stepper(parameter).state[parameter]  # empty if no gradient ever came here
            yield f"weight/{name}", parameter, state
            yield f"average/{name}", average, None
            yield from ((f"{key}/{name}", state[key], None) for key in _MOMENTS if key in state)

    def resume(self, file: Path) -> None:
        """Go on from a file of `save`.

        Raises ValueError if it belongs to other parameters or other shards.
        """
        step = int(self.group.agree(_step_of(file) or 0))
        own = self._path(file, self.group.rank)
        if _step_of(own) != step and _step_of(_draft(own)) == step:
            put(_draft(own), own)  # stopped when the first process had its new state in place
        with _opened(own if self._sharded else file) as content:
            about = content.metadata()
            parts = int(about.get("parts", 1))
            if parts != self._parts:
                raise ValueError(
                    f"{file}: of a training in {parts} shard(s), expected {self._parts} as now"
                )
            if step != int(about["step"]):
                raise ValueError(
                    f"{own}: of step {about['step']}, that of the first process is of {step}"
                )
            self._take(file, content, step, json.loads(about.get("late", "{}")))
        self.step_number, self.spent = step, self.group.agree(float(about["seconds"]))
        self._saved = self.spent
        if own.exists():  # else there are more processes now, and the random state is a new one
            with _opened(own) as content:
                self._resumed = {
                    name.removeprefix("random/"): content.get_tensor(name)
                    for name in content.keys()  # noqa: SIM118
                    if name.startswith("random/")
                }

    def _take(self, file: Path, content: Any, step: int, late: dict[str, int]) -> None:
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
            if "momentum_buffer" in state:
                self._stepper(parameter).state[parameter] = {**state}
            elif state:
                count = torch.tensor(
                    float(late.get(name, step)),
                    device=parameter.device if parameter.is_cuda else "cpu",
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


def _draft(path: Path) -> Path:
    """Where the next state is written; in a folder, for the files that safetensors makes beside."""
    return path.with_name(f".{path.name}.draft") / path.name


def _step_of(path: Path) -> int | None:
    """The step that a state file is of; None if there is none."""
    if not path.exists():
        return None
    with _opened(path) as content:
        return int(content.metadata()["step"])


def _opened(path: Path) -> Any:
    try:
        return safe_open(path, framework="pt")
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not readable as a saved training ({error})") from None


def _get_random() -> dict[str, Tensor]:
    found = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def _set_random(states: dict[str, Tensor]) -> None:
    if "cpu" in states:
        torch.set_rng_state(states["cpu"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])
