# SPDX-License-Identifier: Apache-2.0
"""What the network says in a denoising step, by branch of guidance: of video and rows, or of rows.

A full step computes the video's tokens and the action rows; a step of the rows alone computes only
those, beside the keys and values that the last full step kept of the text and the video.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ..network.kv_cache import Pair, Prompts
from ..network.layers import Rope
from ..network.transformer import Transformer
from ..runtime.process_group import InferenceGroup
from .conditioning import DenoiserInput
from .guidance import Guidance
from .sampler import Schedule


@dataclasses.dataclass(frozen=True, slots=True)
class Step:
    """One denoising step: what of the sample moves, and which branches of guidance are needed."""

    time: float  # of the network, 0..1000
    full: bool  # the video moves too
    keep: bool  # the next step is one of the rows alone
    guided: bool
    both: bool  # some step up to the next full one is guided, so that both branches are kept


def plan_steps(
    schedule: Schedule, guidance: Guidance, full_steps: Sequence[int] = ()
) -> list[Step]:
    """The steps of a schedule; full_steps: those that compute the video too, () for all."""
    times = schedule.times
    full = [not full_steps or step in full_steps for step in range(len(times))]
    steps: list[Step] = []
    for number, time in enumerate(times):
        first = max(step for step in range(number + 1) if full[step])
        after = next((step for step in range(number + 1, len(times)) if full[step]), len(times))
        steps.append(
            Step(
                time,
                full[number],
                full[number] and number + 1 < after,
                guidance.applies(time),
                any(guidance.applies(each) for each in times[first:after]),
            )
        )
    return steps


Parts = tuple[Tensor | None, Tensor | None]  # of latents and of actions


class Velocities:
    """The network on the prompts of both branches, for samples of the shape of `inputs`.

    prompts: of the conditional and of the unconditional branch, one for each sample of the batch;
    batched: both in one pass; group: processes of which each computes one branch, if they do.
    """

    def __init__(
        self,
        transformer: Transformer,
        inputs: DenoiserInput,
        prompts: tuple[Prompts, Prompts],
        rope: Callable[[DenoiserInput, Prompts], Rope],
        batched: bool,
        group: InferenceGroup | None = None,
    ):
        self._transformer, self._inputs, self._prompts = transformer, inputs, prompts
        self._rope, self._batched = rope, batched
        self._group = group if group and group.branch is not None else None
        self._kept: dict[int, list[list[Pair]]] = {}  # of each branch, by layer and prompt

    def __call__(self, latents: Tensor, actions: Tensor | None, step: Step) -> list[Parts]:
        """Velocities of latents and actions for the conditional and, if guided, the other branch.

        Those of latents are None in a step of the rows alone, those of actions if there are none.
        """
        if self._group and step.both:
            return self._exchanged(self._group, latents, actions, step)[: 1 + step.guided]
        both = step.guided or (step.keep and step.both)
        passes = [(0, 1)] if both and self._batched else [(0,), (1,)] if both else [(0,)]
        found = [one for branches in passes for one in self._pass(branches, latents, actions, step)]
        return found[: 1 + step.guided]

    def _exchanged(
        self, group: InferenceGroup, latents: Tensor, actions: Tensor | None, step: Step
    ) -> list[Parts]:
        """One branch is computed here, the other one has the other process."""
        assert group.branch is not None  # see above
        (mine,) = self._pass((group.branch,), latents, actions, step)
        parts = [part for part in mine if part is not None]
        found: list[Parts] = []
        for said in group.exchange(torch.cat([part.flatten() for part in parts])[None]):
            pieces = iter(said.split([part.numel() for part in parts]))
            vision, action = (None if one is None else next(pieces).view_as(one) for one in mine)
            found.append((vision, action))
        return found

    def _pass(
        self, branches: tuple[int, ...], latents: Tensor, actions: Tensor | None, step: Step
    ) -> list[Parts]:
        """One pass of the network for some branches; what each of them says."""
        rows = tuple(row for branch in branches for row in self._prompts[branch].rows)
        size, count = len(rows) // len(branches), len(branches)
        latents = _repeated(latents, count)
        actions = None if actions is None else _repeated(actions, count)
        vision = None
        if step.full:
            vision, action = self._full(branches, Prompts(rows), latents, actions, step)
        else:
            assert actions is not None  # there are no steps of rows alone without rows
            action = self._rows(branches, Prompts(rows), actions, step)
        visions = [None] * count if vision is None else list(vision.split(size))
        found = [None] * count if action is None else list(action.split(size))
        return list(zip(visions, found, strict=True))

    def _full(
        self,
        branches: tuple[int, ...],
        prompts: Prompts,
        latents: Tensor,
        actions: Tensor | None,
        step: Step,
    ) -> tuple[Tensor, Tensor | None]:
        inputs, count = self._inputs, len(prompts.rows)
        kept: list[list[Pair]] | None = [] if step.keep else None
        found = self._transformer.velocity(
            latents,
            torch.full((count,), step.time, device=latents.device),
            prompts,
            self._rope(inputs, prompts),
            ~inputs.clean_frames,
            actions,
            None if inputs.clean_rows is None else ~inputs.clean_rows,
            torch.full((count,), inputs.domain, device=latents.device),
            hide_rows=inputs.hide_rows,
            kept=kept,
        )
        size = count // len(branches)
        for place, branch in enumerate(branches):
            here = slice(place * size, (place + 1) * size)
            self._kept[branch] = [pairs[here] for pairs in kept or ()]
        return found

    def _rows(
        self, branches: tuple[int, ...], prompts: Prompts, actions: Tensor, step: Step
    ) -> Tensor:
        inputs, count = self._inputs, len(prompts.rows)
        assert inputs.clean_rows is not None  # there are rows
        layers = zip(*(self._kept[branch] for branch in branches), strict=True)
        kept = [[pair for branch in layer for pair in branch] for layer in layers]
        cosines, sines = self._rope(inputs, prompts)
        last = actions.shape[1]
        return self._transformer.row_velocity(
            actions,
            torch.full((count,), step.time, device=actions.device),
            # once for all layers
            (cosines[:, -last:].contiguous(), sines[:, -last:].contiguous()),
            ~inputs.clean_rows,
            torch.full((count,), inputs.domain, device=actions.device),
            kept,
        )


def _repeated(samples: Tensor, count: int) -> Tensor:
    """The batch `count` times; one sample is not copied."""
    if len(samples) == 1:
        return samples.expand(count, *samples.shape[1:])
    return samples if count == 1 else samples.repeat(count, *[1] * (samples.dim() - 1))
