# SPDX-License-Identifier: Apache-2.0
"""Policy and reasoner node at odd moments, inside one process, with made-up networks."""

import functools
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.embodiment import EMBODIMENTS
from cosmos3_ros.model.interface import Answer
from cosmos3_ros.serve.clients.reasoner_client import RemoteReasoner

DROID_SIM = EMBODIMENTS["droid_sim"]

pytestmark = pytest.mark.ros


class Thinker:
    """A reasoner that answers when it may, or fails."""

    def __init__(self) -> None:
        self.thinks, self.may = threading.Event(), threading.Event()
        self.error: Exception | None = None
        self.asked: list[tuple[str, int, int]] = []
        self.nice = 0

    def ask(
        self, question: str, images: Sequence[np.ndarray] = (), max_tokens: int = 128
    ) -> Answer:
        self.asked.append((question, len(images), max_tokens))
        self.nice = os.getpriority(os.PRIO_PROCESS, 0)
        self.thinks.set()
        assert self.may.wait(20)
        if self.error:
            raise self.error
        return Answer("A table.")


class Still:
    """A policy that is never asked but for its warm-up."""

    embodiment = DROID_SIM

    def infer(self, observation: Any, committed: Any = None) -> None: ...

    def reset(self) -> None: ...


Made = Callable[..., Any]


@pytest.fixture
def host(watcher: Any) -> Iterator[Made]:
    """Function that configures and activates a node in a Host.

    `host.died` is set if its thread ends by an error.
    """
    from rclpy.parameter import Parameter

    from cosmos3_ros.ros.node_runner import Host, bring_up

    hosts: list[Host] = []

    def make(node_class: Any, load: Any, **parameters: Any) -> Host:
        overrides = [Parameter(name, value=value) for name, value in parameters.items()]
        died = threading.Event()
        hosts.append(Host(node_class(lambda params: load, parameter_overrides=overrides), died.set))
        hosts[-1].died = died  # type: ignore[attr-defined]
        assert hosts[-1].call(functools.partial(bring_up, hosts[-1].node)), hosts[-1].node.failure
        return hosts[-1]

    yield make
    for made in hosts:
        made.close()
        made.node.destroy_node()


def image(node: Any) -> Any:
    """A picture that the camera of a view has just taken."""
    from sensor_msgs.msg import Image

    from cosmos3_ros.robot.images import fill
    from cosmos3_ros.ros.messages import header

    return fill(Image(header=header(node.now())), np.zeros((32, 32, 3), np.uint8), "rgb8")


def see(host: Any) -> None:
    def add() -> None:
        picture = image(host.node)
        stamp = picture.header.stamp
        host.node._pictures["wrist"].add(stamp.sec * 10**9 + stamp.nanosec, picture)

    host.call(add)


@pytest.fixture
def ask(watcher: Any) -> Callable[..., Any]:
    """Function that asks the reasoner node; a future of its answer."""
    from cosmos3_ros.srv import Ask

    client = watcher.create_client(Ask, "reasoner/ask")

    def call(**more: Any) -> Any:
        assert client.wait_for_service(20)
        return client.call_async(Ask.Request(question="What is it?", **more))

    return call


REASONER = {"views": ["wrist"], "rate": 0.0, "max_age": 60.0}


def test_a_question_that_fails_is_answered_and_so_is_the_next(
    host: Made, ask: Any, wait_until: Any
) -> None:
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode

    thinker = Thinker()
    thinker.may.set()
    made = host(ReasonerNode, thinker, **REASONER)
    see(made)
    thinker.error = RuntimeError("out of memory")  # as torch says it
    failed = ask()
    wait_until(failed.done, "an answer")
    assert (failed.result().success, failed.result().message) == (
        False,
        "RuntimeError: out of memory",
    )
    thinker.error = None
    answered = ask()
    wait_until(answered.done, "an answer")
    assert answered.result().scene.text == "A table."
    assert not made.died.is_set()


def test_a_scene_has_the_probability_of_yes_for_each_check(
    host: Made, watcher: Any, wait_until: Any
) -> None:
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode
    from cosmos3_ros.ros import topics

    class Sure(Thinker):
        def ask(
            self, question: str, images: Sequence[np.ndarray] = (), max_tokens: int = 128
        ) -> Answer:
            said = {"Is it red?": 0.25, "Is it there?": 0.75}.get(question, math.nan)
            return Answer("A table.", tokens=max_tokens, yes=said)

    scenes: list[Any] = []
    watcher.create_subscription(
        topics.SCENE.type, topics.SCENE.name, scenes.append, topics.SCENE.qos
    )
    checks = ["Is it red?", "Is it there?", "What is it?"]
    see(host(ReasonerNode, Sure(), **{**REASONER, "rate": 20.0}, checks=checks))
    wait_until(lambda: scenes, "a scene")
    assert scenes[0].text == "A table."
    assert math.isnan(scenes[0].yes)
    assert list(scenes[0].checks) == checks
    assert list(scenes[0].checks_yes)[:2] == [0.25, 0.75]
    assert math.isnan(scenes[0].checks_yes[2])


