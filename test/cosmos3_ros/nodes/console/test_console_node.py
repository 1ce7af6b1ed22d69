# SPDX-License-Identifier: Apache-2.0
"""The console's process: what it hears and when, what it passes on, what its buttons call."""

import asyncio
import json
import re
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest

pytestmark = pytest.mark.ros
TOKEN = "a-word-that-nobody-guesses"


class Page:
    """What a page does, on the console's socket."""

    def __init__(self, session: aiohttp.ClientSession, own: str) -> None:
        self.session, self.own = session, own
        port = own.rpartition(":")[2]
        self.headers = {"Cookie": f"cosmos3_console_{port}={TOKEN}", "Origin": own}
        self.values: dict[str, Any] = {}
        self.pictures: dict[str, list[bytes]] = {}

    async def pull_until(self, condition: Callable[[], object], what: str) -> None:
        """Ask for what is new until it holds; then look no more."""
        end = time.monotonic() + 30
        url = f"{self.own}/socket"
        async with self.session.ws_connect(url, headers=self.headers) as socket:
            while not condition():
                assert time.monotonic() < end, f"waited for {what}; have {self.values}"
                await socket.send_str("next")
                message = await socket.receive_json()
                self.values |= message["values"]
                for kind, count in message["pictures"].items():
                    self.pictures[kind] = [await socket.receive_bytes() for _ in range(count)]

    async def act(self, name: str, **body: Any) -> tuple[bool, str]:
        url = f"{self.own}/do/{name}"
        async with self.session.post(url, json=body, headers=self.headers) as response:
            reply = await response.json()
            return reply["done"], reply["message"]


def with_page(started: Any, use: Callable[[Page], Coroutine[Any, Any, None]]) -> None:
    """Run `use` with a page of the console that was started."""
    started.wait_for("console: open ")
    link = re.search(r"(http://\S+)/\?token=", started.output)
    assert link is not None
    own = link[1]

    async def main() -> None:
        async with aiohttp.ClientSession() as session:
            await use(Page(session, own))

    asyncio.run(main())


@pytest.fixture
def arguments(tmp_path: Path) -> list[str]:
    token = tmp_path / "token"
    token.write_text(TOKEN + "\n")
    given = ("port:=0", f"token_file:={token}", "browser:=false")
    return ["--ros-args", *(word for rule in given for word in ("-p", rule))]


def test_pictures_are_heard_while_somebody_looks_and_jpegs_pass_untouched(
    start: Any, watcher: Any, wait_until: Any, arguments: list[str]
) -> None:
    from sensor_msgs.msg import JointState

    from cosmos3_ros.msg import CommanderStatus, Future
    from cosmos3_ros.robot.images import decode, encode
    from cosmos3_ros.ros import topics

    def publisher(topic: Any) -> Any:
        return watcher.create_publisher(topic.type, topic.name, topic.qos)

    compressed = publisher(topics.camera("wrist", "compressed"))
    raw = publisher(topics.camera("exterior_1", "raw"))
    future, states = publisher(topics.FUTURE), publisher(topics.JOINT_STATES)
    status = publisher(topics.COMMANDER_STATUS)
    status.publish(CommanderStatus(mode="holding", reason="joint states are old", armed=True))
    picture = encode(np.full((6, 8, 3), 99, np.uint8))
    pixels = topics.camera("exterior_1", "raw").type(height=6, width=8, encoding="rgb8", step=24)
    pixels.data = bytes(6 * 24)

    def publish() -> None:
        compressed.publish(picture)
        raw.publish(pixels)
        future.publish(Future(frames=[picture, picture]))
        states.publish(JointState(name=["panda_joint1", "finger_joint"], position=[0.5, 0.4]))

    watcher.create_timer(0.05, publish)
    heard = (compressed, raw, future, states)
    console = start("console", *arguments)

    async def use(page: Page) -> None:
        assert [one.get_subscription_count() for one in heard] == [0, 0, 0, 0]
        kinds = {"view wrist", "view exterior_1", "future", "joints", "status"}
        await page.pull_until(lambda: kinds <= page.values.keys(), "pictures, joints and status")
        assert page.pictures["view wrist"] == [bytes(picture.data)]
        assert page.pictures["future"] == [bytes(picture.data)] * 2
        (jpeg,) = page.pictures["view exterior_1"]
        assert decode(type(picture)(format="jpeg", data=jpeg)).shape == (6, 8, 3)
        assert page.values["status"]["reason"] == "joint states are old"
        assert page.values["joints"]["positions"] == {"panda_joint1": 0.5, "finger_joint": 0.4}
        assert [one.get_subscription_count() for one in heard] == [1, 1, 1, 1]
        wait_until(
            lambda: not any(one.get_subscription_count() for one in heard),
            "it to hear nothing after the page is gone",
            15,
        )

    with_page(console, use)
    assert console.interrupt() == 0
    assert TOKEN not in console.output.replace(f"token={TOKEN}", "", 1)


