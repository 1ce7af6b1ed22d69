# SPDX-License-Identifier: Apache-2.0
"""What a student learns of beside its teacher: the windows of a policy, or those of clips."""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from ...model.checkpoint_io.student import Student
from ...model.checkpoint_io.trained_sampling import trained_sampling
from ...model.language.captions import tokenize
from ...model.loaded_model import Model
from ...model.network.kv_cache import KVCache
from ...model.network.layers import Rope
from ...model.network.transformer import Transformer
from ..optim.process_group import TrainingGroup
from ..recipe import Recipe
from ..stages.flow_matching_loss import POLICY, draw_modes, noisy_parts
from ..stages.policy import PolicyData
from ..stages.text_batch import prefill_prompts
from ..video.video_dataset import read_prompts
from ..video.video_loss import draw_noisy_frames
from ..video.video_stage import VideoFeed
from .consistency import Lesson, Parts, Velocity, guided

_VIDEO_MODES = ("text_to_video", "image_to_video", "video_to_video")
_POLICY_MODES = ("policy", "forward_dynamics", "inverse_dynamics")


class Lessons(Protocol):
    """Batches for a student of one kind."""

    def refresh(self) -> dict[str, int]:
        """Take in what has come since the last call; numbers for the log."""

    def draw(self, student: Transformer, teacher: Transformer) -> Lesson:
        """The next batch."""

    def about(self, teacher: str) -> Student:
        """What the student is for."""

    def close(self) -> None:
        """Stop reading."""


class PolicyLessons:
    """Windows of demonstrations: the student plans rows and frames as its teacher does."""

    def __init__(self, data: PolicyData, recipe: Recipe):
        assert recipe.distill is not None  # `train` asks
        if recipe.distill.negative:
            raise ValueError(
                "distill.negative: expected none, a policy is guided away from the empty caption, "
                f"got {recipe.distill.negative!r}"
            )
        self._data, self._recipe, self._options = data, recipe, recipe.distill
        self._embodiment = data.policy.embodiment
        self._hides = trained_sampling(data.policy.model.policy_config).hidden_rows

    def refresh(self) -> dict[str, int]:
        self._data.refresh()
        return self._data.numbers()

    def draw(self, student: Transformer, teacher: Transformer) -> Lesson:
        data, objective = self._data, self._recipe.objective
        batch, text = data.windows.draw(self._options.batch, 0.0), data.text
        assert text is not None  # after `refresh`
        count, device = len(batch.rows), batch.rows.device
        modes = torch.where(batch.whole, draw_modes(count, objective, device), POLICY)
        frames, rows = batch.latents.shape[2], batch.rows.shape[1]
        noisy_frames, noisy_rows = noisy_parts(
            modes, frames, rows, int(self._embodiment.state_row), objective
        )
        channels = student.config.action_width
        clean = nn.functional.pad(batch.rows, (0, channels - batch.rows.shape[2]))
        used = (torch.arange(channels, device=device) < self._embodiment.width).float()
        mask = Parts(noisy_frames[:, None, :, None, None].float(), noisy_rows[..., None] * used)
        domain = torch.full((count,), self._embodiment.domain_id, device=device)
        hide = (modes == POLICY) if self._hides else False

        def velocity(transformer: Transformer, cache: KVCache, rope: Rope) -> Velocity:
            def said(sample: Parts, level: Tensor) -> Parts:
                vision, action = transformer.velocity(
                    sample.latents,
                    1000 * level,
                    cache,
                    rope,
                    noisy_frames,
                    sample.rows,
                    noisy_rows,
                    domain,
                    hide_rows=hide,
                )
                assert action is not None  # rows were given
                return Parts(vision.float(), action.float() * used)

            return said

        with torch.no_grad():
            wanted = prefill_prompts(teacher, text, batch.prompts)
            other = prefill_prompts(teacher, text, torch.zeros_like(batch.prompts))
        return Lesson(
            Parts(batch.latents, clean),
            mask,
            ~batch.whole,
            velocity(student, *wanted),
            guided(velocity(teacher, *wanted), velocity(teacher, *other), self._options.guidance),
        )

    def about(self, teacher: str) -> Student:
        shares = self._recipe.objective.modes
        modes = tuple(name for name, share in zip(_POLICY_MODES, shares, strict=True) if share)
        return Student(teacher, self._options.guidance, modes)

    def close(self) -> None:
        self._data.close()


class VideoLessons:
    """Windows of clips with captions."""

    def __init__(self, model: Model, recipe: Recipe, group: TrainingGroup):
        assert recipe.video is not None  # `train` asks
        assert recipe.distill is not None
        self._clips, self._options = recipe.video, recipe.distill
        self._feed = VideoFeed(model, recipe.video, group)
        self._negative = tokenize(model.tokenizer, recipe.distill.negative)

    def refresh(self) -> dict[str, int]:
        return self._feed.refresh()

    def draw(self, student: Transformer, teacher: Transformer) -> Lesson:
        batch = self._feed.windows.draw(self._options.batch, 0.0)
        latents, prompts = batch.latents, self._feed.windows.prompts
        count, shape = len(latents), tuple(latents.shape[2:])
        noisy = draw_noisy_frames(count, shape[0], self._clips, latents.device)

        def velocity(transformer: Transformer, cache: KVCache, rope: Rope) -> Velocity:
            def said(sample: Parts, level: Tensor) -> Parts:
                parts = (sample.latents, 1000 * level, cache, rope, noisy)
                return Parts(transformer.velocity(*parts)[0].float())

            return said

        with torch.no_grad():
            said = [prompts[int(number)] for number in batch.prompts]
            wanted = read_prompts(teacher, said, shape, batch.fps)
            other = read_prompts(teacher, [self._negative] * count, shape, batch.fps)
        return Lesson(
            Parts(latents),
            Parts(noisy[:, None, :, None, None].float()),
            torch.zeros(count, dtype=torch.bool, device=latents.device),
            velocity(student, *wanted),
            guided(velocity(teacher, *wanted), velocity(teacher, *other), self._options.guidance),
        )

    def about(self, teacher: str) -> Student:
        frames, size, fps = self._feed.windows.usual()
        names = ("text_to_image",) if frames == 1 else _VIDEO_MODES
        shares = zip(names, self._clips.modes, strict=False)
        modes = tuple(name for name, share in shares if share or frames == 1)
        return Student(teacher, self._options.guidance, modes, size, frames, fps)

    def close(self) -> None:
        self._feed.close()
