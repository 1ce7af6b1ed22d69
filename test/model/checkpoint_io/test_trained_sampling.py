# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint was trained for is an entry of its checkpoint.json."""

import json

import pytest

from cosmos3_ros.model.checkpoint_io.trained_sampling import (
    TrainedSampling,
    trained_sampling,
    write_trained_sampling,
)
from cosmos3_ros.model.checkpoint_io.trained_tasks import trained_tasks, write_trained_tasks


def test_it_is_written_beside_what_else_is_said(tmp_path):
    trained = TrainedSampling(row_levels=True, no_future=True)
    write_trained_tasks(tmp_path, ["reach"])
    write_trained_sampling(tmp_path, trained)
    policy = json.loads((tmp_path / "checkpoint.json").read_text())["policy"]
    assert policy == {"tasks": ["reach"], "sampling": ["row_levels", "no_future"]}
    assert trained_sampling(policy) == trained
    assert trained_tasks(tmp_path) == ["reach"]


def test_released_checkpoints_say_nothing():
    assert trained_sampling({}) == TrainedSampling(False, False, False)


@pytest.mark.parametrize("entry", ["row_levels", ["rows"], {"row_levels": True}, None, [1], [[]]])
def test_what_is_not_known_is_named(entry):
    with pytest.raises(ValueError, match=r"checkpoint.json: policy.sampling: expected a list of"):
        trained_sampling({"sampling": entry})
