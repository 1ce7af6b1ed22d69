# SPDX-License-Identifier: Apache-2.0
"""How a policy samples: the options, each with its default, its description and its bounds."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from .language.wanted_answers import parse_wanted
from .option_fields import check, fields, param

MOST_SAMPLES = 64  # of one observation
MOST_STEPS = 1000  # noise levels of the schedules that checkpoints are trained with
MOST_GUIDANCE = 100.0  # beyond it there is nothing to see

# Named sets of options, slowest first; docs/performance.md has what each costs and saves.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "exact": {"full_steps": (), "future_tokens": True},
        # The levels of the first and the last of four steps at shift 5: their place matters more
        # than their number.
        "two_steps": {"num_steps": 2, "shift": 1.67, "full_steps": (), "future_tokens": True},
        "fast": {"num_steps": 4, "full_steps": (0, 3), "future_tokens": True},
        # for checkpoints that were trained for it
        "faster": {"num_steps": 4, "full_steps": (0,), "future_tokens": True},
        "fastest": {"num_steps": 4, "full_steps": (0,), "future_tokens": False},
    }
)


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyOptions:
    """How a policy samples; the defaults are those of the released DROID policies.

    With fewer `num_steps`, with `guided_steps`, `reuse_guidance`, `full_steps` or without
    `future_tokens` it is faster and not the same.
    """

    preset: str = param(
        "",
        f"named set of options ({', '.join(PRESETS)}), which are left alone then; empty: as they "
        "say",
        choices=("", *PRESETS),
    )
    num_steps: int = param(4, "denoising steps per chunk", minimum=1, maximum=MOST_STEPS)
    guidance: float = param(
        3.0,
        "classifier-free guidance scale; 1: none, half the work",
        minimum=-MOST_GUIDANCE,
        maximum=MOST_GUIDANCE,
    )
    shift: float = param(5.0, "shift of the flow schedule", minimum=1e-3, maximum=1e3)
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
    full_steps: tuple[int, ...] = param(
        (),
        "steps (0 and later ones) that compute the video too, in the others the action rows move "
        "alone, on a GPU best with cuda_graphs; empty: all",
    )
    future_tokens: bool = param(
        True,
        "compute the frames to come beside the rows; false: only for checkpoints trained so, the "
        "video is then imagined from the rows when it is asked for",
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

    best_of: int = param(
        1,
        "chunks drawn in one batch with different noise, of which one is played: that which is "
        "judged best, and most agree with; 1: off",
        minimum=1,
    )
    best_of_gate: float = param(
        0.0,
        "play the first of them where no two are further apart: mean over the rows of the absolute "
        "difference, of the column where it is largest [rad or m; of a gripper its range]",
        minimum=0,
    )
    best_of_questions: tuple[str, ...] = param(
        (),
        "yes-or-no questions to the reasoner about the end of each of their futures, with the "
        "answer that is wanted: 'Is the drawer open? no' ({instruction} stands for what is done); "
        "empty: agreement alone decides",
    )
    best_of_budget: float = param(
        0.0,
        "for these futures and questions, else agreement alone decides; 0: as long as it takes [s]",
        minimum=0,
    )

    def __post_init__(self) -> None:
        if not (math.isfinite(self.guidance) and math.isfinite(self.shift) and self.shift > 0):
            raise ValueError(
                "guidance and shift: expected finite, shift > 0, got "
                f"{self.guidance} and {self.shift}"
            )
        check(self)
        if self.best_of > MOST_SAMPLES:
            raise ValueError(f"best_of: expected at most {MOST_SAMPLES}, got {self.best_of}")
        if self.best_of == 1 and self.best_of_questions:
            raise ValueError("best_of_questions: expected none where best_of is 1")
        parse_wanted(self.best_of_questions)
        self.in_force()

    def in_force(self) -> PolicyOptions:
        """With the preset's options; ValueError if one of them was given otherwise."""
        chosen = PRESETS.get(self.preset, {})
        for name, value in chosen.items():
            given = getattr(self, name)
            if given not in (value, fields(PolicyOptions)[name].default):
                raise ValueError(
                    f"{name}: expected it left out or {_text(value)}, as preset {self.preset!r} "
                    f"has it, got {_text(given)}"
                )
        return dataclasses.replace(self, preset="", **chosen) if chosen else self


def _text(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)
