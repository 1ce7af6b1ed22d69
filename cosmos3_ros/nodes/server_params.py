# SPDX-License-Identifier: Apache-2.0
"""The parameters of the server node."""

from __future__ import annotations

import dataclasses

from ..model.model_params import PolicyModelParams
from ..model.option_fields import param, same_as, select
from ..model.policy_options import PolicyOptions
from ..ros.lifecycle import LifecycleParams


@dataclasses.dataclass(frozen=True)
class Params(PolicyModelParams, LifecycleParams):
    """Parameters of the server node."""

    host: str = param("127.0.0.1", "address to listen on; 0.0.0.0: all of this machine's")
    port: int = param(8000, "port to listen on; 0: any that is free")
    token_file: str = param(
        "", "serve only clients that send the word in this file; empty: everybody"
    )
    # of what is sent; the field of this name in PolicyOptions is `policy_horizon` here
    horizon: int = param(0, "rows of a chunk to send; 0: all")
    black: bool = param(
        False, "a camera that a request lacks is a black picture instead of an error"
    )
    video: bool = param(False, "send the predicted video too, megabytes per reply")
    policy_horizon: int = same_as(PolicyOptions, "horizon")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.port < 2**16:
            raise ValueError(f"parameter 'port': expected 0 to 65535, got {self.port}")

    def policy(self) -> PolicyModelParams:
        """What the policy is loaded by."""
        params: PolicyModelParams = select(PolicyModelParams, self, horizon=self.policy_horizon)
        return params
