# SPDX-License-Identifier: Apache-2.0
"""How regular the commander's set points are, and what ROS adds to the network, while everything runs on this machine.

Three 640x480 cameras at 30 Hz and joint states at 60 Hz (made up, by a process of their own), the policy node with the
tiny network, the commander at 100 Hz. Longer, it is a soak: memory of commander and policy over time.

python bench/commander_tick.py --seconds 60 --out bench/results/commander_tick.json
"""

import argparse
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import Image, JointState

from cosmos3_ros import topics
from cosmos3_ros.convert import header, to_ns
from cosmos3_ros.graph import Options, processes
from cosmos3_ros.images import fill
from cosmos3_ros.run import Graph
from cosmos3_ros.sim.robot import HOME, JOINTS

RATE = 100.0
VIEWS = ("wrist", "exterior_1", "exterior_2")
NETWORK = ("compose", "encode", "text", "denoise")


def robot(stopped: threading.Event) -> None:
    """Publish cameras and joint states until `stopped`."""
    node = rclpy.create_node("robot")
    pixels = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    image = fill(Image(), pixels, "rgb8")
    cameras = [node.create_publisher(Image, f"camera/{view}/image_raw", topics.RELIABLE) for view in VIEWS]
    states = node.create_publisher(JointState, "joint_states", topics.RELIABLE)
    joints = JointState(name=list(JOINTS), position=[*HOME, 0.0])
    begin = time.monotonic()
    for tick in itertools.count(1):
        if stopped.wait(max(0.0, begin + tick / 60 - time.monotonic())):
            return
        joints.header = image.header = header(node.get_clock().now().nanoseconds)
        states.publish(joints)
        if tick % 2 == 0:
            for camera in cameras:
                camera.publish(image)


class Watcher(Node):
    """Stamps of the set points, and when the motion of each chunk began."""

    def __init__(self) -> None:
        super().__init__("watcher")
        self.ticks: list[int] = []
        self.network: dict[int, dict[str, float]] = {}
        self.began: dict[int, float] = {}
        for topic, heard in (
            (topics.COMMAND, lambda m: self.ticks.append(to_ns(m.header.stamp))),
            (topics.ACTION_CHUNK, self.on_chunk),
            (topics.COMMANDER_STATUS, self.on_status),
        ):
            self.create_subscription(topic.type, topic.name, heard, topic.qos)

    def on_chunk(self, message: Any) -> None:
        seconds = zip(message.latency_stages, message.latency_seconds, strict=True)
        self.network[message.number] = dict(seconds)

    def on_status(self, message: Any) -> None:
        if message.chunk and message.chunk not in self.began:
            self.began[message.chunk] = (to_ns(message.header.stamp) - to_ns(message.chunk_stamp)) / 1e9


def resident(pid: int) -> float:
    """Memory of a process, MB."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def spread(values: list[float]) -> dict[str, float]:
    p50, p99, worst = np.percentile(np.array(values), [50, 99, 100]) if values else [float("nan")] * 3
    return {"p50": round(float(p50), 3), "p99": round(float(p99), 3), "max": round(float(worst), 3)}


def result(watcher: Watcher, memory: list[dict[str, float]]) -> dict[str, Any]:
    """Jitter: how far the time between set points is from the period. Overhead: capture to motion but the network."""
    ticks = np.array(watcher.ticks[200:])
    jitter = np.abs(np.diff(ticks) / 1e6 - 1e3 / RATE)
    stages: dict[str, list[float]] = {"receive": [], "wait": [], "convert": [], "to the motion": []}
    for number, began in watcher.began.items():
        seconds = watcher.network.get(number, {})
        if seconds:
            for stage in ("receive", "wait", "convert"):
                stages[stage].append(1e3 * seconds[stage])
            stages["to the motion"].append(1e3 * (began - sum(seconds.values())))
    overhead = [sum(parts) for parts in zip(*stages.values(), strict=True)]
    return {
        "set points": len(ticks),
        "tick jitter [ms]": spread(jitter.tolist()),
        "overhead [ms]": spread(overhead),
        **{f"{stage} [ms]": spread(values) for stage, values in stages.items()},
        "network p50 [ms]": spread([1e3 * sum(s[k] for k in NETWORK if k in s) for s in watcher.network.values()])[
            "p50"
        ],
        "load average": os.getloadavg()[1],
        "cores": os.cpu_count(),
        "memory [MB]": memory,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--every", type=float, default=30.0, help="seconds between two looks at the memory")
    parser.add_argument("--robot", action="store_true", help="be the cameras and the joints")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    stopped = threading.Event()
    rclpy.init()
    if args.robot:
        robot(stopped)
        return
    plan = processes(Options(sim=False, reasoner=False, instruction="move the gripper to the red cube"))
    plan[-1].parameters["commander"] |= {"rate": RATE}
    watcher, executor = Watcher(), SingleThreadedExecutor()
    executor.add_node(watcher)
    thread = threading.Thread(target=executor.spin)
    thread.start()
    memory: list[dict[str, float]] = []
    cameras = subprocess.Popen([sys.executable, __file__, "--robot"])
    with open(os.devnull, "w") as log, Graph(plan, log) as graph:
        while len(watcher.began) < 3:
            time.sleep(0.1)
        end = time.monotonic() + args.seconds
        pids = {name: process.pid for name, process in graph._running.items()}
        while (left := end - time.monotonic()) > 0:
            memory.append({"s": round(args.seconds - left), **{name: resident(pid) for name, pid in pids.items()}})
            time.sleep(min(left, args.every))
    cameras.terminate()
    cameras.wait()
    executor.shutdown()
    thread.join()
    watcher.destroy_node()
    rclpy.shutdown()
    found = {"date": time.strftime("%Y-%m-%d"), **result(watcher, memory)}
    print(json.dumps(found, indent=2))
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
