# SPDX-License-Identifier: Apache-2.0
"""From a chunk to a motion within limits that ends at rest. Pure numpy; times in integer ns, joints in float64.

A motion always ends at rest, so whatever dies upstream, an arm that only follows its last motion comes to a stop.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from .model.interface import NS, ActionChunk

STEP = NS // 100  # resolution of a motion
GAIN = 12.0  # 1/s: how fast a tracking error is caught up, within the limits
SETTLE = 5 * NS  # give a motion at most this long to come to rest after the last row
AT_REST = (1e-4, 1e-3)  # rad of error and rad/s of speed below which it is over


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Per joint: position range (rad or m), largest speed and acceleration. float64 [N] each."""

    lower: np.ndarray
    upper: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray

    def __post_init__(self) -> None:
        sizes = {field.name: getattr(self, field.name).shape for field in dataclasses.fields(self)}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"limits: expected equal lengths, got { {name: size[0] for name, size in sizes.items()} }")
        if not (self.lower < self.upper).all():
            raise ValueError("limits: expected lower < upper for every joint")
        if not ((self.velocity > 0).all() and (self.acceleration > 0).all()):
            raise ValueError("limits: expected positive velocities and accelerations")


@dataclasses.dataclass(frozen=True, slots=True)
class Motion:
    """Sampled motion: positions and velocities float64 [T, N], row k at `start + k * STEP`; it ends at rest.

    limited: at how many of the samples a limit slowed it down.
    """

    start: int
    positions: np.ndarray
    velocities: np.ndarray
    limited: int = 0

    @property
    def end(self) -> int:
        """When it is at rest, ns."""
        return self.start + (len(self.positions) - 1) * STEP

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray]:
        """Position and velocity float64 [N] due at `now`; at rest after the end."""
        place = (now - self.start) / STEP
        if place >= len(self.positions) - 1:
            return self.positions[-1].copy(), np.zeros_like(self.positions[-1])
        row, part = int(max(place, 0.0)), max(place, 0.0) % 1.0
        position = (1 - part) * self.positions[row] + part * self.positions[row + 1]
        return position, (1 - part) * self.velocities[row] + part * self.velocities[row + 1]


def rest(position: np.ndarray, now: int) -> Motion:
    """Staying at `position` from `now` on."""
    return Motion(now, position[None].astype(np.float64), np.zeros((1, len(position))))


def brake(position: np.ndarray, velocity: np.ndarray, now: int, limits: Limits) -> Motion:
    """Decelerate from here to rest at half the acceleration limit, joint by joint."""
    rate = limits.acceleration / 2
    duration = np.abs(velocity) / rate
    times = np.arange(int(np.ceil(duration.max() * NS / STEP)) + 1)[:, None] * STEP / NS
    run = np.minimum(times, duration)
    velocities = np.sign(velocity) * np.maximum(np.abs(velocity) - rate * times, 0.0)
    positions = position + velocity * run - 0.5 * np.sign(velocity) * rate * run**2
    return Motion(now, np.clip(positions, limits.lower, limits.upper), velocities)


def follow(chunk: ActionChunk, position: np.ndarray, velocity: np.ndarray, now: int, limits: Limits) -> Motion:
    """The motion from here along the rows that are still to come, within the limits, to rest at the last row.

    chunk: columns = the joints of `position`. Raises ValueError if no row is left at `now`.
    """
    times, knots = _path(chunk, position, now)
    grid = np.arange(now, int(times[-1]) + STEP, STEP)
    goals, speeds = _hermite(times, knots, velocity, grid)
    goals = np.clip(goals, limits.lower, limits.upper)
    return _track(goals, speeds, position, velocity, now, limits)


def _path(chunk: ActionChunk, position: np.ndarray, now: int) -> tuple[np.ndarray, np.ndarray]:
    """Where to be when: the current position now, then every row that is due at least half a step from now."""
    due = chunk.times()
    keep = due > now + chunk.step // 2
    keep[-1] |= due[-1] > now
    if not keep.any():
        raise ValueError(f"chunk is over: its last row was due {(now - chunk.end) / NS:.3f} s ago")
    times = np.concatenate([[now], due[keep]])
    return times, np.concatenate([position[None], chunk.values[keep].astype(np.float64)])


def _hermite(
    times: np.ndarray, knots: np.ndarray, velocity: np.ndarray, grid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cubic through the knots (velocities: ours at first, zero at last, central differences between)."""
    seconds = (times - times[0]) / NS
    slopes = np.zeros_like(knots)
    slopes[0] = velocity
    slopes[1:-1] = (knots[2:] - knots[:-2]) / (seconds[2:] - seconds[:-2])[:, None]
    at = np.minimum((grid - times[0]) / NS, seconds[-1])
    left = np.clip(np.searchsorted(seconds, at, side="right") - 1, 0, len(seconds) - 2)
    width = (seconds[left + 1] - seconds[left])[:, None]
    u = ((at - seconds[left]) / width[:, 0])[:, None]
    a, b, da, db = knots[left], knots[left + 1], slopes[left] * width, slopes[left + 1] * width
    value = (1 + 2 * u) * (1 - u) ** 2 * a + u * (1 - u) ** 2 * da + u**2 * (3 - 2 * u) * b - u**2 * (1 - u) * db
    slope = 6 * u * (1 - u) * (b - a) + (1 - u) * (1 - 3 * u) * da + u * (3 * u - 2) * db
    return value, slope / width


def _track(
    goals: np.ndarray, speeds: np.ndarray, position: np.ndarray, velocity: np.ndarray, now: int, limits: Limits
) -> Motion:
    """Follow goals [T, N] as closely as speed, acceleration and position limits let, then settle on the last one."""
    dt = STEP / NS
    positions, velocities, limited = [position.astype(np.float64)], [velocity.astype(np.float64)], 0
    last, still = len(goals) - 1, np.zeros_like(position)
    for k in range(1, last + SETTLE // STEP):
        goal, speed = (goals[k], speeds[k]) if k <= last else (goals[last], still)
        here, pace = positions[-1], velocities[-1]
        error = goal - here
        catch_up = np.sign(error) * np.minimum(GAIN * np.abs(error), np.sqrt(limits.acceleration * np.abs(error)))
        wanted = speed + catch_up
        allowed = np.clip(wanted, -limits.velocity, limits.velocity)
        room_up = np.sqrt(limits.acceleration * np.maximum(limits.upper - here, 0.0))
        room_down = np.sqrt(limits.acceleration * np.maximum(here - limits.lower, 0.0))
        allowed = np.clip(allowed, -room_down, room_up)
        step = np.clip(allowed - pace, -limits.acceleration * dt, limits.acceleration * dt)
        limited += bool((np.abs(pace + step - wanted) > 0.05 * limits.velocity).any())
        velocities.append(pace + step)
        positions.append(np.clip(here + (pace + 0.5 * step) * dt, limits.lower, limits.upper))
        if (
            k >= last
            and (np.abs(positions[-1] - goals[last]) < AT_REST[0]).all()
            and (np.abs(velocities[-1]) < AT_REST[1]).all()
        ):
            break
    velocities[-1] = still
    return Motion(now, np.array(positions), np.array(velocities), limited)
