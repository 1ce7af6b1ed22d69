# SPDX-License-Identifier: Apache-2.0
"""Goals to a gripper's controller over ROS: it reaches, stalls, aborts, refuses, is silent, dies.

The controller behaves as those of ros2_controllers. Where control_msgs is installed client and
server are rclpy's; elsewhere two services of the same shape stand in for the action.
"""

import functools
import importlib.util
import sys
import time
from collections.abc import Callable, Iterator
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.ros.apt_packages import apt_install

from ..resting_arm import RestingArm

pytestmark = pytest.mark.ros

INSTALLED = importlib.util.find_spec("control_msgs") is not None
NAME = "gripper_controller/gripper_cmd"
SUCCEEDED, ABORTED = 4, 6  # action_msgs/GoalStatus
# What it does with a goal -> status, stalled, reached_goal; None: nothing yet.
WAYS = {
    "reaches": (SUCCEEDED, False, True),
    "holds": (SUCCEEDED, True, False),  # allow_stalling
    "stalls": (ABORTED, True, False),
    "fails": (ABORTED, False, False),
    "moves": None,
    "refuses": None,
    "is deaf": None,
}


class Controller:
    """What a gripper controller was asked for, and what it does."""

    def __init__(self) -> None:
        self.way, self.goals, self.canceled = "reaches", list[Any](), 0

    def take(self, goal: Any) -> bool:
        self.goals.append(goal.command)
        return self.way != "refuses"


class StandInClient:
    """In place of rclpy's ActionClient: the same calls, over services that are there."""

    def __init__(self, node: Any, kind: Any, name: str) -> None:
        from rcl_interfaces.srv import SetParametersAtomically
        from std_srvs.srv import Trigger

        self._node = node
        self._goals, self._results = (
            node.create_client(SetParametersAtomically, f"{name}/{what}")
            for what in ("goal", "result")
        )
        self._cancels = node.create_client(Trigger, f"{name}/cancel")

    def server_is_ready(self) -> bool:
        return all(client.service_is_ready() for client in (self._goals, self._results))

    def send_goal_async(self, goal: Any) -> Any:
        from rcl_interfaces.msg import Parameter, ParameterValue

        position = goal.command.position
        effort = getattr(goal.command, "max_effort", None)
        numbers = [*position, *goal.command.effort] if effort is None else [position, effort]
        value = ParameterValue(type=8, double_array_value=numbers)
        request = self._goals.srv_type.Request(parameters=[Parameter(name="", value=value)])
        return self._then(self._goals.call_async(request), self._handle)

    def _handle(self, response: Any) -> Any:
        empty = self._results.srv_type.Request()
        return SimpleNamespace(
            accepted=response.result.successful,
            get_result_async=lambda: self._then(self._results.call_async(empty), self._result),
            cancel_goal_async=lambda: self._cancels.call_async(self._cancels.srv_type.Request()),
        )

    def _result(self, response: Any) -> Any:
        status = SUCCEEDED if response.result.successful else ABORTED
        result = SimpleNamespace(stalled=response.result.reason == "stalled")
        return SimpleNamespace(status=status, result=result)

    def _then(self, future: Any, read: Callable[[Any], Any]) -> Any:
        from rclpy.task import Future

        later: Any = Future(executor=self._node.executor)
        future.add_done_callback(lambda done: later.set_result(read(done.result())))
        return later

    def destroy(self) -> None:
        for client in (self._goals, self._results, self._cancels):
            self._node.destroy_client(client)


