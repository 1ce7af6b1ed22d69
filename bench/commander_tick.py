# SPDX-License-Identifier: Apache-2.0
"""How regular the commander's set points are, and what ROS adds to the network.

Three 640x480 cameras at 30 Hz, joint states at 60 Hz and an arm that follows every set point (made
up, by a process of their own), the policy node with the embedded network, the armed commander at
100 Hz. Longer, it is a soak: memory of every process over time, and whether a set point was lost.

python bench/commander_tick.py --seconds 60 --out bench/results/commander_tick.json
python bench/commander_tick.py --seconds 3600 --out bench/results/commander_soak.json
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import Image, JointState

from cosmos3_ros.bringup.node_graph import Options, processes
from cosmos3_ros.bringup.process_runner import RunningGraph
from cosmos3_ros.robot.images import fill
from cosmos3_ros.ros import topics
from cosmos3_ros.ros.messages import header, to_ns
from cosmos3_ros.ros.shutdown_signal import Stop
from cosmos3_ros.ros.spin_thread import spinning
from cosmos3_ros.sim.arm_constants import HOME, JOINTS

RATE = 100.0
VIEWS = ("wrist", "exterior_1", "exterior_2")
OURS = ("receive", "wait", "convert")  # stages of a chunk's latency that are not the network's
WARM_UP = 0.2  # share of the time in which memory may still grow
GROWTH = 8.0  # MB more at the end than at the beginning are growth


class Robot(Node):
    """Cameras (height, width), and an arm that is at once where it is told to be."""

    def __init__(self, size: Sequence[int]) -> None:
        super().__init__("robot")
        pixels = np.random.default_rng(0).integers(0, 256, (len(VIEWS), *size, 3), np.uint8)
        self.images = [fill(Image(), picture, "rgb8") for picture in pixels]
        self.cameras = [
            self.create_publisher(Image, f"camera/{view}/image_raw", topics.RELIABLE)
            for view in VIEWS
        ]
        self.states = self.create_publisher(JointState, "joint_states", topics.RELIABLE)
        self.positions = dict(zip(JOINTS, [*HOME.tolist(), 0.0], strict=True))
        self.create_subscription(
            JointState, topics.COMMAND.name, self.on_command, topics.COMMAND.qos
        )
        self.create_subscription(
            topics.TRAJECTORY.type, topics.TRAJECTORY.name, lambda m: None, topics.TRAJECTORY.qos
        )

    def on_command(self, message: JointState) -> None:
        self.positions.update(zip(message.name, message.position, strict=True))

    def work(self, stopped: Stop) -> None:
        """Publish until `stopped`."""
        begin = time.monotonic()
        for tick in itertools.count(1):
            if stopped.wait(max(0.0, begin + tick / 60 - time.monotonic())):
                return
            positions = dict(self.positions)
            now = self.get_clock().now().nanoseconds
            self.states.publish(
                JointState(header=header(now), name=list(positions), position=positions.values())
            )
            if tick % 2 == 0:
                for camera, image in zip(self.cameras, self.images, strict=True):
                    image.header = header(now)
                    camera.publish(image)


class Watcher(Node):
    """Stamps and number of the set points, and when the motion of each chunk began."""

    def __init__(self) -> None:
        super().__init__("watcher")
        self.ticks: list[int] = []
        self.said: list[tuple[int, int]] = []  # stamp, set points until then
        self.network: dict[int, dict[str, float]] = {}
        self.began: dict[int, float] = {}
        self.status: Any = None
        for topic, heard in (
            (topics.COMMAND, lambda m: self.ticks.append(to_ns(m.header.stamp))),
            (topics.ACTION_CHUNK, self.on_chunk),
            (topics.COMMANDER_STATUS, self.on_status),
            (topics.DIAGNOSTICS, self.on_diagnostics),
        ):
            self.create_subscription(topic.type, topic.name, heard, QoSProfile(depth=1000))

    def on_chunk(self, message: Any) -> None:
        self.network[message.number] = dict(
            zip(message.latency_stages, message.latency_seconds, strict=True)
        )

    def on_status(self, message: Any) -> None:
        self.status = message
        if message.chunk and message.chunk not in self.began:
            self.began[message.chunk] = (
                to_ns(message.header.stamp) - to_ns(message.chunk_stamp)
            ) / 1e9

    def on_diagnostics(self, message: Any) -> None:
        for value in message.status[0].values:
            if value.key == "set points":
                self.said.append((to_ns(message.header.stamp), int(value.value)))

    def lost(self) -> int:
        """Set points that were published, but not heard, though a later one was."""
        begin, first = self.said[1]
        end, last = next(said for said in reversed(self.said) if said[0] < self.ticks[-1])
        return last - first - sum(begin < stamp <= end for stamp in self.ticks)


def look(pids: dict[str, int]) -> dict[str, float]:
    """Memory of the processes without shared pages, MB, and their processor time so far, s."""
    found = {}
    for name, pid in pids.items():
        own = next(
            line
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("RssAnon")
        )
        times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        found[name] = round(int(own.split()[1]) / 1e3, 2)
        found[f"{name} cpu"] = sum(map(int, times)) / os.sysconf("SC_CLK_TCK")
    return found


def growth(memory: list[dict[str, float]], names: list[str]) -> dict[str, dict[str, Any]]:
    """After the warm-up: memory in the first and last fifth (medians, MB), and whether it grows."""
    after = [sample for sample in memory if sample["s"] >= WARM_UP * memory[-1]["s"]]
    fifth, found = max(1, len(after) // 5), {}
    for name in names:
        line = [sample[name] for sample in after]
        first, last = float(np.median(line[:fifth])), float(np.median(line[-fifth:]))
        share = (memory[-1][f"{name} cpu"] - memory[0][f"{name} cpu"]) / (
            memory[-1]["s"] - memory[0]["s"]
        )
        found[name] = {
            "first [MB]": round(first, 2),
            "last [MB]": round(last, 2),
            "grows": last - first > GROWTH,
            "cpu [%]": round(100 * share, 1),
        }
    return found


def spread(values: list[float]) -> dict[str, float]:
    p50, p99, worst = (
        np.percentile(np.array(values), [50, 99, 100]) if values else [float("nan")] * 3
    )
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "max": round(float(worst), 3)}


def timing(watcher: Watcher) -> dict[str, Any]:
    """Jitter: how far the time between set points is from the period.

    Overhead: capture to motion but the network.
    """
    ticks = np.array(watcher.ticks[200:])
    jitter = np.abs(np.diff(ticks) / 1e6 - 1e3 / RATE)
    stages: dict[str, list[float]] = {stage: [] for stage in (*OURS, "to the motion", "network")}
    for number, began in watcher.began.items():
        if seconds := watcher.network.get(number):
            for stage in OURS:
                stages[stage].append(1e3 * seconds[stage])
            stages["to the motion"].append(1e3 * (began - sum(seconds.values())))
            stages["network"].append(
                1e3 * sum(taken for stage, taken in seconds.items() if stage not in OURS)
            )
    network = stages.pop("network")
    overhead = [sum(parts) for parts in zip(*stages.values(), strict=True)]
    return {
        "set points": len(ticks),
        "lost set points": watcher.lost(),
        "chunks": len(overhead),
        "rejected": watcher.status.rejected,
        "last rejection": watcher.status.last_rejection,
        "tick jitter [ms]": spread(jitter.tolist()),
        "overhead [ms]": spread(overhead),
        **{f"{stage} [ms]": spread(values) for stage, values in stages.items()},
        "network [ms]": spread(network),
    }


def measure(watcher: Watcher, seconds: float, every: float, priority: int) -> dict[str, Any]:
    """Start everything, let it run, look at the memory; end everything."""
    plan = processes(
        Options(
            sim=False, reasoner=False, armed=True, instruction="move the gripper to the red cube"
        )
    )
    plan[-1].parameters["commander"] |= {"rate": RATE, "realtime_priority": priority}
    memory: list[dict[str, float]] = []
    robot = subprocess.Popen([sys.executable, __file__, "--robot"])
    with open(os.devnull, "w") as log, RunningGraph(plan, log) as graph:
        while len(watcher.began) < 3:
            time.sleep(0.1)
        begin, pids = time.monotonic(), {**graph.pids(), "robot": robot.pid}
        while (gone := time.monotonic() - begin) < seconds:
            memory.append({"s": round(gone, 1), **look(pids), "load": os.getloadavg()[0]})
            time.sleep(min(seconds - gone, every))
        found = timing(watcher) | {"memory": growth(memory, list(pids))}
    robot.terminate()
    robot.wait()
    load = [sample["load"] for sample in memory]
    return found | {
        "load average": {"mean": round(float(np.mean(load)), 2), "max": max(load)},
        "cores": os.cpu_count(),
        "over time": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument(
        "--every", type=float, default=1.0, help="seconds between two looks at the memory"
    )
    parser.add_argument("--realtime-priority", type=int, default=0, help="of the commander")
    parser.add_argument("--robot", action="store_true", help="be the cameras and the arm")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(480, 640), help="of the cameras' pictures"
    )
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = Robot(args.size) if args.robot else Watcher()
    with spinning(node):
        if isinstance(node, Robot):
            node.work(Stop().on_signals())
        else:
            found = {"date": time.strftime("%Y-%m-%d"), "minutes": args.seconds / 60}
            found["real-time priority"] = args.realtime_priority
            found |= measure(node, args.seconds, args.every, args.realtime_priority)
            print(
                json.dumps(
                    {key: value for key, value in found.items() if key != "over time"}, indent=2
                )
            )
            if args.out:
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(found, indent=2) + "\n")
    node.destroy_node()
    rclpy.shutdown()


if __name__ == "__main__":
    main()
