# SPDX-License-Identifier: Apache-2.0
"""Multistep consistency distillation (arXiv 2403.06807) along the teacher's guided path.

The student's noise levels cut the path into segments, and in each its velocity leads to the
segment's end in one step. The teacher goes part of the way there (or all of it, which is
progressive distillation, arXiv 2202.00512), the student's own guess the rest. Guidance is the
teacher's (arXiv 2210.03142): the student has it inside.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from ..distill_options import DistillOptions


@dataclasses.dataclass(frozen=True, slots=True)
class Parts:
    """Samples, velocities or masks: latents [B, C, F, h, w], and action rows [B, R, width]."""

    latents: Tensor
    rows: Tensor | None = None

    def moved(self, velocity: Parts, by: Tensor) -> Parts:
        """Each sample `by` [B] further along its velocity."""
        rows = self.rows
        if rows is not None and velocity.rows is not None:
            rows = rows + by.view(-1, 1, 1) * velocity.rows
        return Parts(self.latents + by.view(-1, 1, 1, 1, 1) * velocity.latents, rows)


# samples and their noise levels [B], 0..1 -> velocities, zero where nothing is noisy
Velocity = Callable[[Parts, Tensor], Parts]


def guided(conditional: Velocity, unconditional: Velocity, scale: float) -> Velocity:
    """Classifier-free guidance of two velocities; the first alone for scale 1."""
    if scale == 1:
        return conditional

    def velocity(sample: Parts, level: Tensor) -> Parts:
        wanted, other = conditional(sample, level), unconditional(sample, level)
        return other.moved(other, level.new_full(level.shape, -scale)).moved(
            wanted, level.new_full(level.shape, scale)
        )

    return velocity


@dataclasses.dataclass(frozen=True, slots=True)
class Segments:
    """Where in the student's segments the samples of a batch are."""

    grid: Tensor  # float32 [segments, substeps + 1]: noise levels of the teacher's steps
    number: Tensor  # int64 [B]: the segment
    place: Tensor  # int64 [B]: how many of its substeps lie behind

    def level(self, further: int = 0) -> Tensor:
        """The noise level of each sample so many substeps further, at most at the segment's end."""
        place = (self.place + further).clamp(max=self.grid.shape[1] - 1)
        return self.grid[self.number, place]

    @property
    def end(self) -> Tensor:
        """The noise levels where the segments end."""
        return self.grid[self.number, -1]


def teacher_levels(options: DistillOptions) -> Tensor:
    """float32 [segments, substeps + 1]: each segment cut evenly in time, before the shift."""
    levels = torch.tensor([*options.levels, 0.0], dtype=torch.float64)
    times = levels / (options.shift - (options.shift - 1) * levels)
    share = torch.linspace(0, 1, options.substeps + 1, dtype=torch.float64)
    between = times[:-1, None] + (times[1:] - times[:-1])[:, None] * share
    return (options.shift * between / (1 + (options.shift - 1) * between)).float()


def draw_segments(blank: Tensor, options: DistillOptions, first: bool) -> Segments:
    """Segments and places in them; blank bool [B]: nothing but noise is known, so all at level 1.

    first: all at the beginning of their segments.
    """
    device, count = blank.device, len(blank)
    number = torch.randint(len(options.levels), (count,), device=device)
    place = torch.randint(options.substeps, (count,), device=device)
    if first or options.ahead >= options.substeps:
        place = torch.zeros_like(place)
    number, place = (torch.where(blank, 0, drawn) for drawn in (number, place))
    return Segments(teacher_levels(options).to(device), number, place)


def noised(clean: Parts, noise: Parts, mask: Parts, level: Tensor) -> Parts:
    """Where the mask is 1, level * noise + (1 - level) * clean."""
    latents = _blend(clean.latents, noise.latents, level.view(-1, 1, 1, 1, 1) * mask.latents)
    if clean.rows is None or noise.rows is None or mask.rows is None:
        return Parts(latents)
    return Parts(latents, _blend(clean.rows, noise.rows, level.view(-1, 1, 1) * mask.rows))


@torch.no_grad()
def roll_out(start: Parts, student: Velocity, segments: Segments, options: DistillOptions) -> Parts:
    """The student's own samples at the beginnings of the segments, from noise at level 1."""
    sample, levels = start, options.levels
    for number in range(len(levels) - 1):
        level = torch.full_like(segments.end, levels[number])
        moving = (segments.number > number) * (levels[number] - levels[number + 1])
        sample = sample.moved(student(sample, level), -moving)
    return sample


@torch.no_grad()
def wanted_velocity(
    sample: Parts,
    segments: Segments,
    student: Velocity,
    teacher: Velocity,
    options: DistillOptions,
) -> Parts:
    """The velocity that leads from each sample straight to where its segment ends."""
    here = sample
    for number in range(min(options.ahead, options.substeps)):
        level = segments.level(number)
        here = here.moved(teacher(here, level), segments.level(number + 1) - level)
    if options.ahead < options.substeps:
        level = segments.level(options.ahead)
        here = here.moved(student(here, level), segments.end - level)
    way = segments.level() - segments.end
    rows = None
    if sample.rows is not None and here.rows is not None:
        rows = (sample.rows - here.rows) / way.view(-1, 1, 1)
    return Parts((sample.latents - here.latents) / way.view(-1, 1, 1, 1, 1), rows)


@dataclasses.dataclass(frozen=True, slots=True)
class Lesson:
    """A batch to distill on."""

    clean: Parts
    noisy: Parts  # 1 where it is noisy, else 0
    blank: Tensor  # bool [B]: of which nothing but what is not noisy is known
    student: Velocity
    teacher: Velocity  # guided


def distillation_losses(lesson: Lesson, options: DistillOptions, rolled: bool) -> dict[str, Tensor]:
    """Mean squared errors of the student's velocity: "vision", and "action" if there are rows.

    rolled: the samples are where the student's own steps lead, not recordings made noisy.
    """
    clean, noisy = lesson.clean, lesson.noisy
    noise = Parts(
        torch.randn_like(clean.latents),
        None if clean.rows is None else torch.randn_like(clean.rows),
    )
    segments = draw_segments(lesson.blank, options, rolled)
    if rolled:
        start = noised(clean, noise, noisy, torch.ones_like(segments.end))
        sample = roll_out(start, lesson.student, segments, options)
    else:
        sample = noised(clean, noise, noisy, segments.level())
    wanted = wanted_velocity(sample, segments, lesson.student, lesson.teacher, options)
    said = lesson.student(sample, segments.level())
    losses = {"vision": ((said.latents - wanted.latents) * noisy.latents).square().mean()}
    if said.rows is not None and wanted.rows is not None and noisy.rows is not None:
        losses["action"] = ((said.rows - wanted.rows) * noisy.rows).square().mean()
    return losses


def _blend(clean: Tensor, noise: Tensor, share: Tensor) -> Tensor:
    return share * noise + (1 - share) * clean
