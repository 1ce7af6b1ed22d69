# SPDX-License-Identifier: Apache-2.0
"""What a policy may leave out of its sampling: refused where it cannot, warned about elsewhere.

A step of the rows alone saves the video's tokens, and no future tokens save even their first pass.
Whether the rows stay what they were depends on what the checkpoint was trained for.
"""

from __future__ import annotations

import warnings

from .checkpoint_io.trained_sampling import TrainedSampling, trained_sampling
from .diffusion.denoiser import check_full_steps
from .diffusion.sampler import Schedule
from .loaded_model import Model
from .policy_options import PolicyOptions

EVIDENCE = (
    "a third party's study of the released checkpoint saw actions collapse beside a frozen video "
    "(github.com/copparihollmann/action-aware-refresh)"
)


def check_shortcuts(model: Model, options: PolicyOptions, schedule: Schedule) -> TrainedSampling:
    """What the checkpoint was trained for; ValueError if the model cannot be sampled as asked for.

    A warning says what the checkpoint was not trained for, and what keeps the saving from showing.
    """
    trained, full = trained_sampling(model.policy_config), options.full_steps
    check_full_steps(full, schedule)
    asked = f"full_steps {list(full)}" if full else "future_tokens false"
    if model.team and model.team.tensor > 1 and (full or not options.future_tokens):
        raise ValueError(
            "full_steps and future_tokens: expected all steps and true where tensor_parallel is "
            f"{model.team.tensor}, got {asked}"
        )
    last = len(schedule.times) - 1
    if full and last not in full and not (trained.row_levels or trained.hidden_rows):
        _warn(
            f"full_steps {list(full)}: the checkpoint was not trained for action rows at a noise "
            f"level of their own, which the last step would have; {EVIDENCE}; with step {last} "
            "among them (preset fast) video and rows are at one level when it matters"
        )
    if not options.future_tokens and not trained.no_future:
        _warn(
            f"future_tokens false: the checkpoint was not trained without them; {EVIDENCE}, and "
            "none of 9 tasks solved with three latent frames for nine"
        )
    launched = model.device.type == "cuda" and not (model.graphs or model.team)
    if full and len(full) <= last and launched:  # a team cannot have graphs
        _warn(
            f"full_steps {list(full)}: steps of the rows alone are bound by the host here; "
            "expected cuda_graphs true"
        )
    return trained


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=4)