def test_a_question_may_be_about_the_last_seconds(host: Made, ask: Any, wait_until: Any) -> None:
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode

    shown: list[Any] = []

    class Watcher(Thinker):
        def ask(self, question: str, images: Sequence[Any] = (), max_tokens: int = 128) -> Answer:
            shown.extend(images)
            return Answer("A table.")

    made = host(ReasonerNode, Watcher(), **REASONER, video_seconds=2.0, video_rate=10.0)
    for _ in range(5):
        see(made)
        time.sleep(0.12)
    for seconds in (0.0, 1.5, 3.0, -1.0, math.nan):
        answered = ask(seconds=seconds)
        wait_until(answered.done, "an answer")
        if seconds not in (0.0, 1.5):
            words = "seconds: expected 0 to 2 (parameter video_seconds), got "
            assert answered.result().message.startswith(words)
    picture, clip = shown
    assert picture.shape == (32, 32, 3)
    assert len(clip.frames) == 5
    assert 450 < clip.indices[-1] < 3000
    assert (clip.indices[0], clip.fps) == (0, 1000.0)


def test_the_reasoner_judges_stamps_and_says_which_clock_to_look_at(host: Made) -> None:
    from cosmos3_ros.model.interface import NS
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode
    from cosmos3_ros.ros.messages import to_ns, to_time

    made = host(ReasonerNode, Thinker(), **REASONER)
    node = made.node

    def see_at(stamp: int) -> None:
        message = image(node)
        message.header.stamp = to_time(stamp)
        node._on_image("wrist")(message)

    def newest() -> Any:
        return node._newest("wrist")

    for stamp, words in (
        (node.now() + NS, "ahead of its reception: the clocks differ"),
        (node.now() - 70 * NS, "s old when it was received, limit 60.00 s"),
        (99 * NS, "another epoch"),
    ):
        made.call(node._forget)
        made.call(functools.partial(see_at, stamp))
        with pytest.raises(ValueError, match=f"'wrist', the last one cannot be used: .*{words}"):
            newest()
    before = node.now()
    made.call(functools.partial(see_at, 0))
    assert before <= to_ns(newest().header.stamp) <= node.now(), "without a stamp: of now"


def test_a_question_that_outlives_its_service_does_no_harm(host: Made, ask: Any) -> None:
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode

    thinker = Thinker()
    made = host(ReasonerNode, thinker, **REASONER)
    see(made)
    ask()
    assert thinker.thinks.wait(20)

    # in the node's thread: the coroutine of the question cannot go on in between
    def end() -> None:
        made.node.trigger_deactivate()
        thinker.may.set()
        made.node.trigger_cleanup()

    made.call(end)
    for _ in range(2):  # the second comes after the coroutine's end
        assert made.call(lambda: "alive") == "alive"
    assert not made.died.is_set()


