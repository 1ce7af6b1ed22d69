# SPDX-License-Identifier: Apache-2.0
"""Training of a few-step student beside its teacher, who stays as the recipe's `start` has it."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...model.checkpoint_io.loader import load_model
from ...model.checkpoint_io.student import LEVELS, write_student
from ...model.checkpoint_io.trained_sampling import (
    TrainedSampling,
    trained_sampling,
    write_trained_sampling,
)
from ...model.loaded_model import Model
from ...model.network.transformer import Transformer
from ...model.policy import Cosmos3Policy
from ..data.background_loader import BackgroundLoader
from ..data.episodes import Clip
from ..log import EVERY, Log
from ..optim.fsdp import shard
from ..optim.optimizer import Optimizer
from ..optim.process_group import TrainingGroup
from ..optim.trainable import prepare_generator
from ..recipe import Recipe
from ..stages.checkpoint_progress import resume
from ..stages.policy import PolicyData
from ..stages.reasoner import write_averages
from .consistency import distillation_losses
from .lessons import Lessons, PolicyLessons, VideoLessons

STAGE = "distill"
STATE = "student.safetensors"


def train_student(
    model: Model,
    source: BackgroundLoader[Clip] | None,
    recipe: Recipe,
    out: Path,
    log: Log,
    group: TrainingGroup | None = None,
) -> None:
    """Train the transformer as a student of `recipe.start`; write its averages and what it is for.

    source: demonstrations of a policy; None: `recipe.video` says which clips. Goes on from
    out/student.safetensors if there is one.
    """
    group, options, state = group or TrainingGroup(), recipe.distill, out / STATE
    assert options is not None  # `train` asks
    teacher = load_teacher(recipe, model, group)
    lessons: Lessons
    if source is None:
        lessons = VideoLessons(model, recipe, group)
    else:
        policy = Cosmos3Policy(model, recipe.embodiment)
        lessons = PolicyLessons(PolicyData(policy, source, recipe, out, group), recipe)
    try:
        frozen = ("action_",) if source is None else ()
        prepare_generator(model.transformer, options, recipe.lora, group, frozen)
        optimizer = Optimizer({"transformer": model.transformer}, options, group)

        def label(draft: Path) -> None:
            _label(model, recipe, lessons, draft)

        def write(folder: Path) -> None:
            write_averages(model, optimizer, folder, STAGE, recipe.lora, label)

        if resume(optimizer, state, STAGE, options.save, write):
            _loop(model, teacher, recipe, lessons, optimizer, log)
    finally:
        lessons.close()


def load_teacher(recipe: Recipe, model: Model, group: TrainingGroup) -> Transformer:
    """The transformer of `start`, frozen, in the precision of the student and sharded as it is.

    ValueError if it is a student itself.
    """
    assert recipe.distill is not None  # `train` asks
    sharded = recipe.distill.shard
    device = torch.device("cpu") if sharded else group.device
    loaded = load_model(recipe.start, device, model.transformer.dtype, reasoner=False)
    if LEVELS in loaded.scheduler:
        raise ValueError(
            f"start: expected a teacher, {recipe.start} is a few-step student without guidance"
        )
    teacher = loaded.transformer.requires_grad_(False).eval()
    if sharded:
        shard(teacher, group)
    return teacher


def _loop(
    model: Model,
    teacher: Transformer,
    recipe: Recipe,
    lessons: Lessons,
    optimizer: Optimizer,
    log: Log,
) -> None:
    options, group, begun = recipe.distill, optimizer.group, False
    assert options is not None  # see train_student
    while not optimizer.ended:
        if not begun or optimizer.step_number % options.refresh == 0:
            begun = True
            log({"stage": STAGE, "step": optimizer.step_number, **lessons.refresh()})
        optimizer.begin_round()
        losses = _backward(model.transformer, teacher, recipe, lessons, optimizer)
        norm = optimizer.step()
        if optimizer.is_told(EVERY):
            group.average(list(losses.values()))
            numbers = {name: round(float(loss), 5) for name, loss in losses.items()}
            numbers |= {"norm": float(norm), **optimizer.oddities()}
            log({"stage": STAGE, "step": optimizer.step_number, **numbers})


def _backward(
    student: Transformer,
    teacher: Transformer,
    recipe: Recipe,
    lessons: Lessons,
    optimizer: Optimizer,
) -> dict[str, Tensor]:
    """Gradients of `distill.accumulate` batches; returns the losses of the last one, unweighted."""
    options, device = recipe.distill, optimizer.group.device.type
    assert options is not None  # see train_student
    weights = {"vision": recipe.objective.vision, "action": recipe.objective.action}
    losses: dict[str, Tensor] = {}
    for number in range(options.accumulate):
        # by the number of the batch: all processes have to do the same, and again after a stop
        count = optimizer.step_number * options.accumulate + number
        rolled = int((count + 1) * options.rollout) > int(count * options.rollout)
        # Uncached: what the student computes without gradients would be remembered, and the weights
        # cast then have none.
        uncached = torch.autocast(
            device, torch.bfloat16, enabled=device == "cuda", cache_enabled=False
        )
        with uncached:
            losses = distillation_losses(lessons.draw(student, teacher), options, rolled)
        total = sum((weights[name] * loss for name, loss in losses.items()), torch.zeros(()))
        (total / options.accumulate).backward()
    return {name: loss.detach().float() for name, loss in losses.items()}


def _label(model: Model, recipe: Recipe, lessons: Lessons, folder: Path) -> None:
    """Say in the checkpoint whose student it is, and what it may not leave out in sampling."""
    assert recipe.distill is not None  # see train_student
    write_student(folder, lessons.about(Path(recipe.start).name), recipe.distill.levels)
    if model.policy_config:
        hidden = trained_sampling(model.policy_config).hidden_rows
        write_trained_sampling(folder, TrainedSampling(hidden_rows=hidden))
