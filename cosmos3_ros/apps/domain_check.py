# SPDX-License-Identifier: Apache-2.0
"""Whether a graph that is started for itself alone is alone in its ROS domain.

Beside another one it would arm that one's commander, and each would take the other's chunks.
"""

from __future__ import annotations

import os
import time

from ..ros import topics
from ..ros.watch.graph_endpoints import node_label
from .topic_recorder import Recorder

DISCOVERY = 1.5  # s until whoever is in the domain is known
OURS = (topics.ACTION_CHUNK, topics.COMMANDER_STATUS, topics.SIM_STATUS)  # one publisher each


def check_nobody(recorder: Recorder) -> None:
    """ValueError if a graph, or whatever else has joints, runs in the ROS domain.

    To be asked before nodes are started that are to be alone; takes `DISCOVERY`.
    """
    time.sleep(DISCOVERY)
    for topic in (*OURS, topics.JOINT_STATES):
        _check(recorder, topic, 0)


def check_alone(recorder: Recorder) -> None:
    """ValueError if beside the nodes that were started another graph runs in the ROS domain."""
    for topic in OURS:
        _check(recorder, topic, 1)


def _check(recorder: Recorder, topic: topics.Topic, most: int) -> None:
    name = recorder.resolve_topic_name(topic.name)
    found = sorted(map(node_label, recorder.get_publishers_info_by_topic(name)))
    if len(found) > most:
        who = f"{', '.join(found)} publish{'es' if len(found) == 1 else ''} {name}"
        raise ValueError(
            f"{who}: another graph runs in ROS domain {os.environ.get('ROS_DOMAIN_ID') or 0}; "
            "expected none: end it, or set ROS_DOMAIN_ID to another number"
        )
