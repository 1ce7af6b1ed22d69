# SPDX-License-Identifier: Apache-2.0
"""A training from its recipe: begun, gone on with, and its stages in order."""

import dataclasses
import itertools
import json
import math
from pathlib import Path
from shutil import copytree

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cosmos3_ros.model.checkpoint_io.json_file import read_json
from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.summary import report
from cosmos3_ros.model.checkpoint_io.yes_temperature import write_yes_temperature, yes_temperature
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.embodiment_yaml import write_embodiment
from cosmos3_ros.model.interface import gray_observation
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.network.transformer import Transformer
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.training import train
from cosmos3_ros.training.data.episodes import make_clip
from cosmos3_ros.training.distill_options import DistillOptions
from cosmos3_ros.training.optim import optimizer
from cosmos3_ros.training.optim.process_group import TrainingGroup
from cosmos3_ros.training.options import (
    DataOptions,
    DecoderOptions,
    GroundTruthOptions,
    PolicyTrainingOptions,
    ReasonerTrainingOptions,
)
from cosmos3_ros.training.recipe import Recipe, read_recipe
from cosmos3_ros.training.stages import reasoner
from cosmos3_ros.training.stages.policy import prepare
from cosmos3_ros.training.start import embodiment_of
from cosmos3_ros.training.train import begin
from cosmos3_ros.training.vqa.questions import Lesson
from cosmos3_ros.training.vqa.samples import Scene

DROID_SIM = EMBODIMENTS["droid_sim"]
RECIPES = Path(__file__).resolve().parents[2] / "training" / "recipes"


def test_a_training_that_goes_on_keeps_its_checkpoint_and_writes_the_latest_recipe(tmp_path):
    folder = tmp_path / "checkpoint"
    begin(Recipe(size={"hidden": 64, "layers": 2, "heads": 2, "kv_heads": 2, "mlp": 128}), folder)
    (folder / "trained").touch()
    later = Recipe(seed=3)
    begin(later, folder)
    assert (folder / "trained").exists()
    assert read_recipe(tmp_path / "recipe.yaml") == later
    with pytest.raises(TypeError, match="wings"):
        begin(Recipe(str(folder), size={"wings": 2}), tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_training_from_another_embodiments_checkpoint_writes_its_own(tmp_path, tiny_small):
    """A one-view policy does not load as the three-view one that it began as."""
    one_view = EMBODIMENTS["droid_single_view"]
    robot = dataclasses.replace(
        one_view, name="mine", domain="mine", domain_id=11, step=one_view.step // 2
    )
    write_embodiment(tmp_path / "mine.yaml", robot)
    recipe = Recipe(
        start=str(tiny_small),
        embodiment=str(tmp_path / "mine.yaml"),
        head_from="droid_lerobot",
        device="cpu",
        policy=PolicyTrainingOptions(steps=1),
    )
    folder = tmp_path / "out" / "checkpoint"
    begin(recipe, folder)
    assert load_policy(folder).embodiment == robot
    with pytest.raises(ValueError, match=r"droid_sim is of domain .* of 'mine'"):
        load_policy(folder, "droid_sim")
    model = load_model(folder, dtype=torch.float32)
    prepare(model, recipe, None, train.TrainingGroup())
    for part in (model.transformer.action_in, model.transformer.action_out):
        for weights in (part.weight, part.bias):
            assert torch.equal(weights[11], weights[8])
            assert weights is part.bias or not torch.equal(weights[11], weights[12])
    # the same name: the start's own, with its statistics
    again = Recipe(start=str(folder), embodiment="mine", policy=recipe.policy)
    assert embodiment_of(again) == robot
    untouched = tmp_path / "asked"
    begin(dataclasses.replace(recipe, policy=PolicyTrainingOptions(steps=0)), untouched)
    assert load_policy(untouched).embodiment.name == "droid_sim"


def test_what_was_said_of_the_starts_weights_stays_with_them(tmp_path, tiny_small):
    start = copytree(tiny_small, tmp_path / "start")
    for name in ("README.md", "surprise.safetensors"):
        (start / name).write_text("about these weights")
    policy = PolicyTrainingOptions(steps=1)
    folder = tmp_path / "out" / "checkpoint"
    begin(Recipe(start=str(start), device="cpu", policy=policy), folder)
    assert not {"README.md", "surprise.safetensors"} & {each.name for each in folder.iterdir()}
    assert (start / "README.md").exists()


@pytest.mark.parametrize(("text", "kept"), [(True, 1.0), (False, 2.0)], ids=["learns", "stays"])
def test_the_temperature_of_answers_stays_if_the_text_tower_does(tmp_path, tiny_small, text, kept):
    start = copytree(tiny_small, tmp_path / "start")
    write_yes_temperature(start, 2.0)
    policy = PolicyTrainingOptions(steps=1, text=text)
    begin(Recipe(start=str(start), device="cpu", policy=policy), tmp_path / "out" / "checkpoint")
    assert yes_temperature(tmp_path / "out" / "checkpoint") == kept
    assert yes_temperature(start) == 2.0


def test_a_head_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match=r"head_from: unknown .* 'droid_lerbot', did you mean 'dr"):
        Recipe(head_from="droid_lerbot")


