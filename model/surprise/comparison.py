# SPDX-License-Identifier: Apache-2.0
"""Predicted latents beside those of what came, one after the other while a chunk is played."""

from __future__ import annotations

import collections
import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ..autoencoder.clip_encoder import ClipEncoder
from ..autoencoder.vae import video_from_frames
from ..interface import NS, ActionChunk, Observation, Prediction
from ..policy import Cosmos3Policy


@dataclasses.dataclass(frozen=True, slots=True)
class Comparison:
    """One latent of a future: float32 [C, h, w] each.

    index: of the latent, from 1; begin: that of the observed moment; before: the comparison of a
    moment before, of this or an earlier future, see `Preceding`.
    """

    index: int
    begin: np.ndarray
    predicted: np.ndarray
    seen: np.ndarray
    before: Comparison | None = None


class Preceding:
    """Gives comparisons, as they come, the newest one that is NEAREST to FARTHEST earlier."""

    NEAREST, FARTHEST = NS // 10, 6 * NS // 10

    def __init__(self) -> None:
        self._kept: collections.deque[tuple[int, Comparison]] = collections.deque(maxlen=8)

    def add(self, stamp: int, comparison: Comparison) -> Comparison:
        """With the one before, if there is one; stamp: of its last picture, ns."""
        earlier = [
            (since, one)
            for since, one in self._kept
            if self.NEAREST < stamp - since < self.FARTHEST
        ]
        self._kept.append((stamp, comparison))
        if not earlier:
            return comparison
        return dataclasses.replace(comparison, before=max(earlier, key=lambda one: one[0])[1])


class ClipComparer:
    """Compares one prediction of a policy with the pictures that come. Use it in one thread."""

    def __init__(
        self, policy: Cosmos3Policy, observation: Observation, prediction: Prediction
    ) -> None:
        assert policy.model.vae is not None  # a policy has one
        self._policy, self._observation, self._prediction = policy, observation, prediction
        self._encoder = ClipEncoder(policy.model.vae)
        self._index = 0
        self._planned: np.ndarray | None = None

    def add(
        self, pictures: Sequence[Mapping[str, np.ndarray]], played: ActionChunk | None = None
    ) -> Comparison | None:
        """The pictures of the next latent, by view: one for the observed moment, then four each.

        None for the first one. played: rows as they were really played until the last of them, in
        the prediction's columns; without, those of its chunk. ValueError if a view is missing.
        """
        embodiment = self._policy.embodiment
        frames = np.stack([embodiment.compose(views) for views in pictures])
        seen = self._encoder.add(video_from_frames(frames, self._policy.model.device))
        index, self._index = self._index, self._index + 1
        if not index:
            return None
        rows, columns = self._policy.latent_shape[2:]
        predicted = self._predicted(played)
        latent = seen[0, :, 0, :rows, :columns].cpu().numpy()
        return Comparison(index, predicted[:, 0], predicted[:, index], latent)

    def _predicted(self, played: ActionChunk | None) -> np.ndarray:
        """Float32 [C, T, h, w], for what was played if that is known."""
        if played is None:
            if self._planned is None:
                self._planned = _numpy(self._policy.latents(self._prediction))
            return self._planned
        chunk, count = self._prediction.chunk, len(played.values)
        rows = np.concatenate([played.values, chunk.values[count:]])
        candidate = dataclasses.replace(chunk, values=rows)
        return _numpy(self._policy.latents(self._policy.imagine(self._observation, candidate)))


def _numpy(latents: torch.Tensor) -> np.ndarray:
    return latents[0].float().cpu().numpy()
