# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 demo`: the nodes drive the simulated arm over ROS; a table, a film and a plot."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import rclpy
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool

from ..bringup.node_graph import Options, environment, parameter_of, processes
from ..bringup.process_runner import RunningGraph
from ..model.checkpoint_io.trained_tasks import trained_tasks
from ..model.interface import NS
from ..robot.recorded_robot import read_robot
from ..robot.robot_file import find_robot_file, read_remappings
from ..ros import topics
from ..ros.spin_thread import spinning
from ..sim.camera_table import VIEWS
from ..sim.tasks import BASIC, TASKS, parse_names
from ..srv import ResetTask
from .demonstration import simulated_scene
from .film import Film, frame, plot_joints
from .topic_recorder import Recorder, wait_until

RATE = 15  # frames per second of the film


@dataclasses.dataclass
class Episode:
    """What one episode came to.

    Latencies in seconds, per chunk, from capture to receipt of the chunk.
    """

    task: str
    seed: int
    instruction: str
    success: bool
    seconds: float
    chunks: int
    latencies: list[float]
    command_rate: float
    real_time_factor: float
    rejected: int
    limited: int


@contextlib.contextmanager
def watching(
    options: Options, views: Sequence[str] | None = None, futures: bool = True
) -> Iterator[Recorder]:
    """A Recorder of cameras for the robot of `options`, spinning in a thread.

    Its topics have the names that the robot file gives them, as those of the nodes have. views:
    None for all that the simulation has.
    """
    robot, scene = read_robot(options.robot), simulated_scene(options.robot)
    if views is None:
        views = tuple(scene.cameras) if scene else VIEWS
    os.environ |= environment()  # room for raw pictures in shared memory, as the nodes have it
    # rclpy's would end it before we do
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    recorder = Recorder(
        views, robot.joints.joints, futures, read_remappings(find_robot_file(options.robot))
    )
    try:
        with spinning(recorder):
            yield recorder
    finally:
        recorder.destroy_node()
        rclpy.try_shutdown()


