# SPDX-License-Identifier: Apache-2.0
"""All windows of the demonstrations, encoded, on the training device; random batches of them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable

import torch
from torch import Tensor

from .latent_encoder import Encoded

_KEPT = ("latents", "rows", "truth")


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """Windows drawn at random."""

    latents: Tensor  # [B, C, F, h, w]
    rows: Tensor  # [B, R, channels], see Embodiment
    prompts: Tensor  # int64 [B]
    truth: Tensor  # [B, K], as of the source
    whole: Tensor  # bool [B]: whether later frames are known; else only frame 0 has a meaning


class WindowDataset:
    """Grows by `add`; prompt 0 is the empty one, `instructions` are the others in order.

    shape: of the latents of a window whose future is known, see Encoder.
    """

    def __init__(self, shape: tuple[int, int, int], device: torch.device):
        self.shape, self._device = shape, device
        self.instructions: list[str] = []
        self._parts = {True: _Part(), False: _Part()}  # by whether what was seen later is known

    def __len__(self) -> int:
        return sum(len(part.rows) for part in self._parts.values())

    def add(self, fresh: Iterable[Encoded]) -> None:
        """Append windows, all of a kind at once: earlier ones are copied each time."""
        fresh = list(fresh)
        for whole, part in self._parts.items():
            if some := [encoded for encoded in fresh if encoded.whole == whole]:
                part.add(self._joined(some))

    def draw(self, count: int, dropout: float, future: bool | None = None) -> Batch:
        """`count` random windows, half of them of either kind if there are both.

        Each with one of its instructions, or without one in a share `dropout` of them. future:
        True for those alone whose future is known; False for the first frames of all of them.
        """
        parts, frames = self._filled(), self.shape[0]
        if future and True not in parts:
            raise ValueError("there is no window whose future is known: raise data.whole")
        if future:
            parts = {True: parts[True]}
        batches = []
        shares = [(count + number) // len(parts) for number in range(len(parts))]
        if future is False:
            frames, shares = 1, _in_proportion(count, [len(part.rows) for part in parts.values()])
        for share, (whole, part) in zip(shares, parts.items(), strict=True):
            index = torch.randint(len(part.rows), (share,), device=self._device)
            way = torch.randint(part.choices.shape[1], (share, 1), device=self._device)
            prompts = part.choices[index].gather(1, way).squeeze(1)
            prompts = prompts * (torch.rand(share, device=self._device) >= dropout)
            latents = part.latents[index, :, :frames].float()
            latents = torch.nn.functional.pad(latents, (0, 0, 0, 0, 0, frames - latents.shape[2]))
            known = torch.full((share,), whole and future is not False, device=self._device)
            batches.append((latents, part.rows[index], prompts, part.truth[index], known))
        return Batch(*(torch.cat(tensors) for tensors in zip(*batches, strict=True)))

    def _filled(self) -> dict[bool, _Part]:
        parts = {whole: part for whole, part in self._parts.items() if len(part.rows)}
        if not parts:
            raise ValueError("there is nothing to learn from: no demonstration was added")
        return parts

    def _joined(self, some: list[Encoded]) -> _Part:
        asked = [clip for encoded in some for clip in encoded.asked]
        wordings = max(len(instructions) for _, instructions in asked)
        choices = [
            torch.tensor([self._prompts(texts, wordings)]).expand(count, -1)
            for count, texts in asked
        ]
        latents, rows, truth = ([getattr(e, name).to(self._device) for e in some] for name in _KEPT)
        return _Part(
            torch.cat(latents),
            torch.cat(rows),
            torch.cat(truth),
            torch.cat(choices).to(self._device),
        )

    def _prompts(self, instructions: tuple[str, ...], wordings: int) -> list[int]:
        for text in instructions:
            if text not in self.instructions:
                self.instructions.append(text)
        known = [1 + self.instructions.index(text) for text in instructions]
        return [known[way % len(known)] for way in range(wordings)]


def _in_proportion(count: int, sizes: list[int]) -> list[int]:
    """`count` in proportion to sizes."""
    ends = [round(count * sum(sizes[:number]) / sum(sizes)) for number in range(len(sizes) + 1)]
    return [end - begin for begin, end in itertools.pairwise(ends)]


@dataclasses.dataclass(slots=True)
class _Part:
    """Windows of one kind: bfloat16 latents [N, C, F, h, w], rows, truth, prompts [N, wordings].

    One of the prompts of a window is drawn at random.
    """

    latents: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    rows: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    truth: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))
    choices: Tensor = dataclasses.field(default_factory=lambda: torch.zeros(0))

    def add(self, more: _Part) -> None:
        if not len(self.rows):
            self.latents, self.rows, self.truth, self.choices = (
                more.latents,
                more.rows,
                more.truth,
                more.choices,
            )
            return
        wordings = max(self.choices.shape[1], more.choices.shape[1])
        self.choices = torch.cat(
            [
                part[:, torch.arange(wordings) % part.shape[1]]
                for part in (self.choices, more.choices)
            ]
        )
        self.latents = torch.cat([self.latents, more.latents])
        self.rows, self.truth = (
            torch.cat([self.rows, more.rows]),
            torch.cat([self.truth, more.truth]),
        )
