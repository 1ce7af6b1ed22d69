# SPDX-License-Identifier: Apache-2.0
"""The server node: `cosmos3 serve openpi` in the process of the policy node.

On the same weights, if both have the same `ModelParams` and `placement`.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from ..model.interface import Policy
from ..model.model_params import PolicyModelParams
from ..model.option_fields import param, same_as, select
from ..model.policy_options import PolicyOptions
from ..ros.lifecycle import LifecycleParams, ManagedNode
from ..serve.asyncio_runner import in_background
from ..serve.auth import read_token
from ..serve.openpi_server import OpenPiOptions, OpenPiServer


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


class ServerNode(ManagedNode[Params]):
    """See the module.

    `load` makes the policy from `Params.policy()`; it is called at configure.
    """

    def __init__(self, load: Callable[[PolicyModelParams], Policy], **kwargs: Any) -> None:
        super().__init__("server", Params, **kwargs)
        self._load = load
        self._listening = contextlib.ExitStack()

    def setup(self) -> None:
        p = self.params
        self._options = OpenPiOptions(
            read_token(p.token_file) if p.token_file else "", p.horizon, p.black, p.video
        )
        self._policy = self._load(p.policy())

    def start(self) -> None:
        p, log = self.params, self.get_logger()
        server = OpenPiServer(lambda: self._policy, self._options, log.error)
        port = self._listening.enter_context(
            in_background(lambda ready, ended: server.run(p.host, p.port, ready, ended))
        )
        log.info(f"ready: ws://{p.host}:{port}")

    def stop(self) -> None:
        self._listening.close()

    def teardown(self) -> None:
        self._policy = None  # type: ignore[assignment]  # gives the memory back
