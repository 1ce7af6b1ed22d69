# SPDX-License-Identifier: Apache-2.0
"""The embedded simulation alone: a robot to point any policy at."""

from cosmos3_ros.bringup.launch_description import describe


def generate_launch_description():
    """The options of cosmos3_ros.bringup.node_graph.Options that matter to the simulation are launch arguments."""
    arguments = ("robot", "task", "seed", "use_sim_time", "log_level")
    return describe(arguments, policy=False, reasoner=False, commander=False)
