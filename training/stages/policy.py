# SPDX-License-Identifier: Apache-2.0
"""Training of the transformer as a policy: batches, gradients, saved states."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ...model.checkpoint_io.loader import Model
from ...model.embodiment.checks import head_number
from ...model.language.captions import tokenize
from ...model.network.transformer import Transformer
from ...model.policy import Cosmos3Policy
from ..data.background_loader import BackgroundLoader
from ..data.episodes import Clip
from ..log import EVERY, Log
from ..optim.fsdp import recompute, shard, shard_part, widen
from ..optim.lora import adapt
from ..optim.optimizer import Optimizer
from ..optim.process_group import TrainingGroup
from ..optim.trainable import round_frozen
from ..recipe import Recipe
from ..worlds.live_source import ground_truth_of
from .autoencoder import load_autoencoder
from .checkpoint_progress import resume
from .flow_matching_loss import FlowMatchingLoss
from .latent_encoder import Encoder, Feed
from .reasoner import ReasonerTrainer, write_averages
from .text_batch import TextBatch, pad_prompts
from .window_dataset import WindowDataset

STAGE = "policy"


def train_policy(
    model: Model,
    source: BackgroundLoader[Clip],
    recipe: Recipe,
    out: Path,
    log: Log,
    trainer: ReasonerTrainer | None = None,
    group: TrainingGroup | None = None,
) -> None:
    """Train the transformer on the clips of a source; write its averages into the checkpoint.

    trainer: asks questions in between, from which text tower, lm_head and vision encoder learn too.
    group: the processes that train together, each on the clips of its own source.
    """
    group, options, state = group or TrainingGroup(), recipe.policy, out / "state.safetensors"
    objective, optimizer, policy = prepare(model, recipe, trainer, group)

    def write(folder: Path) -> None:
        write_averages(model, optimizer, folder, STAGE, recipe.lora)

    if not resume(optimizer, state, STAGE, options.save, write):
        return
    measure = (
        torch.compile(objective, dynamic=False, mode=options.compile)
        if options.compile
        else objective
    )
    data = PolicyData(policy, source, recipe, out, group)
    while not optimizer.ended:
        if data.text is None or optimizer.step_number % options.refresh == 0:
            data.refresh()
            log({"stage": STAGE, "step": optimizer.step_number, **data.numbers()})
        optimizer.begin_round()
        short = optimizer.step_number % (options.short + 1) > 0
        losses = _backward(measure, data, recipe, group, short)
        if trainer is not None and optimizer.step_number % trainer.options.every == 0:
            trainer.loss().backward()
        norm = optimizer.step()
        if optimizer.is_told(EVERY):
            numbers = _averaged_losses(losses, group)
            numbers |= {"norm": float(norm), "rate": optimizer.share, **optimizer.oddities()}
            numbers |= trainer.numbers() if trainer else {}
            named = {f"short_{name}": loss for name, loss in numbers.items()} if short else numbers
            log({"stage": STAGE, "step": optimizer.step_number, **named})
    data.close()


class PolicyData:
    """Windows and prompts of the policy's training, which grow while the source makes clips."""

    def __init__(
        self,
        policy: Cosmos3Policy,
        source: BackgroundLoader[Clip],
        recipe: Recipe,
        out: Path,
        group: TrainingGroup,
    ):
        self.policy, self._prompts = policy, 0
        device = recipe.data.encoder  # of the encoding beside the training
        vae = policy.model.vae
        if device:
            vae = load_autoencoder(out / "checkpoint", torch.device(device))
        assert vae is not None  # Cosmos3Policy has checked it
        self._feed = Feed(Encoder(vae, policy.embodiment), source, beside=bool(device))
        self.windows = WindowDataset(self._feed.shape, group.device)
        self.text: TextBatch | None = None

    def refresh(self) -> None:
        """Add the windows that were encoded since the last call, and read new instructions."""
        known, embodiment = len(self.windows.instructions), self.policy.embodiment
        self.windows.add(self._feed.take())
        if self.text is not None and len(self.windows.instructions) == known:
            return
        captions = ["", *map(self.policy.caption, self.windows.instructions)]
        prompts = [tokenize(self.policy.model.tokenizer, caption) for caption in captions]
        rows = int(embodiment.state_row) + embodiment.horizon
        transformer = self.policy.model.transformer
        self.text = pad_prompts(transformer, embodiment, prompts, self.windows.shape, rows)
        self._prompts = len(prompts)

    def numbers(self) -> dict[str, int]:
        """For the log."""
        return {"windows": len(self.windows), "prompts": self._prompts}

    def close(self) -> None:
        self._feed.close()


