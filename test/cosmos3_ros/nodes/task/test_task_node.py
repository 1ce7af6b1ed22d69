# SPDX-License-Identifier: Apache-2.0
"""A task's life over ROS: task server and commander as processes, robot, policy and reasoner here.

The robot is where it was last commanded; the policy leads it back and forth while it has an
instruction; the reasoner answers as the test says.
"""

import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.ros

LIFT, PUSH = "lift the cube", "push the cube"
COMMANDER = (
    "--ros-args",
    *("-p", "joints:=[a]", "-p", "lower:=[-3.0]", "-p", "upper:=[3.0]"),
    *("-p", "velocity:=[1.0]", "-p", "acceleration:=[5.0]", "-p", "jerk:=[50.0]"),
    *("-p", "armed:=true", "-p", "max_state_age:=1.0", "-p", "max_tracking_error:=0.5"),
)
QUICK = ("judge_period:=0.2", "patience:=10.0")


class World:
    """Robot, policy and reasoner in one node, and a client of the action."""

    def __init__(self, node: Any) -> None:
        from rclpy.action import ActionClient

        from cosmos3_ros.ros import topics
        from cosmos3_ros.srv import Ask

        self.node, self.where, self.number, self.instruction = node, 0.0, 0, ""
        self.plays = True  # the policy answers
        self.answer: Callable[[str], str] = lambda question: "No."
        self.status: Any = None
        self.asked: list[str] = []
        self.told: list[str] = []  # instructions
        self.feedback: list[Any] = []
        for topic, heard in (
            (topics.COMMANDER_STATUS, lambda message: setattr(self, "status", message)),
            (topics.COMMAND, lambda message: setattr(self, "where", message.position[0])),
            (topics.INSTRUCTION, self.on_instruction),
            (topics.TRAJECTORY, lambda message: None),
        ):
            node.create_subscription(topic.type, topic.name, heard, topic.qos)
        self.states, self.chunks, self.instructions, self.surprises = (
            node.create_publisher(topic.type, topic.name, topics.RELIABLE)
            for topic in (
                topics.JOINT_STATES,
                topics.ACTION_CHUNK,
                topics.INSTRUCTION,
                topics.SURPRISE,
            )
        )
        node.create_service(Ask, topics.ASK.name, self.on_ask)
        node.create_timer(0.02, self.measure)
        node.create_timer(0.2, self.infer)
        action = topics.EXECUTE_TASK
        self.client = ActionClient(node, action.type, action.name)

    def now(self) -> int:
        return int(self.node.get_clock().now().nanoseconds)

    def measure(self) -> None:
        from sensor_msgs.msg import JointState

        from cosmos3_ros.ros.messages import header

        self.states.publish(
            JointState(header=header(self.now()), name=["a"], position=[self.where])
        )

    def infer(self) -> None:
        from cosmos3_ros.model.interface import NS, ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        if not (self.instruction and self.plays):
            return
        self.number += 1
        ahead = np.arange(1, 31, dtype=np.float32) / 15
        turn = 2 * np.pi * (time.monotonic() + ahead) / 8
        rows = (self.where + 0.2 * (np.sin(turn) - np.sin(turn[0]))).astype(np.float32)[:, None]
        chunk = ActionChunk(rows, ("a",), self.now(), NS // 15)
        words = {"number": self.number, "instruction": self.instruction, "embodiment": ""}
        self.chunks.publish(chunk_message(chunk, **words, seconds={"denoise": 0.25}))

    def on_instruction(self, message: Any) -> None:
        self.told.append(message.data)
        self.instruction = message.data

    def on_ask(self, request: Any, response: Any) -> Any:
        from cosmos3_ros.model.interface import Answer
        from cosmos3_ros.ros.messages import scene_message

        self.asked.append(request.question)
        answer, stamp = Answer(self.answer(request.question)), self.now()
        response.scene = scene_message(answer, stamp=stamp, views=["c"], question=request.question)
        response.success = True
        return response

    def send(self, instruction: str, **more: Any) -> Any:
        """A goal; its handle."""
        from cosmos3_ros.action import ExecuteTask

        assert self.client.wait_for_server(20)
        goal = ExecuteTask.Goal(instruction=instruction, **more)
        sent = self.client.send_goal_async(goal, lambda m: self.feedback.append(m.feedback))
        return self.wait(sent)

    def result(self, handle: Any, timeout: float = 40.0) -> Any:
        return self.wait(handle.get_result_async(), timeout).result

    def wait(self, future: Any, timeout: float = 40.0) -> Any:
        end = time.monotonic() + timeout
        while not future.done():
            assert time.monotonic() < end, "no answer"
            time.sleep(0.02)
        return future.result()

    def surprise(self, value: float, alarm: bool, reaction: str) -> None:
        """What the policy would say about the newest chunk."""
        from cosmos3_ros.model.interface import Surprise
        from cosmos3_ros.ros.messages import surprise_message

        grid = np.full((1, 2), value, np.float32)
        found = Surprise(self.now(), {"wrist": value / 2, "left": value}, grid)
        words = {"number": self.number, "instruction": self.instruction}
        self.surprises.publish(surprise_message(found, **words, alarm=alarm, reaction=reaction))

    def phases(self) -> list[str]:
        return [said.phase for said in self.feedback]

    def acts(self) -> bool:
        return "acting" in self.phases() or "judging" in self.phases()

    def holds(self) -> bool:
        return bool(self.status.mode == "holding")


@pytest.fixture
def world(start: Any, watcher: Any, wait_until: Any) -> Iterator[World]:
    made = World(watcher)
    start("commander", *COMMANDER)
    wait_until(lambda: made.status and made.status.armed, "an armed commander")
    yield made
    made.client.destroy()


@pytest.fixture
def server(start: Any, world: World, wait_until: Any) -> Callable[..., Any]:
    """Function server("patience:=2.0") that starts the task server, for quick judgements."""

    def run(*parameters: str) -> Any:
        words = [word for one in (*QUICK, *parameters) for word in ("-p", one)]
        made = start("task_server", "--ros-args", *words)
        made.wait_for("task server ready")
        wait_until(world.client.server_is_ready, "the task server")
        time.sleep(1.0)  # each has heard of the others
        return made

    return run


def test_a_task_goes_on_until_it_is_judged_to_be_done_and_the_arm_holds(
    world: World, server: Any, wait_until: Any
) -> None:
    server()
    handle = world.send(LIFT, question="Is it in the hand?")
    wait_until(world.acts, "feedback of a moving arm")
    world.answer = lambda question: "Yes."
    result = world.result(handle)
    assert (result.outcome, result.steps_done, result.steps) == ("succeeded", 1, 1)
    assert (result.question, result.answer) == ("Is it in the hand?", "Yes.")
    assert result.stamp.sec > 0
    assert result.seconds > 0
    said = world.feedback[-1]
    assert (said.instruction, said.step, said.steps) == (LIFT, 1, 1)
    assert said.latency == pytest.approx(0.25)
    wait_until(world.holds, "a hold")
    assert world.status.armed, "arming is the caller's"
    assert world.status.reason == "the task is over"
    assert world.told == [LIFT, ""], "the policy is told to end"


def test_a_canceled_task_brakes_at_once(world: World, server: Any, wait_until: Any) -> None:
    server()
    handle = world.send(LIFT)
    wait_until(world.acts, "a moving arm")
    began = time.monotonic()
    world.wait(handle.cancel_goal_async())
    result = world.result(handle)
    assert (result.outcome, result.message) == ("canceled", "by the caller")
    wait_until(world.holds, "a hold", 5)
    assert time.monotonic() - began < 3.0, "not at the end of the chunk and later"
    time.sleep(1.0)  # chunks that were on their way
    assert world.holds()


def test_a_newer_goal_takes_over(world: World, server: Any, wait_until: Any) -> None:
    server()
    first = world.send(LIFT)
    wait_until(world.acts, "a moving arm")
    second = world.send(PUSH)
    result = world.result(first)
    assert (result.outcome, result.message) == ("preempted", "by a newer goal")
    wait_until(lambda: world.feedback[-1].instruction == PUSH and world.acts(), "the second")
    world.answer = lambda question: "Yes." if PUSH in question else "No."
    assert world.result(second).outcome == "succeeded"
    assert world.told == [LIFT, PUSH, ""], "it did not stop in between"


def test_a_goal_is_rejected_with_words(world: World, server: Any, wait_until: Any) -> None:
    from std_srvs.srv import SetBool

    server("preempt:=false")
    first = world.send(LIFT)
    for goal, words in (
        ({"instruction": PUSH}, f"another task is being done: {LIFT}"),
        ({"instruction": " "}, "the instruction is empty"),
        ({"instruction": PUSH, "time_limit": -1.0}, "time_limit: expected 0 or more seconds"),
        ({"instruction": PUSH, "time_limit": float("nan")}, "time_limit: expected 0 or more"),
    ):
        result = world.result(world.send(**goal))
        assert result.outcome == "rejected"
        assert words in result.message
    world.wait(first.cancel_goal_async())
    arm = world.node.create_client(SetBool, "commander/arm")
    assert arm.wait_for_service(10)
    world.wait(arm.call_async(SetBool.Request(data=False)))
    wait_until(lambda: not world.status.armed, "a dry run")
    time.sleep(0.5)
    result = world.result(world.send(LIFT))
    assert result.message == "the arm is not armed: call ~/arm of the commander before"


def test_the_instruction_may_be_replaced(world: World, server: Any, wait_until: Any) -> None:
    from std_msgs.msg import String

    server()
    handle = world.send(LIFT)
    wait_until(world.acts, "a moving arm")
    world.instructions.publish(String(data=PUSH))
    wait_until(lambda: world.feedback[-1].instruction == PUSH, "the other instruction")
    world.answer = lambda question: "Yes." if PUSH in question else "No."
    result = world.result(handle)
    assert result.outcome == "succeeded"
    assert PUSH in result.question


def test_planned_steps_are_judged_one_after_the_other(world: World, server: Any) -> None:
    server()

    def answer(question: str) -> str:
        return "1. Lift the cube.\n2. Push the cube." if "Which steps" in question else "Yes."

    world.answer = answer
    result = world.result(world.send("tidy up", plan=True))
    assert (result.outcome, result.steps_done, result.steps) == ("succeeded", 2, 2)
    assert world.told == ["Lift the cube", "Push the cube", ""]
    done = [question for question in world.asked if "Is this done" in question]
    assert done == sorted(done), "the first step, then the second"
    assert len(done) >= 4


def test_a_killed_task_server_holds_the_arm(world: World, server: Any, wait_until: Any) -> None:
    process = server()
    world.send(LIFT)
    wait_until(lambda: world.acts() and world.status.mode == "playing", "a moving arm")
    process.process.send_signal(signal.SIGKILL)
    killed = time.monotonic()
    wait_until(world.holds, "a hold", 10)
    assert time.monotonic() - killed < 3.0
    time.sleep(1.0)
    assert world.instruction == LIFT, "the policy goes on"
    assert world.holds()
    assert "the task server is silent" in world.status.last_rejection
    server()
    handle = world.send(LIFT)
    wait_until(lambda: world.status.mode == "playing", "another goal is played")
    world.wait(handle.cancel_goal_async())


def test_a_stopped_arm_and_missing_chunks_end_a_task(
    world: World, server: Any, wait_until: Any
) -> None:
    from std_srvs.srv import SetBool, Trigger

    server("patience:=2.0")
    handle = world.send(LIFT)
    wait_until(world.acts, "a moving arm")
    world.plays = False
    result = world.result(handle)
    assert result.outcome == "stale_input"
    assert "no chunk was played for 2." in result.message
    world.plays = True
    handle = world.send(LIFT)
    wait_until(lambda: world.status.mode == "playing", "a moving arm")
    stop = world.node.create_client(Trigger, "commander/stop")
    assert stop.wait_for_service(10)
    world.wait(stop.call_async(Trigger.Request()))
    result = world.result(handle)
    assert (result.outcome, "stopped by ~/stop" in result.message) == ("stopped", True)
    arm = world.node.create_client(SetBool, "commander/arm")
    assert world.wait(arm.call_async(SetBool.Request(data=True))).success


def test_time_ends_a_task(world: World, server: Any) -> None:
    server()
    result = world.result(world.send(LIFT, time_limit=2.0))
    assert (result.outcome, result.answer) == ("failed", "No.")
    assert result.message == "judged not to be done after 2.0 s"


def test_the_command_shows_how_it_goes_and_is_interrupted(
    world: World, server: Any, start: Any, wait_until: Any
) -> None:
    server()
    command = start("cosmos3", "task", LIFT)
    command.wait_for(f"acting: {LIFT}")
    assert command.interrupt() == 1
    assert "canceled after" in command.output
    wait_until(world.holds, "a hold")
    world.answer = lambda question: "Yes."
    command = start("cosmos3", "task", PUSH, "--question", "Is it there?")
    assert command.process.wait(60) == 0
    assert "succeeded after" in command.output
    assert "asked: Is it there?\nanswer: Yes." in command.output


def test_a_surprise_is_in_the_feedback_and_one_that_holds_ends_the_task(
    world: World, server: Any, wait_until: Any
) -> None:
    server()
    handle = world.send(LIFT)
    wait_until(world.acts, "the arm to be driven")
    assert np.isnan(world.feedback[-1].surprise)
    world.surprise(0.4, alarm=False, reaction="hold")
    wait_until(lambda: world.feedback[-1].surprise == pytest.approx(0.4), "the surprise")
    world.surprise(1.6, alarm=True, reaction="replan")
    wait_until(lambda: world.feedback[-1].surprise == pytest.approx(1.6), "another one")
    world.surprise(2.5, alarm=True, reaction="hold")
    result = world.result(handle)
    assert result.outcome == "surprise"
    assert result.message == "not what was predicted, most of all in view left (2.5)"
    wait_until(world.holds, "a hold")