def demo(
    options: Options,
    tasks: str,
    episodes: int,
    time_limit: float,
    out: pathlib.Path,
) -> int:
    """Run `episodes` episodes of each task (see `choose_tasks`), write `out`.

    With the console, the nodes then stay until Ctrl-C. The exit code.
    """
    checkpoint = parameter_of(options, "policy", "checkpoint") or ""
    scene = simulated_scene(options.robot)
    names = scene.choose(tasks) if scene else choose_tasks(tasks, checkpoint)
    if episodes < 1 or time_limit <= 0:
        raise ValueError(
            f"expected at least one episode and a positive time limit, got {episodes} and "
            f"{time_limit}"
        )
    wanted = processes(dataclasses.replace(options, task=names[0]))
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    say(f"starting simulation, policy, reasoner and commander (log: {out / 'nodes.log'})")
    done: list[Episode] = []
    with (out / "nodes.log").open("w") as log, RunningGraph(wanted, log) as graph:
        alive = lambda: check(graph, out)  # noqa: E731
        with Film(out / "demo.mp4", RATE) as film, watching(options) as recorder:
            show = Show(recorder, film)
            wait_until(lambda: is_ready(recorder), 120, "the nodes' start", alive)
            say(
                f"ready after {time.monotonic() - began:.1f} s; episodes of up to "
                f"{time_limit:.0f} s each"
            )
            for seed in range(options.seed or 0, (options.seed or 0) + episodes):
                for name in names:
                    done.append(show.episode(name, seed, time_limit, alive))
                    if len(done) == 1:
                        motion = np.array(recorder.commanded), np.array(recorder.measured)
                        chunk_times = list(recorder.chunk_times)
        first = done[0]
        title = f"{first.task}, seed {first.seed}: {first.instruction}"
        plot_joints(out / "joints.png", recorder.joints, *motion, chunk_times, title)
        summary = summarize(done, options, film.frames, time.monotonic() - began)
        (out / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")
        print(table(done))
        say(f"wrote {out}/demo.mp4 ({film.frames} frames), joints.png, summary.json, nodes.log")
        if options.view:
            stay(alive)
    return 0


def stay(alive: Callable[[], None]) -> None:
    """Let the nodes run, for whoever looks at them in the browser, until Ctrl-C."""
    say("the page in the browser stays, and its buttons work, until Ctrl-C")
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            alive()
            time.sleep(0.1)


def choose_tasks(wanted: str, checkpoint: str) -> list[str]:
    """The tasks to run: those wanted (with commas), "" for the basic ones it was trained for.

    For all of them, if none of them is basic. Tasks of the same words in other scenes may be
    wanted, too. ValueError for others, unless the checkpoint ("": the embedded one) does not say
    what it was trained for.
    """
    who = f"checkpoint {checkpoint}" if checkpoint else "the embedded checkpoint"
    trained = [name for name in trained_tasks(checkpoint) if name in TASKS]
    if not wanted and not trained:
        raise ValueError(
            f"{who} does not say what it was trained for: expected --task with some of "
            f"{', '.join(TASKS)}"
        )
    basic = [name for name in trained if name in BASIC]
    names = parse_names(wanted) if wanted else basic or trained
    words = {TASKS[name].wordings for name in trained}
    able = [name for name, task in TASKS.items() if task.wordings in words]
    if trained and (others := [name for name in names if name not in able]):
        raise ValueError(
            f"{who} was not trained for {', '.join(others)}: expected some of {', '.join(able)}"
        )
    if trained and (unseen := [name for name in names if name not in trained]):
        say(f"{who} knows the words of {', '.join(unseen)}, but not such scenes")
    if not trained:
        say(f"{who} does not say whether it was trained for {', '.join(names)}")
    elif not wanted:
        say(f"{who} was trained for {', '.join(names)}")
    return names


def say(text: str) -> None:
    """A line for the person who watches."""
    print(text, flush=True)


def is_ready(recorder: Recorder) -> bool:
    """Simulation and commander report, cameras show something, and the policy listens."""
    instruction, chunk = (
        recorder.resolve_topic_name(topic.name)
        for topic in (topics.INSTRUCTION, topics.ACTION_CHUNK)
    )
    policy = recorder.count_subscribers(instruction) > 0 and recorder.count_publishers(chunk) > 0
    reported = recorder.status is not None and recorder.commander is not None
    return reported and bool(recorder.images) and policy


def check(graph: RunningGraph, out: pathlib.Path) -> None:
    """Raise if a process of the graph has ended; its last words are in the log."""
    if ended := graph.essential_ended():
        lines = (out / "nodes.log").read_text().strip().splitlines()
        errors = [line for line in lines if "rror" in line] or lines[-1:]
        names = ", ".join(f"{name} ended with exit code {code}" for name, code in ended.items())
        raise ChildProcessError(f"{names}: {errors[-1] if errors else 'no message'}")


class Show:
    """Runs episodes on a recorder and films them, if there is a film."""

    def __init__(self, recorder: Recorder, film: Film | None = None) -> None:
        self._recorder, self._film, self._filming = recorder, film, False
        self._last = self._title = ""
        self._next = 0
        if film:
            recorder.on_image = self._on_image

    def episode(self, task: str, seed: int, time_limit: float, alive: Any) -> Episode:
        """Reset, instruct, arm, watch until success or the time limit, disarm."""
        recorder = self._recorder
        recorder.call(SetBool, "commander/arm", data=False)
        last = recorder.status.episode if recorder.status else 0
        scene = recorder.call(ResetTask, "sim/reset_task", task=task, seed=seed)
        if not scene.success:
            raise ValueError(f"the simulation refused task {task!r}: {scene.message}")
        begun = lambda: recorder.status is not None and recorder.status.episode > last  # noqa: E731
        wait_until(begun, 10, "the new episode", alive)
        recorder.begin()
        before = recorder.commander
        recorder.instruct(scene.instruction)
        wait_until(self._arm, 10, "arming the commander", alive)
        self._title, self._filming = f"{task}, seed {seed}: {scene.instruction}", True
        start = time.monotonic()
        while time.monotonic() - start < time_limit and not (
            recorder.status and recorder.status.success
        ):
            alive()
            self._live(time.monotonic() - start)
            time.sleep(0.1)
        self._filming = False
        seconds = time.monotonic() - start
        status, after = recorder.status, recorder.commander
        assert status is not None
        assert before is not None
        assert after is not None
        print(end="\n" if sys.stdout.isatty() else "")
        episode = Episode(
            task=task,
            seed=seed,
            instruction=scene.instruction,
            success=bool(status.success),
            seconds=seconds,
            chunks=len(recorder.latencies),
            latencies=[latency["total"] for latency in recorder.latencies],
            command_rate=len(recorder.commanded) / seconds,
            real_time_factor=statistics.mean(recorder.factors or [status.real_time_factor]),
            rejected=int(after.rejected - before.rejected),
            limited=int(after.limited - before.limited),
        )
        outcome = "solved" if episode.success else "not solved"
        say(f"{self._title}: {outcome} after {seconds:.1f} s, {episode.chunks} chunks")
        return episode

    def _arm(self) -> bool:
        return self._recorder.call(SetBool, "commander/arm", data=True).success

    def _live(self, elapsed: float) -> None:
        recorder = self._recorder
        latest = recorder.latencies[-1]["total"] if recorder.latencies else float("nan")
        mode = recorder.commander.mode if recorder.commander else "?"
        factor = recorder.status.real_time_factor if recorder.status else float("nan")
        chunks = f"chunk {len(recorder.latencies):3d}  latency {latest * 1e3:5.0f} ms"
        line = f"{elapsed:5.1f} s  {mode:8s} {chunks}  real time x{factor:.2f}"
        if sys.stdout.isatty():
            print(f"\r{line}  ", end="", flush=True)
        self._last = line

    def _on_image(self, stamp: int) -> None:
        if not self._filming or stamp < self._next:
            return
        self._next = stamp + NS // RATE - NS // 100
        picture = frame(
            self._recorder.images, self._recorder.predicted(stamp), [self._title, self._last]
        )
        assert self._film is not None  # else nobody calls this
        self._film.add(picture)


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` of the values lie; NaN of none."""
    return sorted(values)[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


def table(done: list[Episode]) -> str:
    """One row per task and one for all."""
    head = f"{'task':14s}{'episodes':>9s}{'success':>9s}{'chunk p50':>11s}{'p95 [ms]':>10s}"
    rows = [f"{head}{'commands [Hz]':>15s}{'real time':>11s}"]
    names = list(dict.fromkeys(episode.task for episode in done))
    for name in [*names, "all"]:
        chosen = [episode for episode in done if name in (episode.task, "all")]
        latencies = [latency for episode in chosen for latency in episode.latencies]
        rows.append(
            f"{name:14s}{len(chosen):9d}{sum(e.success for e in chosen):6d}/{len(chosen):<2d}"
            f"{percentile(latencies, 0.5) * 1e3:11.0f}{percentile(latencies, 0.95) * 1e3:10.0f}"
            f"{statistics.mean(e.command_rate for e in chosen):15.1f}"
            f"{min(e.real_time_factor for e in chosen):11.2f}"
        )
    return "\n".join(rows)


def summarize(done: list[Episode], options: Options, frames: int, seconds: float) -> dict[str, Any]:
    """Everything about the run, for machines."""
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for name in ("torch", "mujoco", "numpy", "transformers", "diffusers"):
        with contextlib.suppress(PackageNotFoundError):
            versions[name] = version(name)
    latencies = [latency for episode in done for latency in episode.latencies]
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(sys.argv),
        "device": options.device,
        "machine": platform.platform(),
        "versions": versions,
        "options": dataclasses.asdict(options),
        "seconds": seconds,
        "film_frames": frames,
        "chunk_latency_p50": percentile(latencies, 0.5),
        "chunk_latency_p95": percentile(latencies, 0.95),
        "success": sum(episode.success for episode in done),
        "episodes": [dataclasses.asdict(episode) for episode in done],
    }
