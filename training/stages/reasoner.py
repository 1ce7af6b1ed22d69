# SPDX-License-Identifier: Apache-2.0
"""The reasoner learns to answer: next-token loss on the answers to questions about the simulation.

The generator reads its prompts with the same text tower. The questions are therefore asked between
the steps of the policy (`ReasonerTrainer.loss` is added to every k-th of them), or in a stage of
their own before the policy, after which the tower must stay frozen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...model.checkpoint_io.atomic_files import rewritten
from ...model.language.vision_encoder import VisionEncoder, fit
from ...model.loaded_model import Model
from ...model.network.transformer import Transformer
from ...model.reasoner import Cosmos3Reasoner
from ...model.runtime.unregistered import Unregistered
from ..data.background_loader import BackgroundLoader
from ..data.demonstrations import Demonstration
from ..log import EVERY, Log
from ..optim.fsdp import gather
from ..optim.lora import merge, write_adapter
from ..optim.optimizer import Optimizer
from ..optim.process_group import TrainingGroup
from ..optim.trainable import round_frozen
from ..options import LoraOptions, ReasonerTrainingOptions
from ..vqa.questions import KINDS
from ..vqa.samples import Scene, Watch, make_scenes
from .batched_vision import encode_pictures
from .checkpoint_progress import note
from .checkpoint_writer import write_transformer, write_vision
from .vqa_dataset import Questions, VqaDataset

STAGE = "reasoner"
ANSWER = 64  # tokens that an answer may have, its end included
HEIGHT, WIDTH = 180, 320  # of the camera pictures that the reasoner node gets
# Parts of a layer that its keys and values do not depend on.
BEHIND_KEYS = ("attention.q.", "attention.q_norm.", "attention.out.", "mlp_norm.", "mlp.")


class AnswerLoss(nn.Module):
    """The loss of a batch of questions.

    Nothing in it depends on their content, so that it is compiled once.
    """

    def __init__(self, transformer: Transformer, vision_encoder: VisionEncoder):
        super().__init__()
        self._transformer = Unregistered(transformer)
        self._vision_encoder = Unregistered(vision_encoder)

    def forward(self, asked: Questions) -> tuple[Tensor, Tensor]:
        """The mean loss, and which answers would be given word for word, bool [B]."""
        transformer, vision_encoder = self._transformer.module, self._vision_encoder.module
        count, hidden = len(asked.tokens), transformer.config.hidden
        seen = [
            part.reshape(count, -1, hidden)
            for part in encode_pictures(vision_encoder, asked.pictures.flatten(0, 1))
        ]
        visual = (asked.tokens == vision_encoder.media.image)[..., None]
        index = (visual.cumsum(1) - 1).clamp(min=0).expand(-1, -1, hidden)
        tokens, *deep = (part.gather(1, index) for part in seen)
        embeds = torch.where(visual, tokens, transformer.embed(asked.tokens).to(tokens.dtype))
        deepstack = [torch.where(visual, part, 0.0) for part in deep]
        states, _ = transformer.prefill(
            embeds=embeds, positions=asked.positions, deepstack=deepstack
        )
        after = asked.first[:, None] + torch.arange(ANSWER, device=asked.first.device)
        valid, after = after < asked.end[:, None], after.clamp(max=asked.tokens.shape[1] - 1)
        states = states.gather(1, (after - 1)[..., None].expand(-1, -1, hidden))
        scores, wanted = transformer.logits(states).float(), asked.tokens.gather(1, after)
        loss = functional.cross_entropy(scores.transpose(1, 2), wanted, reduction="none") * valid
        # Boxes are some 40 tokens long, "Yes." is 3: in between one vote for each token and one for
        # each answer.
        each = loss.sum(1) / valid.sum(1).sqrt()
        return each.mean(), ((scores.argmax(-1) == wanted) | ~valid).all(1)


class ReasonerTrainer:
    """Asks a model about scenes that other processes make meanwhile. Close it: that ends them."""

    def __init__(
        self, model: Model, options: ReasonerTrainingOptions, group: TrainingGroup | None = None
    ):
        reader = Cosmos3Reasoner(model)
        if reader.vision is None:
            raise ValueError(
                "reasoner: expected a checkpoint with a vision_encoder, got one without"
            )
        self.model, self.vision_encoder, self.options, self.group = (
            model,
            reader.vision,
            options,
            group or TrainingGroup(),
        )
        pixels = self.vision_encoder.pixels
        size = fit(HEIGHT, WIDTH, pixels.side, pixels.image_area)
        jobs = watches(options, size, self.group)
        scenes = options.looks + options.stills + options.endings
        self._dataset = VqaDataset(reader, size, len(jobs) * scenes, options.length)
        loss = AnswerLoss(model.transformer, self.vision_encoder)
        self._loss = (
            torch.compile(loss, dynamic=False, mode=options.compile) if options.compile else loss
        )
        self._asked, self._right = (torch.zeros(len(KINDS), device=model.device) for _ in range(2))
        self._last, self.calls = torch.zeros(()), 0
        self._source: BackgroundLoader[Scene] = BackgroundLoader(
            lambda: make_scenes(jobs, options.workers)
        )

    def loss(self) -> Tensor:
        """The loss of the next batch, weighted."""
        if self.calls % self.options.refresh == 0:
            self._source.wait_for(self.options.warm_up)
            self._dataset.add(self._source.take())
        self.calls += 1
        asked = self._dataset.draw(self.options.batch)
        device = self.model.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, right = self._loss(asked)
        self._last = loss.detach()
        self._asked.index_add_(0, asked.kinds, torch.ones_like(asked.kinds, dtype=torch.float32))
        self._right.index_add_(0, asked.kinds, right.float())
        return self.options.weight * loss

    def numbers(self) -> dict[str, Any]:
        """For the log: the last loss, and right answers by kind (share) since the last call."""
        shares = (self._right / self._asked).tolist()
        known = {
            kind: round(share, 3)
            for kind, share in zip(KINDS, shares, strict=True)
            if not math.isnan(share)
        }
        self._asked.zero_()
        self._right.zero_()
        return {
            "answers": round(float(self._last), 4),
            "scenes": self._dataset.scenes,
            "right": known,
        }

    def close(self) -> None:
        self._source.close()


def watches(
    options: ReasonerTrainingOptions, size: tuple[int, int], group: TrainingGroup
) -> list[Watch]:
    """This process's share of the demonstrations to ask about."""
    return [
        Watch(
            Demonstration(
                task, seed, 2, HEIGHT, WIDTH, astray=options.astray, scatter=options.scatter
            ),
            options.looks,
            options.stills,
            size=size,
            endings=options.endings,
        )
        for seed in range(options.first_seed, options.first_seed + options.episodes)[
            group.rank :: group.size
        ]
        for task in options.tasks
    ]


