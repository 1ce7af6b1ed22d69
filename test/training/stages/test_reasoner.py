# SPDX-License-Identifier: Apache-2.0
"""Training of the reasoner: a batch is what the reasoner reads, and answers are learned."""

import dataclasses
import importlib.util
import math
import shutil

import numpy as np
import pytest
import torch

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import write_tiny
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.language.vision_encoder import image_patches
from cosmos3_ros.model.network.config import TINY
from cosmos3_ros.model.reasoner import Cosmos3Reasoner, load_reasoner
from cosmos3_ros.training.data.background_loader import BackgroundLoader
from cosmos3_ros.training.data.episodes import Episode, make_clip
from cosmos3_ros.training.data.ground_truth import GroundTruth
from cosmos3_ros.training.options import PolicyTrainingOptions, ReasonerTrainingOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.stages import reasoner as module
from cosmos3_ros.training.stages.batched_vision import encode_pictures
from cosmos3_ros.training.stages.policy import train_policy
from cosmos3_ros.training.stages.reasoner import AnswerLoss, ReasonerTrainer, train_reasoner
from cosmos3_ros.training.stages.vqa_dataset import VqaDataset
from cosmos3_ros.training.vqa.questions import Lesson
from cosmos3_ros.training.vqa.samples import Scene

DROID_SIM = EMBODIMENTS["droid_sim"]

SMALL = dataclasses.replace(
    TINY, hidden=64, layers=2, heads=2, kv_heads=2, mlp=128, rope_theta=1000.0
)
SIZE = (32, 32)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("checkpoint") / "small"
    write_tiny(folder, config=SMALL)
    return folder


def scenes():
    """Two scenes that differ in color, and what there is to say about them."""
    colors = {"red": (200, 30, 30), "blue": (30, 60, 200)}
    made = []
    for number, (name, color) in enumerate(colors.items()):
        pictures = np.random.default_rng(number).integers(0, 40, (3, *SIZE, 3), dtype=np.uint8)
        pictures += np.array(color, np.uint8)
        box = '[{"bbox_2d": [12, 34, 56, 78], "label": "red cube"}]' if name == "red" else "[]"
        lessons = (
            Lesson("drawer", "Is the drawer open?", "Yes." if number % 2 else "No.", (1,)),
            Lesson("cubes", "Which cubes are there?", name),
            Lesson("boxes", "Where is the red cube?", box, (2,)),
        )
        made.append(Scene(pictures, lessons))
    return made


def library(model, length=64):
    dataset = VqaDataset(Cosmos3Reasoner(model), SIZE, 8, length)
    dataset.add(scenes())
    return dataset


def test_pictures_of_one_size_are_seen_as_one_by_one(small):
    vision_encoder = load_model(small, generator=False).vision
    pictures = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), dtype=np.uint8)
    cut = [image_patches(picture, vision_encoder.pixels) for picture in pictures]
    with torch.no_grad():
        one_by_one = vision_encoder(
            torch.cat([patches for patches, _ in cut]), [grid for _, grid in cut]
        )
        together = encode_pictures(vision_encoder, torch.from_numpy(pictures))
    assert len(one_by_one) == len(together) == 4
    for one, other in zip(one_by_one, together, strict=True):
        assert torch.allclose(one, other.flatten(0, 1), atol=1e-5)