class StandInServer:
    """In place of rclpy's ActionServer."""

    def __init__(self, node: Any, name: str, controller: Controller) -> None:
        from rcl_interfaces.srv import SetParametersAtomically
        from rclpy.callback_groups import ReentrantCallbackGroup
        from rclpy.task import Future
        from std_srvs.srv import Trigger

        self._node = node

        async def take(request: Any, response: Any) -> Any:
            if controller.way == "is deaf":
                await Future()
            numbers = list(request.parameters[0].value.double_array_value)
            command = SimpleNamespace(position=numbers[0], max_effort=numbers[-1])
            response.result.successful = controller.take(SimpleNamespace(command=command))
            return response

        async def result(request: Any, response: Any) -> Any:
            if WAYS[controller.way] is None:
                await Future()
            status, stalled, _ = WAYS[controller.way]  # type: ignore[misc]
            response.result.successful = status == SUCCEEDED
            response.result.reason = "stalled" if stalled else ""
            return response

        def cancel(request: Any, response: Any) -> Any:
            controller.canceled += 1
            return response

        group = ReentrantCallbackGroup()
        self._services = [
            node.create_service(kind, f"{name}/{what}", answer, callback_group=group)
            for kind, what, answer in (
                (SetParametersAtomically, "goal", take),
                (SetParametersAtomically, "result", result),
                (Trigger, "cancel", cancel),
            )
        ]

    def destroy(self) -> None:
        for service in self._services:
            self._node.destroy_service(service)


def real_server(node: Any, name: str, controller: Controller, kind: Any) -> Any:
    """rclpy's action server, which a preempted goal gets no result from, as from the real one."""
    from rclpy.action import ActionServer, CancelResponse, GoalResponse
    from rclpy.callback_groups import ReentrantCallbackGroup
    from rclpy.task import Future

    async def take(goal: Any) -> Any:
        if controller.way == "is deaf":
            await Future()
        return GoalResponse.ACCEPT if controller.take(goal) else GoalResponse.REJECT

    def cancel(handle: Any) -> Any:
        controller.canceled += 1
        return CancelResponse.ACCEPT

    def accepted(handle: Any) -> None:
        if WAYS[controller.way] is not None:
            handle.execute()

    def execute(handle: Any) -> Any:
        status, stalled, reached = WAYS[controller.way]  # type: ignore[misc]
        handle.succeed() if status == SUCCEEDED else handle.abort()
        return kind.Result(stalled=stalled, reached_goal=reached)

    return ActionServer(
        node,
        kind,
        name,
        execute,
        goal_callback=take,
        handle_accepted_callback=accepted,
        cancel_callback=cancel,
        callback_group=ReentrantCallbackGroup(),
    )


class Joined:
    """A commander's side and a controller's side, each a node, spun by hand."""

    def __init__(self, kind: str, **settings: Any) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor

        from cosmos3_ros.ros import lifecycle
        from cosmos3_ros.ros.sinks import gripper_outputs

        self.executor = SingleThreadedExecutor()
        self.nodes = [rclpy.create_node(name) for name in ("commander", "controller_manager")]
        for node in self.nodes:
            self.executor.add_node(node)
        self.now, self.kind, self.controller = 0, kind, Controller()
        node: Any = self.nodes[0]
        node.action_client = lambda action, name: lifecycle.ActionClient(node, action, name)
        chosen = {"joint": "finger", "action": NAME, "effort": 12.0, "patience": 5.0} | settings
        self.output: Any = gripper_outputs.gripper_output(
            node, gripper_outputs.GripperSettings(kind, **chosen)
        )
        self.output._clock = lambda: self.now
        self.server: Any = None

    def serve(self) -> None:
        from cosmos3_ros.ros.sinks.gripper_outputs import GOALS

        action = getattr(sys.modules["control_msgs.action"], GOALS[self.kind][0])
        real = functools.partial(real_server, kind=action)
        self.server = (real if INSTALLED else StandInServer)(self.nodes[1], NAME, self.controller)
        assert self.spin(lambda: not self.fault() or "nobody offers" not in self.fault())

    def fault(self) -> str:
        return str(self.output.fault(self.nodes[0], self.now))

    def spin(self, condition: Callable[[], object], timeout: float = 10.0) -> bool:
        end = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > end:
                return False
            self.executor.spin_once(timeout_sec=0.02)
        return True

    def send(self, position: float | None, times: int = 3) -> None:
        """As the commander does, in several ticks."""
        for _ in range(times):
            self.output.send(position)
            self.executor.spin_once(timeout_sec=0.01)

    def settled(self) -> bool:
        """Whether the newest goal has its result; the right one, for a while after."""
        done = self.spin(lambda: self.output._newest.done)
        self.spin(lambda: False, 0.05)
        return done

    def positions(self) -> list[float]:
        return [float(np.atleast_1d(command.position)[0]) for command in self.controller.goals]

    def close(self) -> None:
        self.output._client.destroy()
        if self.server:
            self.server.destroy()
        self.executor.shutdown()
        for node in self.nodes:
            node.destroy_node()


