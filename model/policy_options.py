# SPDX-License-Identifier: Apache-2.0
"""How a policy samples: the options, each with its default, its description and its bounds."""

from __future__ import annotations

import dataclasses
import math

from .option_fields import check, param


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyOptions:
    """How a policy samples; the defaults are those of the released DROID policies.

    With fewer `num_steps`, with `guided_steps` or with `reuse_guidance` it is faster and not the
    same.
    """

    num_steps: int = param(4, "denoising steps per chunk", minimum=1)
    guidance: float = param(3.0, "classifier-free guidance scale; 1: none, half the work")
    shift: float = param(5.0, "shift of the flow schedule")
    guidance_interval: tuple[float, float] | None = param(
        None, "network times (0..1000), guidance only strictly between them; by default always"
    )
    batched_guidance: bool | None = param(
        None, "both branches of guidance in one pass of the network; by default on a GPU only"
    )
    guided_steps: int = param(
        0, "guidance in the first so many steps only, faster and less exact; 0: in all", minimum=0
    )
    reuse_guidance: bool = param(
        False, "in the other steps, push on in the last direction that guidance had"
    )
    seed: int = param(0, "seed of the noise; every chunk draws on from it")
    deterministic: bool = param(False, "the same noise for every chunk")
    prompt_format: str = param(
        "json",
        "json or plain: how the checkpoint was trained to read instructions",
        choices=("json", "plain"),
    )
    schedule: str = param(
        "flow",
        "noise levels: flow, or checkpoint: those that scheduler_config.json names",
        choices=("flow", "checkpoint"),
    )
    horizon: int = param(0, "rows in a chunk; 0: as trained", minimum=0)
    soft_rows: int = param(
        0,
        "with rtc: rows after those executed meanwhile that the next chunk is drawn towards, less "
        "and less",
        minimum=0,
    )
    # Forward dynamics without guidance. One step gives the mean of what may be seen, which is
    # nearest to what then is; 0: `decode` shows the video as drawn together with the rows.
    future_steps: int = param(
        0,
        "imagine a future that is shown again, for the rows as decided, in so many steps: 1 is "
        "nearest; 0: do not, as where several processes share a model",
        minimum=0,
    )

    def __post_init__(self) -> None:
        if not (math.isfinite(self.guidance) and math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(
                "guidance and shift: expected finite, shift > 0, got "
                f"{self.guidance} and {self.shift}"
            )
        check(self)
