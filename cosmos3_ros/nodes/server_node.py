# SPDX-License-Identifier: Apache-2.0
"""The server node: `cosmos3 serve openpi` in the process of the policy node.

On the same weights, if both have the same `ModelParams` and `placement`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from ..model.interface import Policy
from ..model.model_params import PolicyModelParams
from ..ros.lifecycle import ManagedNode
from ..serve.asyncio_runner import in_background
from ..serve.auth import read_token
from ..serve.http.address import check_free
from ..serve.openpi_server import OpenPiOptions, OpenPiServer
from .known_parameters import KNOWN
from .server_params import Params


class ServerNode(ManagedNode[Params]):
    """See the module.

    `load` makes the policy from `Params.policy()`; it is called at configure.
    """

    def __init__(self, load: Callable[[PolicyModelParams], Policy], **kwargs: Any) -> None:
        super().__init__("server", Params, KNOWN, **kwargs)
        self._load = load
        self._listening = contextlib.ExitStack()

    def setup(self) -> None:
        p = self.params
        check_free(p.host, p.port, "parameter '{}'".format)
        self._options = OpenPiOptions(
            read_token(p.token_file) if p.token_file else "",
            p.horizon,
            p.black,
            p.video,
            p.soft_rows,
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
