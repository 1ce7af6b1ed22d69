# SPDX-License-Identifier: Apache-2.0
"""Calibration of probabilities: the bins, the error, and the temperature that mends it."""

import math

import numpy as np
import pytest

from cosmos3_ros.model.language.yes_or_no import with_temperature
from cosmos3_ros.training.evaluation.calibration import (
    Bin,
    brier,
    expected_calibration_error,
    fit_temperature,
    reliability,
)


def test_the_bins_hold_every_answer_once() -> None:
    found = reliability([0.0, 0.05, 0.1, 0.95, 1.0], [False, True, True, True, False])
    assert found == [
        Bin(0.0, 0.1, 2, 0.025, 0.5),
        Bin(0.1, 0.2, 1, 0.1, 1.0),
        Bin(0.9, 1.0, 2, 0.975, 0.5),
    ]
    assert expected_calibration_error(found) == pytest.approx((2 * 0.475 + 0.9 + 2 * 0.475) / 5)
    assert expected_calibration_error([]) == 0.0


def test_what_is_true_as_often_as_stated_has_no_error() -> None:
    yes, truths = [0.25] * 4 + [0.75] * 4, [True, False, False, False, True, True, True, False]
    assert expected_calibration_error(reliability(yes, truths)) == 0.0
    assert brier(yes, truths) == pytest.approx(0.25 * 0.75)


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_the_temperature_of_too_sure_answers_is_found(true: float) -> None:
    random = np.random.default_rng(0)
    odds = random.normal(0, 3, 4000)
    truths = (random.random(4000) < 1 / (1 + np.exp(-odds / true))).tolist()
    yes = (1 / (1 + np.exp(-odds))).tolist()
    found = fit_temperature([*yes, math.nan], [*truths, True])
    assert found == pytest.approx(true, rel=0.15)
    mended = [with_temperature(share, found) for share in yes]
    error, before = (
        expected_calibration_error(reliability(shares, truths)) for shares in (mended, yes)
    )
    assert error < 0.02
    assert error <= before + 0.005


def test_a_temperature_keeps_what_is_answered() -> None:
    for share in (0.0, 0.2, 0.5, 0.9, 1.0):
        assert (with_temperature(share, 4.0) > 0.5) == (share > 0.5)
        assert with_temperature(share, 1.0) == pytest.approx(share, abs=1e-6)
    assert math.isnan(with_temperature(math.nan, 2.0))
    with pytest.raises(ValueError, match="expected answers with a probability of yes, got none"):
        fit_temperature([math.nan], [True])
