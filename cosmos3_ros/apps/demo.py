# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 demo`: the nodes drive the simulated arm over ROS; a table, a film and a plot."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_srvs.srv import SetBool

from ..bringup.middleware import environment
from ..bringup.node_graph import Options, parameter_of, processes
from ..bringup.process_runner import RunningGraph
from ..model.checkpoint_io.trained_tasks import trained_tasks
from ..model.embodiment import SIMULATED
from ..model.embodiment.canvas import Canvas
from ..model.interface import NS
from ..robot.recorded_robot import read_robot
from ..robot.robot_file import find_robot_file, read_remappings
from ..ros import topics
from ..ros.messages import to_ns
from ..ros.spin_thread import spinning
from ..sim.camera_table import VIEWS
from ..sim.tasks import BASIC, TASKS, parse_names
from ..srv import ResetTask
from .demonstration import simulated_scene
from .episode_report import Episode, busy, summarize, table, too_late
from .film import Film, Layout
from .joint_plot import Track, plot_joints
from .topic_recorder import Recorder, wait_until

RATE = 15  # frames per second of the film
REST = 5.0  # s within which an arm that was disarmed stands: what it does is not reset in mid-brake
START = 600.0  # s, at most, on a machine that others use; a process that ends is said at once


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
    if parameter_of(options, "policy", "use_sim_time"):
        recorder.set_parameters([Parameter("use_sim_time", value=True)])
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
    if world := parameter_of(options, "sim", "env"):
        raise ValueError(
            f"robot {options.robot}: plays the world {world}, whose tasks demo does not have; "
            f"expected cosmos3 eval CHECKPOINT --env {world} --through nodes"
        )
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
    if hint := busy():
        say(hint)
    say(f"starting simulation, policy, reasoner and commander (log: {out / 'nodes.log'})")
    done: list[Episode] = []
    tracks: list[Track] = []
    layout = Layout(shown_canvas(options))
    with (out / "nodes.log").open("w") as log, RunningGraph(wanted, log) as graph:
        alive = lambda: check(graph, out)  # noqa: E731
        with (
            Film(out / "demo.mp4", RATE, layout.size) as film,
            watching(options) as recorder,
        ):
            show = Show(recorder, film, layout)
            wait_until(lambda: is_ready(recorder), START, "the nodes' start", alive)
            say(
                f"ready after {time.monotonic() - began:.1f} s; episodes of up to "
                f"{time_limit:.0f} s each"
            )
            for seed in range(options.seed or 0, (options.seed or 0) + episodes):
                for name in names:
                    done.append(show.episode(name, seed, time_limit, alive))
                    tracks.append(show.track(done[-1]))
        joints = read_robot(options.robot).joints
        columns = dict(zip(joints.joints, joints.units, strict=True))
        plot_joints(out / "joints.png", columns, tracks)
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


def shown_canvas(options: Options) -> Canvas:
    """How the policy that moves the simulation composes its cameras."""
    others = (parameter_of(options, "policy", name) for name in ("checkpoint", "policy_url"))
    if simulated_scene(options.robot) or any(others):
        return read_robot(options.robot).embodiment.canvas
    return SIMULATED.canvas


class Show:
    """Runs episodes on a recorder and films them, if there is a film, with its layout."""

    def __init__(
        self, recorder: Recorder, film: Film | None = None, layout: Layout | None = None
    ) -> None:
        self._recorder, self._film, self._filming = recorder, film, False
        self._layout = layout
        self._title = ""
        self._start = 0.0
        self._next = 0
        if film:
            recorder.on_image = self._on_image

    def episode(
        self,
        task: str,
        seed: int,
        time_limit: float,
        alive: Any,
        over: Callable[[], bool] = lambda: False,
    ) -> Episode:
        """Reset, instruct, arm, watch until success, the time limit or `over`, disarm."""
        recorder = self._recorder
        self._disarm(alive)
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
        start = self._start = time.monotonic()
        while (
            time.monotonic() - start < time_limit
            and not (recorder.status and recorder.status.success)
            and not over()
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
            late=recorder.late,
            chunk_seconds=recorder.chunk_seconds,
            waits=recorder.waits,
            rejected=int(after.rejected - before.rejected),
            limited=int(after.limited - before.limited),
        )
        outcome = "solved" if episode.success else "not solved"
        say(f"{self._title}: {outcome} after {seconds:.1f} s, {episode.chunks} chunks")
        if why := too_late(episode):
            say(why)
        return episode

    @property
    def elapsed(self) -> float:
        """How long the running episode has lasted, by the simulation's clock, s."""
        status = self._recorder.status
        return float(status.elapsed) if status else 0.0

    def track(self, episode: Episode) -> Track:
        """The joints of the episode that was the last."""
        recorder, width = self._recorder, 1 + len(self._recorder.joints)
        commanded, measured = (
            np.reshape(rows, (-1, width)) for rows in (recorder.commanded, recorder.measured)
        )
        outcome = "solved" if episode.success else "not solved"
        title = f"{episode.task}, seed {episode.seed}: {outcome}"
        return Track(title, commanded, measured, [*recorder.chunk_times])

    def _disarm(self, alive: Callable[[], None]) -> None:
        """And wait until the arm stands, or a while, for a simulation that does not go on."""
        self._recorder.call(SetBool, "commander/arm", data=False)
        with contextlib.suppress(TimeoutError):
            wait_until(self._recorder.stands, REST, "the end of braking", alive)

    def _arm(self) -> bool:
        return self._recorder.call(SetBool, "commander/arm", data=True).success

    def _live(self, elapsed: float) -> None:
        """The line of a terminal, which is written anew all the time."""
        if sys.stdout.isatty():
            mode, _ = self._state()
            numbers = f"{mode:8s} {self._chunks():24s}  {self._real_time()}"
            print(f"\r{elapsed:5.1f} s  {numbers}  ", end="", flush=True)

    def _state(self) -> tuple[str, str]:
        """What the commander does, and why."""
        commander = self._recorder.commander
        return (commander.mode, commander.reason) if commander else ("?", "")

    def _chunks(self) -> str:
        latencies = self._recorder.latencies
        if not latencies:
            return "no chunk yet"
        return f"chunk {len(latencies):3d}  latency {latencies[-1]['total'] * 1e3:5.0f} ms"

    def _real_time(self) -> str:
        status = self._recorder.status
        return f"real time x{status.real_time_factor:.2f}" if status else ""

    def _words(self) -> list[tuple[str, str]]:
        """What stands beside the pictures."""
        recorder = self._recorder
        mode, reason = self._state()
        commander, scene = recorder.commander, recorder.scene
        rejected = commander.last_rejection if commander and mode != "playing" else ""
        # what was said of the last episode is of no use
        said = scene if scene and to_ns(scene.header.stamp) >= recorder.started else None
        found = [
            ("task", self._title),
            (
                f"commander, {time.monotonic() - self._start:.1f} s",
                f"{mode}: {reason}" if reason else mode,
            ),
            ("policy", f"{self._chunks()}, {self._real_time()}"),
            ("last chunk that it rejected", rejected),
            ("reasoner", said.text if said else ""),
        ]
        return [(title, text) for title, text in found if text]

    def _on_image(self, stamp: int) -> None:
        if not self._filming or stamp < self._next or not self._film or not self._layout:
            return
        self._next = stamp + NS // RATE - NS // 100
        recorder = self._recorder
        self._film.add(
            self._layout.picture(recorder.images, recorder.predicted(stamp), self._words())
        )
