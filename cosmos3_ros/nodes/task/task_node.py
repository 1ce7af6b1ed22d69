# SPDX-License-Identifier: Apache-2.0
"""The task server: does what is said until the reasoner judges it to be done, or something ends it.

It leads policy and reasoner by the topics and services that everybody has, and moves nothing
itself. The commander hears it ten times a second, and holds when it ends a task or falls silent.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from lifecycle_msgs.msg import State
from rclpy.action import ActionServer, CancelResponse, GoalResponse
from rclpy.task import Future
from std_msgs.msg import String

from ...action import ExecuteTask
from ...execution.task.judgement import Judgement, question_about, steps_of
from ...execution.task.task_run import Outcome, TaskRun
from ...model.interface import NS
from ...msg import ActionChunk, CommanderStatus, Scene, Surprise, TaskGoal
from ...ros import topics
from ...ros.lifecycle import ManagedNode
from ...ros.messages import header, to_ns, to_time
from ...ros.node_runner import run
from ...srv import Ask
from ..known_parameters import KNOWN, checker
from .task_params import Params

PERIOD = 0.1  # s between two messages to the commander
FEEDBACK = 5  # periods between two messages to the caller
FAREWELL = 10  # periods in which the commander is told that a task is over
ECHO = NS  # what was published comes back within this
STATUS_AGE = 2 * NS  # a commander that says nothing for so long is gone


class _Goal:
    """A goal of a caller, its run, and what wakes its coroutine."""

    def __init__(self, handle: Any, task: TaskRun, question: str) -> None:
        self.handle, self.task, self.question = handle, task, question
        self.over: Future = Future()
        self.told = ""  # the instruction that was published last


class TaskNode(ManagedNode[Params]):
    """See the module."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__("task_server", Params, KNOWN, **kwargs)
        self._server: ActionServer | None = None

    def setup(self) -> None:
        self._goal: _Goal | None = None
        self._status: CommanderStatus | None = None
        self._heard_at = self._beats = self._farewell = 0
        self._chunks: dict[int, ActionChunk] = {}  # the newest ones, by number
        self._progress, self._last = "", ""
        self._surprise = math.nan
        self._echoes: list[tuple[int, str]] = []  # of what was published, and when: comes back
        self._question: tuple[Future, int] | None = None  # being asked, and since when
        self._instructions = self.advertise(topics.INSTRUCTION)
        self._goals = self.advertise(topics.TASK_GOAL)
        self.subscribe(topics.COMMANDER_STATUS, self._on_status)
        self.subscribe(topics.ACTION_CHUNK, self._on_chunk)
        self.subscribe(topics.SCENE, self._on_scene)
        self.subscribe(topics.SURPRISE, self._on_surprise)
        self.subscribe(topics.INSTRUCTION, self._on_instruction)
        self._reasoner = self.service_client(topics.ASK)
        action = topics.EXECUTE_TASK
        self._server = ActionServer(
            self,
            action.type,
            action.name,
            self._execute,
            goal_callback=lambda request: GoalResponse.ACCEPT,  # to refuse has no words
            cancel_callback=self._on_cancel,
        )
        self.serve(self._server)
        self.every(PERIOD, self._beat, steady=True)
        self.get_logger().info(f"task server ready: {action.name}")

    def stop(self) -> None:
        if self._goal:
            self._goal.task.finish(Outcome.STOPPED, "the task server is stopped")
            self._beat()

    # -- what is heard

    def _on_status(self, message: CommanderStatus) -> None:
        self._status, self._heard_at = message, self.steady()
        if not self._goal or message.mode != CommanderStatus.PLAYING:
            return
        chunk = self._chunks.get(message.chunk)
        if chunk is not None and chunk.instruction == self._goal.task.instruction:
            latency = sum(chunk.latency_seconds)
            self._goal.task.played(message.chunk, latency, self.steady())

    def _on_chunk(self, message: ActionChunk) -> None:
        self._chunks[message.number] = message
        for number in sorted(self._chunks)[:-20]:
            del self._chunks[number]

    def _on_scene(self, message: Scene) -> None:
        self._progress = message.text

    def _on_surprise(self, message: Surprise) -> None:
        self._surprise = message.value
        goal = self._goal
        if not goal or not message.alarm or message.reaction != Surprise.HOLD:
            return
        if message.instruction == goal.task.instruction:
            views = zip(message.views, message.values, strict=True)
            where = max(views, key=lambda view: view[1])[0]
            words = f"not what was predicted, most of all in view {where} ({message.value:.1f})"
            goal.task.finish(Outcome.SURPRISE, words)

    def _on_instruction(self, message: String) -> None:
        """Somebody else's instruction replaces that of the goal."""
        goal, said, now = self._goal, message.data.strip(), self.steady()
        self._echoes = [(at, text) for at, text in self._echoes if now - at < ECHO]
        own = next((echo for echo in self._echoes if echo[1] == said), None)
        if own:
            self._echoes.remove(own)
        elif goal and not goal.task.is_planning and said != goal.told:
            goal.told = said
            goal.task.replace(said, now)

    def _on_cancel(self, handle: Any) -> CancelResponse:
        if self._goal and self._goal.handle.goal_id == handle.goal_id:
            self._goal.task.finish(Outcome.CANCELED, "by the caller")
        return CancelResponse.ACCEPT

    # -- a goal

    async def _execute(self, handle: Any) -> ExecuteTask.Result:
        request, now = handle.request, self.steady()
        why = self._why_not(request)
        rules = self.params.rules(0.0 if why else request.time_limit)
        task = TaskRun(request.instruction.strip(), rules, now, request.plan)
        if why:
            task.finish(Outcome.REJECTED, why)
            return self._result(handle, task)
        if self._goal:
            self._goal.task.finish(Outcome.PREEMPTED, "by a newer goal")
            self._end(self._goal, hands_over=True)
        self._goal = goal = _Goal(handle, task, request.question.strip())
        self.get_logger().info(f"task: {task.instruction}")
        if request.plan:
            self._ask(question_about(task.instruction, self.params.plan_question), self._planned)
        self._beat()
        await goal.over
        return self._result(handle, task)

    def _why_not(self, request: ExecuteTask.Goal) -> str:
        """Why a goal is not begun; empty if it is."""
        limit, status, goal = request.time_limit, self._status, self._goal
        heard = status is not None and self.steady() - self._heard_at <= STATUS_AGE
        asks = request.plan or self.params.judge_period > 0
        reasons = {
            "the task server is not active": self.state_id != State.PRIMARY_STATE_ACTIVE,
            "the instruction is empty": not request.instruction.strip(),
            f"time_limit: expected 0 or more seconds, got {limit}": not 0 <= limit < math.inf,
            f"another task is being done: {goal and goal.task.instruction}": (
                goal is not None and not self.params.preempt
            ),
            "no commander is heard": not heard,
            "the arm is not armed: call ~/arm of the commander before": not (
                status and status.armed
            ),
            f"no reasoner offers {topics.ASK.name}; without one set judge_period to 0": (
                asks and not self._reasoner.service_is_ready()
            ),
        }
        return next((why for why, holds in reasons.items() if holds), "")

    def _beat(self) -> None:
        """Ten times a second: tell the commander, ask the reasoner, see whether it is over."""
        goal, now = self._goal, self.steady()
        if not goal:
            if self._farewell:
                self._farewell -= 1
                self._tell(False, self._last)
            return
        task, status = goal.task, self._status
        silent = now - self._heard_at > STATUS_AGE
        assert status is not None  # else the goal was rejected
        armed = status.armed and not silent
        reason = "no commander is heard" if silent else status.reason
        if task.end(now, armed, reason):
            self._end(goal)
            return
        if not task.is_planning and goal.told != task.instruction:
            goal.told = task.instruction
            self._instruct(task.instruction)
        self._tell(True, task.instruction)
        if task.due(now) and not self._is_asking(now):
            last = task.done == len(task.steps) - 1
            question = goal.question if goal.question and last else self.params.question
            task.ask(now)
            about = task.instruction
            self._ask(
                question_about(about, question),
                lambda said: task.judged(said, about, self.steady()),
            )
        if self._beats % FEEDBACK == 0:
            self._report(goal, now)
        self._beats += 1

    def _instruct(self, instruction: str) -> None:
        self._echoes.append((self.steady(), instruction))
        self._instructions.publish(String(data=instruction))

    def _tell(self, active: bool, instruction: str) -> None:
        self._goals.publish(
            TaskGoal(header=header(self.now()), active=active, instruction=instruction)
        )

    def _end(self, goal: _Goal, hands_over: bool = False) -> None:
        """The arm holds, unless another goal follows at once."""
        self._goal, self._question = None, None
        self._last = goal.task.instruction
        if not hands_over:
            self._tell(False, self._last)
            self._farewell = FAREWELL
            self._instruct("")
        goal.over.set_result(None)

    def _report(self, goal: _Goal, now: int) -> None:
        task = goal.task
        goal.handle.publish_feedback(
            ExecuteTask.Feedback(
                phase=task.phase.value,
                instruction=task.instruction,
                step=min(task.done + 1, len(task.steps)),
                steps=len(task.steps),
                chunk=task.chunk,
                latency=task.latency,
                progress=self._progress,
                surprise=self._surprise,
                elapsed=(now - task.began) / NS,
            )
        )

    def _result(self, handle: Any, task: TaskRun) -> ExecuteTask.Result:
        now, said = self.steady(), task.judgement
        end = task.end(now, True, "")
        assert end is not None  # it is over
        self.get_logger().info(f"task: {end.outcome.value}, {end.message}")
        if end.outcome is Outcome.SUCCEEDED:
            handle.succeed()
        elif end.outcome is Outcome.CANCELED and handle.is_cancel_requested:
            handle.canceled()
        else:
            handle.abort()
        return ExecuteTask.Result(
            outcome=end.outcome.value,
            message=end.message,
            steps_done=task.done,
            steps=len(task.steps),
            seconds=(now - task.began) / NS,
            question=said.question if said else "",
            answer=said.answer if said else "",
            yes=said.yes if said else math.nan,
            stamp=to_time(said.stamp if said else 0),
        )

    # -- the reasoner

    def _is_asking(self, now: int) -> bool:
        if self._question and now - self._question[1] > self.params.answer_timeout * NS:
            self._reasoner.remove_pending_request(self._question[0])
            self._question[0].cancel()
            self._question = None
        return self._question is not None

    def _ask(self, question: str, then: Any) -> None:
        request = Ask.Request(
            question=question, views=self.params.views, max_tokens=self.params.max_tokens
        )
        asked = self._reasoner.call_async(request)
        self._question = asked, self.steady()
        goal = self._goal

        def answered(done: Future) -> None:
            if self._goal is not goal:
                return
            self._question = None
            response = None if done.cancelled() else done.result()
            if response is None or not response.success:
                why = response.message if response else "no answer in time"
                self.get_logger().warning(f"not judged: {why}", throttle_duration_sec=5.0)
                then(Judgement(question, "", 0))
                return
            scene = response.scene
            then(Judgement(question, scene.text, to_ns(scene.header.stamp), scene.yes))

        asked.add_done_callback(answered)

    def _planned(self, said: Judgement) -> None:
        goal = self._goal
        if goal is None:
            return
        steps = steps_of(said.answer, goal.task.instruction)
        self.get_logger().info(f"steps: {'; '.join(steps)}")
        goal.task.planned(steps, self.steady())


def main(args: list[str] | None = None) -> int:
    """Run the task server until a signal comes."""
    return run([TaskNode], args, checker("task_server"))


if __name__ == "__main__":
    sys.exit(main())
