# SPDX-License-Identifier: Apache-2.0
"""A simulated world without cameras, for every test that acts in one."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def env() -> Iterator[Any]:
    from cosmos3_ros.sim.env import Env

    made = Env(views=())
    yield made
    made.close()
