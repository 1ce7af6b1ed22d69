# SPDX-License-Identifier: Apache-2.0
"""The options of sampling: each is described, and a value out of bounds is named."""

import pytest

from cosmos3_ros.model.option_fields import fields
from cosmos3_ros.model.policy_options import PolicyOptions


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
        ({"shift": 0.0}, "guidance and shift: expected finite, shift > 0, got 3.0 and 0.0"),
    ],
)
def test_a_value_out_of_bounds_is_named(wrong, message):
    with pytest.raises(ValueError, match=message):
        PolicyOptions(**wrong)
