# SPDX-License-Identifier: Apache-2.0
"""A reference that nothing has taught anything."""

import numpy as np
import pytest
import torch

from cosmos3_ros.model.surprise.network import SurpriseNetwork
from cosmos3_ros.model.surprise.reference import Reference

CHANNELS = 4
PLACES = np.array([[0, 0, 1], [0, 0, -1]])


@pytest.fixture
def reference() -> Reference:
    """Two views and two networks, the second more certain of a disturbance."""
    networks = []
    for number in range(2):
        torch.manual_seed(number)
        network = SurpriseNetwork(CHANNELS, PLACES.shape).eval()
        network.leave.bias.data.fill_(number - 1.0)
        networks.append(network)
    scale = np.linspace(0.5, 2.0, CHANNELS).astype(np.float32)
    about = {"source": "made up"}
    return Reference(("a", "b"), PLACES, scale, tuple(networks), 0.25, about)
