# SPDX-License-Identifier: Apache-2.0
"""The script that compares at full size, at a size for here."""

import importlib.util
from pathlib import Path

import pytest
import torch

SCRIPT = Path(__file__).resolve().parents[2] / "bench" / "nano_equality.py"


@pytest.mark.parametrize(("dtype", "limit"), [(torch.float32, 1e-5), (torch.bfloat16, 0.05)])
def test_the_comparison_at_full_size_runs_at_tiny_size(dtype, limit):
    spec = importlib.util.spec_from_file_location("nano_equality", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    result = script.compare("tiny", "cpu", dtype, repeats=1)
    assert result["vision_relative_error"] < limit
    assert result["action_relative_error"] < limit
    assert result["vision_largest"] > 0.5
    assert result["generator_tokens"] == 117