def test_a_batch_is_what_the_reasoner_reads(small):
    """Loss and best tokens are those of the reasoner's own prompt with the answer after it."""
    model = load_model(small, generator=False)
    reader, dataset, made = Cosmos3Reasoner(model), library(model), scenes()
    torch.manual_seed(0)
    asked = dataset.draw(6)
    loss_module = AnswerLoss(model.transformer, model.vision)
    with torch.no_grad():
        loss, right = loss_module(asked)
    losses = []
    for row in range(6):
        tokens = asked.tokens[row, asked.first[row] : asked.end[row]]
        pictures = asked.pictures[row].numpy()
        number = next(
            n
            for n, scene in enumerate(made)
            if any(np.array_equal(pictures[0], p) for p in scene.pictures)
        )
        said = reader.tokenizer.decode(tokens[:-1])
        lesson = next(each for each in made[number].lessons if each.answer == said)
        prompt = reader.prompt(
            lesson.question, [made[number].pictures[view] for view in lesson.views]
        )
        assert torch.equal(prompt.ids, asked.tokens[row, : asked.first[row]])
        embeds = torch.cat([prompt.embeds, model.transformer.embed(tokens)[None]], 1)
        rest = prompt.position + torch.arange(len(tokens)).expand(3, -1)
        deep = [torch.nn.functional.pad(part, (0, 0, 0, len(tokens))) for part in prompt.deepstack]
        with torch.no_grad():
            states, _ = model.transformer.prefill(
                embeds=embeds, positions=torch.cat([prompt.positions, rest], 1), deepstack=deep
            )
            scores = model.transformer.logits(states[0, len(prompt.ids) - 1 : -1])
        losses.append(
            torch.nn.functional.cross_entropy(scores, tokens, reduction="sum")
            / math.sqrt(len(tokens))
        )
        assert bool(right[row]) == torch.equal(scores.argmax(-1), tokens)
    assert torch.allclose(loss, torch.stack(losses).mean(), rtol=1e-4)


def test_answers_are_drawn_equally_often(small):
    dataset = VqaDataset(Cosmos3Reasoner(load_model(small, generator=False)), SIZE, 40, 80)
    picture = np.zeros((3, *SIZE, 3), np.uint8)
    no, yes = (Lesson("drawer", "Is the drawer open?", answer) for answer in ("No.", "Yes."))
    dataset.add([Scene(picture, (no, no, no, yes if number < 6 else no)) for number in range(30)])
    torch.manual_seed(0)
    asked = dataset.draw(4000)
    lengths = asked.end - asked.first
    # "Yes." is a token longer; of 120 it is 6
    assert 0.2 < float((lengths == lengths.max()).float().mean()) < 0.8
    dataset.add([Scene(picture, (yes,)) for _ in range(30)])
    assert dataset.scenes == dataset.capacity == 40
    with pytest.raises(ValueError, match=r"reasoner\.length: expected at least"):
        VqaDataset(Cosmos3Reasoner(load_model(small, generator=False)), SIZE, 40, 20).add(scenes())


def test_scenes_may_come_little_by_little(small):
    """Known lessons, new ones and none: the draws are those of all scenes at once, bit by bit."""
    reader, (one, other) = Cosmos3Reasoner(load_model(small, generator=False)), scenes()
    both = Scene(
        other.pictures, (*one.lessons, Lesson("count", "Count the cubes.", "1"), *other.lessons)
    )
    parts = [[one, other], [both], [Scene(one.pictures, ())], [other]]
    slowly, at_once = (VqaDataset(reader, SIZE, 8, 64) for _ in range(2))
    for part in parts:
        slowly.add(part)
    at_once.add([scene for part in parts for scene in part])
    drawn = []
    for dataset in (slowly, at_once):
        torch.manual_seed(0)
        drawn.append(dataclasses.astuple(dataset.draw(64)))
    assert all(torch.equal(a, b) for a, b in zip(*drawn, strict=True))


def test_a_few_answers_are_learned_by_heart(small, tmp_path, monkeypatch):
    """The loss falls below a twentieth; the reasoner answers word for word, also when resumed."""
    made, lines = scenes(), []
    monkeypatch.setattr(module, "make_scenes", lambda jobs, workers: (scene for scene in made))
    monkeypatch.setattr(module, "fit", lambda *sizes: SIZE)
    options = ReasonerTrainingOptions(
        steps=80,
        batch=8,
        rate=5e-3,
        warmup=10,
        average=0.02,
        warm_up=2,
        length=64,
        episodes=1,
        every=0,
    )
    (tmp_path / "checkpoint").mkdir()
    for part in small.iterdir():
        if part.name not in ("transformer", "vision_encoder"):
            (tmp_path / "checkpoint" / part.name).symlink_to(part)
    for part in ("transformer", "vision_encoder"):
        (tmp_path / "checkpoint" / part).mkdir()
    for steps in (30, 80):  # stopped in between
        torch.manual_seed(0)
        trainer = ReasonerTrainer(
            load_model(small), options=dataclasses.replace(options, steps=steps)
        )
        try:
            if steps == 30:
                first = float(trainer.loss())
            train_reasoner(trainer, tmp_path, lines.append)
        finally:
            trainer.close()
    assert [line["step"] for line in lines] == [30, 50, 80]
    assert lines[-1]["answers"] < first / 20
    trained = load_reasoner(tmp_path / "checkpoint", max_tokens=48)
    for scene in made:
        for lesson in scene.lessons:
            said = trained.ask(lesson.question, [scene.pictures[view] for view in lesson.views])
            assert said.text == lesson.answer


