# SPDX-License-Identifier: Apache-2.0
"""A thousand recipes and LeRobot folders that nobody should write: read, or refused in one line."""

import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

bench = pytest.importorskip("training_inputs")

MANNER = {"deadline": None, "suppress_health_check": [*HealthCheck]}


@settings(max_examples=800, **MANNER)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_recipe_is_read_or_refused_in_one_line(tmp_path_factory, seed):
    folder = tmp_path_factory.getbasetemp()
    assert bench.read_one_recipe(folder, *bench.random_recipe(seed)) in ("read", "refused")


@pytest.fixture(scope="module")
def right(tmp_path_factory):
    folder = bench.write_folder(tmp_path_factory.mktemp("dataset") / "right")
    assert bench.read_one_folder(folder) == "read"
    return folder


@settings(max_examples=200, **MANNER)
@given(data=st.data())
def test_any_folder_is_read_or_refused_in_one_line(right, data):
    bent = right.with_name("bent")
    shutil.rmtree(bent, ignore_errors=True)
    shutil.copytree(right, bent)
    bench.damage(bent, data.draw)
    assert bench.read_one_folder(bent) in ("read", "refused")
