# SPDX-License-Identifier: Apache-2.0
"""Intervals of success rates."""

import pytest

from cosmos3_ros.training.evaluation.statistics import wilson


def test_wilson_interval():
    assert wilson(0, 10) == pytest.approx((0.0, 0.2775), abs=1e-3)
    assert wilson(20, 24) == pytest.approx((0.641, 0.933), abs=1e-3)