@pytest.fixture
def actions(monkeypatch: pytest.MonkeyPatch) -> None:
    """control_msgs.action, or what stands in for it."""
    if INSTALLED:
        import control_msgs.action  # noqa: F401

        return
    from sensor_msgs.msg import JointState

    from cosmos3_ros.ros import lifecycle

    def empty() -> Any:
        return SimpleNamespace(command=SimpleNamespace(position=0.0, max_effort=0.0))

    module: Any = ModuleType("control_msgs.action")
    module.GripperCommand = SimpleNamespace(Goal=empty)
    module.ParallelGripperCommand = SimpleNamespace(
        Goal=lambda: SimpleNamespace(command=JointState())
    )
    monkeypatch.setitem(sys.modules, "control_msgs", ModuleType("control_msgs"))
    monkeypatch.setitem(sys.modules, "control_msgs.action", module)
    monkeypatch.setattr(lifecycle, "ActionClient", StandInClient)


@pytest.fixture
def join(domain: int, actions: None) -> Iterator[Callable[..., Joined]]:
    import rclpy

    made: list[Joined] = []

    def function(kind: str = "gripper_command", **settings: Any) -> Joined:
        made.append(Joined(kind, **settings))
        return made[-1]

    rclpy.init(args=[])
    yield function
    for joined in made:
        joined.close()
    rclpy.shutdown()


@pytest.mark.parametrize("kind", ["gripper_command", "parallel_gripper_command"])
def test_a_goal_goes_out_on_change_with_its_effort(kind: str, join: Callable[..., Joined]) -> None:
    joined = join(kind)
    joined.send(0.04)
    assert not joined.controller.goals, "nobody is there yet"
    joined.serve()
    for position in (None, 0.04, 0.0):
        joined.send(position)
        assert joined.spin(lambda at=position: at is None or joined.positions()[-1:] == [at])
        joined.output.repeat()  # a new motion is no reason for a new goal
    assert joined.settled()
    joined.send(0.0)
    assert joined.positions() == [0.04, 0.0]
    command = joined.controller.goals[-1]
    assert float(command.max_effort if hasattr(command, "max_effort") else command.effort[0]) == 12
    assert getattr(command, "name", ["finger"]) == ["finger"]
    assert joined.fault() == ""


def test_no_effort_is_named_unless_it_is_given(actions: None) -> None:
    from cosmos3_ros.ros.sinks.gripper_outputs import GOALS, GripperSettings

    settings = GripperSettings("parallel_gripper_command", "finger", NAME, 0.0, 5.0)
    kind, fill = GOALS[settings.kind]
    goal = getattr(sys.modules["control_msgs.action"], kind).Goal()
    fill(goal, settings, 0.02)
    assert (list(goal.command.position), list(goal.command.effort)) == ([0.02], [])


@pytest.mark.parametrize("way", ["stalls", "holds"])
def test_a_gripper_that_stalls_holds_something(way: str, join: Callable[..., Joined]) -> None:
    joined = join()
    joined.serve()
    joined.controller.way = way
    joined.send(0.0)
    assert joined.settled()
    assert joined.fault() == ""
    joined.output.repeat()
    joined.send(0.0)
    joined.output.release()
    joined.spin(lambda: False, 0.1)
    assert joined.positions() == [0.0]
    assert joined.controller.canceled == 0, "what it holds, it goes on holding"