def test_buttons_call_what_they_say(
    start: Any, watcher: Any, wait_until: Any, arguments: list[str]
) -> None:
    from std_msgs.msg import String
    from std_srvs.srv import SetBool, Trigger

    from cosmos3_ros.ros import topics
    from cosmos3_ros.srv import Ask

    called: list[Any] = []

    def answer(request: Any, response: Any) -> Any:
        called.append(request)
        response.success, response.message = True, "as told"
        return response

    def ask(request: Any, response: Any) -> Any:
        response.success = True
        response.scene.text, response.scene.question = "a cube", request.question
        response.scene.yes = float("nan")
        return response

    watcher.create_service(SetBool, topics.ARM.name, answer)
    watcher.create_service(Trigger, topics.STOP_ARM.name, answer)
    watcher.create_service(Ask, topics.ASK.name, ask)
    console = start("console", *arguments, "-p", "control:=true")

    async def use(page: Page) -> None:
        wait_until(
            lambda: "console" in watcher.get_node_names(), "the console to be discovered", 15
        )
        end = time.monotonic() + 15
        while not (await page.act("arm"))[0]:
            assert time.monotonic() < end
        assert called[-1].data is True
        assert await page.act("disarm") == (True, "as told")
        assert called[-1].data is False
        assert await page.act("stop") == (True, "as told")
        assert isinstance(called[-1], Trigger.Request)
        assert await page.act("ask", question="what is there?") == (True, "")
        await page.pull_until(lambda: "answer" in page.values, "the answer")
        assert page.values["answer"]["question"] == "what is there?"
        assert (page.values["answer"]["text"], page.values["answer"]["yes"]) == ("a cube", None)
        assert await page.act("reset", task="lift") == (False, "nobody offers /sim/reset_task")
        name = topics.INSTRUCTION.name
        assert await page.act("instruct", instruction="go") == (False, f"nobody listens to /{name}")
        said: list[str] = []
        watcher.create_subscription(
            String, name, lambda m: said.append(m.data), topics.INSTRUCTION.qos
        )

        async def becomes(answer: tuple[bool, str]) -> None:
            end = time.monotonic() + 15
            while await page.act("instruct", instruction="go") != answer:
                assert time.monotonic() < end

        chunks = topics.ACTION_CHUNK
        await becomes((False, f"no policy is heard: nobody publishes /{chunks.name}"))
        await page.pull_until(lambda: page.values.get("policy") is False, "that there is none")
        watcher.create_publisher(chunks.type, chunks.name, chunks.qos)
        await becomes((True, "sent: go"))
        await page.pull_until(lambda: page.values["policy"], "that there is one")
        wait_until(lambda: said == ["go"], "the instruction", 10)

    with_page(console, use)


