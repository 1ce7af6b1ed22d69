# SPDX-License-Identifier: Apache-2.0
"""How the simulated arm moves across chunks, per strategy and latency, with one noisy policy.

The policy knows where to go (a slow wave in every joint), begins each chunk where it sees the arm,
and errs by another offset in each chunk. Physics, trajectory controller, player and planner are the
real ones; only time is counted, not waited for. Set points are streamed at 120 Hz. "replace, JTC"
sends trajectories to the trajectory controller at 1 kHz instead, which arrive 5 +- 2 ms later (as
measured with ros2_control); "without stamps", they begin when they arrive. "naive" is a queue of
actions: row 0 of a chunk is played when it arrives, positions only, trajectory controller.

python bench/seams.py --plot docs/seams.png --out bench/results/seams.json
"""

import argparse
import dataclasses
import json
import time
from pathlib import Path

import numpy as np

from cosmos3_ros.execution.chunk_player import ChunkPlayer
from cosmos3_ros.execution.replanner import Replanner, ReplanRules
from cosmos3_ros.execution.spline_motion import Limits, rest
from cosmos3_ros.execution.strategies import find_strategy
from cosmos3_ros.execution.trajectory_replacement import TrajectoryReplacement, Waypoints
from cosmos3_ros.model.interface import NS, ActionChunk
from cosmos3_ros.sim.arm_constants import ARM, HOME, LOWER, UPPER
from cosmos3_ros.sim.emulated_controllers import ArmController, Point, State, Trajectory
from cosmos3_ros.sim.real_time_pace import TICKS_PER_SECOND
from cosmos3_ros.sim.simulation import Simulation

STEP, ROWS, HORIZON, MARGIN = NS // 15, 32, 16, 2
TICK = NS // TICKS_PER_SECOND
PERIOD = TICK // 8  # of the trajectory controller: about 1 kHz
DELAY, SPREAD = 0.005, 0.002  # s: from the commander to the controller, mean and deviation
WINDOW = 9  # set points through which accelerations are fitted: about 9 ms
ERROR = 0.03  # rad: standard deviation of a chunk's offset
ACCELERATION = np.array([7.5, 3.75, 5.0, 6.25, 7.5, 10.0, 10.0])
LIMITS = Limits(LOWER, UPPER, np.array([2.06] * 4 + [2.48] * 3), ACCELERATION, 30 * ACCELERATION)
JTC, UNSTAMPED = "replace, JTC", "replace, JTC without stamps"
STRATEGIES = ("naive", UNSTAMPED, JTC, "replace", "crossfade", "rtc", "sync")


def wish(at: np.ndarray) -> np.ndarray:
    """Where the arm should be at these times (s): [T, 7]."""
    return HOME + 0.3 * np.sin(2 * np.pi * at[:, None] / 5 + np.arange(7)) * (
        1 - np.exp(-at[:, None])
    )


def predict(
    random: np.random.Generator, stamp: int, measured: np.ndarray, committed: ActionChunk | None
) -> ActionChunk:
    """What the imperfect policy answers to an observation."""
    ahead = np.arange(1, ROWS + 1)[:, None]
    fading = np.exp(-ahead / 6)
    here = wish(np.array([stamp / NS]))[0]
    values = wish((stamp + ahead[:, 0] * STEP) / NS) + fading * (measured - here)
    values += (1 - fading) * random.normal(scale=ERROR, size=7)
    chunk = ActionChunk(values.astype(np.float32), ARM, stamp, STEP)
    if committed is None:
        return chunk
    due = [committed.at(int(t)) for t in chunk.times()]
    kept = sum(row is not None for row in due)
    new = chunk.values.copy()
    new[:kept] = due[:kept]
    new[kept:] += np.exp(-np.arange(1, ROWS - kept + 1)[:, None] / 4) * (
        due[kept - 1] - chunk.values[kept - 1]
    )
    return dataclasses.replace(chunk, values=new.astype(np.float32))


