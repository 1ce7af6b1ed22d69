# SPDX-License-Identifier: Apache-2.0
"""The embedded checkpoint's chunks for recorded observations stay the same, to the last bit."""

import importlib
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def record():
    return importlib.import_module("record")


@pytest.mark.slow
def test_chunks_are_what_they_were(record):
    """Another processor or torch adds in another order: there to 1e-4 rad and a gray level."""
    found = record.answers()
    with np.load(FOLDER / "answers.npz") as data:
        expected = {name: data[name] for name in data.files}
    exact = str(expected.pop("machine")) == record.machine()
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if exact:
            np.testing.assert_array_equal(found[name], values, err_msg=name)
        else:
            most = 1.0 if values.dtype == np.uint8 else 1e-4
            np.testing.assert_allclose(
                found[name].astype(float), values.astype(float), atol=most, err_msg=name
            )
