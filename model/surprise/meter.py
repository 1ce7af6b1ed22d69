# SPDX-License-Identifier: Apache-2.0
"""How surprising what comes is, for the predictions of one policy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..interface import ActionChunk, Observation, Prediction, Surprise
from ..policy import Cosmos3Policy
from .comparison import ClipComparer, Preceding
from .reference import Reference, places_of, weights_mark
from .reference_file import FILE, read_reference


class SurpriseMeter:
    """Compares predictions of a policy by what is usual for its checkpoint.

    ValueError if the reference is of another canvas or other latents, or processes share the model.
    """

    def __init__(self, policy: Cosmos3Policy, reference: Reference) -> None:
        assert policy.model.vae is not None  # a policy has one
        if policy.model.team:
            raise ValueError("surprise: expected a policy that one process computes")
        self._policy, self._reference = policy, reference
        channels, _, *shape = policy.latent_shape
        places = places_of(policy.embodiment.canvas, (shape[0], shape[1]))
        got = (reference.views, len(reference.scale), reference.places.tolist())
        if got != (policy.embodiment.views, channels, places.tolist()):
            raise ValueError(
                f"surprise: the reference is of views {list(reference.views)} on "
                f"{list(reference.places.shape)} places, the policy has "
                f"{list(policy.embodiment.views)} on {shape}: make it again with "
                "`cosmos3 calibrate`"
            )
        self.piece = policy.model.vae.temporal  # moments of each latent after the first
        self._preceding = Preceding()

    def begin(self, observation: Observation, prediction: Prediction) -> ClipMeter:
        """Compare what comes with this prediction, the answer to `observation`."""
        comparer = ClipComparer(self._policy, observation, prediction)
        return ClipMeter(comparer, self._reference, self._preceding)

    def forget(self) -> None:
        """A new episode: what came before says nothing about it."""
        self._preceding = Preceding()


class ClipMeter:
    """One prediction that is being compared."""

    def __init__(self, comparer: ClipComparer, reference: Reference, preceding: Preceding) -> None:
        self._comparer, self._reference, self._preceding = comparer, reference, preceding

    def add(
        self,
        pictures: Sequence[Mapping[str, np.ndarray]],
        stamp: int,
        played: ActionChunk | None = None,
    ) -> Surprise | None:
        """See `ClipComparer.add`; stamp: of the last picture, ns."""
        comparison = self._comparer.add(pictures, played)
        if comparison is None:
            return None
        return self._reference.surprise(self._preceding.add(stamp, comparison), stamp)


def load_meter(policy: Cosmos3Policy, file: Path | None = None) -> SurpriseMeter:
    """The meter of a policy, by the reference in its checkpoint folder or another file.

    ValueError if there is none or it was made with other weights: `cosmos3 calibrate` makes it.
    """
    file = file or policy.model.path / FILE
    reference = read_reference(file)
    if reference.about.get("weights") != weights_mark(policy.model.path):
        raise ValueError(f"{file}: made with other weights: make it again with `cosmos3 calibrate`")
    return SurpriseMeter(policy, reference)
