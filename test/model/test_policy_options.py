# SPDX-License-Identifier: Apache-2.0
"""The options of sampling: each is described, and a value out of bounds is named."""

import pytest

from cosmos3_ros.model.diffusion.sampler import flow_schedule
from cosmos3_ros.model.option_fields import fields
from cosmos3_ros.model.policy_options import PRESETS, PolicyOptions


def test_every_option_says_what_it_is():
    options = fields(PolicyOptions)
    assert all(option.metadata["doc"] for option in options.values())
    steps = options["num_steps"]
    assert (steps.default, steps.metadata["doc"]) == (4, "denoising steps per chunk")
    assert options["schedule"].metadata["choices"] == ("flow", "checkpoint")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_steps": 0}, "num_steps: expected at least 1, got 0"),
        ({"soft_rows": -1}, "soft_rows: expected 0 or more, got -1"),
        ({"schedule": "x"}, "schedule: expected 'flow' or 'checkpoint', got 'x'"),
        ({"num_steps": 10**8}, "num_steps: expected at most 1000, got 100000000"),
        ({"shift": 0.0}, "guidance and shift: expected finite, shift > 0, got 3.0 and 0.0"),
        ({"shift": 1e-300}, "shift: expected at least 0.001, got 1e-300"),
        ({"shift": 1e300}, r"shift: expected at most 1000.0, got 1e\+300"),
        ({"guidance": -1e300}, r"guidance: expected at least -100.0, got -1e\+300"),
    ],
)
def test_a_value_out_of_bounds_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        PolicyOptions(**wrong)


def test_a_preset_is_its_options():
    assert PolicyOptions().in_force() == PolicyOptions()
    for name, chosen in PRESETS.items():
        used = PolicyOptions(preset=name, seed=3).in_force()
        assert used == PolicyOptions(seed=3, **chosen)
        assert used.in_force() is used
    assert PolicyOptions(preset="fast", num_steps=4).in_force().full_steps == (0, 3)
    assert PolicyOptions(preset="exact", num_steps=7).in_force().num_steps == 7


def test_the_two_steps_have_the_levels_of_the_first_and_the_last_of_four():
    two = PolicyOptions(preset="two_steps").in_force()
    got = flow_schedule(two.num_steps, two.shift).sigmas[:2]
    four = flow_schedule(4, PolicyOptions().shift).sigmas
    assert got == pytest.approx((four[0], four[3]), abs=1e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"preset": "quick"}, "preset: expected '' or 'exact' or 'two_steps' or .*, got 'quick'"),
        (
            {"preset": "fast", "num_steps": 30},
            "num_steps: expected it left out or 4, as preset 'fast' has it, got 30",
        ),
        (
            {"preset": "exact", "full_steps": (0,)},
            r"full_steps: expected it left out or \[\], as preset 'exact' has it, got \[0\]",
        ),
    ],
)
def test_what_contradicts_a_preset_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        PolicyOptions(**wrong)
