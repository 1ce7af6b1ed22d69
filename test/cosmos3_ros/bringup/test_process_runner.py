# SPDX-License-Identifier: Apache-2.0
"""The graph from the command line: it drives the arm, ends cleanly, and names errors."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim]


def cosmos3(*words: str) -> list[str]:
    return [sys.executable, "-m", "cosmos3_ros.cli", *words]


def words_of(pid: int) -> str:
    """The command line of a process; empty if it has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def duration(trajectory: Any) -> float:
    """Seconds from its first point to its last one; its stamp is past where time is short."""
    first, last = (trajectory.points[place].time_from_start for place in (0, -1))
    return last.sec - first.sec + (last.nanosec - first.nanosec) / 1e9


def test_ctrl_c_ends_everything_and_leaves_the_arm_held(
    start: Any, wait_until: Any, watcher: Any
) -> None:
    """In the middle of a long chunk: the last thing the controller hears is a braking motion."""
    from cosmos3_ros.model.interface import NS, ActionChunk
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import chunk_message
    from cosmos3_ros.sim.arm_constants import ARM, FINGER, HOME

    started = start(*cosmos3("run", "--armed", "--no-policy", "--no-reasoner"))
    status: list[Any] = []
    sent: list[Any] = []
    for topic, heard in ((topics.COMMANDER_STATUS, status), (topics.TRAJECTORY, sent)):
        watcher.create_subscription(topic.type, topic.name, heard.append, topic.qos)
    chunks = watcher.create_publisher(
        topics.ACTION_CHUNK.type, topics.ACTION_CHUNK.name, topics.ACTION_CHUNK.qos
    )
    values = np.tile(np.array([*HOME, 0.0], np.float32), (90, 1))
    values[:, 0] += np.linspace(0, 1.5, 90, dtype=np.float32)

    def playing() -> bool:
        moves = bool(status and status[-1].mode == "playing")
        if not moves:  # until the commander has joint states, and again if it had to hold
            chunk = ActionChunk(
                values, (*ARM, FINGER), watcher.get_clock().now().nanoseconds, NS // 15, (FINGER,)
            )
            chunks.publish(
                chunk_message(
                    chunk, number=1, instruction="turn", embodiment="droid_sim", seconds={}
                )
            )
        return moves and bool(sent)

    wait_until(playing, "a chunk to be played", 60)
    # its controller may have been a radian away: until then it is only led to where the arm is
    wait_until(lambda: sent[-1].points[-1].time_from_start.sec >= 4 and playing(), "the chunk", 10)
    time.sleep(1.5)
    assert started.interrupt() == 0
    # Braking takes less than a second, the chunk would have taken six. On a busy machine it may
    # have begun already.
    wait_until(lambda: duration(sent[-1]) < 1, "the last trajectory", 5)
    assert list(sent[-1].points[-1].velocities) == [0.0] * 7


def test_a_killed_demo_leaves_no_node_behind_and_the_arm_held(
    start: Any, wait_until: Any, watcher: Any, tmp_path: Path
) -> None:
    from cosmos3_ros.ros import topics

    status: list[Any] = []
    sent: list[Any] = []
    for topic, heard in ((topics.COMMANDER_STATUS, status), (topics.TRAJECTORY, sent)):
        watcher.create_subscription(topic.type, topic.name, heard.append, topic.qos)
    words = ("--task", "reach", "--no-reasoner", "--out", str(tmp_path / "demo"))
    started = start(*cosmos3("demo", *words))
    wait_until(lambda: sent and status and status[-1].mode == "playing", "a motion", 90)
    before = len(sent)
    started.process.kill()
    wait_until(lambda: not started.running(), "the nodes to end", 10)
    wait_until(lambda: len(sent) > before, "the last trajectory", 5)
    time.sleep(0.5)
    assert duration(sent[-1]) < 1
    assert list(sent[-1].points[-1].velocities) == [0.0] * 7


