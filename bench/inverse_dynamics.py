# SPDX-License-Identifier: Apache-2.0
"""The actions read out of recorded closed loops, beside the commands in the same recordings.

The policy drives the simulated arm through the commander's playback, and pictures, joint states and
the commands of every tick go into a rosbag2 recording, as `cosmos3 record` writes one. Then
`cosmos3 dynamics inverse` reads each recording and writes a dataset, once with the recorded states
and once from its videos alone, and a training of random towers begins on what it wrote.

python bench/inverse_dynamics.py --task reach,lift,drawer --episodes 2 --out result.json
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from result_file import report
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from cosmos3_ros.model.dynamics import Dynamics
from cosmos3_ros.model.interface import NS
from cosmos3_ros.model.policy import load_policy
from cosmos3_ros.model.registry import embedded_checkpoint
from cosmos3_ros.robot import topic_names
from cosmos3_ros.sim.arm_constants import JOINTS
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.real_time_pace import TICKS_PER_SECOND
from cosmos3_ros.training.data.lerobot_reader import read_episodes
from cosmos3_ros.training.data.video_io import write_video
from cosmos3_ros.training.dynamics import sources
from cosmos3_ros.training.dynamics.inverse import inverse
from cosmos3_ros.training.evaluation.closed_loop import Trial, play
from cosmos3_ros.training.options import DataOptions, PolicyTrainingOptions
from cosmos3_ros.training.recipe import Recipe
from cosmos3_ros.training.train import train

ROBOT = "droid_sim"
EVERY = TICKS_PER_SECOND // 30  # ticks between two pictures of a camera
SMALL = {"hidden": 128, "layers": 2, "heads": 4, "kv_heads": 2, "mlp": 256}


class RecordedSimulation:
    """A simulation that writes what its robot's topics would carry into a bag."""

    def __init__(self, simulation: Any, folder: Path) -> None:
        self._simulation = simulation
        self._store = get_typestore(Stores.ROS2_JAZZY)
        self._writer = Writer(folder, version=9, storage_plugin=StoragePlugin.MCAP)
        self._writer.open()
        self._connections: dict[str, Any] = {}
        self._ticks = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._simulation, name)

    def tick(self, joints: np.ndarray, fingers: Any) -> None:
        """Command the joints of the next tick; every fourth tick the cameras look."""
        self._simulation.tick(joints, fingers)
        now = NS + self._simulation.elapsed  # a stamp of 0 is none
        if not self._ticks:
            text = self._simulation.instruction
            self._write(topic_names.INSTRUCTION, now, "std_msgs/msg/String", data=text)
        self._array(topic_names.POSITIONS, now, joints)
        self._array(topic_names.GRIPPER, now, np.ravel(fingers))
        none = np.zeros(0)
        self._write(
            topic_names.JOINT_STATES,
            now,
            "sensor_msgs/msg/JointState",
            header=self._header(now),
            name=list(JOINTS),
            position=self._simulation.world.positions().astype(np.float64),
            velocity=none,
            effort=none,
        )
        if self._ticks % EVERY == 0:
            for view in self._simulation.views:
                self._look(view, now)
        self._ticks += 1

    def close(self) -> None:
        self._writer.close()

    def _look(self, view: str, now: int) -> None:
        pixels = cv2.cvtColor(self._simulation.render(view), cv2.COLOR_RGB2BGR)
        jpeg = cv2.imencode(".jpg", pixels)[1]
        self._write(
            topic_names.camera(view, "compressed"),
            now,
            "sensor_msgs/msg/CompressedImage",
            header=self._header(now),
            format="jpeg",
            data=jpeg.ravel(),
        )

    def _array(self, topic: str, now: int, values: np.ndarray) -> None:
        layout = self._store.types["std_msgs/msg/MultiArrayLayout"](dim=[], data_offset=0)
        data = np.asarray(values, np.float64)
        self._write(topic, now, "std_msgs/msg/Float64MultiArray", layout=layout, data=data)

    def _header(self, now: int) -> Any:
        stamp = self._store.types["builtin_interfaces/msg/Time"](sec=now // NS, nanosec=now % NS)
        return self._store.types["std_msgs/msg/Header"](stamp=stamp, frame_id="")

    def _write(self, topic: str, now: int, kind: str, **fields: Any) -> None:
        if topic not in self._connections:
            self._connections[topic] = self._writer.add_connection(
                f"/{topic}", kind, typestore=self._store
            )
        data = self._store.serialize_cdr(self._store.types[kind](**fields), kind)
        self._writer.write(self._connections[topic], now, data)


def record(folder: Path, policy: Any, tasks: list[str], seeds: range) -> list[Path]:
    """A recording of each closed loop."""
    bags = []
    for task in tasks:
        env = Env()
        simulation: Any = env.simulation
        for seed in seeds:
            bags.append(folder / f"{task}_{seed}")
            env.simulation = recorded = RecordedSimulation(simulation, bags[-1])  # type: ignore
            outcome = play(policy, env, Trial("", task, seed))
            recorded.close()
            print(f"{task} {seed}: {'solved' if outcome.success else 'failed'}", flush=True)
        simulation.close()
    return bags


def as_videos(clip: sources.SourceClip, folder: Path, dynamics: Dynamics) -> sources.SourceClip:
    """The clip as somebody has it who only has its videos, and the state of the first frame."""
    files = {
        view: folder / f"{len(list(folder.iterdir()))}.{view}.mp4" for view in clip.episode.views
    }
    for view, file in files.items():
        write_video(file, clip.episode.views[view], round(dynamics.embodiment.fps))
    return sources.of_videos(
        files, dynamics.embodiment, clip.episode.instructions[0], clip.episode.states[0]
    )


def learn(dataset: Path, folder: Path, steps: int) -> dict[str, float]:
    """Train random towers on the dataset; the mean loss of the first and the last lines."""
    recipe = Recipe(
        start=str(embedded_checkpoint()),
        size=SMALL,
        device="cpu",
        data=DataOptions(dataset=str(dataset), warm_up=1),
        policy=PolicyTrainingOptions(steps=steps, batch=8, warmup=20),
    )
    said: list[str] = []
    train(recipe, folder, said.append)
    losses = [float(line.split(" action ")[1].split()[0]) for line in said if " action " in line]
    assert np.isfinite(losses).all()
    third = max(1, len(losses) // 3)
    first, last = statistics.fmean(losses[:third]), statistics.fmean(losses[-third:])
    return {"steps": steps, "first": first, "last": last, "lines": len(losses)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--task", default="reach,lift,drawer")
    parser.add_argument("--episodes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--overlap", type=int, default=8, help="rows that windows share")
    parser.add_argument("--train-steps", type=int, default=600)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    policy = load_policy(embedded_checkpoint(), guidance=1.0, num_steps=4, future_steps=1)
    dynamics, overlap = Dynamics(policy), chosen.overlap
    measured: dict[str, Any] = {"overlap": overlap}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        seeds = range(chosen.seed, chosen.seed + chosen.episodes)
        bags = record(folder, policy, chosen.task.split(","), seeds)
        clips = [
            clip for bag in bags for clip in sources.of_bag(str(bag), ROBOT, policy.embodiment)
        ]
        dataset = folder / "dataset"
        measured["known_states"] = inverse(dynamics, clips, overlap, dataset, None, {})
        (folder / "videos").mkdir()
        bare = (as_videos(clip, folder / "videos", dynamics) for clip in clips)
        measured["first_state_alone"] = inverse(dynamics, bare, overlap, folder / "bare", None, {})
        for key, where in (("known_states", "dataset"), ("first_state_alone", "bare")):
            pairs = zip(clips, read_episodes(folder / where, policy.embodiment), strict=True)
            arm = [
                np.abs(read.actions[:-1, :7] - clip.episode.actions[:-1, :7]).ravel()
                for clip, read in pairs
            ]
            measured[f"{key}_mrad"] = 1000 * float(np.concatenate(arm).mean())
        for key, guess in (("still", slice(0, 1)), ("next_state", slice(1, None))):
            far = [
                np.abs(clip.episode.actions[:-1, :7] - clip.episode.states[guess, :7]).ravel()
                for clip in clips
            ]
            measured[f"{key}_mrad"] = 1000 * float(np.concatenate(far).mean())
        measured["training"] = learn(dataset, folder / "train", chosen.train_steps)
    command = (
        f"python bench/inverse_dynamics.py --task {chosen.task} --episodes {chosen.episodes} "
        f"--seed {chosen.seed} --overlap {overlap} --train-steps {chosen.train_steps}"
    )
    for entry in (*measured["known_states"], *measured["first_state_alone"]):
        entry["source"] = Path(entry["source"].split(",")[0]).name
    report(command, ("torch", "mujoco", "rosbags"), chosen.out, **measured)
    print(json.dumps({key: value for key, value in measured.items() if key.endswith("mrad")}))


if __name__ == "__main__":
    main()
