# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint folder becomes in memory; `checkpoint_io.loader` makes it."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .network.config import ModelConfig
from .network.transformer import Transformer
from .runtime.process_group import InferenceGroup

if TYPE_CHECKING:  # it loads diffusers, which not everybody needs
    from .autoencoder.vae import VideoAutoencoder


@dataclasses.dataclass(slots=True)
class Model:
    """Everything a checkpoint folder holds, loaded once; policy and reasoner share it."""

    path: Path
    config: ModelConfig
    transformer: Transformer
    tokenizer: Any
    vae: VideoAutoencoder | None  # None if loaded without the generator
    vision: nn.Module | None  # None without the reasoner, or where the checkpoint has none
    scheduler: dict[str, Any]  # scheduler_config.json
    index: dict[str, Any]  # model_index.json, {} if absent
    policy_config: dict[str, Any]  # the policy block of checkpoint.json, {} if absent
    # Whether loops may be recorded as CUDA graphs, see `acceleration.optimize.optimize`.
    graphs: bool = False
    team: InferenceGroup | None = None  # the processes that share it, if there are several
    # Held during an inference, because recordings share memory: policies on one model may live in
    # several threads.
    lock: threading.Lock = dataclasses.field(default_factory=threading.Lock)

    @property
    def device(self) -> torch.device:
        return self.transformer.device
