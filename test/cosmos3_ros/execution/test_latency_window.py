# SPDX-License-Identifier: Apache-2.0
"""Quantiles are those of the last durations."""

from cosmos3_ros.execution.latency_window import LatencyWindow


def test_quantiles_of_a_window() -> None:
    window = LatencyWindow(100)
    assert window.quantile(0.95) == 0.0
    assert window.table("x") == {}
    for k in range(1, 201):
        window.add(float(k))
    assert (window.quantile(0.5), window.quantile(0.95), window.quantile(1.0)) == (
        150.0,
        195.0,
        200.0,
    )
    assert window.table("x") == {
        "x p50 [s]": "150.0000",
        "x p95 [s]": "195.0000",
        "x max [s]": "200.0000",
    }
