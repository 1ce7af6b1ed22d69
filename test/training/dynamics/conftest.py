# SPDX-License-Identifier: Apache-2.0
"""Forward and inverse dynamics of the smallest checkpoint, for clips of several windows."""

import pytest

from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.policy import load_policy


@pytest.fixture(scope="session")
def dynamics(smallest):
    """Of that checkpoint, in one step."""
    return Dynamics(load_policy(smallest, guidance=1.0, num_steps=1))
