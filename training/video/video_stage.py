# SPDX-License-Identifier: Apache-2.0
"""Training of the generator on clips with captions: batches, gradients, saved states."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from ...model.loaded_model import Model
from ..clips.clip_reader import ClipReader, read_clips
from ..log import EVERY, Log
from ..optim.optimizer import Optimizer
from ..optim.process_group import TrainingGroup
from ..optim.trainable import prepare_generator
from ..recipe import Recipe
from ..stages.checkpoint_progress import resume
from ..stages.reasoner import write_averages
from ..video_options import VideoOptions
from .video_dataset import VideoDataset
from .video_loss import video_loss

STAGE = "video"
STATE = "video.safetensors"
_ACTIONS = ("action_",)  # heads that clips say nothing about


class VideoFeed:
    """Clips of a folder as windows of latents, which grow while the reader reads."""

    def __init__(self, model: Model, options: VideoOptions, group: TrainingGroup):
        assert model.vae is not None  # `load` has loaded it
        self._options = options
        self._reader = ClipReader(read_clips(options, group.rank, group.size))
        self.windows = VideoDataset(model.vae, model.tokenizer, group.device)

    def refresh(self) -> dict[str, int]:
        """Encode what has been read since the last call; numbers for the log."""
        self.windows.add(self._reader.take(self._options.warm_up))
        return {
            "clips": self._reader.taken,
            "windows": len(self.windows),
            "too_short": self.windows.short,
            "prompts": len(self.windows.prompts),
        }

    def close(self) -> None:
        """Stop reading."""
        self._reader.close()


def train_video(
    model: Model, recipe: Recipe, out: Path, log: Log, group: TrainingGroup | None = None
) -> None:
    """Train the transformer on the clips of `recipe.video`; write its averages.

    Goes on from out/video.safetensors if there is one. group: the processes that train together,
    each on its share of the clips.
    """
    group, options, state = group or TrainingGroup(), recipe.video, out / STATE
    assert options is not None  # `train` asks
    prepare_generator(model.transformer, options, recipe.lora, group, _ACTIONS)
    optimizer = Optimizer({"transformer": model.transformer}, options, group)

    def write(folder: Path) -> None:
        write_averages(model, optimizer, folder, STAGE, recipe.lora)

    if not resume(optimizer, state, STAGE, options.save, write):
        return
    feed = VideoFeed(model, options, group)
    try:
        _loop(model, recipe, feed, optimizer, log)
    finally:
        feed.close()


def _loop(model: Model, recipe: Recipe, feed: VideoFeed, optimizer: Optimizer, log: Log) -> None:
    options, group, begun = recipe.video, optimizer.group, False
    assert options is not None  # see train_video
    while not optimizer.ended:
        if not begun or optimizer.step_number % options.refresh == 0:
            begun = True
            log({"stage": STAGE, "step": optimizer.step_number, **feed.refresh()})
        optimizer.begin_round()
        loss = _backward(model, feed, options, group)
        norm = optimizer.step()
        if optimizer.is_told(EVERY):
            group.average([loss])
            numbers = {"vision": round(float(loss), 5), "norm": float(norm)}
            numbers |= optimizer.oddities()
            log({"stage": STAGE, "step": optimizer.step_number, **numbers})


def _backward(model: Model, feed: VideoFeed, options: VideoOptions, group: TrainingGroup) -> Tensor:
    """Gradients of `video.accumulate` batches; returns the mean of their losses, unweighted."""
    device, total = group.device.type, torch.zeros((), device=group.device)
    for _ in range(options.accumulate):
        batch = feed.windows.draw(options.batch, options.dropout)
        with torch.autocast(device, torch.bfloat16, enabled=device == "cuda"):
            loss = video_loss(model.transformer, batch, feed.windows.prompts, options)
        (options.weight * loss / options.accumulate).backward()
        total += loss.detach() / options.accumulate
    return total
