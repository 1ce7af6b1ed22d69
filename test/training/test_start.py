# SPDX-License-Identifier: Apache-2.0
"""What a training may go on from, refused before anything of it is copied."""

import dataclasses
from shutil import copytree, rmtree

import pytest
import torch
from safetensors.torch import load_file, save_file

from cosmos3_ros.model.checkpoint_io.foreign import checkpoint_path
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.training.optim.process_group import TrainingGroup
from cosmos3_ros.training.options import PolicyTrainingOptions, ReasonerTrainingOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.start import check_start
from cosmos3_ros.training.train import begin, load, train

METAWORLD = checkpoint_path("metaworld")
SIZE = {"hidden": 64, "layers": 2, "heads": 2, "kv_heads": 2, "mlp": 128}
ONE = PolicyTrainingOptions(steps=1)


@pytest.fixture
def start(tmp_path, tiny_small):
    return copytree(tiny_small, tmp_path / "start")


def stop_when(said, word):
    """A `tell` that stops a training once a line has the word."""

    def tell(line):
        said.append(line)
        if word in line:
            raise ValueError("stopped by the test")

    return tell


def recipe_of(start, **fields):
    return Recipe(start=str(start), device="cpu", policy=ONE, **fields)


@pytest.mark.parametrize(
    ("part", "fields", "expected"),
    [
        ("vae", {}, "has no vae/, expected a checkpoint with the video autoencoder"),
        ("text_tokenizer", {}, "has no text_tokenizer/, expected a checkpoint with the tokenizer"),
        ("transformer", {}, "has no transformer/, expected a checkpoint with the network"),
        ("scheduler", {}, "has no scheduler/, expected a checkpoint with the noise schedule"),
        (
            "vision_encoder",
            {"reasoner": ReasonerTrainingOptions()},
            "has no vision_encoder/, expected a checkpoint with the vision encoder, with which",
        ),
        ("vae/config.json", {}, "cannot be gone on from: missing file .*/vae/config.json"),
        ("vae/config.json", {"size": SIZE}, "cannot be gone on from: missing file .*/vae/config"),
        (
            "text_tokenizer/tokenizer.json",
            {},
            "cannot be gone on from: missing file .*/tokenizer.json",
        ),
        ("preprocessor_config.json", {}, "cannot be gone on from: missing file .*/preprocessor_co"),
    ],
)
def test_a_start_that_lacks_something_is_refused_and_leaves_nothing(
    tmp_path, start, part, fields, expected
):
    lost = start / part
    rmtree(lost) if lost.is_dir() else lost.unlink()
    with pytest.raises(ValueError, match=f"^start: {start} {expected}") as refused:
        train(recipe_of(start, **fields), tmp_path / "out")
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "out").exists()


def test_a_start_that_is_none_is_refused(tmp_path):
    for folder, expected in (
        (tmp_path / "nowhere", "no folder .*/nowhere, expected that of a checkpoint"),
        (tmp_path, "has no transformer/"),
    ):
        with pytest.raises(ValueError, match=f"^start: .*{expected}"):
            train(recipe_of(folder), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_start_with_no_room_for_the_embodiment_is_refused(tmp_path, start):
    with pytest.raises(
        ValueError, match=r"start: .* two_arms_sim needs \d+ action channels .* has 8 "
    ):
        train(
            recipe_of(start, embodiment="two_arms_sim", size={**SIZE, "action_width": 8}), tmp_path
        )


def test_towers_too_small_for_the_starts_tokenizer_are_refused(tmp_path, start):
    with pytest.raises(ValueError, match=r"text_tokenizer: has token .* has 300 embeddings"):
        train(recipe_of(start, size={**SIZE, "vocab": 300}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_what_is_found_only_on_loading_leaves_nothing_of_a_new_training_either(tmp_path, start):
    file = next((start / "vae").glob("*.safetensors"))
    weights = load_file(file)
    name = next(iter(weights))
    save_file({**weights, name: torch.full_like(weights[name], torch.nan)}, file)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes").touch()
    with pytest.raises(ValueError, match="finite"):
        train(recipe_of(start), tmp_path / "out")
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["notes"]


def test_fresh_towers_get_an_eye_where_the_start_has_none(tmp_path):
    """As of the checkpoint of Meta-World, which leaves out what it does not need."""
    assert not (METAWORLD / "vision_encoder").exists()
    recipe = recipe_of(METAWORLD, size=SIZE, embodiment="metaworld")
    check_start(recipe)
    folder = tmp_path / "out" / "checkpoint"
    begin(recipe, folder)
    assert load(recipe, folder, TrainingGroup()).vision is not None


def test_rounded_weights_may_be_a_start(tmp_path):
    """They are gone on from as the numbers that they stand for."""
    recipe = recipe_of(METAWORLD, embodiment="metaworld")
    check_start(recipe)
    folder = tmp_path / "out" / "checkpoint"
    begin(recipe, folder)
    trained = load(recipe, folder, TrainingGroup())
    held = load_model(METAWORLD, dtype=torch.float32)
    assert trained.vision is None
    for name, tensor in held.transformer.state_dict().items():
        assert torch.equal(trained.transformer.state_dict()[name], tensor), name
    with pytest.raises(ValueError, match="has no vision_encoder/"):
        check_start(dataclasses.replace(recipe, reasoner=ReasonerTrainingOptions()))


def test_a_training_that_has_begun_goes_on_without_its_start(tmp_path, start):
    out = tmp_path / "out"
    recipe = dataclasses.replace(recipe_of(start), policy=PolicyTrainingOptions(steps=0))
    begin(recipe, out / "checkpoint")
    rmtree(start)
    said = []
    with pytest.raises(ValueError, match="stopped by the test"):
        train(recipe, out, tell=stop_when(said, "data"))
    assert (out / "checkpoint").is_dir()
    with pytest.raises(ValueError, match="start: no folder"):
        train(recipe, tmp_path / "other")
