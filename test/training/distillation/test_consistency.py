# SPDX-License-Identifier: Apache-2.0
"""Distillation on paths that are known in closed form."""

import dataclasses

import pytest
import torch

from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.distillation.consistency import (
    Lesson,
    Parts,
    Segments,
    distillation_losses,
    draw_segments,
    guided,
    noised,
    roll_out,
    teacher_levels,
    wanted_velocity,
)

OPTIONS = DistillOptions(substeps=256, ahead=256)
NOBODY = torch.zeros(64, dtype=torch.bool)
SPREAD = 0.5  # of clean samples, all independent


def path(sample, level, to):
    """Where the probability flow of Gaussian data leads: samples keep their quantile."""
    now, then = (torch.sqrt(s**2 + ((1 - s) * SPREAD) ** 2) for s in (level, to))
    return Parts(
        sample.latents * (then / now).view(-1, 1, 1, 1, 1),
        sample.rows * (then / now).view(-1, 1, 1),
    )


def flow(sample, level):
    """Its velocity: E[noise - clean | sample]."""
    gain = (level - (1 - level) * SPREAD**2) / (level**2 + ((1 - level) * SPREAD) ** 2)
    return Parts(sample.latents * gain.view(-1, 1, 1, 1, 1), sample.rows * gain.view(-1, 1, 1))


def jump(sample, level):
    """A student that knows the path: straight to where its segment ends."""
    levels = torch.tensor([*OPTIONS.levels, 0.0])
    end = levels[(levels[:-1, None] >= level - 1e-6).sum(0)]
    there, way = path(sample, level, end), (level - end).clamp(min=1e-6)
    return Parts(
        (sample.latents - there.latents) / way.view(-1, 1, 1, 1, 1),
        (sample.rows - there.rows) / way.view(-1, 1, 1),
    )


@pytest.fixture
def sample():
    torch.manual_seed(0)
    return Parts(torch.randn(64, 2, 3, 2, 2), torch.randn(64, 4, 3))


def test_the_teachers_steps_are_those_of_the_shifted_schedule():
    from cosmos3_ros.model.diffusion.sampler import flow_schedule

    grid = teacher_levels(DistillOptions(substeps=4))
    every = torch.cat([grid[:, :-1].flatten(), grid[-1, -1:]])
    assert torch.allclose(every, torch.tensor(flow_schedule(16, 5.0).sigmas), atol=2e-3)
    assert grid[:, 0].tolist() == pytest.approx(list(DistillOptions().levels), abs=1e-5)
    assert (grid[:, :-1] > grid[:, 1:]).all()
    assert teacher_levels(DistillOptions(levels=(1.0,), substeps=2)).shape == (1, 3)


def test_the_teacher_leads_to_the_end_of_the_segment(sample):
    segments = draw_segments(NOBODY, OPTIONS, first=True)
    assert set(segments.number.tolist()) == {0, 1, 2, 3}
    found = wanted_velocity(sample, segments, flow, flow, OPTIONS)
    exact = jump(sample, segments.level())
    assert torch.allclose(found.latents, exact.latents, atol=0.03)
    assert torch.allclose(found.rows, exact.rows, atol=0.03)


@pytest.mark.parametrize("ahead", [1, 64])
def test_a_student_that_knows_the_way_agrees_with_itself(sample, ahead):
    """The fixed point of consistency: no matter how far the teacher goes ahead."""
    options = dataclasses.replace(OPTIONS, ahead=ahead)
    segments = draw_segments(NOBODY, options, first=False)
    assert segments.place.max() > 200
    found = wanted_velocity(sample, segments, jump, flow, options)
    exact = jump(sample, segments.level())
    assert torch.allclose(found.latents, exact.latents, atol=0.05)
    wrong = wanted_velocity(sample, segments, lambda s, _: Parts(s.latents, s.rows), flow, options)
    assert not torch.allclose(wrong.latents, exact.latents, atol=0.3)


def test_a_students_own_path_ends_where_its_segment_begins(sample):
    segments = draw_segments(NOBODY, OPTIONS, first=True)
    found = roll_out(sample, jump, segments, OPTIONS)
    exact = path(sample, torch.ones(64), segments.level())
    assert torch.allclose(found.latents, exact.latents, atol=1e-5)
    assert torch.allclose(found.rows, exact.rows, atol=1e-5)


def test_samples_of_which_nothing_is_known_are_all_noise():
    blank = torch.arange(64) < 32
    segments = draw_segments(blank, dataclasses.replace(OPTIONS, ahead=1), first=False)
    assert (segments.level()[blank] == 1).all()
    assert segments.level()[~blank].min() < 0.3


def test_guidance_and_what_is_known():
    level = torch.full((2,), 0.5)
    sample = Parts(torch.ones(2, 1, 1, 1, 1), torch.ones(2, 1, 1))
    one, other = (lambda s, _, k=k: Parts(k * s.latents, k * s.rows) for k in (3.0, 1.0))
    assert guided(one, other, 1.0) is one
    said = guided(one, other, 2.5)(sample, level)
    assert said.latents.flatten().tolist() == [6.0, 6.0]  # 1 + 2.5 * (3 - 1)
    assert said.rows.flatten().tolist() == [6.0, 6.0]
    noise = Parts(torch.zeros(2, 1, 1, 1, 1), torch.zeros(2, 1, 1))
    mask = Parts(
        torch.tensor([1.0, 0.0]).view(2, 1, 1, 1, 1), torch.tensor([0.0, 1.0]).view(2, 1, 1)
    )
    found = noised(sample, noise, mask, level)
    assert found.latents.flatten().tolist() == [0.5, 1.0]
    assert found.rows.flatten().tolist() == [1.0, 0.5]


@pytest.mark.parametrize("rolled", [False, True])
def test_the_loss_is_nothing_for_who_knows_the_way_and_has_gradients_for_others(rolled):
    torch.manual_seed(1)
    clean = Parts(SPREAD * torch.randn(64, 2, 3, 2, 2), SPREAD * torch.randn(64, 4, 3))
    ones = Parts(torch.ones(64, 1, 3, 1, 1), torch.ones(64, 4, 3))
    losses = distillation_losses(Lesson(clean, ones, NOBODY, jump, flow), OPTIONS, rolled)
    assert losses["vision"] < 1e-3
    assert losses["action"] < 1e-3
    gain = torch.zeros((), requires_grad=True)

    def learner(sample, level):
        return Parts(gain * sample.latents, gain * sample.rows)

    worse = distillation_losses(Lesson(clean, ones, NOBODY, learner, flow), OPTIONS, rolled)
    assert worse["vision"] > 0.05
    worse["action"].backward()
    assert gain.grad.abs() > 0.01


def test_segments_end_where_the_next_begins():
    grid = teacher_levels(OPTIONS)
    segments = Segments(grid, torch.tensor([0, 1, 3]), torch.tensor([0, 255, 256]))
    assert torch.equal(segments.level(1)[1], grid[2, 0])
    assert segments.level(5)[2] == 0
    assert torch.equal(segments.end, grid[[0, 1, 3], -1])
