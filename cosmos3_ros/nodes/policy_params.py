# SPDX-License-Identifier: Apache-2.0
"""The parameters of the policy node."""

from __future__ import annotations

import dataclasses

from ..execution.replanner import ReplanRules
from ..execution.strategies import CHOICES, DEFAULT, STRATEGIES, find_strategy
from ..ros.parameters import param


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters of the policy node."""

    autostart: bool = param(True, "configure and activate when the process starts")
    checkpoint: str = param("", "checkpoint folder in the Hub layout; empty: the embedded one")
    device: str = param("auto", "cpu, cuda, cuda:1, ...; auto: cuda if there is one")
    dtype: str = param("auto", "float32 or bfloat16; auto: bfloat16 on a GPU, float32 on a CPU")
    compile: bool = param(
        False, "compile the network's layers: a minute more to configure, then faster on a GPU"
    )
    cuda_graphs: bool = param(
        False, "on a GPU, record the loops as CUDA graphs: for networks too small to keep it busy"
    )
    weights: str = param(
        "none", "how the generator's weights are rounded: none, fp8, int8 or nvfp4"
    )
    text_weights: str = param("none", "the same for the text tower")
    placement: str = param(
        "both",
        "towers on the GPU: both, or policy: the text tower is copied there layer by layer for a new instruction",
    )
    tensor_parallel: int = param(
        1, "GPUs that split every layer; processes of torchrun, see docs/performance.md"
    )
    threads: int = param(0, "CPU threads of the network; 0: as torch chooses")
    embodiment: str = param(
        "", "what the columns of state and action mean; empty: the checkpoint's own"
    )
    instruction: str = param(
        "", "what to do, in words; empty: wait for the topic cosmos3/instruction", live=True
    )
    joints: list[str] = param(
        [], "robot joint of each state column, as in joint_states, in the embodiment's order"
    )
    gripper_joint: str = param("", "the one of `joints` that is the gripper; empty: none")
    gripper_open: float = param(0.0, "position of gripper_joint when open [rad or m]")
    gripper_closed: float = param(1.0, "position of gripper_joint when closed [rad or m]")
    image_transport: str = param("raw", "raw or compressed")
    max_age: float = param(0.5, "refuse to infer from anything older than this [s]")
    max_skew: float = param(
        0.05, "refuse to infer from views and joint states further apart than this [s]"
    )
    strategy: str = param(DEFAULT, f"how one chunk follows another: {CHOICES}", live=True)
    execution_horizon: int = param(
        8,
        "rows of a chunk to execute before the next takes over, if the network is fast enough; 0: all",
        live=True,
    )
    margin_rows: int = param(
        2,
        "begin the next chunk so that in 95 of 100 cases this many of those rows are left when it comes",
        live=True,
    )
    soft_rows: int = param(
        0,
        "with rtc: rows after those executed meanwhile that the next chunk is drawn towards, less and less",
    )
    num_steps: int = param(4, "denoising steps per chunk")
    guidance: float = param(3.0, "classifier-free guidance scale; 1: none, half the work")
    guided_steps: int = param(
        0, "guidance in the first so many steps only, faster and less exact; 0: in all"
    )
    reuse_guidance: bool = param(
        False, "in the other steps, push on in the last direction that guidance had"
    )
    shift: float = param(5.0, "shift of the flow schedule")
    seed: int = param(0, "seed of the noise; every chunk draws on from it")
    prompt_format: str = param(
        "json", "json or plain: how the checkpoint was trained to read instructions"
    )
    future_steps: int = param(
        0,
        "imagine a future that is shown again, for the rows as decided, in so many steps: 1 is nearest; 0: do not, as "
        "where several processes share a model",
    )
    pause_simulation: bool = param(
        False,
        "pause a simulation during each inference: call set_simulation_state of simulation_interfaces",
    )
    future_rate: float = param(2.0, "at most this many predicted futures per second [Hz]")

    def __post_init__(self) -> None:
        for name, choices in (
            ("image_transport", ("raw", "compressed")),
            ("strategy", STRATEGIES),
            ("placement", ("both", "policy")),
        ):
            if getattr(self, name) not in choices:
                raise ValueError(
                    f"parameter {name!r}: expected {' or '.join(choices)}, got {getattr(self, name)!r}"
                )
        for name in ("max_age", "max_skew", "future_rate"):
            if getattr(self, name) <= 0:
                raise ValueError(
                    f"parameter {name!r}: expected a positive number, got {getattr(self, name)}"
                )
        for name in (
            "execution_horizon",
            "margin_rows",
            "soft_rows",
            "guided_steps",
            "future_steps",
        ):
            if getattr(self, name) < 0:
                raise ValueError(
                    f"parameter {name!r}: expected 0 or more, got {getattr(self, name)}"
                )

    def plan(self) -> ReplanRules:
        """How chunks follow each other."""
        return ReplanRules(
            find_strategy(self.strategy), self.execution_horizon, self.margin_rows, self.soft_rows
        )
