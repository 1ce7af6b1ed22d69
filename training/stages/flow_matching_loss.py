# SPDX-License-Identifier: Apache-2.0
"""Flow matching as Cosmos 3 is trained: one noise level for vision and actions, unless told.

The loss is on the velocity of the noisy parts. A sample at noise level s is
s * noise + (1 - s) * clean; the target is noise - clean.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ...model.embodiment import Embodiment
from ...model.network.layers import Rope
from ...model.network.transformer import Transformer
from ...model.runtime.unregistered import Unregistered
from ..options import GroundTruthOptions, ObjectiveOptions
from .text_batch import TextBatch, pad_prompts, prefill_prompts
from .window_dataset import Batch

POLICY, FORWARD, INVERSE = range(3)


def noise_levels(count: int, shift: float, device: torch.device) -> Tensor:
    """Noise levels, float32 [count] in 0..1, pushed towards noise by `shift`.

    Mode sampling of SD3 (arXiv 2403.03206) with s = 1.29, as for Cosmos 3's videos.
    """
    u = torch.rand(count, device=device)
    level = 1 - u - 1.29 * (torch.cos(math.pi / 2 * u) ** 2 - 1 + u)
    return shift * level / (1 + (shift - 1) * level)


def draw_modes(count: int, options: ObjectiveOptions, device: torch.device) -> Tensor:
    """int64 [count]: POLICY, FORWARD or INVERSE."""
    shares = torch.tensor(options.modes, dtype=torch.float32, device=device)
    return torch.multinomial(shares, count, replacement=True)


def video_levels(level: Tensor, apart: Tensor) -> Tensor:
    """Noise levels of the video beside rows at `level`, float32 [count] in 0..1.

    apart bool [count]: nearer to noise, Beta(7, 1) as in DreamZero-Flash (arXiv 2602.15922), and at
    least as noisy as the rows: in sampling the video's tokens are those of an earlier step.
    """
    return torch.where(apart, torch.maximum(level, torch.rand_like(level) ** (1 / 7)), level)


@dataclasses.dataclass(frozen=True, slots=True)
class Drawn:
    """What is drawn for each sample of a batch, [B] each."""

    modes: Tensor  # int64: POLICY, FORWARD or INVERSE
    video: Tensor  # float32: noise level of the video
    rows: Tensor  # float32: of the action rows
    blind: Tensor  # bool: without the frames to come


def draw_levels(whole: Tensor, options: ObjectiveOptions) -> Drawn:
    """Modes and noise levels; whole bool [B]: of which samples every frame is known."""
    count, device = len(whole), whole.device
    modes = draw_modes(count, options, device)
    level = noise_levels(count, options.shift, device)
    # Where nobody knows what was seen later, all is noise: that says what the first step of
    # sampling is to do.
    modes = torch.where(whole, modes, POLICY)
    apart, blind = (
        (modes == POLICY) & (torch.rand(count, device=device) < share)
        for share in (options.row_levels, options.no_future)
    )
    rows = torch.where(whole | apart | blind, level, 1.0)
    return Drawn(modes, torch.where(whole, video_levels(level, apart), 1.0), rows, blind)


def blind_levels(count: int, options: ObjectiveOptions, device: torch.device) -> Drawn:
    """As `draw_levels`, of samples that are all for the policy, and without the frames to come."""
    level = noise_levels(count, options.shift, device)
    modes = torch.full((count,), POLICY, device=device)
    return Drawn(modes, level, level, torch.ones(count, dtype=torch.bool, device=device))


def noisy_parts(
    modes: Tensor, frames: int, rows: int, first: int, options: ObjectiveOptions
) -> tuple[Tensor, Tensor]:
    """Which latent frames and action rows are noisy: bool [B, frames] and [B, rows].

    Rows before `first` never are.
    """
    device = modes.device
    frozen = torch.randint(1, options.longest + 1, modes.shape, device=device)
    frozen = frozen * (torch.rand(modes.shape, device=device) < options.prefix) * (modes == POLICY)
    noisy_frames = (torch.arange(frames, device=device) > 0) & (modes != INVERSE)[:, None]
    noisy_rows = (torch.arange(rows, device=device) >= first + frozen[:, None]) & (
        modes != FORWARD
    )[:, None]
    return noisy_frames, noisy_rows


def check_truth(options: ObjectiveOptions, truth: GroundTruthOptions | None) -> None:
    """ValueError if a weight asks where things are and the source of the data does not say it."""
    if options.grounding and truth is None:
        raise ValueError(
            f"objective.grounding: expected 0, the data do not say where things are "
            f"(data.ground_truth names the numbers that do), got {options.grounding}"
        )


class FlowMatchingLoss(nn.Module):
    """The losses of a transformer on batches of one embodiment.

    truth: what the source of the batches knows of where things are, None: nothing; then there is no
    loss of it, and ValueError if the options give it a weight. Its own parameters are the heads of
    that loss. The control flow does not depend on the content of a batch, so that torch.compile
    sees one shape.
    """

    def __init__(
        self,
        transformer: Transformer,
        embodiment: Embodiment,
        options: ObjectiveOptions,
        truth: GroundTruthOptions | None = None,
    ):
        super().__init__()
        self.options, self._embodiment, self._truth = options, embodiment, truth
        self._transformer = Unregistered(transformer)
        self._features: list[Tensor] = []
        check_truth(options, truth)
        if truth is None:
            return
        hidden = transformer.config.hidden
        # from the actions: what the instruction names; from the seen frame: the rest
        if truth.asked:
            self.grounding = nn.Linear(hidden, len(truth.asked))
        if truth.around:
            self.surroundings = nn.Linear(hidden, len(truth.around))
        layers = transformer.generator.layers
        layers[min(options.grounding_layer, len(layers)) - 1].register_forward_hook(
            lambda _module, _inputs, output: self._features.append(output)
        )

    def pad_prompts(self, prompts: list[list[int]], shape: tuple[int, ...], rows: int) -> TextBatch:
        """The prompts for `forward`, see `text_batch.pad_prompts`."""
        return pad_prompts(self._transformer.module, self._embodiment, prompts, shape, rows)

    def forward(self, batch: Batch, text: TextBatch) -> dict[str, Tensor]:
        """Scalar losses: vision, action, grounding (each unweighted) and their weighted total.

        text: from `pad_prompts`.
        """
        transformer, options = self._transformer.module, self.options
        count, device = len(batch.rows), batch.rows.device
        short = batch.latents.shape[2] == 1  # nothing but what is seen now
        drawn = draw_levels(batch.whole, options)
        if short:
            drawn = blind_levels(count, options, device)
        modes, level, row_level = drawn.modes, drawn.video, drawn.rows
        frames, rows = batch.latents.shape[2], batch.rows.shape[1]
        noisy_frames, noisy_rows = noisy_parts(
            modes, frames, rows, int(self._embodiment.state_row), options
        )
        vision_mask, action_mask = noisy_frames[:, None, :, None, None], noisy_rows[:, :, None]
        noise, row_noise = torch.randn_like(batch.latents), torch.randn_like(batch.rows)
        width = self._embodiment.width  # a state row may be wider: beyond it action rows are 0
        row_noise = torch.where(
            torch.arange(batch.rows.shape[2], device=device) < width, row_noise, 0
        )
        latents = _blend(batch.latents, noise, level.view(-1, 1, 1, 1, 1) * vision_mask)
        actions = _blend(batch.rows, row_noise, row_level.view(-1, 1, 1) * action_mask)
        actions = nn.functional.pad(
            actions, (0, transformer.config.action_width - actions.shape[2])
        )
        domain = torch.full((count,), self._embodiment.domain_id, device=device)
        cache, rope = prefill_prompts(transformer, text, batch.prompts)
        if short:
            rope = _first_frame(rope, batch.latents.shape, transformer.config.patch, rows)
        self._features.clear()
        vision, action = transformer.velocity(
            latents,
            1000 * level,
            cache,
            rope,
            noisy_frames,
            actions,
            noisy_rows,
            domain,
            row_time=1000 * row_level if options.row_levels or options.no_future or short else None,
            hide_rows=(modes == POLICY) if options.hidden_rows else False,
            hide_future=drawn.blind if options.no_future and not short else None,
        )
        assert action is not None  # actions were given
        taught = batch.whole & ~drawn.blind
        error = (vision.float() - (noise - batch.latents)) * (
            vision_mask & taught.view(-1, 1, 1, 1, 1)
        )
        row_error = (
            action[..., :width].float() - (row_noise - batch.rows)[..., :width]
        ) * action_mask
        losses = {"vision": error.square().mean() / taught.float().mean().clamp(min=1e-3)}
        losses["action"] = row_error.square().mean()
        if self._truth is not None:
            asked = (modes == POLICY) & (row_level > options.grounding_noise)
            losses["grounding"] = self._ground(self._truth, batch.truth, rows, frames, asked)
        weights = {
            "vision": options.vision,
            "action": options.action,
            "grounding": options.grounding,
        }
        return {
            **losses,
            "total": sum((weights[name] * loss for name, loss in losses.items()), torch.zeros(())),
        }

    def _ground(
        self, known: GroundTruthOptions, truth: Tensor, rows: int, frames: int, asked: Tensor
    ) -> Tensor:
        """Sum of the mean squared errors of the two grounding heads, in units of the spread."""
        features = self._features.pop().float()
        seen = features[:, : (features.shape[1] - rows) // frames].mean(1, keepdim=True)
        wanted = truth[:, [*known.asked, *known.around]] - truth.new_tensor(known.center)
        wanted = (wanted / truth.new_tensor(known.spread))[:, None]
        total, first = truth.new_zeros(()), len(known.asked)
        pairs = []
        if known.asked:
            pairs.append((self.grounding(features[:, -rows:]), wanted[..., :first]))
        if known.around:
            pairs.append((self.surroundings(seen), wanted[..., first:]))
        for said, part in pairs:
            there = (part.isfinite() & asked[:, None, None]).expand_as(said)
            error = (said - torch.nan_to_num(part)).square()
            total = total + (error * there).sum() / there.sum().clamp(min=1)
        return total


def _first_frame(rope: Rope, shape: Sequence[int], patch: int, rows: int) -> Rope:
    """Of the rotations of all generator tokens those of the first frame and of the rows."""
    first = -(-shape[3] // patch) * -(-shape[4] // patch)
    cosine, sine = (torch.cat([part[:, :first], part[:, -rows:]], 1) for part in rope)
    return cosine, sine


def _blend(clean: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    return level * noise + (1 - level) * clean
