# SPDX-License-Identifier: Apache-2.0
"""The process that holds the network: the policy node, the reasoner node, or both on one set of weights."""

from __future__ import annotations

import sys

from .lifecycle import run
from .policy_node import PolicyNode
from .reasoner_node import ReasonerNode


def _run(policy: bool, reasoner: bool, args: list[str] | None) -> int:
    from .backend import Models  # torch: slow to import, and only this process needs it

    models = Models(policy=policy, reasoner=reasoner)
    makers: list = []
    if policy:
        makers.append(lambda: PolicyNode(models.policy))
    if reasoner:
        makers.append(lambda: ReasonerNode(models.reasoner))
    return run(makers, args)


def main(args: list[str] | None = None) -> int:
    """Policy and reasoner in one process."""
    return _run(True, True, args)


def main_policy(args: list[str] | None = None) -> int:
    """The policy alone."""
    return _run(True, False, args)


def main_reasoner(args: list[str] | None = None) -> int:
    """The reasoner alone."""
    return _run(False, True, args)


if __name__ == "__main__":
    mains = {"policy": main_policy, "reasoner": main_reasoner}
    sys.exit(mains[sys.argv[1]](sys.argv[1:]) if sys.argv[1:2] and sys.argv[1] in mains else main())