def test_a_reasoner_elsewhere_is_not_asked_after_the_cleanup(
    host: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The cleanup comes while pictures are converted, before the question is asked."""
    from cosmos3_ros.nodes import reasoner_node
    from cosmos3_ros.serve.clients.reasoner_client import RemoteReasoner

    converts, given_up = threading.Event(), threading.Event()
    to_rgb, cancel = reasoner_node.to_rgb, RemoteReasoner.cancel

    def slow(message: Any) -> Any:
        converts.set()
        assert given_up.wait(20)
        return to_rgb(message)

    def watched(*args: Any, **kwargs: Any) -> None:
        cancel(*args, **kwargs)
        given_up.set()

    monkeypatch.setattr(reasoner_node, "to_rgb", slow)
    monkeypatch.setattr(RemoteReasoner, "cancel", watched)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        remote = {
            "remote_url": f"http://127.0.0.1:{silent.getsockname()[1]}/v1",
            "remote_model": "m",
        }
        made = host(reasoner_node.ReasonerNode, None, **REASONER, **remote, remote_timeout=1.0)
        see(made)
        made.call(lambda: made.node._thread.submit(made.node._reason, "What is it?", ["wrist"], 5))
        assert converts.wait(20)
        made.call(lambda: made.node.on_cleanup(None))
        asked, _ = silent.accept()
        with asked:
            assert asked.recv(4) == b"", "connected, but nothing said"


JOINTS = [*(f"joint{k}" for k in range(7)), "finger"]
POLICY = {"joints": JOINTS, "gripper_joint": "finger"}


def test_an_instruction_may_be_set_after_the_cleanup(host: Made) -> None:
    from rclpy.parameter import Parameter

    from cosmos3_ros.nodes.policy_node import PolicyNode

    made = host(PolicyNode, Still(), **POLICY)
    made.call(made.node.trigger_deactivate)
    made.call(made.node.trigger_cleanup)
    (done,) = made.call(
        lambda: made.node.set_parameters([Parameter("instruction", value="lift")])
    ) or [None]
    assert done is not None, "the node's thread has ended"
    assert done.successful
    assert made.node.params.instruction == "lift"


def test_a_fault_may_begin_while_diagnostics_are_made(host: Made) -> None:
    """The network's thread finds it."""
    from cosmos3_ros.nodes.policy_node import PolicyNode

    made = host(PolicyNode, Still(), **POLICY)
    faults = made.node._faults.now

    class Slow(str):
        """A reason in the middle of whose printing another fault begins."""

        def __format__(self, spec: str) -> str:
            faults["no chunk"] = "RuntimeError"
            return str(self)

    faults["no inference"] = Slow("too old")
    made.node._seen.buffer.faults = lambda now: {}
    made.node._diagnose()
    assert "no chunk" in faults


@pytest.mark.parametrize("option", ["compile", "cuda_graphs"])
def test_what_is_compiled_is_compiled_before_the_node_is_ready(host: Made, option: str) -> None:
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode

    thinker = Thinker()
    thinker.may.set()
    host(ReasonerNode, thinker, **{option: True, "rate": 0.0})
    assert thinker.asked == [("Describe the scene.", 3, 2)]
    plain = Thinker()
    host(ReasonerNode, plain, rate=0.0)
    assert not plain.asked


def test_node_server_and_command_load_and_answer_alike(
    host: Made,
    ask: Any,
    wait_until: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from cosmos3_ros.cli import main
    from cosmos3_ros.model import registry
    from cosmos3_ros.nodes.reasoner_node import Params, ReasonerNode
    from cosmos3_ros.serve import asyncio_runner

    ran, load_fast = [], registry.load_fast
    monkeypatch.setattr(
        registry, "load_fast", lambda *args, **more: ran.append(args) or load_fast(*args, **more)
    )
    chosen = {"checkpoint": str(tiny_checkpoint()), "text_weights": "nvfp4", "max_tokens": 12}
    reasoner = registry.Models(policy=False).reasoner(Params(**chosen))
    see(host(ReasonerNode, reasoner, **REASONER, max_tokens=12))
    answered = ask()
    wait_until(answered.done, "an answer", 20)

    picture, black = tmp_path / "picture.png", np.zeros((32, 32, 3), np.uint8)
    Image.fromarray(black).save(picture)
    words = [f"--{name.replace('_', '-')}={value}" for name, value in chosen.items()]
    assert main(["ask", "What is it?", str(picture), *words]) == 0
    replied: list[str] = []

    def serve(run: Any, ready: Any) -> int:
        with asyncio_runner.in_background(run) as port:
            elsewhere = RemoteReasoner(f"http://127.0.0.1:{port}/v1")
            replied.append(elsewhere.ask("What is it?", [black], 12).text)
        return 0

    monkeypatch.setattr(asyncio_runner, "until_interrupted", serve)
    assert main(["serve", "reasoner", "--port=0", *words]) == 0
    said = answered.result().scene.text
    assert said
    assert capsys.readouterr().out.startswith(said + "\n")
    assert replied == [said]
    assert [args[1:] for args in ran] == [ran[0][1:]] * 3
    assert (ran[0][3].text, ran[0][3].placement) == ("nvfp4", "reasoner")


def test_words_give_way_to_chunks(host: Made, ask: Any, wait_until: Any) -> None:
    """On a CPU both threads share the cores: else a chunk beside an answer took 4 times as long."""
    from cosmos3_ros.nodes.reasoner_node import ReasonerNode
    from cosmos3_ros.ros.worker_thread import NICE

    thinker = Thinker()
    thinker.may.set()
    see(host(ReasonerNode, thinker, **REASONER))
    wait_until(ask().done, "an answer", 20)
    assert thinker.nice > os.getpriority(os.PRIO_PROCESS, 0) + NICE


NODES = """
import sys, rclpy
from cosmos3_ros.ros.lifecycle import ManagedNode
from cosmos3_ros.ros.node_runner import run
from cosmos3_ros.nodes.reasoner_node import Params

class Node(ManagedNode[Params]):
    def setup(self): print(self.get_name(), "set up", flush=True)
    def start(self): print(self.get_name(), "starts", flush=True)

sys.exit(run([lambda: Node("first", Params), lambda: Node("second", Params)]))
"""


def test_nobody_works_while_another_one_loads(start: Any) -> None:
    started = start(sys.executable, "-c", NODES)
    started.wait_for("second starts", 30)
    started.process.send_signal(signal.SIGTERM)
    assert started.process.wait(20) == 0
    steps = [line for line in started.output.splitlines() if line.endswith(("set up", "starts"))]
    assert steps == ["first set up", "second set up", "first starts", "second starts"]