def test_a_killed_evaluation_leaves_no_node_behind(
    start: Any, wait_until: Any, smallest: Path
) -> None:
    started = start(*cosmos3("eval", str(smallest), "--through", "nodes", "--task", "reach"))
    wait_until(lambda: _nodes(started) >= 3, "the nodes", 60)
    started.process.kill()
    wait_until(lambda: not started.running(), "the nodes to end", 20)


def test_a_killed_replay_leaves_no_node_behind(start: Any, wait_until: Any, tmp_path: Path) -> None:
    from cosmos3_ros.apps.film import Film

    with Film(tmp_path / "clip.mp4", 15, (64, 64)) as film:
        for _ in range(15):
            film.add(np.zeros((64, 64, 3), np.uint8))
    words = (str(tmp_path / "clip.mp4"), "--instruction", "go", "--out", str(tmp_path / "out"))
    started = start(*cosmos3("replay", *words))
    wait_until(lambda: _nodes(started) >= 1, "the nodes", 60)
    started.process.kill()
    wait_until(lambda: not started.running(), "the nodes to end", 20)


def _nodes(started: Any) -> int:
    return sum("--ros-args" in words_of(pid) for pid in started.running())


def test_when_one_process_dies_the_others_end(start: Any, wait_until: Any) -> None:
    started = start(*cosmos3("run", "--no-reasoner"))
    started.wait_for("ready after", 90)
    os.kill(next(pid for pid in started.running() if "commander" in words_of(pid)), signal.SIGKILL)
    wait_until(lambda: not started.running(), "the others to end", 20)
    assert started.process.wait(5) != 0
    assert "commander (exit code -9) ended" in started.output


def test_when_the_console_dies_the_others_go_on(start: Any, wait_until: Any) -> None:
    rest = ("--no-policy", "--no-reasoner", "--no-sim", "--view", "--view-port", "0")
    started = start(*cosmos3("run", *rest))
    started.wait_for("console: open http://127.0.0.1:", 60)
    os.kill(next(p for p in started.running() if "console_node" in words_of(p)), signal.SIGKILL)
    started.wait_for("warning: console ended (exit code -9)")
    assert any("commander" in words_of(pid) for pid in started.running())
    assert started.interrupt() == 0


def test_the_console_beside_a_running_graph_ends_alone(start: Any) -> None:
    started = start(*cosmos3("view", "--robot", "franka_robotiq", "--view-port", "0"))
    started.wait_for("console: open http://127.0.0.1:", 60)
    (console,) = (p for p in started.running() if "console_node" in words_of(p))
    assert "control:=true" not in words_of(console)
    os.kill(console, signal.SIGKILL)
    assert started.process.wait(20) != 0
    assert "console (exit code -9) ended" in started.output


