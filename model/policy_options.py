# SPDX-License-Identifier: Apache-2.0
"""How a policy samples: the options, each with its default, its description and its bounds."""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Any, NamedTuple


def option(
    default: Any, doc: str, choices: tuple[str, ...] = (), minimum: float | None = None
) -> Any:
    """A dataclass field that is an option, with its description and what its values may be."""
    metadata = {"doc": doc, "choices": choices, "minimum": minimum}
    return dataclasses.field(default=default, metadata=metadata)


class Option(NamedTuple):
    """One option as a command line or a ROS node declares it. type: the annotation, resolved."""

    name: str
    type: Any
    default: Any
    doc: str
    choices: tuple[str, ...]


def options_of(cls: type) -> dict[str, Option]:
    """The options of a dataclass whose fields are made by `option`, by name and in their order."""
    types = typing.get_type_hints(cls)
    return {
        field.name: Option(
            field.name,
            types[field.name],
            field.default,
            field.metadata["doc"],
            field.metadata["choices"],
        )
        for field in dataclasses.fields(cls)
    }


def check_options(options: Any) -> None:
    """ValueError names the first option whose value is not among its choices or too small."""
    for field in dataclasses.fields(options):
        value, minimum = getattr(options, field.name), field.metadata["minimum"]
        choices = field.metadata["choices"]
        if choices and value not in choices:
            expected = " or ".join(repr(choice) for choice in choices)
            raise ValueError(f"{field.name}: expected {expected}, got {value!r}")
        if minimum is not None and value < minimum:
            bound = f"{minimum} or more" if minimum == 0 else f"at least {minimum}"
            raise ValueError(f"{field.name}: expected {bound}, got {value}")


@dataclasses.dataclass(frozen=True, slots=True)
class PolicyOptions:
    """How a policy samples; the defaults are those of the released DROID policies.

    With fewer `num_steps`, with `guided_steps` or with `reuse_guidance` it is faster and not the
    same.
    """

    num_steps: int = option(4, "denoising steps per chunk", minimum=1)
    guidance: float = option(3.0, "classifier-free guidance scale; 1: none, half the work")
    shift: float = option(5.0, "shift of the flow schedule")
    guidance_interval: tuple[float, float] | None = option(
        None, "network times (0..1000), guidance only strictly between them; by default always"
    )
    batched_guidance: bool | None = option(
        None, "both branches of guidance in one pass of the network; by default on a GPU only"
    )
    guided_steps: int = option(
        0, "guidance in the first so many steps only, faster and less exact; 0: in all", minimum=0
    )
    reuse_guidance: bool = option(
        False, "in the other steps, push on in the last direction that guidance had"
    )
    seed: int = option(0, "seed of the noise; every chunk draws on from it")
    deterministic: bool = option(False, "the same noise for every chunk")
    prompt_format: str = option(
        "json",
        "json or plain: how the checkpoint was trained to read instructions",
        choices=("json", "plain"),
    )
    schedule: str = option(
        "flow",
        "noise levels: flow, or checkpoint: those that scheduler_config.json names",
        choices=("flow", "checkpoint"),
    )
    horizon: int = option(0, "rows in a chunk; 0: as trained", minimum=0)
    soft_rows: int = option(
        0,
        "with rtc: rows after those executed meanwhile that the next chunk is drawn towards, less "
        "and less",
        minimum=0,
    )
    # Forward dynamics without guidance. One step gives the mean of what may be seen, which is
    # nearest to what then is; 0: `decode` shows the video as drawn together with the rows.
    future_steps: int = option(
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
        check_options(self)
