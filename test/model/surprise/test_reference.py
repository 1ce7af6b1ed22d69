# SPDX-License-Identifier: Apache-2.0
"""The statistics of residuals: which place belongs to which view, and the file they are kept in."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.surprise.comparison import Comparison
from cosmos3_ros.model.surprise.reference import (
    Reference,
    around,
    places_of,
    read_reference,
    write_reference,
)

CHANNELS = 4
PLACES = np.array([[0, 0, 1], [0, 0, -1]])


@pytest.fixture
def reference() -> Reference:
    """Two views, one latent, two sorts of places: where it moves residuals are ten times larger."""
    whitening = np.stack([np.eye(CHANNELS), np.eye(CHANNELS) / 10]).astype(np.float32)
    return Reference(
        ("a", "b"),
        PLACES,
        np.full((1, 2, 1), 0.5, np.float32),
        np.broadcast_to(whitening, (1, 2, 2, CHANNELS, CHANNELS)).copy(),
        np.zeros((1, 2, 2), np.float32),
        np.full((1, 2, 2), 0.5, np.float32),
        np.array([2.0, 4.0], np.float32),
        {"source": "made up"},
    )


def comparison(change: float, residual: np.ndarray) -> Comparison:
    """It changes so much everywhere; residual: [h, w], of every channel."""
    begin = np.zeros((CHANNELS, *PLACES.shape), np.float32)
    predicted = begin + np.float32(change)
    return Comparison(1, begin, predicted, predicted + residual.astype(np.float32))


def test_a_residual_counts_by_what_is_usual_at_its_place(reference: Reference) -> None:
    residual = np.ones(PLACES.shape)
    residual[0, 1] = np.e**2  # its mean square is e**4, the logarithm 4, by a slope of 0.5
    still = reference.excess(comparison(0.1, residual))
    assert still[0, 1] == pytest.approx(8.0, rel=1e-4)
    assert still[0, 0] == pytest.approx(0.0, abs=1e-4)
    moving = reference.excess(comparison(2.0, 10 * residual))
    np.testing.assert_allclose(moving, still, atol=1e-3)
    assert not reference.excess(comparison(2.0, residual / 2)).any()


def test_each_view_has_its_own_unit_and_no_view_has_none(reference: Reference) -> None:
    residual = np.full(PLACES.shape, np.e**2)
    surprise = reference.surprise(comparison(0.1, residual), 7)
    assert surprise.stamp == 7
    assert surprise.values == pytest.approx({"a": 4.0, "b": 2.0}, rel=1e-4)
    assert surprise.value == pytest.approx(4.0, rel=1e-4)
    assert surprise.grid[0, 2] == pytest.approx(2.0, rel=1e-4)
    assert surprise.grid[1, 2] == 0.0


def test_places_belong_to_the_view_in_whose_panel_their_middle_is() -> None:
    places = places_of(EMBODIMENTS["droid_sim"].canvas, (10, 12))
    assert (places[:6] == 0).all()
    assert (places[6:, :6] == 1).all()
    assert (places[6:, 6:] == 2).all()


def test_the_largest_of_the_neighbors_counts() -> None:
    change = np.zeros((4, 5))
    change[0, 0] = 3.0
    assert around(change).nonzero()[0].tolist() == [0, 0, 1, 1]
    assert around(change).max() == 3.0


def test_what_is_written_is_read(reference: Reference, tmp_path: Path) -> None:
    file = tmp_path / "surprise.safetensors"
    write_reference(file, reference)
    again = read_reference(file)
    for field in dataclasses.fields(Reference):
        wanted, got = getattr(reference, field.name), getattr(again, field.name)
        same = np.array_equal(wanted, got) if isinstance(wanted, np.ndarray) else wanted == got
        assert same, field.name


def test_a_missing_damaged_or_foreign_file_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "surprise.safetensors"
    with pytest.raises(ValueError, match=r"missing file .*make it with `cosmos3 calibrate`"):
        read_reference(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not a safetensors file") as caught:
        read_reference(file)
    assert "\n" not in str(caught.value)
    save_file({"x": np.zeros(1)}, file)
    with pytest.raises(ValueError, match="expected layout 1, got None"):
        read_reference(file)
