# SPDX-License-Identifier: Apache-2.0
"""What the embedded checkpoint answers to recorded observations.

`tools/run.sh .venv python test/model/golden/record.py`

Writes answers.npz anew, and observations.npz if it is not there. Only a change that is meant to
change the answers (other weights, another sampler) may do so, and says why.
"""

import platform
from pathlib import Path

import numpy as np
import torch

from cosmos3_ros.model.interface import Observation
from cosmos3_ros.model.policy import Cosmos3Policy, load_policy

HERE = Path(__file__).parent
CHECKPOINT = HERE.parents[2] / "model" / "checkpoints" / "droid_sim"
EPISODES = (("lift", 3), ("bowl", 1), ("drawer", 2))
CASES = {
    "plain": {"guidance": 1.0},
    "guided": {"guidance": 3.0, "guided_steps": 2, "reuse_guidance": True},
    "soft": {"guidance": 1.0, "soft_rows": 3, "seed": 7},
    "two_steps": {"guidance": 1.0, "num_steps": 2, "shift": 1.67, "future_steps": 1},
}


def machine() -> str:
    """What the last bit depends on besides the code: processor, torch's use of it, torch."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").is_file() else ""
    names = [
        line.split(":")[1].strip() for line in info.splitlines() if line.startswith("model name")
    ]
    processor = (names or [platform.processor()])[0]
    return f"{processor}, {torch.backends.cpu.get_cpu_capability()}, {torch.__version__}"


def observations() -> list[Observation]:
    """Those that were recorded in the simulation."""
    with np.load(HERE / "observations.npz") as data:
        return [
            Observation(
                {view: data[f"{number}/{view}"] for view in ("wrist", "exterior_1", "exterior_2")},
                data[f"{number}/state"],
                str(data[f"{number}/instruction"]),
                int(data[f"{number}/stamp"]),
            )
            for number in range(len(EPISODES))
        ]


def answers() -> dict[str, np.ndarray]:
    """Chunks of every case, without and with committed rows, and the futures of two cases."""
    torch.set_num_threads(1)
    seen, found = observations(), {}
    for case, options in CASES.items():
        policy: Cosmos3Policy = load_policy(CHECKPOINT, **options)
        for number, observation in enumerate(seen):
            first = policy.infer(observation)
            found[f"{case}/{number}"] = first.chunk.values
            step = first.chunk.step
            committed = first.chunk.rows(observation.stamp + 2 * step, observation.stamp + 7 * step)
            later = Observation(
                observation.images,
                observation.state,
                observation.instruction,
                observation.stamp + 3 * step,
            )
            found[f"{case}/{number}/committed"] = policy.infer(later, committed).chunk.values
            if number == 1 and case in ("plain", "two_steps"):
                found[f"{case}/{number}/future"] = policy.decode(first).frames[::8, ::2, ::2]
    return found


def _record_observations() -> None:
    from cosmos3_ros.sim.env import Env

    env, arrays = Env(), {}
    for number, (task, seed) in enumerate(EPISODES):
        observation = env.reset(task, seed)
        for _ in range(number * 4):
            observation = env.step(np.append(observation.state[:7] + 0.01, 0.0))
        arrays |= {f"{number}/{view}": image for view, image in observation.images.items()}
        arrays[f"{number}/state"] = observation.state
        arrays[f"{number}/instruction"] = np.array(observation.instruction)
        arrays[f"{number}/stamp"] = np.array(observation.stamp)
    env.close()
    np.savez_compressed(HERE / "observations.npz", **arrays)


if __name__ == "__main__":
    if not (HERE / "observations.npz").is_file():
        _record_observations()
    np.savez_compressed(HERE / "answers.npz", machine=np.array(machine()), **answers())
