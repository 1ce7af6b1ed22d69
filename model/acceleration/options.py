# SPDX-License-Identifier: Apache-2.0
"""How a model may be run, as a value: torch is not imported, so that nodes can name the choices."""

from __future__ import annotations

import dataclasses

from ..embodiment.table import nearest

# Names of `quantize.FORMATS`, which torch is needed for; a test compares the two.
WEIGHT_FORMATS = ("none", "fp8", "int8", "nvfp4")
# For help texts: "none, fp8, int8 or nvfp4".
WEIGHT_FORMATS_TEXT = f"{', '.join(WEIGHT_FORMATS[:-1])} or {WEIGHT_FORMATS[-1]}"
ATTENTIONS = ("none", "fp8")
# What a CPU has no arithmetic for: each product unpacks the weights, or rounds its inputs, anew.
GPU_FORMATS = ("fp8", "nvfp4")
PLACEMENTS = ("policy", "reasoner", "both")


@dataclasses.dataclass(frozen=True, slots=True)
class RuntimeOptions:
    """How to run a model; by default as it was loaded. ValueError for an unknown choice."""

    # Fuse what lies between the matrix products; the first pass takes a minute.
    compiled: bool = False
    # Record loops as CUDA graphs.
    graphs: bool = False
    # Format of the weights of the generator tower and of the text tower, one of WEIGHT_FORMATS.
    generator: str = "none"
    text: str = "none"
    # How queries, keys and values of the generator's full steps are rounded, one of ATTENTIONS; on
    # a GPU only.
    attention: str = "none"
    # What is on the GPU: "both" towers; for the "policy" the generator alone, while the text tower
    # is copied to the GPU layer by layer to read a new instruction; for the "reasoner" the text
    # tower alone.
    placement: str = "both"
    # Folder for compiled code, so that the next start need not compile again; "": torch's choice.
    kept: str = ""

    def __post_init__(self) -> None:
        choices = {
            "generator": WEIGHT_FORMATS,
            "text": WEIGHT_FORMATS,
            "attention": ATTENTIONS,
            "placement": PLACEMENTS,
        }
        for name, known in choices.items():
            if (value := getattr(self, name)) not in known:
                raise ValueError(
                    f"RuntimeOptions.{name}: expected one of {known}, got {value!r}"
                    f"{nearest(value, known)}"
                )
