# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 imagine`: asks a running policy what a candidate would show, and writes the video."""

from __future__ import annotations

import pathlib
import time
from typing import Any

import rclpy
from rclpy.client import Client
from rclpy.node import Node
from rclpy.wait_for_message import wait_for_message
from trajectory_msgs.msg import JointTrajectory

from ..execution.candidates.candidate import Candidate
from ..model.interface import NS, Future
from ..msg import ActionChunk
from ..ros import topics
from ..ros.messages import candidate_from, candidate_message, chunk_from, future_from
from ..srv import Imagine
from .film import Film

PATIENCE = 10.0  # s for the policy, and for a message of the topic
LOADING = 300.0  # s for a policy that is there but does not offer it yet
LONGEST = 60.0  # s for the answer: a large network on a CPU takes its time


def imagine(candidate: Candidate | str, instruction: str, out: pathlib.Path) -> int:
    """Write the clip, say what was done, and return the exit code; candidate: or its topic.

    ValueError if there is no policy, no message, or no answer.
    """
    rclpy.init(args=[])
    node = rclpy.create_node("cosmos3_imagine")
    try:
        if isinstance(candidate, str):
            candidate = receive(node, candidate)
        answer = _ask(node, candidate, instruction)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    if not answer.success:
        raise ValueError(f"nothing was imagined: {answer.message}")
    future = future_from(answer.future)
    write_clip(out, future)
    print(f"imagined {answer.message}")
    seconds = (len(future.frames) - 1) * future.step / NS
    print(
        f"wrote {out}: {len(future.frames)} frames, {seconds:.2f} s, of "
        f"{answer.future.instruction!r}; asked for {answer.seconds:.2f} s"
    )
    return 0


def write_clip(out: pathlib.Path, future: Future) -> None:
    """The frames as an H.264 video at their own rate."""
    out.parent.mkdir(parents=True, exist_ok=True)
    height, width = future.frames.shape[1:3]
    with Film(out, round(NS / future.step), (height, width)) as film:
        for frame in future.frames:
            film.add(frame)


def receive(node: Node, topic: str) -> Candidate:
    """The candidate of the next message on a topic; ValueError if there is none."""
    name = node.resolve_topic_name(topic)
    found = _type(node, name)
    done, message = wait_for_message(found, node, name, time_to_wait=PATIENCE)
    if not done or message is None:
        raise ValueError(f"topic {name}: no message came within {PATIENCE:g} s")
    if isinstance(message, JointTrajectory):
        return candidate_from(message)
    chunk = chunk_from(message)
    return Candidate(chunk.names, (chunk.times() - chunk.stamp) / NS, chunk.values.astype(float))


def _type(node: Node, topic: str) -> Any:
    """What the topic carries; ValueError if nobody publishes it, or it is no candidate."""
    kinds = {
        "trajectory_msgs/msg/JointTrajectory": JointTrajectory,
        "cosmos3_ros/msg/ActionChunk": ActionChunk,
    }
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        if found := dict(node.get_topic_names_and_types()).get(topic):
            known = [kinds[kind] for kind in found if kind in kinds]
            if not known:
                raise ValueError(f"topic {topic}: expected {' or '.join(kinds)}, got {found[0]}")
            return known[0]
        time.sleep(0.05)
    raise ValueError(f"topic {topic}: nobody publishes it")


def _wait_for(node: Node, client: Client) -> None:
    """Return when the service is there; ValueError if it does not come."""
    if client.wait_for_service(PATIENCE):
        return
    policy = client.srv_name.rsplit("/", 1)[0]
    found = {f"{space.rstrip('/')}/{name}" for name, space in node.get_node_names_and_namespaces()}
    if policy not in found:
        raise ValueError(f"no policy node offers {client.srv_name}: start one with `cosmos3 run`")
    print(f"waiting for {policy}, which is there but not ready: it may still load", flush=True)
    if not client.wait_for_service(LOADING):
        raise ValueError(
            f"{policy} does not offer {client.srv_name} after {LOADING:g} s: its log says why"
        )


def _ask(node: Node, candidate: Candidate, instruction: str) -> Imagine.Response:
    service = topics.IMAGINE
    client: Client = node.create_client(service.type, service.name)
    _wait_for(node, client)
    request = Imagine.Request(candidate=candidate_message(candidate), instruction=instruction)
    return call(node, client, request)


def call(node: Node, client: Client, request: Any) -> Any:
    """What a service answers; ValueError if it does not within LONGEST."""
    answer = client.call_async(request)
    rclpy.spin_until_future_complete(node, answer, timeout_sec=LONGEST)
    if not answer.done():
        raise ValueError(f"{client.srv_name} did not answer within {LONGEST:g} s")
    return answer.result()
