# SPDX-License-Identifier: Apache-2.0
"""Noise schedules against the published tables, UniPC against diffusers."""

import numpy as np
import pytest
import torch
from diffusers import UniPCMultistepScheduler

from cosmos3_ros.model.diffusion.sampler import (
    Schedule,
    checkpoint_schedule,
    denoise,
    fixed_schedule,
    flow_schedule,
    karras_schedule,
)

TABLES = [
    (4, 5, [0.9997998, 0.9372655, 0.8330554, 0.6246874, 0], [999, 937, 833, 624]),
    (2, 5, [0.9997998, 0.8330554, 0], [999, 833]),
    (
        8,
        5,
        [0.9997998, 0.972006, 0.9372655, 0.8926018, 0.8330554, 0.7496998, 0.6246874, 0.4163888, 0],
        [999, 972, 937, 892, 833, 749, 624, 416],
    ),
    (4, 10, [0.9998999, 0.967617, 0.9089255, 0.7689939, 0], [999, 967, 908, 768]),
    (4, 3, [0.9996665, 0.8996398, 0.7496248, 0.4996666, 0], [999, 899, 749, 499]),
]


def speed(sample, time):
    return torch.sin(3 * sample) * (time / 1000) + 0.3 * sample**2 - 0.1


@pytest.mark.parametrize(("steps", "shift", "sigmas", "times"), TABLES)
def test_flow_schedule_equals_the_published_tables(steps, shift, sigmas, times):
    schedule = flow_schedule(steps, shift)
    np.testing.assert_allclose(schedule.sigmas, sigmas, atol=1.5e-7)
    assert list(schedule.times) == times


def test_karras_and_plain_flow_schedules_equal_the_published_tables():
    karras, flow = karras_schedule(4), flow_schedule(4, 5.0, native=False)
    np.testing.assert_allclose(karras.sigmas, [0.99502, 0.97363, 0.79860, 0.12816, 0], atol=5e-6)
    assert karras.times == (995, 973, 798, 128)
    np.testing.assert_allclose(flow.sigmas, [0.999999, 0.937578, 0.833611, 0.625936, 0], atol=5e-7)
    assert flow.times == (999, 937, 833, 625)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 10, 35])
@pytest.mark.parametrize("kind", ["native", "flow", "karras"])
def test_unipc_equals_diffusers(kind, steps, far):
    fields = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 5.0}
    if kind == "karras":
        fields |= {"use_karras_sigmas": True, "sigma_max": 200.0, "sigma_min": 0.147}
    theirs = UniPCMultistepScheduler(**fields)
    if kind == "native":
        theirs.set_timesteps(steps, sigmas=np.linspace(0.999, 0, steps + 1)[:-1])
    else:
        theirs.set_timesteps(steps)
    start = torch.randn(500, generator=torch.Generator().manual_seed(0))
    expected = start[None]
    for time in theirs.timesteps:
        expected = theirs.step(speed(expected, time.item()), time, expected, return_dict=False)[0]
    schedule = checkpoint_schedule(fields, steps, native=kind == "native")
    assert list(schedule.times) == theirs.timesteps.tolist()
    assert far(denoise(start, speed, schedule), expected[0]) < 5e-6


@pytest.mark.parametrize(
    "schedule", [flow_schedule(5), fixed_schedule([1, 0.5]), fixed_schedule([1, 0.5], "ode")]
)
def test_what_is_clean_stays_bit_for_bit(schedule):
    start = torch.randn(100)
    clean = torch.arange(100) < 40
    seen = []

    def velocity(sample, time):
        seen.append(sample[clean].clone())
        return speed(sample, time)

    end = denoise(start, velocity, schedule, clean)
    assert all(torch.equal(part, start[clean]) for part in [*seen, end[clean]])
    assert not torch.equal(end[~clean], start[~clean])


def test_a_student_goes_straight_or_takes_fresh_noise():
    start, levels = torch.randn(1000), [1.0, 0.5]
    straight = denoise(start, lambda x, t: x, fixed_schedule(levels, "ode"))
    torch.testing.assert_close(straight, start * 0.25)  # each step takes half
    first, again = (
        denoise(start, lambda x, t: x, fixed_schedule(levels), seed=7) for _ in range(2)
    )
    assert torch.equal(first, again)
    torch.manual_seed(7)
    torch.testing.assert_close(first, 0.5 * 0.5 * torch.randn(1000))
    assert not torch.equal(first, denoise(start, lambda x, t: x, fixed_schedule(levels), seed=8))


def test_the_scheduler_file_of_a_student_wins():
    schedule = checkpoint_schedule(
        {"fixed_step_sampler_config": {"t_list": [1.0, 0.75, 0.0]}}, steps=35
    )
    assert schedule == Schedule((1.0, 0.75, 0.0), (1000.0, 750.0), "sde")


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: flow_schedule(0), "num_steps: expected at least 1, got 0"),
        (lambda: flow_schedule(4, -1.0), "shift: expected a positive number, got -1.0"),
        (lambda: Schedule((0.5, 0.0), (500.0,), "euler"), "'unipc', 'sde' or 'ode', got 'euler'"),
        (lambda: Schedule((0.5, 0.1), (500.0,)), "ending in 0"),
        (lambda: checkpoint_schedule({"prediction_type": "epsilon"}, 4), "use_flow_sigmas true"),
    ],
)
def test_bad_schedules_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_karras_sigmas": True, "sigma_max": "200"}, "sigma_max: expected a positive number"),
        ({"use_karras_sigmas": True, "sigma_min": -1}, "sigma_min: expected a positive number"),
        ({"fixed_step_sampler_config": {"t_list": [2.0]}}, "t_list: expected noise levels from 0"),
        ({"fixed_step_sampler_config": ["t_list"]}, "t_list: expected noise levels from 0 to 1"),
        (
            {"fixed_step_sampler_config": {"t_list": [1.0], "sample_type": 3}},
            "sample_type: expected 'sde' or 'ode', got 3",
        ),
    ],
)
def test_numbers_of_a_scheduler_file_are_checked(fields, words):
    with pytest.raises(ValueError, match=rf"scheduler_config.json: .*{words}"):
        checkpoint_schedule(fields, 4)