def train_reasoner(trainer: ReasonerTrainer, out: Path, log: Log) -> None:
    """Train text tower, head and vision encoder alone, as far as the options let them learn.

    Writes their averages. Goes on from out/reasoner.safetensors if there is one.
    """
    model, options, state = trainer.model, trainer.options, out / "reasoner.safetensors"
    learned = answering_weights(model.transformer.config.layers, options.prompts)
    for name, parameter in model.transformer.named_parameters():
        parameter.requires_grad_(name.startswith(learned))
    round_frozen(model.transformer)
    trainer.vision_encoder.requires_grad_(True)
    optimizer = Optimizer(
        {"transformer": model.transformer, "vision": trainer.vision_encoder}, options, trainer.group
    )
    if state.exists():
        optimizer.resume(state)

    def save() -> None:
        optimizer.save(state)
        write_averages(model, optimizer, out / "checkpoint", STAGE)

    if optimizer.progress >= 1:  # but not said to be: the last save was cut short
        save()
    optimizer.save_by(save, options.save)
    while not optimizer.ended:
        optimizer.begin_round()
        trainer.loss().backward()
        norm = optimizer.step()
        if optimizer.is_told(EVERY):
            numbers = {**trainer.numbers(), "norm": float(norm), **optimizer.oddities()}
            log({"stage": STAGE, "step": optimizer.step_number, **numbers})
    with torch.no_grad():
        for name, average in optimizer.averaged().items():
            # as the checkpoint has them: a training that is resumed here goes on with the same
            optimizer.named[name].copy_(average.bfloat16())


def answering_weights(layers: int, prompts: bool) -> tuple[str, ...]:
    """How the names of the weights that learn to answer begin.

    Without `prompts` those that no key or value depends on, which is all that the generator reads
    of its prompts: its chunks stay what they are.
    """
    if prompts:
        return "text.", "embed.", "head."
    last = f"text.layers.{layers - 1}."
    return "text.norm.", "head.", *(last + part for part in BEHIND_KEYS)


def write_averages(
    model: Model,
    optimizer: Optimizer,
    folder: Path,
    stage: str,
    lora: LoraOptions | None = None,
    label: Callable[[Path], None] | None = None,
) -> None:
    """Put transformer and vision encoder, averaged where they learned, into the checkpoint.

    The folder is replaced as a whole, and says then of which step of `stage` it is. label: writes
    what else it is to say.
    """
    average, group = optimizer.averaged(), optimizer.group
    tensors = model.transformer.state_dict().items()
    kept = gather(
        {name: average.get(f"transformer.{name}", tensor) for name, tensor in tensors}, group
    )
    if not group.leads:
        return
    if lora is not None:
        learned = {name: kept[name] for name in kept if f"transformer.{name}" in average}
        with rewritten(folder.parent / "adapter") as draft:
            write_adapter(draft, str(model.path), learned, lora)
        kept = merge(kept, lora)
    with rewritten(folder) as draft:
        write_transformer(draft / "transformer", model.config, kept)
        if any(name.startswith("vision.") for name in average):
            assert isinstance(model.vision, VisionEncoder)
            seen = {
                name: average.get(f"vision.{name}", tensor)
                for name, tensor in model.vision.state_dict().items()
            }
            write_vision(draft / "vision_encoder", seen)
        if label is not None:
            label(draft)
        note(draft, stage, optimizer.step_number, optimizer.progress >= 1)
