# SPDX-License-Identifier: Apache-2.0
import pytest

from cosmos3_ros.model.policy_options import PolicyOptions, options_of


def test_every_option_says_what_it_is():
    options = options_of(PolicyOptions)
    assert all(option.doc for option in options.values())
    steps = options["num_steps"]
    assert (steps.type, steps.default, steps.doc) == (int, 4, "denoising steps per chunk")
    assert options["schedule"].choices == ("flow", "checkpoint")


def test_the_defaults_are_a_valid_set_of_options():
    options = options_of(PolicyOptions)
    assert PolicyOptions(**{name: o.default for name, o in options.items()}) == PolicyOptions()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"num_steps": 0}, "num_steps: expected at least 1, got 0"),
        ({"soft_rows": -1}, "soft_rows: expected 0 or more, got -1"),
        ({"schedule": "x"}, "schedule: expected 'flow' or 'checkpoint', got 'x'"),
        ({"shift": 0.0}, "guidance and shift: expected finite, shift > 0, got 3.0 and 0.0"),
    ],
)
def test_a_value_out_of_bounds_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        PolicyOptions(**wrong)
