# SPDX-License-Identifier: Apache-2.0
"""Policy, reasoner and commander for DROID's robot in Isaac Sim (docs/isaac.md), on simulated time.

sim:=true puts the embedded simulation in Isaac Sim's place, under the same topic names.
"""

from cosmos3_ros.bringup.launch_description import describe


def generate_launch_description():
    """Every option of cosmos3_ros.bringup.graph_options.Options is a launch argument.

    Some have other defaults here.
    """
    return describe(robot="isaac_droid", sim=False, use_sim_time=True)