def _backward(
    measure: Callable[..., dict[str, Tensor]],
    data: PolicyData,
    recipe: Recipe,
    group: TrainingGroup,
    short: bool = False,
) -> dict[str, Tensor]:
    """Gradients of `policy.accumulate` batches; returns the losses of the last one.

    short: of windows without the frames to come, see `policy.short`.
    """
    options, device = recipe.policy, group.device.type
    losses: dict[str, Tensor] = {}
    for _ in range(options.accumulate):
        count = options.short_batch if short and options.short_batch else options.batch
        future = None if not options.short else not short
        batch = data.windows.draw(count, recipe.objective.dropout, future)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            losses = measure(batch, data.text)
        (losses["total"] / options.accumulate).backward()
    return losses


def _averaged_losses(losses: Mapping[str, Tensor], group: TrainingGroup) -> dict[str, Any]:
    """The means of the losses over the processes, for the log."""
    means = [loss.detach().float() for loss in losses.values()]
    group.average(means)
    return {name: round(float(mean), 5) for name, mean in zip(losses, means, strict=True)}


def prepare(
    model: Model, recipe: Recipe, trainer: ReasonerTrainer | None, group: TrainingGroup
) -> tuple[FlowMatchingLoss, Optimizer, Cosmos3Policy]:
    """Choose which weights learn, shard the transformer if asked, and make loss and optimizer."""
    transformer, options = model.transformer.train(), recipe.policy
    policy = Cosmos3Policy(model, recipe.embodiment)
    if recipe.head_from:
        begin_head(transformer, head_number(recipe.head_from), policy.embodiment.domain_id)
    if recipe.lora is not None:
        adapt(transformer, recipe.lora)
    for name, parameter in transformer.named_parameters() if recipe.lora is None else ():
        read = trainer is not None if name.startswith("head.") else recipe.text
        parameter.requires_grad_(read or not name.startswith(("head", "text", "embed")))
    if recipe.lora is None:  # else they are read from `start` each time
        round_frozen(transformer)
    if options.recompute:
        recompute(transformer)
    objective = FlowMatchingLoss(
        transformer, policy.embodiment, recipe.objective, ground_truth_of(recipe.data)
    ).to(group.device)
    adapters = [parameter for name, parameter in transformer.named_parameters() if "lora_" in name]
    # initialized at random, by each process in its own way
    group.spread([parameter.detach() for parameter in (*objective.parameters(), *adapters)])
    if options.shard:
        shard(transformer, group)
        if [*objective.parameters()]:
            shard_part(objective, group)
    widen(transformer)
    vision_encoder = (
        {} if trainer is None else {"vision": trainer.vision_encoder.requires_grad_(True)}
    )
    return (
        objective,
        Optimizer(
            {"transformer": transformer, "objective": objective, **vision_encoder}, options, group
        ),
        policy,
    )


def begin_head(transformer: Transformer, source: int, target: int) -> None:
    """Have an action head begin as a copy of another; ValueError if there is no such head."""
    heads = transformer.action_in.weight.shape[0]
    if max(source, target) >= heads:
        raise ValueError(f"head_from: expected a head below {heads}, got {source} for {target}")
    for part in (transformer.action_in, transformer.action_out):
        for weights in (part.weight, part.bias):
            weights.data[target] = weights.data[source]
