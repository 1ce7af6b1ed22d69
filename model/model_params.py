# SPDX-License-Identifier: Apache-2.0
"""The parameters that a model is loaded by: of the nodes, and of `cosmos3 serve` too. No ROS.

A field of `PolicyOptions` is, by inheritance, a parameter of the policy node and of the server node
and an option of `cosmos3 serve openpi` and `cosmos3 serve libero`.
"""

from __future__ import annotations

import dataclasses

from .acceleration.options import ATTENTIONS, WEIGHT_FORMATS, WEIGHT_FORMATS_TEXT
from .embodiment.table import nearest
from .option_fields import check, param, select
from .policy_options import PolicyOptions


@dataclasses.dataclass(frozen=True)
class ModelParams:
    """Which checkpoint, and how it runs; nodes of one process that agree in this share one copy."""

    checkpoint: str = param("", "checkpoint folder in the Hub layout; empty: the embedded one")
    download: bool = param(
        False,
        "if there is no such folder, fetch the repository of that name from the Hugging Face Hub",
    )
    device: str = param("auto", "cpu, cuda, cuda:1, ...; auto: cuda if there is one")
    dtype: str = param("auto", "float32 or bfloat16; auto: bfloat16 on a GPU, float32 on a CPU")
    compile: bool = param(
        False, "compile the network's layers: a minute more to configure, then faster on a GPU"
    )
    cuda_graphs: bool = param(
        False,
        "on a GPU, record the loops as CUDA graphs: for the reasoner's tokens, and for networks "
        "too small to keep it busy",
    )
    weights: str = param(
        "none",
        f"how the generator's weights are rounded: {WEIGHT_FORMATS_TEXT}",
        choices=WEIGHT_FORMATS,
    )
    attention: str = param(
        "none",
        "how queries, keys and values are rounded where a step computes the video: none, or fp8 on "
        "a GPU",
        choices=ATTENTIONS,
    )
    text_weights: str = param(
        "none",
        f"how the text tower's weights are rounded: {WEIGHT_FORMATS_TEXT}",
        choices=WEIGHT_FORMATS,
    )
    gpus: int = param(
        1,
        "GPUs of this computer that share the network: a process for each beside this one; on a "
        "CPU as many processes, see docs/performance.md",
        minimum=1,
    )
    tensor_parallel: int = param(
        1,
        "how many of them split every layer: all, or half of them; 1 of 2 splits guidance",
        minimum=1,
    )


@dataclasses.dataclass(frozen=True)
class PolicyModelParams(PolicyOptions, ModelParams):
    """What a policy is loaded by: its model, what it is for, and how it samples."""

    placement: str = param(
        "both",
        "towers on the GPU: both, or policy: the text tower is copied there layer by layer for a "
        "new instruction",
    )
    threads: int = param(0, "CPU threads of the network; 0: as torch chooses")
    embodiment: str = param(
        "", "what the columns of state and action mean; empty: the checkpoint's own"
    )

    def __post_init__(self) -> None:
        select(PolicyOptions, self)  # which checks them
        check(self)
        if self.placement not in ("both", "policy"):
            raise ValueError(
                f"parameter 'placement': expected both or policy, got {self.placement!r}"
                f"{nearest(self.placement, ('both', 'policy'))}"
            )


@dataclasses.dataclass(frozen=True)
class ReasonerModelParams(ModelParams):
    """What a reasoner is loaded by: its model, and how much it may say."""

    max_tokens: int = param(64, "longest answer [tokens]", live=True)


@dataclasses.dataclass(frozen=True)
class MediaReasonerParams(ReasonerModelParams):
    """What a reasoner is loaded by that is shown videos too, not the pictures of cameras alone."""

    video_pruning_rate: float = param(
        0.0, "share of a video's tokens to leave out (efficient video sampling, EVS), below 1"
    )

    def __post_init__(self) -> None:
        check(self)
        if not 0 <= self.video_pruning_rate < 1:
            raise ValueError(
                f"video_pruning_rate: expected a share in [0, 1), got {self.video_pruning_rate}"
            )
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens: expected at least 1, got {self.max_tokens}")
