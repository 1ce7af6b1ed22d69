# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of the smallest network and autoencoder, for clips of several windows."""

import dataclasses

import pytest

from cosmos3_ros.model.checkpoint_io import tiny
from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.policy import load_policy


@pytest.fixture(scope="session")
def smallest(tmp_path_factory):
    """Its folder."""
    folder = tmp_path_factory.mktemp("checkpoint")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(tiny.VAE, "base_dim", 4)
        patch.setitem(tiny.VAE, "decoder_base_dim", 4)
        size = dataclasses.replace(TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128)
        tiny.write_tiny(folder, config=size)
    return folder


@pytest.fixture(scope="session")
def dynamics(smallest):
    """Of that checkpoint, in one step."""
    return Dynamics(load_policy(smallest, guidance=1.0, num_steps=1))
