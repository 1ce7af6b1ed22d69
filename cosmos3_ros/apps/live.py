# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 live`: asks a running policy for a video of a sentence, or the actions just shown."""

from __future__ import annotations

import csv
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import rclpy
from rclpy.client import Client

from ..action import GenerateVideo
from ..model.interface import NS
from ..ros import topics
from ..ros.messages import chunk_from, future_from
from .imagine import PATIENCE, call, write_clip
from .task import action_client, follow


def generate_video(fields: Mapping[str, Any], out: pathlib.Path) -> int:
    """Write the video of a goal with these fields, and return the exit code; Ctrl-C cancels it.

    ValueError if there is no policy that offers it, or no video.
    """

    def show(message: Any) -> None:
        said = message.feedback
        print(f"step {said.step} of {said.steps}, {said.seconds_left:.1f} s left", flush=True)

    with action_client("cosmos3_live", topics.GENERATE_VIDEO) as (client, stopped):
        if not client.wait_for_server(PATIENCE):
            raise ValueError(_nobody(topics.GENERATE_VIDEO.name, "generate_frames"))
        result = follow(client, GenerateVideo.Goal(**fields), show, stopped)
    if not result.success:
        raise ValueError(f"no video was made: {result.message}")
    future = future_from(result.video)
    write_clip(out, future)
    print(f"wrote {out}: {result.message} after {result.seconds:.2f} s")
    return 0


def infer_actions(seconds: float, instruction: str, out: pathlib.Path) -> int:
    """Write the actions of the last seconds as a table, and return the exit code.

    ValueError if there is no policy that offers it, or no answer.
    """
    rclpy.init(args=[])
    node = rclpy.create_node("cosmos3_live")
    try:
        service = topics.INFER_ACTIONS
        client: Client = node.create_client(service.type, service.name)
        if not client.wait_for_service(PATIENCE):
            raise ValueError(_nobody(client.srv_name, "recent_seconds"))
        request = service.type.Request(seconds=seconds, instruction=instruction)
        answer = call(node, client, request)
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
    if not answer.success:
        raise ValueError(f"no actions were read: {answer.message}")
    chunk = chunk_from(answer.actions)
    _write_table(out, chunk.names, chunk.times(), chunk.values)
    print(f"wrote {out}: {answer.message} after {answer.seconds:.2f} s")
    return 0


def _nobody(name: str, parameter: str) -> str:
    return (
        f"no policy node offers {name}: start one with `cosmos3 run`, and with {parameter} in its "
        "robot file"
    )


def _write_table(
    out: pathlib.Path, names: tuple[str, ...], times: np.ndarray, values: np.ndarray
) -> None:
    """One row per command, with when the robot was there, in s to the nanosecond."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["time", *names])
        for stamp, row in zip(times.tolist(), values, strict=True):
            seconds, rest = divmod(stamp, NS)
            writer.writerow([f"{seconds}.{rest:09d}", *(f"{value:.7g}" for value in row)])
