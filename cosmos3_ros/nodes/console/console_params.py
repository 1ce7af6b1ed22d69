# SPDX-License-Identifier: Apache-2.0
"""The parameters of the console."""

from __future__ import annotations

import dataclasses

from ...model.option_fields import param
from ...ros.lifecycle import LifecycleParams
from ...serve.console.address import check_address


@dataclasses.dataclass(frozen=True)
class Params(LifecycleParams):
    """Parameters of the console."""

    robot: str = param("droid_sim", "robot file: a name in config/ or the path of a YAML file")
    host: str = param("127.0.0.1", "address to listen on; another one needs token_file")
    port: int = param(8090, "port to listen on; 0: any that is free")
    token_file: str = param(
        "", "file with the token of the link in its first line; empty: a new one at every start"
    )
    control: bool = param(
        False, "the page may arm, instruct and reset; it may stop, disarm and ask without"
    )
    simulation: bool = param(False, "the robot is the embedded simulation")
    browser: bool = param(True, "open the page in a browser where there is a display")

    def __post_init__(self) -> None:
        check_address(self.host, self.port, self.token_file, lambda name: f"parameter {name!r}")