def test_answers_are_learned_while_prompts_are_read_as_before(small, tmp_path, monkeypatch):
    """Without `prompts` the text's keys and values, all that a chunk depends on, stay the same."""
    made, lines = scenes(), []
    monkeypatch.setattr(module, "make_scenes", lambda jobs, workers: (scene for scene in made))
    monkeypatch.setattr(module, "fit", lambda *sizes: SIZE)
    options = ReasonerTrainingOptions(
        steps=60,
        batch=8,
        rate=2e-2,
        warmup=5,
        warm_up=2,
        length=64,
        episodes=1,
        every=0,
        prompts=False,
    )
    model = load_model(small)
    for parameter in model.transformer.parameters():  # as released checkpoints hold them
        parameter.data = parameter.data.bfloat16().float()
    tokens = torch.arange(20)[None]
    with torch.no_grad():
        states, before = model.transformer.prefill(tokens)
    trainer = ReasonerTrainer(model, options)
    try:
        first = float(trainer.loss().detach())
        train_reasoner(trainer, tmp_path, lines.append)
    finally:
        trainer.close()
    assert lines[-1]["answers"] < first / 2
    with torch.no_grad():
        changed, after = model.transformer.prefill(tokens)
    assert not torch.equal(states, changed)
    for number in range(model.transformer.config.layers):
        pairs = before.for_generator(number), after.for_generator(number)
        for one, other in zip(*pairs, strict=True):
            assert torch.equal(one, other)


def test_prompts_can_only_be_kept_in_a_stage_of_its_own():
    with pytest.raises(ValueError, match="every: 0"):
        ReasonerTrainingOptions(prompts=False)


def test_questions_are_asked_between_the_steps_of_the_policy(small, tmp_path, monkeypatch):
    """The reasoner's parts learn from every second step.

    The policy's loss and the checkpoint are there as before.
    """
    made, lines = scenes(), []
    monkeypatch.setattr(module, "make_scenes", lambda jobs, workers: (scene for scene in made))
    monkeypatch.setattr(module, "fit", lambda *sizes: SIZE)
    shutil.copytree(small, tmp_path / "checkpoint")
    asked = ReasonerTrainingOptions(every=2, batch=4, warm_up=2, length=64, episodes=1)
    recipe = Recipe(policy=PolicyTrainingOptions(steps=4, batch=2, warmup=1), reasoner=asked)
    random = np.random.default_rng(0)
    views = {
        view: random.integers(0, 256, (9, 36, 64, 3), dtype=np.uint8) for view in DROID_SIM.views
    }
    flat = np.zeros((9, 8), np.float32)
    episode = Episode(
        views, flat, flat, ("pick up the red cube",), np.zeros((9, GroundTruth.WIDTH), np.float32)
    )
    model = load_model(small)
    source, trainer = (
        BackgroundLoader(lambda: (make_clip(part, DROID_SIM, 8) for part in [episode])),
        ReasonerTrainer(model, asked),
    )
    try:
        source.wait_for(1)
        train_policy(model, source, recipe, tmp_path, lines.append, trainer)
    finally:
        source.close()
        trainer.close()
    assert lines[-1]["answers"] > 0
    assert lines[-1]["action"] > 0
    assert trainer.calls == 2
    before, after = load_model(small), load_model(tmp_path / "checkpoint")
    for one, other in (
        (before.transformer.head, after.transformer.head),
        (before.vision, after.vision),
    ):
        changes = [
            float((a - b).abs().max())
            for a, b in zip(one.parameters(), other.parameters(), strict=True)
        ]
        assert max(changes) > 1e-3
