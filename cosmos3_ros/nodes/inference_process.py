# SPDX-License-Identifier: Apache-2.0
"""The process that holds the network: policy, reasoner and server node on one set of weights."""

from __future__ import annotations

import functools
import gc
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..model.interface import GeneratesVideo, Policy
from ..ros.lifecycle import ManagedNode
from ..ros.node_runner import run
from .imagine.world_services import World
from .known_parameters import checker
from .policy_node import PolicyNode
from .reasoner_node import ReasonerNode
from .server_node import ServerNode

if TYPE_CHECKING:
    from ..model.registry import Models

NODES = ("policy", "reasoner", "server")


def _run(nodes: Sequence[str], args: list[str] | None) -> int:
    # torchrun's; the first has the nodes
    if "TORCHELASTIC_RUN_ID" in os.environ and os.environ["RANK"] != "0":
        from ..model.registry import follow

        return follow()

    @functools.cache
    def models() -> Models:
        # torch: slow to import, and a remote policy or reasoner needs none
        try:
            from ..model.registry import Models
        except ModuleNotFoundError as error:
            raise ValueError(
                f"{error}: a checkpoint needs it, policy_url and remote_url do not"
            ) from None

        return Models(policy=bool({"policy", "server"} & {*nodes}), reasoner="reasoner" in nodes)

    def live_video(policy: Policy, frames: int) -> GeneratesVideo:
        from ..model.generation.live_video import LiveVideo
        from ..model.registry import own_policy

        return LiveVideo(own_policy(policy, "generate_frames"), frames)

    makers: dict[str, Callable[[], ManagedNode[Any]]] = {
        "policy": lambda: PolicyNode(
            lambda params: models().policy(params),
            lambda policy: models().surprise_meter(policy),
            World(lambda policy: models().dynamics(policy), live_video),
        ),
        "reasoner": lambda: ReasonerNode(lambda params: models().reasoner(params)),
        "server": lambda: ServerNode(lambda params: models().policy(params)),
    }
    try:
        code = run([makers[node] for node in nodes], args, checker(*nodes))
    finally:
        if models.cache_info().currsize:
            models().close()
    if models.cache_info().currsize and models().lost:
        code = 1
    gc.freeze()  # nothing of torch's is worth looking for at the very end, which takes seconds
    return code


def main(args: list[str] | None = None) -> int:
    """The nodes that the arguments before --ros-args name.

    Policy and reasoner if they name none.
    """
    words = sys.argv[1:] if args is None else args
    named = words[: words.index("--ros-args")] if "--ros-args" in words else words
    if unknown := set(named) - {*NODES}:
        print(
            f"error: expected nodes among {', '.join(NODES)}, got {', '.join(sorted(unknown))}",
            file=sys.stderr,
        )
        return 2
    return _run(named or ("policy", "reasoner"), args)


def main_policy(args: list[str] | None = None) -> int:
    """The policy alone."""
    return _run(["policy"], args)


def main_reasoner(args: list[str] | None = None) -> int:
    """The reasoner alone."""
    return _run(["reasoner"], args)


def main_server(args: list[str] | None = None) -> int:
    """The server alone."""
    return _run(["server"], args)
