# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 demo`: the nodes drive the simulated arm over ROS; a table, a film and a plot."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

import rclpy
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from ..bringup.middleware import environment
from ..bringup.node_graph import Options, parameter_of, processes
from ..bringup.process_runner import RunningGraph
from ..model.checkpoint_io.trained_tasks import trained_tasks
from ..model.embodiment import SIMULATED
from ..model.embodiment.canvas import Canvas
from ..robot.recorded_robot import read_robot
from ..robot.robot_file import find_robot_file, read_remappings
from ..ros import topics
from ..ros.spin_thread import spinning
from ..sim.camera_table import VIEWS
from ..sim.tasks import BASIC, TASKS, parse_names
from .demonstration import simulated_scene
from .domain_check import check_alone, check_nobody
from .episode_report import Episode, busy, say, summarize, table
from .episode_runner import RATE, EpisodeRunner
from .film import Film, Layout
from .joint_plot import Track, plot_joints
from .topic_recorder import Recorder, wait_until

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


@contextlib.contextmanager
def watching_alone(
    options: Options, views: Sequence[str] | None = None, futures: bool = True
) -> Iterator[Recorder]:
    """As `watching`, for nodes that are still to be started; ValueError as of `check_nobody`."""
    with watching(options, views, futures) as recorder:
        check_nobody(recorder)
        yield recorder


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
    if episodes < 1:
        raise ValueError(f"--episodes: expected 1 or more, got {episodes}")
    if time_limit <= 0:
        raise ValueError(f"--time-limit: expected more than 0 seconds, got {time_limit:g}")
    scene = simulated_scene(options.robot)
    processes(options)  # refuses what cannot be, such as a folder that is no checkpoint
    names = scene.choose(tasks) if scene else choose_tasks(tasks, checkpoint)
    wanted = processes(dataclasses.replace(options, task=names[0]))
    out.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    if hint := busy(options.strategy):
        say(hint)
    say(f"starting simulation, policy, reasoner and commander (log: {out / 'nodes.log'})")
    done: list[Episode] = []
    tracks: list[Track] = []
    layout = Layout(shown_canvas(options))
    with contextlib.ExitStack() as nodes:
        with (
            watching_alone(options) as recorder,
            Film(out / "demo.mp4", RATE, layout.size) as film,
        ):
            log = nodes.enter_context((out / "nodes.log").open("w"))
            graph = nodes.enter_context(RunningGraph(wanted, log))
            alive = lambda: check(graph, out)  # noqa: E731
            runner = EpisodeRunner(recorder, film, layout)
            wait_until(lambda: is_ready(recorder), START, "the nodes' start", alive)
            say(
                f"ready after {time.monotonic() - began:.1f} s; episodes of up to "
                f"{time_limit:.0f} s each"
            )
            first = options.seed or 0
            for seed, name in itertools.product(range(first, first + episodes), names):
                done.append(runner.episode(name, seed, time_limit, alive))
                tracks.append(runner.track(done[-1]))
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
        say(f"{who} names no tasks that it was trained for; tries {', '.join(names)}")
    elif not wanted:
        rest = f"; here {', '.join(names)}" if len(names) < len(trained) else ""
        say(f"{who} was trained for {', '.join(trained)}{rest}")
    return names


def is_ready(recorder: Recorder) -> bool:
    """Simulation and commander report, cameras show something, and the policy listens.

    ValueError as of `check_alone`.
    """
    check_alone(recorder)
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
