# SPDX-License-Identifier: Apache-2.0
"""A module inside a module that stays out of its parameters, state and moves between devices."""

from __future__ import annotations

from typing import Generic, TypeVar

from torch import nn

M = TypeVar("M", bound=nn.Module)


class Unregistered(Generic[M]):
    """A reference to `module` that torch does not register as a child of the module holding it."""

    def __init__(self, module: M):
        self.module = module
