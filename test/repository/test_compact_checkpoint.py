# SPDX-License-Identifier: Apache-2.0
"""The compact copy of a policy's checkpoint is one that loads, and predicts nearly the same."""

import numpy as np
import pytest
from compact_checkpoint import compact

from cosmos3_ros.model.checkpoint_io.safetensors_io import read_headers
from cosmos3_ros.model.checkpoint_io.summary import report
from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import load_policy


def test_a_compact_copy_predicts_nearly_the_same(smallest, tmp_path):
    folder = tmp_path / "compact"
    compact(smallest, folder)
    assert report(folder).loads
    stored = read_headers(folder / "transformer")
    name = next(name for name in stored if name.endswith("to_q.weight"))
    assert stored[name].dtype == "I8"
    assert stored[f"{name}_scale"].shape == (stored[name].shape[0], 1)
    assert {each.dtype for each in read_headers(folder / "vae").values()} == {"F16"}
    before, after = load_policy(smallest), load_policy(folder)
    body, random = before.embodiment, np.random.default_rng(0)
    images = {view: random.integers(0, 256, (90, 120, 3), np.uint8) for view in body.views}
    seen = Observation(images, np.zeros(len(body.state), np.float32), "lift the cube", 0)
    wanted, got = (policy.infer(seen).chunk.values for policy in (before, after))
    assert not np.array_equal(wanted, got)
    assert np.abs(got - wanted).max() < 0.05 * np.abs(wanted - wanted.mean(0)).max() + 0.02


def test_a_folder_in_use_stays_as_it_is(smallest, tmp_path):
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(ValueError, match="expected an empty or new folder"):
        compact(smallest, tmp_path)
    assert [each.name for each in tmp_path.iterdir()] == ["mine"]
