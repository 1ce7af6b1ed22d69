# SPDX-License-Identifier: Apache-2.0
"""Which checkpoint generates, and where this process runs it: by the parameters of a command."""

from __future__ import annotations

import os
from pathlib import Path

from ..acceleration.options import RuntimeOptions
from ..model_params import PolicyModelParams
from ..registry import embedded_checkpoint
from ..runtime.device import resolve
from .batch import rank
from .checkpoint_kind import CheckpointKind, read_kind
from .worker import Place, free_memory


def find_place(params: PolicyModelParams) -> tuple[CheckpointKind, Place]:
    """The checkpoint's kind, and the device that this process runs it on.

    ValueError for a device that is not there, or a folder that is no checkpoint.
    """
    device, dtype = resolve(params.device, params.dtype)
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    runtime = RuntimeOptions(
        compiled=params.compile,
        generator=params.weights,
        text=params.text_weights,
        attention=params.attention,
        placement=params.placement,
    )
    folder = Path(params.checkpoint) if params.checkpoint else embedded_checkpoint()
    free = free_memory(device) / (rank()[1] if device == "cpu" else 1)
    return read_kind(folder, params.download), Place(device, dtype, runtime, free)