def test_the_decoder_learns_after_the_policy_and_nothing_else_changes(
    tmp_path, tiny_small, monkeypatch, episode
):
    monkeypatch.setattr(
        train,
        "make_clips",
        lambda *_: (make_clip(episode(20, seed), DROID_SIM) for seed in range(2)),
    )
    decoder = DecoderOptions(frames=17, steps=2, batch=2, warmup=1)
    recipe = Recipe(
        start=str(tiny_small),
        device="cpu",
        data=DataOptions(warm_up=2),
        policy=PolicyTrainingOptions(steps=1, batch=2, warmup=1),
        decoder=decoder,
    )
    with pytest.raises(ValueError, match="expected 17, those of a chunk, got 9"):
        train.train(
            dataclasses.replace(recipe, decoder=dataclasses.replace(decoder, frames=9)),
            tmp_path / "wrong",
        )
    said: list[str] = []
    made = train.train(recipe, tmp_path / "out", said.append)
    stages = [line.split("stage ")[1].split()[0] for line in said if "stage" in line]
    assert list(dict.fromkeys(stages)) == ["data", "policy", "autoencoder"]
    before, after = (
        load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
        for folder in (tiny_small, made)
    )
    changed = {name.split(".")[0] for name in before if not torch.equal(before[name], after[name])}
    assert changed <= {"decoder", "post_quant_conv"}
    assert "decoder" in changed
    said.clear()
    train.train(recipe, tmp_path / "out", said.append)  # goes on where it ended
    assert not [line for line in said if "step" in line]


def test_the_decoder_may_keep_a_share_of_what_it_was(tmp_path, tiny_small, monkeypatch):
    def learn(vae, *_):
        for tensor in vae.module.decoder.state_dict().values():
            tensor.add_(1)

    monkeypatch.setattr(train, "train_autoencoder", learn)
    made = copytree(tiny_small, tmp_path / "checkpoint")
    options = DecoderOptions(frames=17, kept=0.25)
    train.train_decoder(
        Recipe(device="cpu", decoder=options), [], tmp_path, lambda _: None, train.TrainingGroup()
    )
    before, after = (
        load_file(folder / "vae" / "diffusion_pytorch_model.safetensors")
        for folder in (tiny_small, made)
    )
    for name in before:
        moved = (after[name] - before[name]).float()
        assert torch.allclose(
            moved, torch.full_like(moved, 0.75 * name.startswith("decoder.")), atol=0.02
        ), name
    for wrong in ({"kept": 1.0}, {"kept": 0.5, "start": "decoder"}):
        with pytest.raises(ValueError, match="expected a share below 1, 0 if it begins anew"):
            dataclasses.replace(options, **wrong)


@pytest.fixture
def short(tiny_small, monkeypatch, episode):
    """A recipe of two steps, saved after each."""
    monkeypatch.setattr(
        train,
        "make_clips",
        lambda *_: (make_clip(episode(17, seed), DROID_SIM, 17) for seed in (0, 1)),
    )
    return Recipe(
        start=str(tiny_small),
        device="cpu",
        data=DataOptions(warm_up=2),
        policy=PolicyTrainingOptions(steps=2, batch=2, warmup=1, save=0.0, text=False),
    )


