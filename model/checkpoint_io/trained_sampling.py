# SPDX-License-Identifier: Apache-2.0
"""Ways of sampling that a policy was trained for, by its checkpoint.json. No torch.

The policy block holds them as a list, `"sampling": ["row_levels", ...]`. Released checkpoints have
none: they were trained with one noise level for video and action rows, and with all frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .trained_tasks import write_policy_entry

_ENTRY = "sampling"


@dataclasses.dataclass(frozen=True, slots=True)
class TrainedSampling:
    """What samples of the training had, so that sampling may have it too."""

    # Noise levels of their own for the rows, beside video nearer to noise.
    row_levels: bool = False
    # In policy mode the video's tokens do not attend to the rows, and must not when sampling.
    hidden_rows: bool = False
    # Frame 0 and the rows alone, without tokens of later frames.
    no_future: bool = False

    def names(self) -> list[str]:
        """The entries of the list in checkpoint.json."""
        return [field.name for field in dataclasses.fields(self) if getattr(self, field.name)]


def trained_sampling(policy: Mapping[str, Any]) -> TrainedSampling:
    """From the policy block of checkpoint.json; ValueError names an entry that is not known."""
    entries = policy.get(_ENTRY, [])
    known = [field.name for field in dataclasses.fields(TrainedSampling)]
    if not isinstance(entries, list) or not all(entry in known for entry in entries):
        raise ValueError(
            f"checkpoint.json: policy.{_ENTRY}: expected a list of {', '.join(known)}, "
            f"got {entries!r:.60}"
        )
    return TrainedSampling(**dict.fromkeys(entries, True))


def write_trained_sampling(folder: Path, trained: TrainedSampling) -> None:
    """Name the ways in the folder's checkpoint.json, and keep what else it says."""
    write_policy_entry(folder, _ENTRY, trained.names())
