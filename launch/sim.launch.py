# SPDX-License-Identifier: Apache-2.0
"""The embedded simulation alone: a robot to point any policy at."""

from cosmos3_ros.bringup.launch_description import describe


def generate_launch_description():
    """The fields of bringup.graph_options.Options that matter to it are launch arguments."""
    arguments = ("robot", "task", "seed", "use_sim_time", "log_level")
    return describe(arguments, policy=False, reasoner=False, commander=False)
