# SPDX-License-Identifier: Apache-2.0
"""Meta-World's experts in LeRobot's environment and in ours, scene by scene: are both the same?

    tools/run.sh .venv .venv/lerobot/bin/python bench/lerobot_experts.py \\
        --out bench/results/lerobot_experts.json

LeRobot 0.4.4 draws scenes by numpy's global generator, so here ours does so too, and draws one more
where LeRobot's environment begins anew by itself, after a success. Pictures are left out: experts
do not look.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from lerobot.envs.metaworld import MetaworldEnv
from result_file import report

from cosmos3_ros.training.worlds.metaworld_tasks import TASKS
from cosmos3_ros.training.worlds.metaworld_world import SIDE, MetaWorld
from cosmos3_ros.training.worlds.rollout import play_expert

Episodes = list[tuple[bool, int]]  # success, steps


def lerobots(task: str, seed: int, episodes: int) -> Episodes:
    """By LeRobot's environment, as its evaluation steps it."""
    env = MetaworldEnv(task, obs_type="pixels_agent_pos")
    simulation = env._env
    simulation.render = lambda: np.zeros((SIDE, SIDE, 3), np.uint8)
    told: list[np.ndarray] = []  # whole observations, which LeRobot's environment keeps to itself
    simulation.step, simulation.reset = (
        _noted(call, told) for call in (simulation.step, simulation.reset)
    )
    np.random.seed(seed)
    played: Episodes = []
    for episode in range(episodes):
        env.reset(seed=seed + episode)
        steps, solved, over = 0, False, False
        while not over:
            action = env.expert_policy.get_action(told[-1]).astype(np.float32).clip(-1, 1)
            _, _, terminated, truncated, info = env.step(action)
            steps, solved, over = steps + 1, info["is_success"], terminated or truncated
        played.append((solved, steps))
    env.close()
    return played


def _noted(call: Callable[..., Any], told: list[np.ndarray]) -> Callable[..., Any]:
    def noting(*given: Any, **named: Any) -> Any:
        out = call(*given, **named)
        told.append(out[0])
        return out

    return noting


def ours(task: str, seed: int, episodes: int) -> Episodes:
    """By the world `metaworld` and its protocol `lerobot`, in the scenes that LeRobot draws."""
    world = MetaWorld("lerobot")
    world._open(task)
    world._env.seeded_rand_vec = False
    np.random.seed(seed)
    played: Episodes = []
    for episode in range(episodes):
        result = play_expert(world, task, seed + episode)
        played.append((result.success, result.steps))
        if result.success:
            world.reset(task, seed + episode)
    world.close()
    return played


def main() -> None:
    """Play both and write what differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--task", default=",".join(TASKS), help="with commas (default: all)")
    parser.add_argument("--episodes", type=int, default=10, help="of each task (default: 10)")
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    tasks: dict[str, Any] = {}
    for task in chosen.task.split(","):
        theirs = lerobots(task, chosen.seed, chosen.episodes)
        own = ours(task, chosen.seed, chosen.episodes)
        tasks[task] = {
            "lerobot": sum(solved for solved, _ in theirs),
            "own": sum(solved for solved, _ in own),
            "same": sum(one == other for one, other in zip(theirs, own, strict=True)),
        }
        print(task, tasks[task], flush=True)
    total = {key: sum(row[key] for row in tasks.values()) for key in ("lerobot", "own", "same")}
    total["episodes"] = len(tasks) * chosen.episodes
    command = f"python bench/lerobot_experts.py --episodes {chosen.episodes} --seed {chosen.seed}"
    packages = ("lerobot", "metaworld", "mujoco", "gymnasium", "numpy")
    report(command, packages, chosen.out, total=total, tasks=tasks)


if __name__ == "__main__":
    main()
