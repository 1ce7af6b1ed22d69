# SPDX-License-Identifier: Apache-2.0
"""What a workspace costs the commander when it plans a chunk: processor time, simulated arm.

python bench/workspace_cost.py [--chunks 1000] [--out bench/results/workspace_cost.json]

Chunks of 16 rows to random places around the start pose, one after another in motion: without a
workspace, in a large one, and in one that some of them leave.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report

from cosmos3_ros.execution.chunk_player import ChunkPlayer, PlaybackRules
from cosmos3_ros.execution.workspace import ToolLimits, Workspace, workspace
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame, ToolSettings
from cosmos3_ros.robot.robot_file import config_folder
from cosmos3_ros.sim.arm_constants import ARM, HOME
from cosmos3_ros.training.evaluation.closed_loop import commander_settings

SPACES = {
    "none": None,
    "large": workspace([-2.0] * 3, [2.0] * 3, ()),
    "narrow": workspace([0.2, -0.35, 0.02], [0.75, 0.35, 0.7], ()),
}
REPLAN = 0.4  # s


def measure(space: Workspace | None, chunks: int) -> dict[str, Any]:
    """Processor time of planning, and how many chunks were rejected."""
    limits, _ = commander_settings()
    urdf = str(config_folder() / "urdf" / "droid_sim.urdf")
    frame = ToolFrame(ToolSettings(urdf, "panda_tcp"), ARM)
    tool = ToolLimits(frame, limits, space) if space else None
    player = ChunkPlayer(ARM, limits, rules=PlaybackRules(jump=9.0), tool=tool)
    player.start_at(0, HOME)
    rng, at, took = np.random.default_rng(0), HOME, []
    share = np.linspace(0, 1, 17)[1:, None]
    share = 3 * share**2 - 2 * share**3
    for number in range(chunks):
        now = int(number * REPLAN * NS)
        goal = HOME + rng.uniform(-0.35, 0.35, 7)
        rows = (at + share * (goal - at)).astype(np.float32)
        began = time.process_time()
        player.load(now, ActionChunk(rows, ARM, now, NS // 15), number)
        took.append(1000 * (time.process_time() - began))
        assert player.motion is not None
        at = player.motion.at(now + int(REPLAN * NS))[0]
    p50, p99, most = np.percentile(took, [50, 99, 100])
    return {"ms p50": p50, "ms p99": p99, "ms most": most, "rejected": player.rejected}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--chunks", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    measured = {name: measure(space, args.chunks) for name, space in SPACES.items()}
    command = f"python bench/workspace_cost.py --chunks {args.chunks}"
    report(command, ("pin", "numpy"), args.out, **measured)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
