# SPDX-License-Identifier: Apache-2.0
"""The executable `world`: the node `sim` with a world of `cosmos3 eval --env` for its simulation.

Its topics, services and parameters are those of `sim`; what a command of the world says are joints
that follow at once. The world takes its steps by the clock and waits for nobody.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import numpy as np

from ....nodes.sim_node import SimNode
from ....nodes.sim_node import main as run
from ....nodes.sim_params import Params
from ....robot.parameter_file import merge
from ....robot.robot_file import world_of
from ....ros.arguments import read_arguments
from ..catalog import make_world
from ..own_environment import enter_module
from .world_simulation import WorldSimulation


class WorldNode(SimNode):
    """See the module. ValueError, too, for an unknown world; RuntimeError for a missing package."""

    _simulation: WorldSimulation

    def __init__(self) -> None:
        super().__init__(_make)

    def _measured(self) -> tuple[list[str], np.ndarray, np.ndarray]:
        names, positions, velocities = super()._measured()
        readings = self._simulation.readings()
        unknown = np.full(len(readings), np.nan)
        return (
            [*names, *readings],
            np.append(positions, [*readings.values()]),
            np.append(velocities, unknown),
        )


def _make(p: Params) -> WorldSimulation:
    if not p.env:
        raise ValueError(
            "parameter 'env': expected a world, got ''; the embedded simulation is `sim`"
        )
    try:
        return WorldSimulation(make_world(p.env, p.protocol, p.seed, exam=True))
    except ImportError as error:
        raise RuntimeError(str(error)) from error


def main(args: list[str] | None = None) -> int:
    """Run the node until SIGINT or SIGTERM (exit code 0); 2: a wrong parameter; 1: no world."""
    words = sys.argv if args is None else args
    # before ROS is initialized, whose threads another program would not take over
    enter_module(_world_of(words), "cosmos3_ros.training.worlds.nodes.world_node", words[1:])
    return run(args, WorldNode)


def _world_of(words: Sequence[str]) -> str:
    """The world that these arguments give the node; empty: none, or `run` says what is wrong."""
    try:
        found = read_arguments(words)
    except ValueError:
        return ""
    return world_of(merge(sections for _, sections in found.sources), found.full_name("sim"))


if __name__ == "__main__":
    sys.exit(main())
