# SPDX-License-Identifier: Apache-2.0
"""Reach in closed loop: the embedded policy's joints, and the same as poses by inverse kinematics.

python bench/pose_reach.py [--episodes 100] [--out bench/results/pose_reach.json]

Without ROS, as `cosmos3 eval`. The policy's rows become poses of the tool by forward kinematics, in
float32 as an embodiment of poses has them, and then joints again by the inverse kinematics of the
policy node, from the measured arm on. Both on the same seeds.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import statistics
from pathlib import Path
from typing import Any

import numpy as np
from result_file import report

from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.embodiment.rotations import transform_to_pose
from cosmos3_ros.model.interface import ActionChunk, Observation, Policy, Prediction
from cosmos3_ros.robot.joint_map import map_joints
from cosmos3_ros.robot.kinematics.tool_frame import ToolFrame
from cosmos3_ros.robot.kinematics.tool_map import ToolMap
from cosmos3_ros.robot.kinematics.tool_params import ToolActionParams
from cosmos3_ros.robot.robot_file import config_folder, find_robot_file, read_parameters
from cosmos3_ros.sim.arm_constants import ARM, FINGER
from cosmos3_ros.sim.env import shared_env
from cosmos3_ros.training.data.parallel import in_parallel
from cosmos3_ros.training.evaluation.closed_loop import Outcome, Trial, load_once, play
from cosmos3_ros.training.evaluation.statistics import wilson

CHECKPOINT = "model/checkpoints/droid_sim"
POSES = EMBODIMENTS["droid_midtrain"]


class ThroughPoses:
    """A policy of joints whose chunks go through poses of the tool."""

    def __init__(self, inner: Policy) -> None:
        self.embodiment, self._inner = inner.embodiment, inner
        urdf = str(config_folder() / "urdf" / "droid_sim.urdf")
        params = ToolActionParams(urdf=urdf, tool_frame="panda_link8")
        joints = map_joints(POSES, [*ARM, FINGER], [FINGER], [0.0], [1.0])
        self._tool = ToolFrame(params.tool(urdf), ARM)
        self._map = ToolMap(POSES, joints, params)
        self.off: list[float] = []  # largest distance of the tool from a chunk's poses, m

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        done = self._inner.infer(observation, committed)
        poses = self._tool.poses(done.chunk.values[:, :7].astype(np.float64))
        values = np.concatenate([transform_to_pose(poses), done.chunk.values[:, 7:]], axis=1)
        chunk = dataclasses.replace(
            done.chunk,
            values=values.astype(np.float32),
            names=POSES.action_names,
            discrete=POSES.discrete,
        )
        made = self._map.chunk(chunk, observation.state.astype(np.float64))
        seen = self._tool.points(made.values[:, :7].astype(np.float64))
        self.off.append(float(np.linalg.norm(seen - poses[:, :3, 3], axis=1).max()))
        named = dataclasses.replace(made, names=done.chunk.names, discrete=done.chunk.discrete)
        return dataclasses.replace(done, chunk=named)

    def decode(self, prediction: Prediction) -> Any:
        return self._inner.decode(prediction)

    def reset(self) -> None:
        self._inner.reset()


@functools.cache
def through_poses(checkpoint: str, options: tuple[tuple[str, Any], ...]) -> ThroughPoses:
    """The policy, made once per process."""
    return ThroughPoses(load_once(checkpoint, options))


def run(job: tuple[Trial, bool]) -> tuple[bool, Outcome, list[float]]:
    """One episode; by poses or by joints."""
    trial, by_poses = job
    env = shared_env(trial.task, distractors=trial.distractors)
    if not by_poses:
        return by_poses, play(load_once(trial.checkpoint, trial.options), env, trial), []
    policy = through_poses(trial.checkpoint, trial.options)
    policy.off = []
    return by_poses, play(policy, env, trial), policy.off


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """Successes with their interval, and medians."""
    solved = [outcome.seconds for outcome in outcomes if outcome.success]
    return {
        "episodes": len(outcomes),
        "successes": len(solved),
        "interval": wilson(len(solved), len(outcomes)),
        "seconds": statistics.median(solved) if solved else None,
        "chunks": sum(outcome.chunks for outcome in outcomes),
        "rejected": sum(outcome.rejected for outcome in outcomes),
        "limited": sum(outcome.limited for outcome in outcomes),
        "failed": [outcome.seed for outcome in outcomes if not outcome.success],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=10000)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rules = read_parameters(find_robot_file("droid_sim"), "policy")
    options = tuple((name, rules[name]) for name in ("num_steps", "guidance"))
    seeds = range(args.seed, args.seed + args.episodes)
    trials = [Trial(CHECKPOINT, "reach", seed, options=options) for seed in seeds]
    jobs = [(trial, by_poses) for trial in trials for by_poses in (False, True)]
    outcomes: dict[bool, list[Outcome]] = {False: [], True: []}
    off: list[float] = []
    for by_poses, outcome, errors in in_parallel(run, jobs, args.workers):
        outcomes[by_poses].append(outcome)
        off += errors
    measured = {
        "options": dict(options),
        "joints": summary(outcomes[False]),
        "poses": summary(outcomes[True]),
        "largest distance of the tool from its poses [m]": max(off),
    }
    command = f"python bench/pose_reach.py --episodes {args.episodes} --seed {args.seed}"
    report(command, ("pin", "numpy", "mujoco", "torch"), args.out, **measured)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
