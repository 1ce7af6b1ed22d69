# SPDX-License-Identifier: Apache-2.0
"""The examination of a checkpoint through the ROS nodes: the world does not wait for the policy."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ....robot.parameter_file import read_sections
from ....robot.recorded_robot import read_robot
from ....robot.robot_file import find_robot_file, world_of
from ...evaluation.closed_loop_ros import running_episodes
from ..rollout import EpisodeResult, check_rows
from ..world import World

if TYPE_CHECKING:
    from ....bringup.node_graph import Options, Process

SLOWEST = 4.0  # times longer than it should that an episode may take before it is given up


def play_through_nodes(
    world: World,
    checkpoint: str,
    episodes: Sequence[tuple[str, int]],
    given: dict[str, dict[str, Any]],
    robot: str = "",
) -> Iterator[EpisodeResult]:
    """Episodes, one after the other, on one graph of nodes.

    episodes: task and seed of each. world: to ask; the nodes have their own. given: parameters of
    nodes in place of those of the robot file. robot: that, "": of the world's name. ValueError if
    there is none, it is for another world, or its chunks have fewer rows than are to be played.
    """
    from ....bringup.node_graph import parameter_of

    task, seed = episodes[0]
    first = {"protocol": world.protocol.name, "task": task, "seed": seed}
    graph, options = nodes(world, checkpoint, given | {"sim": first}, robot or world.name)
    factor = parameter_of(options, "sim", "real_time_factor") or 1.0
    limit = SLOWEST * world.horizon / world.fps / factor
    embodiment = read_robot(options.robot).embodiment
    check_rows(given.get("policy", {}).get("execution_horizon", 0), embodiment)
    with running_episodes(graph, options, embodiment.views) as (runner, alive):

        def steps() -> int:
            return round(runner.elapsed * world.fps)

        def over() -> bool:
            return steps() >= world.horizon

        def play(task: str, seed: int) -> EpisodeResult:
            episode = runner.episode(task, seed, limit, alive, over)
            took = statistics.median(episode.latencies) if episode.latencies else None
            return EpisodeResult(task, seed, episode.success, min(world.horizon, steps()), took)

        for task, seed in episodes:
            yield play(task, seed)


def nodes(
    world: World, checkpoint: str, given: dict[str, dict[str, Any]], robot: str
) -> tuple[list[Process], Options]:
    """The processes that play a world: itself, the policy and the commander."""
    from ....bringup.node_graph import Options, processes

    path = find_robot_file(robot)
    if (found := world_of(read_sections(path))) != world.name:
        raise ValueError(
            f"robot file {path}: expected env: {world.name} in its section sim, got {found!r}"
        )
    options = Options(robot=robot, checkpoint=checkpoint, reasoner=False, log_level="warn")
    graph = processes(options)
    for process in graph:
        for node, values in given.items():
            if node in process.parameters:
                process.parameters[node] |= values
    return graph, options
