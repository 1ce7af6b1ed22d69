# SPDX-License-Identifier: Apache-2.0
"""The parameters of every node of this package, by which misspelt ones are told from the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from ..model.option_fields import fields
from ..ros.arguments import check_arguments
from . import commander_params, policy_params, reasoner_params, server_params, sim_params
from .console import console_params
from .display import display_params
from .task import task_params

PARAMS: dict[str, type] = {
    "policy": policy_params.Params,
    "reasoner": reasoner_params.Params,
    "server": server_params.Params,
    "commander": commander_params.Params,
    "sim": sim_params.Params,
    "task_server": task_params.Params,
    "display": display_params.Params,
    "console": console_params.Params,
}
KNOWN = {node: frozenset(fields(params)) for node, params in PARAMS.items()}


def checker(*nodes: str) -> Callable[[Sequence[str]], list[str]]:
    """What checks the arguments of a process that runs these nodes, see `check_arguments`."""
    return partial(check_arguments, nodes=nodes, known=KNOWN)
