# SPDX-License-Identifier: Apache-2.0
"""Runs episodes of the simulation over ROS: resets, arms, watches, and films if wanted."""

from __future__ import annotations

import contextlib
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from std_srvs.srv import SetBool

from ..model.interface import NS
from ..msg import CommanderStatus
from ..ros.messages import to_ns
from ..srv import ResetTask
from .domain_check import check_alone
from .episode_report import Episode, say, too_late
from .film import Film, Layout
from .joint_plot import Track
from .topic_recorder import Recorder, wait_until

RATE = 15  # frames per second of the film
REST = 5.0  # s within which an arm that was disarmed stands: what it does is not reset in mid-brake


class EpisodeRunner:
    """Runs episodes on a recorder and films them, if there is a film, with its layout."""

    def __init__(
        self, recorder: Recorder, film: Film | None = None, layout: Layout | None = None
    ) -> None:
        self._recorder, self._film, self._filming = recorder, film, False
        self._layout = layout
        self._title = ""
        self._start = 0.0
        self._next = 0
        if film:
            recorder.on_image = self._on_image

    def episode(
        self,
        task: str,
        seed: int,
        time_limit: float,
        alive: Any,
        over: Callable[[], bool] = lambda: False,
    ) -> Episode:
        """Reset, instruct, arm, watch until success, the time limit or `over`, disarm.

        ValueError as of `check_alone`, before anything is called.
        """
        recorder = self._recorder
        check_alone(recorder)
        self._disarm(alive)
        last = recorder.status.episode if recorder.status else 0
        scene = recorder.call(ResetTask, "sim/reset_task", task=task, seed=seed)
        if not scene.success:
            raise ValueError(f"the simulation refused task {task!r}: {scene.message}")
        begun = lambda: recorder.status is not None and recorder.status.episode > last  # noqa: E731
        wait_until(begun, 10, "the new episode", alive)
        recorder.begin()
        before = recorder.commander
        recorder.instruct(scene.instruction)
        wait_until(self._arm, 10, "arming the commander", alive)
        self._title, self._filming = f"{task}, seed {seed}: {scene.instruction}", True
        start = self._start = time.monotonic()
        while (
            time.monotonic() - start < time_limit
            and not (recorder.status and recorder.status.success)
            and not over()
        ):
            alive()
            self._live(time.monotonic() - start)
            time.sleep(0.1)
        self._filming = False
        seconds = time.monotonic() - start
        print(end="\n" if sys.stdout.isatty() else "")
        episode = self._result(task, seed, scene.instruction, seconds, before)
        outcome = "solved" if episode.success else "not solved"
        say(f"{self._title}: {outcome} after {seconds:.1f} s, {episode.chunks} chunks")
        if why := too_late(episode):
            say(why)
        return episode

    def _result(
        self, task: str, seed: int, instruction: str, seconds: float, before: CommanderStatus | None
    ) -> Episode:
        """What the recorder has of the episode; before: what the commander said as it began."""
        recorder = self._recorder
        status, after = recorder.status, recorder.commander
        assert status is not None
        assert before is not None
        assert after is not None
        return Episode(
            task=task,
            seed=seed,
            instruction=instruction,
            success=bool(status.success),
            seconds=seconds,
            chunks=len(recorder.latencies),
            latencies=[latency["total"] for latency in recorder.latencies],
            command_rate=len(recorder.commanded) / seconds,
            real_time_factor=statistics.mean(recorder.factors or [status.real_time_factor]),
            late=recorder.late,
            chunk_seconds=recorder.chunk_seconds,
            waits=recorder.waits,
            rejected=int(after.rejected - before.rejected),
            limited=int(after.limited - before.limited),
        )

    @property
    def elapsed(self) -> float:
        """How long the running episode has lasted, by the simulation's clock, s."""
        status = self._recorder.status
        return float(status.elapsed) if status else 0.0

    def track(self, episode: Episode) -> Track:
        """The joints of the episode that was the last."""
        recorder, width = self._recorder, 1 + len(self._recorder.joints)
        commanded, measured = (
            np.reshape(rows, (-1, width)) for rows in (recorder.commanded, recorder.measured)
        )
        outcome = "solved" if episode.success else "not solved"
        title = f"{episode.task}, seed {episode.seed}: {outcome}"
        return Track(title, commanded, measured, [*recorder.chunk_times])

    def _disarm(self, alive: Callable[[], None]) -> None:
        """And wait until the arm stands, or a while, for a simulation that does not go on.

        An arm that rests in mid-episode is still told to: set points that come after a reset would
        lead it back.
        """
        recorder = self._recorder
        recorder.call(SetBool, "commander/arm", data=False)
        since = recorder.newest
        with contextlib.suppress(TimeoutError):
            wait_until(lambda: recorder.stands(since), REST, "the end of braking", alive)

    def _arm(self) -> bool:
        return self._recorder.call(SetBool, "commander/arm", data=True).success

    def _live(self, elapsed: float) -> None:
        """The line of a terminal, which is written anew all the time."""
        if sys.stdout.isatty():
            mode, _ = self._state()
            numbers = f"{mode:8s} {self._chunks():24s}  {self._real_time()}"
            print(f"\r{elapsed:5.1f} s  {numbers}  ", end="", flush=True)

    def _state(self) -> tuple[str, str]:
        """What the commander does, and why."""
        commander = self._recorder.commander
        return (commander.mode, commander.reason) if commander else ("?", "")

    def _chunks(self) -> str:
        latencies = self._recorder.latencies
        if not latencies:
            return "no chunk yet"
        return f"chunk {len(latencies):3d}  latency {latencies[-1]['total'] * 1e3:5.0f} ms"

    def _real_time(self) -> str:
        status = self._recorder.status
        return f"real time x{status.real_time_factor:.2f}" if status else ""

    def _words(self) -> list[tuple[str, str]]:
        """What stands beside the pictures."""
        recorder = self._recorder
        mode, reason = self._state()
        commander, scene = recorder.commander, recorder.scene
        rejected = commander.last_rejection if commander and mode != "playing" else ""
        # what was said of the last episode is of no use
        said = scene if scene and to_ns(scene.header.stamp) >= recorder.started else None
        found = [
            ("task", self._title),
            (
                f"commander, {time.monotonic() - self._start:.1f} s",
                f"{mode}: {reason}" if reason else mode,
            ),
            ("policy", f"{self._chunks()}, {self._real_time()}"),
            ("last chunk that it rejected", rejected),
            ("reasoner", said.text if said else ""),
        ]
        return [(title, text) for title, text in found if text]

    def _on_image(self, stamp: int) -> None:
        if not self._filming or stamp < self._next or not self._film or not self._layout:
            return
        self._next = stamp + NS // RATE - NS // 100
        recorder = self._recorder
        self._film.add(
            self._layout.picture(recorder.images, recorder.predicted(stamp), self._words())
        )
