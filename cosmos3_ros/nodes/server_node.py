# SPDX-License-Identifier: Apache-2.0
"""The server node: `cosmos3 serve openpi` in the process of the policy node.

On the same weights, if both are told the same checkpoint, device, dtype, compile, weights,
text_weights, placement.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

from ..model.interface import Policy
from ..ros.lifecycle import ManagedNode
from ..ros.parameters import param
from ..serve.asyncio_runner import in_background
from ..serve.auth import read_token
from ..serve.openpi_server import OpenPiOptions, OpenPiServer
from . import policy_params


@dataclasses.dataclass(frozen=True)
class Params:
    """Parameters of the server node."""

    autostart: bool = param(True, "configure and activate when the process starts")
    host: str = param("127.0.0.1", "address to listen on; 0.0.0.0: all of this machine's")
    port: int = param(8000, "port to listen on; 0: any that is free")
    token_file: str = param(
        "", "serve only clients that send the word in this file; empty: everybody"
    )
    horizon: int = param(0, "rows of a chunk to send; 0: all")
    black: bool = param(
        False, "a camera that a request lacks is a black picture instead of an error"
    )
    video: bool = param(False, "send the predicted video too, megabytes per reply")
    checkpoint: str = param("", "checkpoint folder in the Hub layout; empty: the embedded one")
    device: str = param("auto", "cpu, cuda, cuda:1, ...; auto: cuda if there is one")
    dtype: str = param("auto", "float32 or bfloat16; auto: bfloat16 on a GPU, float32 on a CPU")
    compile: bool = param(
        False, "compile the layers, on a GPU record CUDA graphs: slower to configure, then faster"
    )
    weights: str = param(
        "none", "how the generator's weights are rounded: none, fp8, int8 or nvfp4"
    )
    text_weights: str = param("none", "the same for the text tower")
    placement: str = param(
        "both",
        "towers on the GPU: both, or policy: the text tower is copied there layer by layer for a new instruction",
    )
    tensor_parallel: int = param(
        1, "GPUs that split every layer; processes of torchrun, see docs/performance.md"
    )
    threads: int = param(0, "CPU threads of the network; 0: as torch chooses")
    embodiment: str = param(
        "", "what the columns of state and action mean; empty: the checkpoint's own"
    )
    num_steps: int = param(4, "denoising steps per chunk")
    guidance: float = param(3.0, "classifier-free guidance scale; 1: none, half the work")
    guided_steps: int = param(
        0, "guidance in the first so many steps only, faster and less exact; 0: in all"
    )
    reuse_guidance: bool = param(
        False, "in the other steps, push on in the last direction that guidance had"
    )
    shift: float = param(5.0, "shift of the flow schedule")
    seed: int = param(0, "seed of the noise; each session begins with it")
    prompt_format: str = param(
        "json", "json or plain: how the checkpoint was trained to read instructions"
    )

    def __post_init__(self) -> None:
        if not 0 <= self.port < 2**16:
            raise ValueError(f"parameter 'port': expected 0 to 65535, got {self.port}")
        if self.horizon < 0:
            raise ValueError(f"parameter 'horizon': expected 0 or more, got {self.horizon}")

    def policy(self) -> policy_params.Params:
        """The same of a policy node, which is what a policy is loaded by."""
        names = {field.name for field in dataclasses.fields(policy_params.Params)}
        return policy_params.Params(
            **{name: value for name, value in vars(self).items() if name in names}
        )


class ServerNode(ManagedNode[Params]):
    """See the module.

    `load` makes the policy from the parameters of a policy node; it is called at configure.
    """

    def __init__(self, load: Callable[[policy_params.Params], Policy], **kwargs: Any) -> None:
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