class Run:
    """One strategy with one latency.

    `line` and `measured` are set points and joints at every tick, `fine` set points at every period
    of the trajectory controller.
    """

    def __init__(self, strategy: str, latency: float, seconds: float, seed: int = 0) -> None:
        self.naive, self.streams = strategy == "naive", "JTC" not in strategy
        self.strategy = "replace" if self.naive else strategy.split(",", maxsplit=1)[0]
        self.latency = int(latency * NS)
        self.random = np.random.default_rng(seed)
        self.delays = np.random.default_rng(seed + 1)
        self.simulation = Simulation()
        self.simulation.reset("reach", 0)
        self.controller = ArmController(ARM, PERIOD, from_desired=not self.naive)
        self.simulation.world.arrange(dataclasses.replace(self.simulation.layout, start=HOME))
        self.controller.hold(HOME, 0)
        self.replacement = TrajectoryReplacement(LIMITS, stamped=strategy != UNSTAMPED)
        self.replacement.next(rest(HOME, -3 * NS), -3 * NS)  # as when it was armed
        self.sent: list[tuple[int, Trajectory]] = []  # when it arrives
        self.player = ChunkPlayer(ARM, LIMITS)
        self.player.start_at(0, HOME)
        self.planner = Replanner(ReplanRules(find_strategy(self.strategy), HORIZON, MARGIN, 0))
        self.line, self.fine, self.measured, self.arrivals = [], [], [], []
        self.answer: tuple[int, ActionChunk] | None = None
        for tick in range(round(seconds * TICKS_PER_SECOND)):
            self.tick(tick * TICK)
        self.line, self.measured = np.array(self.line), np.array(self.measured)
        self.fine = np.array(self.fine)

    def tick(self, now: int) -> None:
        world = self.simulation.world
        here = State(world.positions()[:7], world.velocities()[:7])
        if self.answer is None and now >= self.planner.due() and self.planner.is_newer(now + 1):
            playing = self.player.loaded.number if self.player.loaded else 0
            committed = self.planner.committed(now, playing)
            self.answer = now + self.latency, predict(self.random, now, here.positions, committed)
        if self.answer and now >= self.answer[0] and not self.replacement.is_bridging(now):
            self.arrive(now, self.planner.cut(self.answer[1]))
            self.planner.published(self.answer[1], len(self.arrivals), now)
            self.answer = None
        elif why := self.player.end_reason(now):
            self.player.hold(now, why)
        if self.streams and not self.naive:
            self.controller.stream(self.player.motion.at(now)[0], now)
        for time_ in range(now, now + 8 * PERIOD, PERIOD):
            while self.sent and time_ >= self.sent[0][0]:
                self.controller.follow(self.sent.pop(0)[1], time_)
            self.fine.append(self.controller.update(time_, here).copy())
        self.simulation.tick(self.fine[-1], 0.0)
        self.line.append(self.fine[-1])
        self.measured.append(world.positions()[:7].copy())

    def arrive(self, now: int, chunk: ActionChunk) -> None:
        self.arrivals.append(now)
        if self.naive:
            points = [
                Point((k + 1) * STEP, row) for k, row in enumerate(chunk.values.astype(float))
            ]
            self.controller.follow(Trajectory(ARM, points), now)
            return
        assert self.player.load(now, chunk, len(self.arrivals), self.strategy), (
            self.player.last_rejection
        )
        if not self.streams:
            self.send(self.replacement.next(self.player.motion, now), now)

    def send(self, waypoints: Waypoints | None, now: int) -> None:
        """To the trajectory controller, where it arrives a little later."""
        if waypoints is None:
            return
        points = [Point(*row) for row in waypoints.rows()]
        stamp = waypoints.start if self.replacement.stamped else 0
        delay = max(0.001, self.delays.normal(DELAY, SPREAD))
        self.sent.append((now + int(delay * NS), Trajectory(ARM, points, stamp)))

    def accelerations(self) -> np.ndarray:
        """The largest one at each seam, as a share of the joint's limit."""
        if self.streams:  # one set point a tick
            line, dt, before, after = self.line, TICK / NS, 2, 3
            found = np.diff(line, 2, axis=0) / dt**2
        else:
            dt, before, after = PERIOD / NS, WINDOW, 24
            middle = (np.arange(WINDOW) - WINDOW // 2) * dt
            weights = 2 * np.polynomial.polynomial.polyfit(middle, np.eye(WINDOW), 2)[2]
            windows = np.lib.stride_tricks.sliding_window_view(self.fine, WINDOW, axis=0)
            found = windows @ weights
        share = (np.abs(found) / ACCELERATION).max(axis=1)
        seams = [round(arrival / NS / dt) for arrival in self.arrivals[1:]]
        return np.array([share[max(0, k - before) : k + after].max() for k in seams])

    def numbers(self) -> dict[str, float]:
        """After the first chunk; rad and s.

        A step is what straight on at the speed before does not explain.
        """
        first, dt = self.arrivals[0] // TICK + 2, 1 / TICKS_PER_SECOND
        line, measured = self.line[first:], self.measured[first:]
        speed, jerk = np.diff(line, axis=0) / dt, np.diff(line, 3, axis=0) / dt**3
        wanted = wish((np.arange(first, first + len(line)) + 1) * dt)
        going = np.abs(np.diff(wanted, axis=0) / dt).max(axis=1) > 0.1
        still = np.abs(speed).max(axis=1) < 0.02
        jumps = np.abs(np.diff(speed, axis=0)).max(axis=1)
        seams = [arrival // TICK - first for arrival in self.arrivals[1:]]
        p50, p99, most = np.percentile(self.accelerations(), [50, 99, 100])
        return {
            "chunks": len(self.arrivals),
            "step at a seam [mrad]": 1e3
            * dt
            * float(max(jumps[max(0, k - 2) : k + 2].max() for k in seams)),
            "acceleration at seams / limit, p50": float(p50),
            "acceleration at seams / limit, p99": float(p99),
            "acceleration at seams / limit, max": float(most),
            "speed jump [rad/s]": float(jumps.max()),
            "speed [rad/s]": float(np.abs(speed).max()),
            "jerk [rad/s^3]": float(np.abs(jerk).max()),
            "off the wish, rms [mrad]": 1e3 * float(np.sqrt(np.mean((line - wanted) ** 2))),
            "tracking, rms [mrad]": 1e3 * float(np.sqrt(np.mean((line - measured) ** 2))),
            "paused [%]": 100 * float((still & going).mean()),
            "slowed chunks": self.player.limited,
        }


def plot(runs: dict[str, Run], latency: float, path: Path) -> None:
    """Joint 1 across seams, one panel per strategy."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 2.2 * len(runs)), layout="constrained")
    axes = figure.subplots(len(runs), 1, sharex=True)
    for axis, (name, run) in zip(axes, runs.items(), strict=True):
        at = (np.arange(len(run.line)) + 1) / TICKS_PER_SECOND
        axis.plot(at, wish(at)[:, 0], color="0.8", lw=4, label="where to go")
        axis.plot(at, run.line[:, 0], color="C0", lw=1.5, label="set point")
        axis.plot(at, run.measured[:, 0], color="C1", lw=0.8, label="arm")
        for arrival in run.arrivals:
            axis.axvline(arrival / NS, color="0.6", lw=0.5, ls=":")
        axis.set_ylabel("joint 1 [rad]")
        axis.set_title(f"{name}: chunks that arrive {latency:.1f} s late", loc="left", fontsize=9)
    figure.legend(
        *axes[0].get_legend_handles_labels(), ncols=3, fontsize=8, loc="outside upper right"
    )
    axes[-1].set_xlabel("time [s]; dotted: a chunk arrives")
    figure.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latency", type=float, nargs="+", default=[0.1, 0.3, 0.6, 0.9], help="s")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rows, shown = [], {}
    for latency in args.latency:
        for strategy in STRATEGIES:
            run = Run(strategy, latency, args.seconds)
            rows.append({"latency [s]": latency, "strategy": strategy, **run.numbers()})
            if abs(latency - 0.6) < 1e-6:
                shown[strategy] = run
    print("| " + " | ".join(rows[0]) + " |\n|" + " --- |" * len(rows[0]))
    for row in rows:
        print(
            "| "
            + " | ".join(f"{v:.4g}" if isinstance(v, float) else str(v) for v in row.values())
            + " |"
        )
    if args.plot and shown:
        plot(shown, 0.6, args.plot)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(
            json.dumps({"date": time.strftime("%Y-%m-%d"), "rows": rows}, indent=2) + "\n"
        )


if __name__ == "__main__":
    main()
