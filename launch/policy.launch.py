# SPDX-License-Identifier: Apache-2.0
"""The whole node graph: policy, reasoner, commander and, unless sim:=false, the simulation."""

from cosmos3_ros.bringup.launch_description import describe


def generate_launch_description():
    """Every option of cosmos3_ros.bringup.graph_options.Options is a launch argument.

    `--show-args` lists them.
    """
    return describe()