def weights(out):
    return load_file(out / "checkpoint" / "transformer" / "diffusion_pytorch_model.safetensors")


def run(recipe, out):
    said = []
    train.train(recipe, out, said.append)
    return said


@pytest.mark.parametrize("part", ["checkpoint", "state"])
@pytest.mark.parametrize("save", [0, 1], ids=["first save", "last save"])
def test_a_save_that_is_cut_short_is_made_up_for(tmp_path, short, monkeypatch, part, save):
    """The same command again ends with the weights of a training that was not disturbed."""
    run(short, tmp_path / "whole")
    place, name = (
        (reasoner, "write_transformer")
        if part == "checkpoint"
        else (optimizer, "write_safetensors")
    )
    write, number = getattr(place, name), itertools.count()

    def full(*args, **options):
        if next(number) == save:
            raise OSError(28, "No space left on device")
        write(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(place, name, full)
        with pytest.raises(OSError, match="No space left"):
            run(short, tmp_path / "cut")
    load_model(tmp_path / "cut" / "checkpoint")
    assert run(short, tmp_path / "cut")[-1].startswith("wrote")
    wanted, found = weights(tmp_path / "whole"), weights(tmp_path / "cut")
    assert all(torch.equal(wanted[name], found[name]) for name in wanted)
    assert read_json(tmp_path / "cut" / "checkpoint" / "training.json") == {
        "policy": {"step": 2, "ended": True}
    }


@pytest.mark.parametrize("stage", ["reasoner", "distill"])
def test_what_does_not_learn_stays_the_same_in_a_training_that_goes_on(
    tmp_path, short, monkeypatch, stage
):
    """Its start has more digits than a checkpoint holds, and lies elsewhere in its files."""
    lessons = (Lesson("cubes", "Which cubes are there?", "red", (0, 1, 2)),)
    pictures = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    made = [Scene(pictures, lessons)]
    monkeypatch.setattr(reasoner, "make_scenes", lambda *_: (scene for scene in made))
    monkeypatch.setattr(reasoner, "fit", lambda *_: (32, 32))
    steps = {"steps": 2, "batch": 1, "warmup": 1, "save": 0.0}
    asked = ReasonerTrainingOptions(every=0, episodes=1, warm_up=1, length=64, **steps)
    recipe = (
        dataclasses.replace(short, reasoner=asked)
        if stage == "reasoner"
        else dataclasses.replace(
            short,
            policy=PolicyTrainingOptions(steps=0),
            distill=DistillOptions(levels=(1.0, 0.8), text=False, **steps),
        )
    )
    run(recipe, tmp_path / "whole")
    write, number = optimizer.write_safetensors, itertools.count()

    def full(*args, **options):
        if next(number) == 1:  # the checkpoint is of the first step
            raise OSError(28, "No space left on device")
        write(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(optimizer, "write_safetensors", full)
        with pytest.raises(OSError, match="No space left"):
            run(recipe, tmp_path / "cut")
    run(recipe, tmp_path / "cut")
    for state in (
        "checkpoint/transformer/diffusion_pytorch_model",
        {"reasoner": "state", "distill": "student"}[stage],
    ):
        wanted, found = (
            load_file(tmp_path / part / f"{state}.safetensors") for part in ("whole", "cut")
        )
        assert [name for name in wanted if not torch.equal(wanted[name], found[name])] == []


def test_weights_of_a_training_lie_in_memory_of_their_own(tmp_path, short):
    """Where they begin in a file would decide the last bits of products."""
    run(dataclasses.replace(short, policy=PolicyTrainingOptions(steps=0)), tmp_path)
    model = train.load(short, tmp_path / "checkpoint", TrainingGroup())
    for module in (model.transformer, model.vision, model.vae.module):
        assert not any(tensor.data_ptr() % 64 for tensor in module.parameters())


def test_a_training_that_was_killed_while_it_began_begins_again(tmp_path, short):
    """What is half there is a hidden draft; what its start says of its own training is not kept."""
    (tmp_path / "out" / ".checkpoint.draft").mkdir(parents=True)
    (tmp_path / "out" / ".checkpoint.draft" / "model_index.json").write_text("{")
    start = copytree(short.start, tmp_path / "start")
    (start / "training.json").write_text('{"policy": {"step": 2, "ended": true}}')
    (tmp_path / "out" / "log.jsonl").write_text('{"seconds": 1}\n{"sec')
    run(dataclasses.replace(short, start=str(start)), tmp_path / "out")
    assert not [file for file in (tmp_path / "out").iterdir() if file.name.startswith(".")]
    before, after = load_model(start).transformer, load_model(tmp_path / "out" / "checkpoint")
    assert not torch.equal(before.action_in.weight, after.transformer.action_in.weight)
    lines = (tmp_path / "out" / "log.jsonl").read_text().split("\n")
    assert [json.loads(line) for line in lines if line]


def test_a_training_that_explodes_keeps_what_was_good(tmp_path, short):
    """It was saved before, and the error says what may help."""
    run(short, tmp_path / "out")
    state = (tmp_path / "out" / "state.safetensors").read_bytes()
    good = weights(tmp_path / "out")
    wild = dataclasses.replace(short.policy, steps=9, rate=1e20, warmup=0)
    with pytest.raises(ValueError, match="gradient not finite 11 times in a row after step 3"):
        run(dataclasses.replace(short, policy=wild), tmp_path / "out")
    kept = weights(tmp_path / "out")
    assert all(torch.equal(good[name], kept[name]) for name in good)
    assert len(state) == (tmp_path / "out" / "state.safetensors").stat().st_size
    mild = dataclasses.replace(short.policy, steps=3)
    assert run(dataclasses.replace(short, policy=mild), tmp_path / "out")[-1].startswith("wrote")


def test_a_hand_with_a_wider_state_trains_by_the_recipe_and_is_a_whole_policy(
    tmp_path, hand_dataset
):
    """Meta-World's recipe with small towers: three steps, a checkpoint, a chunk, no complaint."""
    changes = ["data.env=", f"data.dataset={hand_dataset}", "data.stride=6", "data.warm_up=1"]
    changes += ["data.seconds=null", "start=", "policy.short=1", "policy.short_batch=3"]
    changes += ["autoencoder=null", "policy.batch=2", "policy.steps=3", "policy.compile="]
    changes += ["policy.muon=0", "device=cpu", "objective.grounding_layer=1"]
    recipe = read_recipe(RECIPES / "metaworld.yaml", changes)
    known = GroundTruthOptions(
        asked=(0, 1, 2, 6, 7, 8), around=(3, 4, 5), center=(0.0, 0.65, 0.1) * 3, spread=(0.1,) * 9
    )
    recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, ground_truth=known))
    small = {"hidden": 64, "layers": 2, "heads": 2, "kv_heads": 2, "mlp": 128}
    folder = train.train(dataclasses.replace(recipe, size=small), tmp_path / "out")
    logged = [json.loads(line) for line in (tmp_path / "out/log.jsonl").read_text().splitlines()]
    losses = [entry["total"] for entry in logged if "total" in entry]
    assert losses
    assert all(math.isfinite(loss) for loss in losses)
    assert all(entry["grounding"] > 0 for entry in logged if "total" in entry)
    policy = load_policy(folder, num_steps=1)
    assert policy.embodiment == EMBODIMENTS["metaworld"]
    chunk = policy.infer(gray_observation(policy.embodiment, "Open a drawer")).chunk
    assert chunk.values.shape == (16, 4)
    inspected = report(folder)
    assert inspected.loads, inspected.text
    assert "metaworld" in inspected.text
    # without a word about the truth it trains too, and a weight that asks for it is refused
    bare = dataclasses.replace(recipe.data, ground_truth=None)
    with pytest.raises(ValueError, match=r"objective.grounding: expected 0, the data do not say"):
        train.train(dataclasses.replace(recipe, data=bare), tmp_path / "none")
    assert not (tmp_path / "none" / "checkpoint").exists()


@pytest.mark.parametrize("name", ["metaworld", "metaworld_2500"])
def test_a_recipe_for_meta_world_makes_a_small_network(name):
    recipe = read_recipe(RECIPES / f"{name}.yaml")
    with torch.device("meta"):
        towers = Transformer(dataclasses.replace(TINY, **recipe.size))
    assert sum(parameter.numel() for parameter in towers.parameters()) <= 25_000_000
