# SPDX-License-Identifier: Apache-2.0
"""A fault is said once and its end once; quantiles are those of the last durations."""

import pytest

pytestmark = pytest.mark.ros


class Log(list):
    def warning(self, text: str) -> None:
        self.append(("warning", text))

    def info(self, text: str) -> None:
        self.append(("info", text))


def test_a_fault_is_said_once_and_its_end_once() -> None:
    from cosmos3_ros.ros.diagnostics import Faults

    log = Log()
    faults = Faults(log)
    assert [faults.set("camera", why) for why in ("", "lost", "lost for long", "", "")] == [
        False,
        True,
        False,
        True,
        False,
    ]
    assert log == [("warning", "camera: lost"), ("info", "camera: good again")]
    assert faults.now == {}
    faults.set("camera", "dark")
    assert faults.now == {"camera": "dark"}


def test_quantiles_of_a_window() -> None:
    from cosmos3_ros.ros.diagnostics import Window

    window = Window(100)
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


def test_a_diagnostic_message() -> None:
    from cosmos3_ros.ros.diagnostics import diagnostics

    (status,) = diagnostics(5, "node: part", "warn", "so so", {"rate": 3}, "arm").status
    assert (status.level, status.name, status.message, status.hardware_id) == (
        b"\x01",
        "node: part",
        "so so",
        "arm",
    )
    assert [(value.key, value.value) for value in status.values] == [("rate", "3")]