@pytest.mark.parametrize(
    ("way", "words"),
    [
        ("refuses", f"the goal 0.04 of {NAME} was rejected"),
        ("fails", f"the goal 0.04 of {NAME} was aborted, and the gripper did not stall"),
        ("moves", f"the goal 0.04 of {NAME} has no result after 5 s"),
        ("is deaf", f"the goal 0.04 of {NAME} was not answered after 5 s"),
    ],
)
def test_what_goes_wrong_is_said_and_tried_again_with_the_next_motion(
    way: str, words: str, join: Callable[..., Joined]
) -> None:
    joined = join()
    joined.serve()
    joined.controller.way = way
    joined.send(0.04)
    if way == "moves":
        assert joined.spin(lambda: joined.output._newest.handle)
    if way in ("moves", "is deaf"):
        joined.now += 4 * 10**9
        joined.spin(lambda: False, 0.1)
        assert joined.fault() == "", "it has a second more"
        joined.now += 2 * 10**9
    assert joined.spin(joined.fault)
    assert joined.fault() == words
    before = len(joined.controller.goals)
    joined.send(0.04)
    assert len(joined.controller.goals) == before, "not in every tick"
    joined.controller.way = "reaches"
    joined.output.repeat()
    joined.send(0.04)
    assert joined.settled()
    assert joined.fault() == ""
    assert joined.positions()[-1] == 0.04


def test_a_goal_that_a_newer_one_replaces_is_no_fault(join: Callable[..., Joined]) -> None:
    joined = join()
    joined.serve()
    joined.controller.way = "moves"
    joined.send(0.04)
    assert joined.spin(lambda: joined.positions() == [0.04])
    joined.controller.way = "reaches"
    joined.send(0.0)
    assert joined.settled()
    joined.now += 60 * 10**9
    assert joined.fault() == ""
    assert joined.positions() == [0.04, 0.0]


def test_a_controller_that_vanishes_is_missed_and_told_again(join: Callable[..., Joined]) -> None:
    joined = join()
    joined.serve()
    joined.send(0.0)
    assert joined.settled()
    joined.server.destroy()
    gone = f"nobody offers the action {NAME}: the gripper does not move"
    assert joined.spin(lambda: joined.fault() == gone)
    joined.send(0.04)
    assert joined.positions() == [0.0]
    joined.serve()
    joined.output.repeat()
    joined.send(0.04)
    assert joined.settled()
    assert joined.positions() == [0.0, 0.04]


def test_disarmed_while_it_moves_it_stays_where_it_is(join: Callable[..., Joined]) -> None:
    joined = join()
    joined.serve()
    joined.controller.way = "moves"
    joined.send(0.0)
    assert joined.spin(lambda: joined.output._newest.handle)
    joined.output.release()
    joined.send(None)
    assert joined.spin(lambda: joined.controller.canceled == 1)
    joined.now += 60 * 10**9
    assert joined.fault() == "", "nothing is waited for"
    joined.controller.way = "reaches"
    joined.send(0.0)
    assert joined.settled(), "armed again it is told again"
    assert joined.positions() == [0.0, 0.0]


def test_disarmed_before_the_goal_was_taken_it_is_canceled_then(
    join: Callable[..., Joined],
) -> None:
    joined = join()
    joined.serve()
    joined.controller.way = "moves"
    joined.output.send(0.0)
    joined.output.release()
    assert joined.spin(lambda: joined.controller.canceled == 1)


@pytest.mark.skipif(INSTALLED, reason="control_msgs is installed")
def test_without_control_msgs_configure_says_what_to_install(start: Any) -> None:
    from cosmos3_ros.robot.robot_file import config_folder

    robot = config_folder() / "generic_6axis.yaml"
    chosen = ["-p", "gripper_output:=gripper_command"]
    commander = start("commander", "--ros-args", "--params-file", robot, *chosen)
    assert commander.process.wait(30) == 1
    lines = [line for line in commander.output.splitlines() if "ERROR" in line]
    assert len(lines) == 1
    assert "cannot be configured: parameter 'gripper_output' is 'gripper_command'" in lines[0]
    assert apt_install("control_msgs") in lines[0]


