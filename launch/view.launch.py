# SPDX-License-Identifier: Apache-2.0
"""RViz, the robot's frames and a ghost of where the chunk ends, beside a running graph."""

from cosmos3_ros.bringup.launch_description import describe_view


def generate_launch_description():
    """The fields of cosmos3_ros.bringup.view_graph.ViewOptions are launch arguments.

    See docs/watching.md.
    """
    return describe_view()