# Two processes that ignore SIGINT, and signals as a terminal has them, whatever this test was
# started from.
STUBBORN = """
import pathlib, signal, sys, time
from cosmos3_ros.bringup import process_runner as run
from cosmos3_ros.bringup.node_graph import Process

run.MODULES.update(sim=("stubborn",), commander=("stubborn",))
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
with run.RunningGraph([Process(name, (), pathlib.Path(), {}, ()) for name in ("sim", "commander")]):
    time.sleep(60)
"""
STUBBORN_MODULE = """
import signal, time
from cosmos3_ros.ros.shutdown_signal import Stop

Stop().on_signals()
signal.signal(signal.SIGINT, lambda *_: print("asked to end", flush=True))
print("up", flush=True)
end = time.monotonic() + 60
while time.monotonic() < end:
    time.sleep(1)
"""


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_second_ctrl_c_kills_what_a_first_signal_has_not_ended(
    start: Any,
    wait_until: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    first: signal.Signals,
) -> None:
    (tmp_path / "stubborn.py").write_text(STUBBORN_MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    started = start(sys.executable, "-c", STUBBORN)
    wait_until(lambda: started.output.count("up") == 2, "both processes")
    os.kill(started.process.pid, first)
    started.wait_for("asked to end")
    os.kill(started.process.pid, signal.SIGINT)
    assert started.process.wait(20) == -signal.SIGINT
    wait_until(lambda: not started.running(), "the others to end")


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_while_the_nodes_import_ends_them_without_a_word(
    start: Any, wait_until: Any, first: signal.Signals
) -> None:
    started = start(*cosmos3("run", "--no-policy", "--no-reasoner", "--view", "--view-port", "0"))
    wait_until(lambda: _nodes(started) == 3, "the processes of the nodes")
    os.kill(started.process.pid, first)
    assert started.process.wait(20) == 0
    assert not started.running()
    assert "Traceback" not in started.output
    assert "refused" not in started.output


def test_the_end_of_one_node_ends_those_that_import_in_one_line(
    start: Any, wait_until: Any
) -> None:
    started = start(*cosmos3("run", "--no-sim", "--no-policy", "--no-reasoner", "--view"))
    wait_until(lambda: _nodes(started) == 2, "the processes of the nodes")
    (commander,) = (p for p in started.running() if "commander_node" in words_of(p))
    os.kill(commander, signal.SIGKILL)
    assert started.process.wait(20) != 0
    assert started.output.splitlines() == [
        "error: commander (exit code -9) ended; ending the others"
    ]


def test_what_was_imagined_in_one_episode_is_not_shown_in_the_next(
    watcher: Any, wait_until: Any
) -> None:
    from cosmos3_ros.apps.topic_recorder import Recorder
    from cosmos3_ros.msg import Future
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import header
    from cosmos3_ros.ros.spin_thread import spinning

    recorder = Recorder(["wrist"], ["a"])
    publisher = watcher.create_publisher(Future, topics.FUTURE.name, topics.FUTURE.qos)
    with spinning(recorder):
        wait_until(lambda: publisher.get_subscription_count() == 1, "the recorder")
        recorder.begin()
        # it took a moment to be drawn
        publisher.publish(Future(header=header(recorder.started - 1, "late")))
        time.sleep(0.2)
        assert recorder.future is None
        publisher.publish(Future(header=header(recorder.started, "first")))
        wait_until(lambda: recorder.future is not None, "a future of the new episode")
        assert recorder.future.header.frame_id == "first"
    recorder.destroy_node()


def test_the_demo_runs_episodes_and_writes_what_it_says(domain: int, tmp_path: Path) -> None:
    import av

    command = cosmos3(
        "demo",
        "--episodes",
        "1",
        "--task",
        "reach,drawer",
        "--time-limit",
        "6",
        "--no-reasoner",
        "--out",
        str(tmp_path),
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=150, check=False)
    assert done.returncode == 0, done.stderr + (tmp_path / "nodes.log").read_text()
    assert "real time" in done.stdout
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert [(e["task"], e["seed"]) for e in summary["episodes"]] == [("reach", 0), ("drawer", 0)]
    assert all(e["chunks"] >= 2 for e in summary["episodes"])
    assert summary["versions"]["torch"]
    assert (tmp_path / "joints.png").read_bytes().startswith(b"\x89PNG")
    with av.open(str(tmp_path / "demo.mp4")) as film:
        assert film.streams.video[0].frames >= 30


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["demo", "--task", "dance"], "unknown task dance: expected basic, hard, all or some of"),
        (["run", "--robot", "nobody"], "unknown robot 'nobody'"),
        (["replay", "nowhere.mp4", "--instruction", "go"], "video 'nowhere.mp4' does not exist"),
        (["replay", "nowhere.mp4"], "--instruction is empty"),
    ],
)
def test_a_wrong_command_is_one_clear_line(
    domain: int, words: list[str], message: str, tmp_path: Path
) -> None:
    done = subprocess.run(
        cosmos3(*words), capture_output=True, text=True, timeout=60, cwd=tmp_path, check=False
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