class Commander(RestingArm):
    """The commander with one arm joint at 0.1 rad, and the controllers beside it, spun by hand."""

    patience = 20.0

    def __init__(self, controller: Controller) -> None:
        import rclpy
        from rclpy.executors import SingleThreadedExecutor
        from rclpy.parameter import Parameter

        from cosmos3_ros.nodes.commander_node import CommanderNode
        from cosmos3_ros.ros import topics
        from cosmos3_ros.ros.node_runner import bring_up

        values: dict[str, Any] = {"joints": ["a"], "lower": [-1.0], "upper": [1.0]}
        values |= {"velocity": [2.0], "acceleration": [8.0], "jerk": [200.0], "max_state_age": 9.0}
        values |= {"gripper_joint": "g", "gripper_output": "gripper_command", "gripper_dwell": 0.0}
        made = [Parameter(name, value=value) for name, value in values.items()]
        self.node = CommanderNode(parameter_overrides=made)
        self.controllers = rclpy.create_node("controller_manager")
        arm = topics.TRAJECTORY
        self.controllers.create_subscription(arm.type, arm.name, print, arm.qos)
        real = functools.partial(
            real_server, kind=getattr(sys.modules["control_msgs.action"], "GripperCommand", None)
        )
        self.server = (real if INSTALLED else StandInServer)(self.controllers, NAME, controller)
        self.executor = SingleThreadedExecutor()
        for node in (self.node, self.controllers):
            self.executor.add_node(node)
        assert bring_up(self.node), self.node.failure
        self.number = 0

    def chunk(self, gripper: float) -> None:
        """The arm stays, the gripper goes."""
        from cosmos3_ros.model.interface import ActionChunk
        from cosmos3_ros.ros.messages import chunk_message

        self.measure()
        self.number += 1
        rows = np.tile(np.array([0.1, gripper], np.float32), (60, 1))
        chunk = ActionChunk(rows, ("a", "g"), self.node.now(), 10**9 // 15, ("g",))
        said = {"instruction": "", "embodiment": "", "seconds": {}}
        self.node._on_chunk(chunk_message(chunk, number=self.number, **said))

    def arm(self) -> bool:
        from std_srvs.srv import SetBool

        answers: list[Any] = []

        def armed() -> bool:
            request, response = SetBool.Request(data=True), SetBool.Response()
            answers.append(self.node._on_arm(request, response))
            return bool(answers[-1].success)

        return self.spin(armed)

    def close(self) -> None:
        self.server.destroy()
        self.node.trigger_shutdown()
        self.executor.shutdown()
        for node in (self.node, self.controllers):
            node.destroy_node()


@pytest.fixture
def commander(domain: int, actions: None) -> Iterator[Callable[[Controller], Commander]]:
    import rclpy

    made: list[Commander] = []

    def function(controller: Controller) -> Commander:
        made.append(Commander(controller))
        return made[-1]

    rclpy.init(args=[])
    yield function
    for each in made:
        each.close()
    rclpy.shutdown()


def test_the_commander_sends_goals_while_it_is_armed_and_none_after_a_stop(
    commander: Callable[[Controller], Commander],
) -> None:
    from std_srvs.srv import Trigger

    controller = Controller()
    driven = commander(controller)

    def positions() -> list[float]:
        return [command.position for command in controller.goals]

    driven.spin(lambda: False, 0.3)
    driven.chunk(1.0)
    driven.spin(lambda: False, 0.3)
    assert positions() == [], "a dry run"
    assert driven.arm()
    driven.chunk(1.0)
    assert driven.spin(positions)
    driven.chunk(1.0)
    driven.spin(lambda: False, 0.3)
    assert positions() == [1.0], "a new motion is no reason for a new goal"
    controller.way = "moves"
    driven.chunk(0.0)
    assert driven.spin(lambda: len(positions()) == 2)
    driven.spin(lambda: False, 0.1)
    driven.node._on_stop(Trigger.Request(), Trigger.Response())
    assert driven.spin(lambda: controller.canceled == 1)
    driven.chunk(1.0)
    driven.spin(lambda: False, 0.3)
    assert positions() == [1.0, 0.0]
    assert driven.arm()
    controller.way = "fails"
    driven.chunk(0.0)
    assert driven.spin(lambda: len(positions()) == 3)
    words = f"the goal 0 of {NAME} was aborted, and the gripper did not stall"
    assert driven.spin(lambda: driven.node._watch.faults.now.get("gripper") == words)
    assert driven.node._fault(driven.node.now()) == "", "said, and the arm goes on"
