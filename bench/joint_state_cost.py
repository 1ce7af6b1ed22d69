# SPDX-License-Identifier: Apache-2.0
"""What joint states cost the commander and the policy, by their rate.

A process of its own publishes them. Both nodes run with the robot file of the simulated arm, the
commander armed at rest at 50 Hz, the policy with neither images nor an instruction: what they take
at 0 Hz has nothing to do with joint states.

python bench/joint_state_cost.py --out bench/results/joint_state_cost.json
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import rclpy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import JointState

from cosmos3_ros.bringup.node_graph import Options, processes
from cosmos3_ros.bringup.process_runner import RunningGraph
from cosmos3_ros.ros import topics
from cosmos3_ros.ros.messages import header
from cosmos3_ros.ros.shutdown_signal import Stop
from cosmos3_ros.sim.arm_constants import HOME, JOINTS

SETTLE = 20.0  # s until the nodes are up


def publish(rate: float) -> None:
    """Joint states as joint_state_broadcaster publishes them, until a signal comes."""
    stopped = Stop().on_signals()
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("joint_state_broadcaster")
    states = node.create_publisher(JointState, topics.JOINT_STATES.name, topics.RELIABLE)
    message = JointState(name=list(JOINTS), position=[*HOME.tolist(), 0.0])
    message.velocity, message.effort = [0.0] * len(JOINTS), [float("nan")] * len(JOINTS)
    begin, count = time.monotonic(), 0
    while not stopped.wait(max(0.0, begin + (count + 1) / rate - time.monotonic())):
        message.header = header(time.time_ns())
        states.publish(message)
        count += 1
    print(f"{count / (time.monotonic() - begin):.1f}", flush=True)
    rclpy.shutdown()


def processor(pid: int) -> float:
    """Processor time so far, s."""
    times = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return sum(map(int, times)) / os.sysconf("SC_CLK_TCK")


def cost(rate: float, seconds: float) -> dict[str, float]:
    """Share of a core of each process at this rate, %."""
    plan = processes(Options(sim=False, reasoner=False, armed=True))
    source = None
    with open(os.devnull, "w") as log, RunningGraph(plan, log) as graph:
        if rate:
            command = [sys.executable, __file__, "--publish", str(rate)]
            source = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(SETTLE)
        before, begin = {name: processor(pid) for name, pid in graph.pids().items()}, time.time()
        time.sleep(seconds)
        gone = time.time() - begin
        found = {
            f"{name} [%]": round(100 * (processor(pid) - before[name]) / gone, 1)
            for name, pid in graph.pids().items()
        }
    real = 0.0
    if source:
        source.terminate()
        real = float(source.communicate()[0])
    return {"rate [Hz]": rate, "published [Hz]": real, **found, "load": os.getloadavg()[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=float, nargs="+", default=[0, 100, 500, 1000], help="Hz")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--publish", type=float, default=0.0, help="only publish, at this rate")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    if args.publish:
        publish(args.publish)
        return
    rows = [cost(rate, args.seconds) for rate in args.rates]
    found = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "rows": rows}
    print(json.dumps(found, indent=2))
    if args.out:
        args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