def test_a_task_is_followed_and_canceled_and_its_result_is_shown(
    start: Any, watcher: Any, wait_until: Any, arguments: list[str]
) -> None:
    """Of the real task server, whoever has asked for the task; without the control."""
    from rclpy.action import ActionClient

    from cosmos3_ros.action import ExecuteTask
    from cosmos3_ros.msg import CommanderStatus
    from cosmos3_ros.ros import topics

    topic = topics.COMMANDER_STATUS
    status = watcher.create_publisher(topic.type, topic.name, topic.qos)
    armed = CommanderStatus(armed=True, mode="waiting", reason="no chunk yet")
    watcher.create_timer(0.1, lambda: status.publish(armed))
    rules = ("judge_period:=0.0", "patience:=60.0")
    server = start("task_server", "--ros-args", *(word for one in rules for word in ("-p", one)))
    console = start("console", *arguments)
    server.wait_for("task server ready")
    client = ActionClient(watcher, ExecuteTask, topics.EXECUTE_TASK.name)
    results: list[Any] = []

    def accepted(sent: Any) -> None:
        sent.result().get_result_async().add_done_callback(lambda r: results.append(r.result()))

    async def use(page: Page) -> None:
        end = time.monotonic() + 30
        while (await page.act("cancel"))[1] != "no task is being done":
            assert time.monotonic() < end
        assert client.wait_for_server(20)
        wait_until(lambda: watcher.count_subscribers(topic.name) == 2, "both to listen", 20)
        heard = f"{topics.EXECUTE_TASK.name}/_action/feedback"
        wait_until(lambda: watcher.count_subscribers(heard) == 2, "both to hear of the task", 20)
        # that we know a server does not say that it knows us: its answers would be lost
        await asyncio.sleep(1.0)
        goal = ExecuteTask.Goal(instruction="lift the cube")
        client.send_goal_async(goal).add_done_callback(accepted)
        await page.pull_until(lambda: page.values.get("task"), "the feedback")
        task = page.values["task"]
        assert (task["phase"], task["instruction"], task["step"]) == ("waiting", "lift the cube", 1)
        assert task["surprise"] is None, "nothing is compared"
        await page.pull_until(lambda: page.values["task_goal"]["active"], "the goal")
        assert await page.act("cancel") == (True, "the task ends")
        await page.pull_until(lambda: page.values.get("task_result"), "the result")
        assert page.values["task_result"]["outcome"] == "canceled"
        assert page.values["task_result"]["message"] == "by the caller"
        await page.pull_until(lambda: not page.values["task_goal"]["active"], "the end")
        wait_until(lambda: results, "the caller to be told", 10)
        assert results[0].result.outcome == "canceled"

    try:
        with_page(console, use)
    finally:
        client.destroy()


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("host:=0.0.0.0", "parameter 'host' is '0.0.0.0': expected parameter 'token_file', too"),
        ("port:=70000", "parameter 'port': expected 0 to 65535, got 70000"),
        ("robot:=nobody", "unknown robot 'nobody'"),
        ("token_file:=/nowhere", "/nowhere"),
    ],
)
def test_what_cannot_be_is_one_line(start: Any, rule: str, words: str) -> None:
    console = start("console", "--ros-args", "-p", rule)
    assert console.process.wait(30) != 0
    (line,) = console.output.splitlines()
    assert words in line


def test_values_are_json_even_where_messages_hold_no_numbers() -> None:
    from cosmos3_ros.msg import ActionChunk, CommanderStatus, Scene, Surprise
    from cosmos3_ros.nodes.console import page_values

    nan = float("nan")
    chunk = ActionChunk(
        horizon=2,
        joint_names=["a", "b"],
        values=[90.0, nan, -90.0, 1.0],
        latency_stages=["wait"],
        latency_seconds=[nan],
    )
    value = page_values.chunk_value(chunk, {"a": (0.0, 180 / np.pi)})
    assert value["rows"]["a"] == pytest.approx([np.pi / 2, -np.pi / 2])
    assert value["rows"]["b"] == [None, 1.0]
    assert value["stages"] == [["wait", None]]
    scene = Scene(yes=nan, checks=["is it?"], checks_yes=[nan])
    status = CommanderStatus(remaining=float("inf"))
    surprise = Surprise(views=["wrist"], values=[nan], value=nan, grid=[nan, 1.234], columns=2)
    surprised = page_values.surprise_value(surprise)
    assert (surprised["views"], surprised["grid"]) == ([["wrist", None]], [None, 1.23])
    others = (page_values.scene_value(scene), page_values.status_value(status))
    for one in (value, surprised, *others):
        json.dumps(one, allow_nan=False)
