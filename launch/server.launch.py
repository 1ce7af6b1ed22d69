# SPDX-License-Identifier: Apache-2.0
"""The policy for openpi clients and RoboLab.

With policy:=true the same weights drive a robot of this graph as well.
"""

from cosmos3_ros.bringup.graph_options import RUNS
from cosmos3_ros.bringup.launch_description import describe


def generate_launch_description():
    """The fields of bringup.graph_options.Options that matter to it are launch arguments."""
    arguments = (
        "robot",
        "checkpoint",
        "device",
        *RUNS,
        "placement",
        "host",
        "port",
        "policy",
        "reasoner",
        "use_sim_time",
        "log_level",
    )
    return describe(
        arguments, server=True, policy=False, reasoner=False, commander=False, sim=False
    )
