# SPDX-License-Identifier: Apache-2.0
"""The reasoner learns to answer: next-token loss on the answers to questions about the simulation.

The generator reads its prompts with the same text tower, so the questions are asked in between the
steps of the policy (`Tutor.loss` is added to every k-th of them), or in a stage of their own before
it, after which the tower must stay.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...model.checkpoint_io.loader import Model
from ...model.language.vision_encoder import VisionEncoder, fit
from ...model.network.transformer import Transformer
from ...model.reasoner import Cosmos3Reasoner
from ..data.background_loader import BackgroundLoader
from ..data.demonstrations import Demonstration
from ..optim.fsdp import gather
from ..optim.lora import merge, write_adapter
from ..optim.optimizer import Optimizer
from ..optim.process_group import TrainingGroup
from ..options import LoraOptions, ReasonerTrainingOptions
from ..vqa.questions import KINDS
from ..vqa.samples import Scene, Watch, make_scenes
from .batched_vision import glance
from .checkpoint_writer import write_transformer, write_vision
from .vqa_dataset import Questions, VqaDataset

Log = Callable[[dict[str, Any]], None]
ANSWER = 64  # tokens that an answer may have, its end included
HEIGHT, WIDTH = 180, 320  # of the camera pictures that the reasoner node gets
EVERY = 50  # steps between two lines of the log


class AnswerLoss(nn.Module):
    """The loss of a batch of questions.

    Nothing in it depends on their content, so that it is compiled once.
    """

    def __init__(self, transformer: Transformer, vision_encoder: VisionEncoder):
        super().__init__()
        # in a tuple, so that their parameters do not count as this module's
        self._parts = (transformer, vision_encoder)

    def forward(self, asked: Questions) -> tuple[Tensor, Tensor]:
        """The mean loss, and which answers would be given word for word, bool [B]."""
        transformer, vision_encoder = self._parts
        count, hidden = len(asked.tokens), transformer.config.hidden
        seen = [
            part.reshape(count, -1, hidden)
            for part in glance(vision_encoder, asked.pictures.flatten(0, 1))
        ]
        visual = (asked.tokens == vision_encoder.media.image)[..., None]
        place = (visual.cumsum(1) - 1).clamp(min=0).expand(-1, -1, hidden)
        tokens, *deep = (part.gather(1, place) for part in seen)
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
        self, model: Model, options: ReasonerTrainingOptions, crew: TrainingGroup | None = None
    ):
        reader = Cosmos3Reasoner(model)
        if reader.vision is None:
            raise ValueError(
                "reasoner: expected a checkpoint with a vision_encoder, got one without"
            )
        self.model, self.vision_encoder, self.options, self.crew = (
            model,
            reader.vision,
            options,
            crew or TrainingGroup(),
        )
        pixels = self.vision_encoder.pixels
        size = fit(HEIGHT, WIDTH, pixels.side, pixels.image_area)
        jobs = watches(options, size, self.crew)
        self._library = VqaDataset(
            reader, size, len(jobs) * (options.looks + options.stills), options.length
        )
        recital = AnswerLoss(model.transformer, self.vision_encoder)
        self._recite = (
            torch.compile(recital, dynamic=False, mode=options.compile)
            if options.compile
            else recital
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
            self._library.add(self._source.take())
        self.calls += 1
        asked = self._library.draw(self.options.batch)
        device = self.model.device.type
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss, right = self._recite(asked)
        self._last = loss.detach()
        self._asked.index_add_(0, asked.kinds, torch.ones_like(asked.kinds, dtype=torch.float32))
        self._right.index_add_(0, asked.kinds, right.float())
        return self.options.weight * loss

    def numbers(self) -> dict[str, Any]:
        """For the log: the last loss, and the share of right answers by kind since the last call."""
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
            "scenes": self._library.scenes,
            "right": known,
        }

    def close(self) -> None:
        self._source.close()


def watches(
    options: ReasonerTrainingOptions, size: tuple[int, int], crew: TrainingGroup
) -> list[Watch]:
    """The demonstrations to ask about, of these this process's share."""
    return [
        Watch(
            Demonstration(
                task, seed, 2, HEIGHT, WIDTH, astray=options.astray, scatter=options.scatter
            ),
            options.looks,
            options.stills,
            size=size,
        )
        for seed in range(options.first_seed, options.first_seed + options.episodes)[
            crew.rank :: crew.size
        ]
        for task in options.tasks
    ]


def train_reasoner(tutor: ReasonerTrainer, out: Path, log: Log) -> None:
    """The stage of its own: train text tower, head and vision encoder, and write their averages into the checkpoint.

    Goes on from out/reasoner.safetensors if there is one.
    """
    model, options, state = tutor.model, tutor.options, out / "reasoner.safetensors"
    for name, parameter in model.transformer.named_parameters():
        parameter.requires_grad_(name.startswith(("text.", "embed.", "head.")))
    tutor.vision_encoder.requires_grad_(True)
    optimizer = Optimizer(
        {"transformer": model.transformer, "vision": tutor.vision_encoder}, options, tutor.crew
    )
    if state.exists():
        optimizer.resume(state)
    saved = optimizer.spent
    while optimizer.progress < 1:
        tutor.loss().backward()
        norm = optimizer.step()
        last = optimizer.progress >= 1
        if optimizer.step_number % EVERY == 0 or last:
            log(
                {
                    "stage": "reasoner",
                    "step": optimizer.step_number,
                    **tutor.numbers(),
                    "norm": float(norm),
                }
            )
        if optimizer.spent - saved > options.save or last:
            optimizer.save(state)
            write_averages(model, optimizer, out / "checkpoint")
            saved = optimizer.spent
    with torch.no_grad():
        for name, average in optimizer.averaged().items():
            optimizer.named[name].copy_(average)


def write_averages(
    model: Model, optimizer: Optimizer, folder: Path, lora: LoraOptions | None = None
) -> None:
    """Averaged weights, where there are some, into the checkpoint: the transformer and the vision encoder."""
    average, crew = optimizer.averaged(), optimizer.crew
    tensors = model.transformer.state_dict().items()
    kept = gather(
        {name: average.get(f"transformer.{name}", tensor) for name, tensor in tensors}, crew
    )
    if not crew.leads:
        return
    if lora is not None:
        learned = {name: kept[name] for name in kept if f"transformer.{name}" in average}
        write_adapter(folder.parent / "adapter", str(model.path), learned, lora)
        kept = merge(kept, lora)
    write_transformer(folder / "transformer", model.config, kept)
    if any(name.startswith("vision.") for name in average):
        assert isinstance(model.vision, VisionEncoder)
        seen = {
            name: average.get(f"vision.{name}", tensor)
            for name, tensor in model.vision.state_dict().items()
        }
        write_vision(folder / "vision_encoder", seen)
