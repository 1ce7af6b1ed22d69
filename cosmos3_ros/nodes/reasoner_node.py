# SPDX-License-Identifier: Apache-2.0
"""The reasoner node: describes the scene at a bounded rate, answers questions about images."""

from __future__ import annotations

import concurrent.futures
import functools
import os
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
from lifecycle_msgs.msg import State
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image

from ..execution.recent.recent_pictures import RecentPictures
from ..execution.stamp_judge import StampJudge
from ..model.interface import NS, Clip, Reasoner, warm_up_reasoner
from ..msg import Scene
from ..robot.images import to_rgb
from ..ros import topics
from ..ros.lifecycle import ManagedNode
from ..ros.messages import scene_message, to_ns, to_time
from ..ros.worker_thread import LAST
from ..serve.clients.reasoner_client import RemoteReasoner
from ..srv import Ask
from .known_parameters import KNOWN
from .reasoner_params import Params


class ReasonerNode(ManagedNode[Params]):
    """See the module.

    `load` makes the reasoner from the parameters; it is called at configure, if it is not remote.
    """

    def __init__(self, load: Callable[[Params], Reasoner], **kwargs: Any) -> None:
        super().__init__("reasoner", Params, KNOWN, **kwargs)
        self._load = load
        self._remote: RemoteReasoner | None = None
        self._thread: concurrent.futures.ThreadPoolExecutor | None = None

    def setup(self) -> None:
        p = self.params
        self._remote = p.remote()
        self._reasoner: Reasoner = self._remote or self._load(p)
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "reason", os.nice, (LAST,))
        if (p.compile or p.cuda_graphs) and not self._remote:
            self._warm_up(self._thread)
        self._pictures = {
            view: RecentPictures[Image | CompressedImage](p.video_seconds, p.video_rate)
            for view in p.views
        }
        self._refused: dict[str, str] = {}  # why the last image of a view is not used
        self._judges = {view: StampJudge(int(p.max_age * NS), self.most_ahead) for view in p.views}
        self._running: concurrent.futures.Future[Scene] | None = None
        self._next = 0
        self._faults: set[str] = set()  # told since the last scene; they may take turns
        self._scenes = self.advertise(topics.SCENE)
        for view in p.views:
            self.subscribe(
                topics.camera(view, p.image_transport, p.image_reliability),
                self._on_image(view),
            )
        self.offer(topics.REASONER.offers[0], self._on_ask, callback_group=ReentrantCallbackGroup())
        self.every(0.05, self._look)
        self.get_logger().info(f"reasoner ready{f', asks {p.remote_url}' if p.remote_url else ''}")

    def _warm_up(self, thread: concurrent.futures.Executor) -> None:
        """Compile and record at configure, not when the first question comes."""
        self.get_logger().info(
            "warm-up: compiling; a minute or so the first time, less when it was done before"
        )
        count = len(self.params.views)
        thread.submit(warm_up_reasoner, self._reasoner, self.params.question, count).result()

    def stop(self) -> None:
        self._forget()
        if self._remote:
            self._remote.cancel()

    def teardown(self) -> None:
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)
            if self._remote:
                self._remote.cancel(for_good=True)
            self._thread.shutdown()
        self._thread = self._remote = None
        self._reasoner = None  # type: ignore[assignment]  # gives the memory back

    def _on_image(self, view: str) -> Callable[[Image | CompressedImage], None]:
        def store(message: Image | CompressedImage) -> None:
            verdict = self._judges[view].judge(to_ns(message.header.stamp), self.now())
            if verdict.jumped:
                self.get_logger().warning(
                    f"camera {view}: the clock jumped back; everything older is forgotten"
                )
                self._forget()
            if verdict.note:
                self.get_logger().info(f"camera {view}: {verdict.note}")
            self._refused[view] = verdict.fault
            if not verdict.fault:
                message.header.stamp = to_time(verdict.stamp)
                self._pictures[view].add(verdict.stamp, message)

        return store

    def _forget(self) -> None:
        """Nothing seen before counts any more."""
        for pictures in self._pictures.values():
            pictures.clear()
        self._refused.clear()
        for judge in self._judges.values():
            judge.forget()
        self._next = 0

    async def _on_ask(self, request: Ask.Request, response: Ask.Response) -> Ask.Response:
        """Waits as a coroutine, so that images go on arriving while the thread thinks."""
        try:
            if self.state_id != State.PRIMARY_STATE_ACTIVE or self._thread is None:
                raise ValueError("the reasoner node is not active")
            if not request.question.strip():
                raise ValueError("the question is empty")
            self._check_seconds(request.seconds)
            job = self._thread.submit(
                self._reason,
                request.question,
                list(request.views) or self.params.views,
                request.max_tokens or self.params.max_tokens,
                seconds=request.seconds,
            )
            done: Future = Future()
            job.add_done_callback(functools.partial(self._wake, done))
            await done
            response.scene, response.success = job.result(), True
        except (ValueError, OSError) as error:
            response.message = str(error)
        except concurrent.futures.CancelledError:
            response.message = "the reasoner node was stopped"
        # of torch, of OpenCV: this question has failed, the next one may not
        except Exception as error:
            self.get_logger().error(f"a question was not answered\n{traceback.format_exc()}")
            response.message = f"{type(error).__name__}: {error}"
        return response

    def _wake(self, done: Future, job: concurrent.futures.Future[Scene]) -> None:
        done.set_result(None)
        if self.executor:
            self.executor.wake()

    def _look(self) -> None:
        """Begin the next scene if it is due and nothing runs."""
        now = self.now()
        if (
            self.params.rate == 0
            or now < self._next
            or (self._running and not self._running.done())
        ):
            return
        self._next = now + int(NS / self.params.rate)
        assert self._thread
        self._running = self._thread.submit(
            self._reason,
            self.params.question,
            self.params.views,
            self.params.max_tokens,
            tuple(self.params.checks),
        )
        self._running.add_done_callback(self._publish)

    def _reason(
        self,
        question: str,
        views: list[str],
        max_tokens: int,
        checks: tuple[str, ...] = (),
        seconds: float = 0.0,
    ) -> Scene:
        seen = [self._recent(view, seconds) for view in views]  # once: newer ones come meanwhile
        stamp = min(to_ns(messages[-1].header.stamp) for messages in seen)
        images = [
            self._shown(view, messages, seconds > 0)
            for view, messages in zip(views, seen, strict=True)
        ]
        answer = self._reasoner.ask(question, images, max_tokens)
        yes = {check: self._reasoner.ask(check, images, 1).yes for check in checks}
        return scene_message(answer, stamp=stamp, views=views, question=question, checks=yes)

    def _check_seconds(self, seconds: float) -> None:
        """ValueError if no video of so many seconds can be shown."""
        kept = self.params.video_seconds
        if not 0 <= seconds <= kept:
            raise ValueError(
                f"seconds: expected 0 to {kept:g} (parameter video_seconds), got {seconds:g}"
            )

    def _recent(self, view: str, seconds: float) -> list[Image | CompressedImage]:
        """The pictures of a view's last seconds, oldest first; of 0 s the newest."""
        newest = self._newest(view)
        if not seconds:
            return [newest]
        return [message for _, message in self._pictures[view].last(seconds)]

    def _shown(
        self, view: str, messages: list[Image | CompressedImage], moves: bool
    ) -> np.ndarray | Clip:
        """What the reasoner is shown of a view: a video if it `moves`, else its only picture."""
        try:
            pictures = [to_rgb(message) for message in messages]
        except ValueError as error:
            raise ValueError(f"camera {view}: {error}") from error
        if not moves:
            return pictures[0]
        stamps = np.array([to_ns(message.header.stamp) for message in messages])
        return Clip(pictures, (stamps - stamps[0]) // 1_000_000, 1000.0)

    def _newest(self, view: str) -> Image | CompressedImage:
        if view not in self.params.views:
            raise ValueError(f"no view {view!r}; there are {self.params.views}")
        refused, message = self._refused.get(view), self._pictures[view].newest
        if message is None:
            why = f", the last one cannot be used: {refused}" if refused else " yet"
            raise ValueError(f"no image from view {view!r}{why}")
        age = (self.now() - to_ns(message.header.stamp)) / NS
        if age > self.params.max_age:
            why = f", the last one cannot be used: {refused}" if refused else ""
            raise ValueError(
                f"the image from view {view!r} is {age:.2f} s old, limit "
                f"{self.params.max_age:.2f} s{why}"
            )
        return message

    def _publish(self, done: concurrent.futures.Future[Scene]) -> None:
        if done.cancelled():
            return
        if fault := str(done.exception() or ""):
            kind = fault.split(" is ", maxsplit=1)[0]  # without the age, which changes
            if kind not in self._faults:
                self.get_logger().warning(f"no scene: {fault}")
            self._faults.add(kind)
            return
        if self._faults:
            self.get_logger().info("scenes again")
            self._faults.clear()
        self._scenes.publish(done.result())
