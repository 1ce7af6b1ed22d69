# SPDX-License-Identifier: Apache-2.0
"""What goes wrong around the commander in a random history; each ends by itself or is undone."""

from __future__ import annotations

import collections
from collections.abc import Callable
from typing import Any

import numpy as np
from commander_world import FAULTS, NS, Encoder, Random, Undo
from rclpy.parameter import Parameter

Disturb = Callable[[Any, Random], Undo]  # of a history, see `commander_histories.History`


def nothing() -> None:
    """There is nothing to undo."""


def freeze(history: Any, random: Random) -> Undo:
    """The arm's own emergency stop, or its brakes, of all joints or of some; released, it runs to
    its set point."""
    arm = history.world.arm
    some = random.random(len(arm.frozen)) < 0.3 if random.random() < 0.5 else True
    arm.frozen[:] = some
    return lambda: arm.frozen.fill(False)


def deactivate_controller(history: Any, random: Random) -> Undo:
    world = history.world
    world.controller.active = False
    return lambda: world.controller.activate(world.arm.position)


def second_publisher(history: Any, random: Random) -> Undo:
    """Another node says something else about the same joints."""
    world = history.world
    columns = [c for c in range(len(world.joints)) if random.random() < 0.8] or [0]
    other = Encoder(columns, random, 10 ** random.uniform(-0.3, 2.0))
    kind, past = random.integers(4), collections.deque(maxlen=int(random.integers(1, 100)))

    def delayed(where: np.ndarray) -> np.ndarray:
        past.append(where)
        return past[0]

    offset = random.normal(0.0, 10 ** random.uniform(-2, 0), len(world.joints))
    other.invents = (
        np.zeros_like,
        lambda where: where + offset,
        delayed,
        lambda where: np.where(np.arange(len(where)) % 2 == 0, where, 0.0),
    )[kind]
    other.ahead = int(random.choice([0.0, 0.0, 0.015, -0.1, 0.5, -3.0, -3600.0]) * NS)
    other.stamped = bool(random.random() < 0.8)
    world.encoders.append(other)
    history.node.names.append("joint_state_publisher")

    def undo() -> None:
        world.encoders.remove(other)
        history.node.names.remove("joint_state_publisher")

    return undo


def spoil_joint_states(history: Any, random: Random) -> Undo:
    encoder = history.world.encoders[random.integers(len(history.world.encoders))]
    encoder.fault = str(random.choice(FAULTS))
    return lambda: setattr(encoder, "fault", "")


def stamps_off(history: Any, random: Random) -> Undo:
    """The encoders' clock is off, of another epoch, or jumps back and forth."""
    encoders = list(history.world.encoders)
    away = [0.015, 0.1, 3.0, -0.1, -0.3, -1.5, -20.0, -history.world.clock / NS]
    for encoder in encoders:
        encoder.ahead = int(random.choice(away) * NS)
    return lambda: [setattr(encoder, "ahead", 0) for encoder in encoders] and None


def set_clock(history: Any, random: Random) -> Undo:
    """The commander's clock is set, as NTP or a simulation's reset does."""
    by = random.choice([-1, 1]) * 10 ** random.uniform(-2, 2)
    history.world.offset += max(int(by * NS), -history.world.clock + NS)
    return nothing


def stall(history: Any, random: Random) -> Undo:
    """The process does not run for a while."""
    history.stalled_until = history.world.time + int(10 ** random.uniform(-1.6, 0.3) * NS)
    return nothing


def put_elsewhere(history: Any, random: Random) -> Undo:
    """As a simulation's reset does."""
    world = history.world
    by = random.normal(0.0, 10 ** random.uniform(-1.5, 0.2), len(world.joints))
    target = np.clip(world.arm.position + by, world.limits.lower, world.limits.upper)
    world.arm.put(target, world.time)
    if random.random() < 0.5:
        world.controller.activate(target)
    return nothing


def push(history: Any, random: Random) -> Undo:
    """Somebody moves the arm by hand, and its controller does nothing about it."""
    world, arm = history.world, history.world.arm
    arm.pushed = world.limits.velocity * random.uniform(-0.5, 0.5, len(world.joints))
    return lambda: setattr(arm, "pushed", None)


def stop_topic(history: Any, random: Random) -> Undo:
    history.stop_topic(True)
    return lambda: history.stop_topic(False)


def stop_service(history: Any, random: Random) -> Undo:
    history.stop_service()
    return nothing


def disarm(history: Any, random: Random) -> Undo:
    history.arm(False)
    return nothing


def arm(history: Any, random: Random) -> Undo:
    history.arm(True)
    return nothing


def deactivate(history: Any, random: Random) -> Undo:
    """A transition of the node, with a clean-up now and then."""
    history.deactivate(clean_up=bool(random.random() < 0.3))
    return history.activate


def parameters(history: Any, random: Random) -> Undo:
    """Live parameters change."""
    values: dict[str, Any] = {
        "max_jump": random.uniform(0.02, 1.0),
        "clip": random.uniform(0.0, 0.2),
        "blend_rows": int(random.integers(0, 9)),
        "smooth_rows": random.choice([0.0, 3.0, 10.0]),
        "watchdog_rows": int(random.integers(0, 5)),
        "recovery": str(random.choice(["automatic", "explicit"])),
    }
    name = str(random.choice(list(values)))
    value = values[name] if isinstance(values[name], (int, str)) else float(values[name])
    before = getattr(history.node.params, name)
    history.node.set_parameters([Parameter(name, value=value)])
    return lambda: history.node.set_parameters([Parameter(name, value=before)]) and None


def wild_chunks(history: Any, random: Random) -> Undo:
    history.world.policy.wild = random.uniform(0.2, 1.0)
    return lambda: setattr(history.world.policy, "wild", 0.0)


def no_chunks(history: Any, random: Random) -> Undo:
    history.world.policy.pauses = True
    return lambda: setattr(history.world.policy, "pauses", False)


def two_policies(history: Any, random: Random) -> Undo:
    history.node.policies = 2
    return lambda: setattr(history.node, "policies", 1)


def no_listener(history: Any, random: Random) -> Undo:
    history.node.listeners = 0
    return lambda: setattr(history.node, "listeners", 1)


DISTURBANCES: tuple[Disturb, ...] = (
    freeze,
    deactivate_controller,
    second_publisher,
    spoil_joint_states,
    stamps_off,
    set_clock,
    stall,
    put_elsewhere,
    push,
    stop_topic,
    stop_service,
    disarm,
    arm,
    deactivate,
    parameters,
    wild_chunks,
    no_chunks,
    two_policies,
    no_listener,
)
