# SPDX-License-Identifier: Apache-2.0
"""A fault is said once and its end once."""

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
