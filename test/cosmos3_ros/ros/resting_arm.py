# SPDX-License-Identifier: Apache-2.0
"""A real commander with one arm joint that rests at 0.1 rad, spun by hand."""

import time
from collections.abc import Callable
from typing import Any


class RestingArm:
    """node: the commander; executor: it and whatever else is spun with it. Both made by heirs."""

    node: Any
    executor: Any
    patience = 10.0  # s

    def spin(self, condition: Callable[[], object], timeout: float | None = None) -> bool:
        """Spin until it is so, measured joints coming in between."""
        end = time.monotonic() + (self.patience if timeout is None else timeout)
        while not condition():
            if time.monotonic() > end:
                return False
            self.measure()
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def measure(self) -> None:
        from sensor_msgs.msg import JointState

        from cosmos3_ros.ros.messages import header

        stamp = header(self.node.now())
        self.node._on_joint_state(JointState(header=stamp, name=["a"], position=[0.1]))
