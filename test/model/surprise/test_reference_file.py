# SPDX-License-Identifier: Apache-2.0
"""The file that a reference is kept in: what is written is read, and damage is said in one line."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.surprise.network import SurpriseNetwork
from cosmos3_ros.model.surprise.reference import Reference
from cosmos3_ros.model.surprise.reference_file import read_reference, write_reference

NETWORK = [*SurpriseNetwork(4, (2, 3)).state_dict()]
TENSORS = ["places", "scale", *(f"{number}.{name}" for number in range(2) for name in NETWORK)]
Content = dict[str, Any]


@pytest.fixture
def file(reference: Reference, tmp_path: Path) -> Path:
    """A file that is as it should be."""
    file = tmp_path / "surprise.safetensors"
    write_reference(file, reference)
    return file


def refusal(file: Path, damage: Callable[[Content, dict[str, str]], object]) -> str:
    """What is said of the file after it was damaged, without its name."""
    tensors: Content = load_file(file)
    with safe_open(file, framework="pt") as content:
        metadata = dict(content.metadata())
    damage(tensors, metadata)
    save_file(tensors, file, metadata)
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the caller has the words
        read_reference(file)
    said = str(caught.value)
    assert "\n" not in said
    assert said.startswith(f"{file}: ")
    assert said.endswith(": make it again with `cosmos3 calibrate`")
    return said.removeprefix(f"{file}: ")


def test_what_is_written_is_read(file: Path, reference: Reference) -> None:
    again = read_reference(file)
    assert (again.views, again.once, again.about) == (
        reference.views,
        reference.once,
        reference.about,
    )
    assert np.array_equal(again.places, reference.places)
    assert np.array_equal(again.scale, reference.scale)
    assert file.stat().st_size < 1_000_000
    for read, written in zip(again.networks, reference.networks, strict=True):
        assert not read.training
        for name, weight in written.state_dict().items():
            assert torch.equal(read.state_dict()[name], weight.half().float())


@pytest.mark.parametrize("name", TENSORS)
def test_a_missing_tensor_is_named(file: Path, name: str) -> None:
    said = refusal(file, lambda tensors, _: tensors.pop(name))
    assert said.startswith(f"{name}: expected ")
    assert "it is missing" in said


@pytest.mark.parametrize("name", TENSORS)
def test_a_wrong_shape_is_named_beside_the_right_one(file: Path, name: str) -> None:
    expected = [*load_file(file)[name].shape]
    said = refusal(file, lambda tensors, _: tensors.update({name: tensors[name][None]}))
    assert said.startswith(f"{name}: expected ")
    assert f"got {dtype(name)} {[1, *expected]}" in said
    if name in ("places", "scale"):
        sides = {"places": "[rows, columns]", "scale": "[channels]"}[name]
        assert f"expected {dtype(name)} {sides}, " in said
    else:
        assert f"expected F16 {expected} for 4 channels and 2 x 3 places, " in said


@pytest.mark.parametrize("name", TENSORS)
def test_a_wrong_dtype_is_named_beside_the_right_one(file: Path, name: str) -> None:
    said = refusal(file, lambda tensors, _: tensors.update({name: tensors[name].double()}))
    assert said.startswith(f"{name}: expected {dtype(name)} [")
    assert ", got F64 [" in said


@pytest.mark.parametrize("name", [name for name in TENSORS if name != "places"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_a_number_that_is_not_finite_is_refused(file: Path, name: str, number: float) -> None:
    said = refusal(file, lambda tensors, _: tensors[name].view(-1)[-1:].fill_(number))
    assert said.startswith(f"{name}: expected finite numbers")


def dtype(name: str) -> str:
    return {"places": "I64", "scale": "F32"}.get(name, "F16")


@pytest.mark.parametrize("name", ["views", "networks", "once", "about"])
@pytest.mark.parametrize("value", [None, "", "[", "[[" * 10_000, "null", "[1, 1]", "NaN", "-1"])
def test_metadata_that_lack_a_field_or_hold_another_value_are_refused(
    file: Path, name: str, value: str | None
) -> None:
    def damage(_: Content, metadata: dict[str, str]) -> None:
        del metadata[name]
        metadata.update({} if value is None else {name: value})

    said = refusal(file, damage)
    assert said.startswith(f"metadata: {name}: expected ")
    assert ("got nothing" in said) == (value is None)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda _, metadata: metadata.pop("layout"), "expected layout 2, got None"),
        (lambda _, metadata: metadata.update(layout="1"), "expected layout 2, got 1"),
        (lambda _, metadata: metadata.clear(), "expected layout 2, got None"),
        (lambda _, metadata: metadata.update(networks="65"), "networks: expected 1 to 64, got 65"),
        (lambda _, metadata: metadata.update(networks="3"), "2.gain: expected F16"),
        (lambda _, metadata: metadata.update(networks="1"), "expected 20 tensors of 1 network"),
        (lambda _, metadata: metadata.update(views='["a", "a"]'), "a list of different names"),
        (lambda _, metadata: metadata.update(views='["a"]'), "places: expected -1 to 0, .* to 1"),
        (lambda tensors, _: tensors["places"].fill_(-2), "places: expected -1 to 1, .* -2 to -2"),
        (lambda tensors, _: tensors["scale"].fill_(0), "scale: expected finite numbers above 0"),
        (lambda tensors, _: tensors.update(x=torch.zeros(1)), r"expected \d+ tensors of 2"),
        (
            lambda tensors, _: tensors.update(scale=torch.ones(5)),
            r"0.gain: expected F16 \[36, 1, 1\] for 5 channels .* got F16 \[29, 1, 1\]",
        ),
        (
            lambda tensors, _: tensors.update(places=torch.zeros(3, 3, dtype=torch.int64)),
            r"0.place: expected F16 \[1, 64, 3, 3\] for 4 channels and 3 x 3 places, got",
        ),
        (
            lambda tensors, _: tensors.update(places=torch.zeros(0, 3, dtype=torch.int64)),
            r"places: expected I64 \[rows, columns\], got I64 \[0, 3\]",
        ),
    ],
)
def test_parts_that_do_not_go_together_are_refused(file: Path, damage: Any, words: str) -> None:
    assert re.search(words, refusal(file, damage))


def test_a_missing_cut_off_or_foreign_file_is_said_in_one_line(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"missing file .*make it with `cosmos3 calibrate`"):
        read_reference(tmp_path / "none.safetensors")
    whole = file.read_bytes()
    for length in (0, 4, 100, len(whole) - 1):
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"not a (complete )?safetensors file") as caught:
            read_reference(file)
        assert str(caught.value).startswith(f"{file}: ")
        assert "\n" not in str(caught.value)
    file.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ValueError, match="a pointer of git-lfs"):
        read_reference(file)
