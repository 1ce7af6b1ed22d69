# SPDX-License-Identifier: Apache-2.0
"""The script that compares at full size, at a size for here."""

import nano_equality
import pytest
import torch

from cosmos3_ros.model.embodiment import EMBODIMENTS

DROID_SIM = EMBODIMENTS["droid_sim"]


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_the_comparison_at_full_size_runs_at_tiny_size(dtype, limit):
    result = nano_equality.compare("tiny", "cpu", dtype, repeats=1)
    assert result["vision_relative_error"] < limit
    assert result["action_relative_error"] < limit
    assert result["vision_largest"] > 0.5
    rows, cols = (-(-side // 32) for side in DROID_SIM.canvas.content)
    assert (
        result["generator_tokens"]
        == (1 + DROID_SIM.horizon // 4) * rows * cols + DROID_SIM.horizon + 1
    )
    if dtype == torch.bfloat16:
        assert result["vision_ours_to_float32"] <= 1.5 * result["vision_diffusers_to_float32"]
