# SPDX-License-Identifier: Apache-2.0
"""The lifecycle node that all nodes here are.

configure = check parameters and load (slow, loud), activate = begin, deactivate = stop safely,
cleanup = let go.
"""

from __future__ import annotations

import dataclasses
import time
import traceback
import types
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from lifecycle_msgs.msg import State
from rclpy._rclpy_pybind11 import RCLError as _RCLError
from rclpy.action import ActionClient, ActionServer
from rclpy.client import Client
from rclpy.clock import Clock, ClockType
from rclpy.event_handler import SubscriptionEventCallbacks, UnsupportedEventTypeError
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import QoSProfile

from ..execution.stamp_judge import AHEAD, AHEAD_SIMULATED
from ..model.option_fields import fields, param
from .arguments import Known, check_given
from .parameters import Parameters
from .topics import Service, Topic
from .watch.input_watch import InputWatch

P = TypeVar("P")
_DONE = {
    "setup": "configured",
    "start": "activated",
    "stop": "deactivated",
    "teardown": "cleaned up",
}


@dataclasses.dataclass(frozen=True)
class LifecycleParams:
    """The parameters of every managed node."""

    autostart: bool = param(True, "configure and activate when the process starts")


class ManagedNode(LifecycleNode, Generic[P]):
    """A lifecycle node whose parameters are the dataclass `params_class`.

    Subclasses fill `setup`, `start`, `stop` and `teardown`; an exception in one is logged (one line
    for the expected ValueError and OSError, the traceback for others) and refuses the transition.
    """

    def __init__(
        self,
        name: str,
        params_class: type[P],
        known: Known = types.MappingProxyType({}),
        **kwargs: Any,
    ) -> None:
        """known: the parameters of other nodes, which sections for many may hold too.

        ValueError names a wrong parameter, or one that no node has.
        """
        super().__init__(name, **kwargs)
        given = {name: setting.value for name, setting in self._parameter_overrides.items()}
        check_given(name, given, fields(params_class), known)
        self.failure = ""  # why the last transition was refused
        self._made: list[tuple[Callable[[Any], Any], Any]] = []
        self._steady_clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.inputs = InputWatch(self, self.steady)
        self.parameters: Parameters[P] = Parameters(
            self, params_class, locked=lambda: self.is_in_use
        )

    @property
    def params(self) -> P:
        """The parameters as they are now."""
        return self.parameters.values

    @property
    def state_id(self) -> int:
        """lifecycle_msgs/State id of this node."""
        return self._state_machine.current_state[0]

    @property
    def is_in_use(self) -> bool:
        """Configured or on the way there."""
        return self.state_id not in (
            State.PRIMARY_STATE_UNCONFIGURED,
            State.PRIMARY_STATE_FINALIZED,
        )

    def setup(self) -> None:
        """Load and create everything."""

    def start(self) -> None:
        """Begin to work."""

    def stop(self) -> None:
        """Stop working, safely; called only after `start`."""

    def teardown(self) -> None:
        """Let go of what `setup` made besides topics, services and timers.

        Called after a failed setup too.
        """

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = (
            self._attempt(self.setup)
            and super().on_configure(state) == TransitionCallbackReturn.SUCCESS
        )
        if not done:
            self._let_go()
        else:
            self.every(0.25, self._watch_inputs, steady=True)
        return TransitionCallbackReturn.SUCCESS if done else TransitionCallbackReturn.FAILURE

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        super().on_activate(state)
        return (
            TransitionCallbackReturn.SUCCESS
            if self._attempt(self.start)
            else TransitionCallbackReturn.FAILURE
        )

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        done = self._attempt(self.stop)
        super().on_deactivate(state)
        return TransitionCallbackReturn.SUCCESS if done else TransitionCallbackReturn.ERROR

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        return (
            TransitionCallbackReturn.SUCCESS if self._let_go() else TransitionCallbackReturn.ERROR
        )

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        if state.state_id == State.PRIMARY_STATE_ACTIVE:
            self._attempt(self.stop)
        self._let_go()
        return TransitionCallbackReturn.SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        self._let_go()
        return TransitionCallbackReturn.SUCCESS

    def advertise(self, topic: Topic) -> Any:
        """A publisher that is silent while the node is not active."""
        publisher = self.create_lifecycle_publisher(topic.type, topic.name, topic.qos)
        self._made.append((self.destroy_lifecycle_publisher, publisher))
        return publisher

    def subscribe(self, topic: Topic, callback: Callable[[Any], None], **kwargs: Any) -> Any:
        """A subscription that lives until cleanup, and is watched: see `InputWatch`."""
        watched = self.inputs.add(topic)
        counted, events = self.inputs.counted(watched, callback)
        what = (topic.type, topic.name, counted, topic.qos)
        try:
            subscription = self.create_subscription(*what, event_callbacks=events, **kwargs)
        except UnsupportedEventTypeError:  # not every middleware counts what was lost
            subscription = self.create_subscription(*what, **kwargs)
        self._made.append((self.destroy_subscription, subscription))
        self._made.append((self.inputs.remove, watched.name))
        return subscription

    def subscribe_with_info(
        self, topic: Topic, qos: QoSProfile, callback: Callable[[Any, dict[str, Any]], None]
    ) -> None:
        """One of several subscriptions of a topic, of which one at least hears each publisher.

        callback(message, what rclpy says of its sending).
        """

        def heard(message: Any, info: Any) -> None:
            callback(message, info)

        subscription = self.create_subscription(
            topic.type,
            topic.name,
            cast(Any, heard),  # Jazzy's types know callbacks of one argument only
            qos,
            event_callbacks=SubscriptionEventCallbacks(use_default_callbacks=False),
        )
        self._made.append((self.destroy_subscription, subscription))

    def offer(self, service: Service, callback: Callable[[Any, Any], Any], **kwargs: Any) -> None:
        """A service that lives until cleanup."""
        self._made.append(
            (
                self.destroy_service,
                self.create_service(service.type, service.name, callback, **kwargs),
            )
        )

    def serve(self, server: ActionServer) -> None:
        """Keep the server of an action until cleanup."""
        self._made.append((ActionServer.destroy, server))

    def service_client(self, service: Service) -> Any:
        """A client of a service that lives until cleanup."""
        client: Client = self.create_client(service.type, service.name)
        self._made.append((self.destroy_client, client))
        return client

    def action_client(self, kind: Any, name: str) -> ActionClient:
        """A client of an action that lives until cleanup."""
        client: ActionClient = ActionClient(self, kind, name)
        self._made.append((ActionClient.destroy, client))
        return client

    def every(self, seconds: float, callback: Callable[[], None], steady: bool = False) -> None:
        """Call `callback` at this period until cleanup, while the node is active.

        steady: of the steady clock, which goes on when simulated time does not.
        """

        def tick() -> None:
            if self.state_id == State.PRIMARY_STATE_ACTIVE:
                callback()

        clock = self._steady_clock if steady else self.get_clock()
        self._made.append((self.destroy_timer, self.create_timer(seconds, tick, clock=clock)))

    def now(self) -> int:
        """The node's clock in ns (simulated time if use_sim_time)."""
        return self.get_clock().now().nanoseconds

    @property
    def most_ahead(self) -> int:
        """How far (ns) a stamp may be ahead of its message's reception."""
        return AHEAD_SIMULATED if self.get_parameter("use_sim_time").value else AHEAD

    def steady(self) -> int:
        """A clock in ns that nobody sets and no simulation stops."""
        return time.monotonic_ns()

    def _watch_inputs(self) -> None:
        self.inputs.check_clock(bool(self.get_parameter("use_sim_time").value), self.now())
        self.inputs.check()

    def _attempt(self, step: Callable[[], None]) -> bool:
        try:
            step()
        except (ValueError, OSError) as error:
            self.failure = str(error)
            self.get_logger().error(f"cannot be {_DONE[step.__name__]}: {error}")
            return False
        except Exception as error:  # rclpy would swallow it without a word
            self.failure = f"{type(error).__name__}: {error}"
            self.get_logger().error(
                f"cannot be {_DONE[step.__name__]}: unexpected error\n{traceback.format_exc()}"
            )
            return False
        return True

    def _let_go(self) -> bool:
        self.parameters.changed = lambda names: None  # what it would change is gone
        done = self._attempt(self.teardown)
        while self._made:
            destroy, entity = self._made.pop()
            destroy(entity)
        return done

    def _LifecycleNodeMixin__change_state(  # noqa: N802
        self, transition_id: int
    ) -> TransitionCallbackReturn:
        """Refuse a transition that this state does not have instead of raising (rclpy#1209)."""
        try:
            return super()._LifecycleNodeMixin__change_state(transition_id)  # type: ignore[misc]
        except _RCLError as error:
            self.get_logger().error(
                f"transition {transition_id} refused in state "
                f"{self._state_machine.current_state[1]}: {error}"
            )
            return TransitionCallbackReturn.FAILURE
