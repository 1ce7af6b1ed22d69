# SPDX-License-Identifier: Apache-2.0
"""What is usual: surprise of views and places, the view of a place, and the file it is kept in."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.surprise.comparison import Comparison
from cosmos3_ros.model.surprise.network import SurpriseNetwork, evidence
from cosmos3_ros.model.surprise.reference import (
    Reference,
    places_of,
    read_reference,
    write_reference,
)

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


def comparison(seed: int = 0) -> Comparison:
    random = np.random.default_rng(seed)
    parts = (random.normal(size=(CHANNELS, *PLACES.shape)).astype(np.float32) for _ in range(3))
    return Comparison(1, *parts)


def test_a_view_is_as_surprising_as_the_networks_find_it_on_average(reference: Reference) -> None:
    surprise = reference.surprise(comparison(), 7)
    assert surprise.stamp == 7
    told = evidence([comparison()], reference.scale)
    with torch.inference_mode():
        logits = np.array([network(told)[0].numpy() for network in reference.networks])
    for view, name in enumerate(reference.views):
        odds = np.exp(logits[:, view == PLACES].astype(np.float64)).sum(1)
        wanted = np.logaddexp(0, np.log(odds).mean()) / reference.once  # -log P(undisturbed)
        assert surprise.values[name] == pytest.approx(wanted, rel=1e-5)
    wanted = np.logaddexp(0, logits.mean(0)) / reference.once * (PLACES >= 0)
    np.testing.assert_allclose(surprise.grid, wanted, rtol=1e-5)
    assert surprise.grid[1, 2] == 0.0  # of no view


def test_many_comparisons_are_judged_as_each_alone(reference: Reference) -> None:
    many = [comparison(seed) for seed in range(4)]
    grid, of_view = reference.nats(many)
    for number, one in enumerate(many):
        alone = reference.nats([one])
        np.testing.assert_allclose(grid[number], alone[0][0], rtol=1e-5)
        np.testing.assert_allclose(of_view[number], alone[1][0], rtol=1e-5)


def test_places_belong_to_the_view_in_whose_panel_their_middle_is() -> None:
    places = places_of(EMBODIMENTS["droid_sim"].canvas, (10, 12))
    assert (places[:6] == 0).all()
    assert (places[6:, :6] == 1).all()
    assert (places[6:, 6:] == 2).all()


def test_what_is_written_is_read(reference: Reference, tmp_path: Path) -> None:
    file = tmp_path / "surprise.safetensors"
    write_reference(file, reference)
    again = read_reference(file)
    assert (again.views, again.once, again.about) == (
        reference.views,
        reference.once,
        reference.about,
    )
    assert np.array_equal(again.places, reference.places)
    assert np.array_equal(again.scale, reference.scale)
    assert file.stat().st_size < 1_000_000
    wanted, got = reference.surprise(comparison(), 1), again.surprise(comparison(), 1)
    assert got.values == pytest.approx(wanted.values, rel=0.02)  # weights are kept as float16


def test_a_missing_damaged_or_foreign_file_is_said_in_one_line(tmp_path: Path) -> None:
    file = tmp_path / "surprise.safetensors"
    with pytest.raises(ValueError, match=r"missing file .*make it with `cosmos3 calibrate`"):
        read_reference(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="not a safetensors file") as caught:
        read_reference(file)
    assert "\n" not in str(caught.value)
    save_file({"x": np.zeros(1)}, file)
    with pytest.raises(ValueError, match="expected layout 2, got None"):
        read_reference(file)
