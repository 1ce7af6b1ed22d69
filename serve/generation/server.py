# SPDX-License-Identifier: Apache-2.0
"""Pictures, videos and actions for OpenAI's clients, and those of vLLM-Omni and SGLang.

/v1/images/generations and /v1/actions/generations answer when they are done; /v1/videos promises a
video, which is asked for by its id. The network makes one thing at a time.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from aiohttp import web

from ..http.errors import BadRequestError, RefusedError
from ..http_server import HttpServer
from ..job_queue import JobQueue
from ..openai_server import reply_error
from .asked import ACTION, EXTRA_OF_ACTIONS, read_actions, read_picture, read_video, renamed
from .checks import check_actions, check_video, in_thread
from .engine import Engine
from .form import read_form
from .job_store import COMPLETED, Job, JobStore, new_id
from .video_jobs import StoppedError, VideoJobs

T = TypeVar("T")
MOST_LISTED = 100


@dataclasses.dataclass(frozen=True, slots=True)
class GeneratorOptions:
    """How to serve."""

    folder: Path  # of jobs and results
    name: str  # what clients call the model
    token: str = ""  # see `auth`
    keep: float = 86_400.0  # seconds that results stay
    waiting: int = 16  # requests that may wait or run


class GeneratorServer:
    """See the module. load: makes the engine, while clients may connect already."""

    def __init__(self, load: Callable[[], Engine], options: GeneratorOptions) -> None:
        self._load, self._options = load, options
        # what may wait is counted before it is promised
        self._queue = JobQueue(1 << 30)
        self._store = JobStore(options.folder, options.keep)
        self._jobs = VideoJobs(self._store, self._queue, options.waiting)
        self._direct = 0  # requests that wait for their answer
        self._engine: Engine | None = None
        self._created = int(time.time())
        routes = [
            web.post("/v1/images/generations", self._pictures),
            web.post("/v1/actions/generations", self._actions),
            web.post("/v1/videos", self._create),
            web.post("/v1/videos/sync", self._create_and_wait),
            web.get("/v1/videos", self._list),
            web.get("/v1/videos/{id}", self._retrieve),
            web.get("/v1/videos/{id}/content", self._content),
            web.delete("/v1/videos/{id}", self._delete),
            web.get("/v1/models", self._models),
        ]
        self._server = HttpServer(routes, options.token, reply_error, self._queue, self._open)

    async def run(
        self, host: str, port: int, ready: Callable[[int], None], ended: asyncio.Event
    ) -> None:
        """Load, go on with what was promised, and serve, see `run_app`."""

        async def end() -> None:
            await ended.wait()
            self._jobs.end()

        watch = asyncio.create_task(end())
        try:
            await self._server.run(host, port, ready, ended)
        finally:
            watch.cancel()
            self._store.close()

    async def _open(self) -> None:
        promised = self._store.open()
        engine = self._engine = await self._queue.run("load", self._load)
        for job in promised:
            self._jobs.start(engine, job)

    @property
    def _made_by(self) -> Engine:
        assert self._engine is not None  # no handler runs before
        return self._engine

    async def _models(self, request: web.Request) -> web.Response:
        about = {"id": self._options.name, "object": "model", "created": self._created}
        data = [about | {"owned_by": "cosmos3_ros"}]
        return web.json_response({"object": "list", "data": data})

    def _check_model(self, name: str) -> None:
        """OpenAI's and vLLM-Omni's clients may leave it out."""
        if name not in ("", self._options.name):
            reason = f"model: expected {self._options.name!r}, got {name[:200]!r}"
            raise RefusedError(404, reason, "model_not_found")

    async def _pictures(self, request: web.Request) -> web.Response:
        asked, model = read_picture(await read_form(request))
        self._check_model(model)
        complete = await in_thread(lambda: self._made_by.complete(asked[0].generate()))
        every = [dataclasses.replace(complete, asked=one.generate()) for one in asked]

        def make(check: Callable[[], None]) -> list[str]:
            folder = self._store.scratch()
            try:
                return [
                    _picture(self._made_by, one, folder / f"{index}.png", check)
                    for index, one in enumerate(every)
                ]
            finally:
                shutil.rmtree(folder, ignore_errors=True)

        pictures = await self._answer_at_once(make)
        data = [
            {"b64_json": picture, "url": None, "revised_prompt": None, "seed": one.asked.seed}
            for picture, one in zip(pictures, every, strict=True)
        ]
        size = f"{complete.size[1]}x{complete.size[0]}"
        return web.json_response(
            {"created": int(time.time()), "data": data, "size": size, "output_format": "png"}
        )

    async def _actions(self, request: web.Request) -> web.Response:
        asked, model = read_actions(await read_form(request))
        self._check_model(model)
        folder = await asyncio.to_thread(self._store.scratch)
        try:
            options = await in_thread(lambda: check_actions(self._made_by, asked, folder))
            rows = await self._answer_at_once(lambda check: self._made_by.actions(options, check))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        action = {"values": rows.tolist(), "shape": [*rows.shape], "dtype": str(rows.dtype)}
        one = {"index": 0, "action": {**action, "mode": options.mode, "domain": options.domain}}
        about = {"object": "list", "created": int(time.time()), "model": self._options.name}
        return web.json_response({**about, "data": [one], "seed": options.seed})

    async def _create(self, request: web.Request) -> web.Response:
        job = await self._promise(request)
        return web.json_response(job.about(self._options.name))

    async def _create_and_wait(self, request: web.Request) -> web.StreamResponse:
        """vLLM-Omni's: the video itself. It is deleted if the client goes away before."""
        job = await self._promise(request)
        try:
            await self._jobs.wait(job)
            if job.status != COMPLETED:
                error = job.error or {"message": "the server ends"}
                raise RefusedError(503, f"video: {error['message']}", error.get("code"))
            data = await asyncio.to_thread(self._store.result(job).read_bytes)
            return web.Response(body=data, content_type="video/mp4")
        finally:
            self._jobs.cancel(job)
            if not self._jobs.ending:
                self._store.remove(job)

    async def _promise(self, request: web.Request) -> Job:
        asked, model = read_video(await read_form(request))
        self._check_model(model)
        self._check_room()
        folder = await asyncio.to_thread(self._store.scratch)
        try:
            asked, about = await in_thread(lambda: check_video(self._made_by, asked, folder))
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
        self._check_room()
        job = Job(
            new_id(),
            time.time(),
            asked.options,
            asked.dynamics,
            about["prompt"],
            about["size"],
            about["seconds"],
            has_input=asked.file is not None,
        )
        with self._jobs.reserved():
            await asyncio.to_thread(self._store.add, job, asked.file)
        self._jobs.start(self._made_by, job)
        return job

    async def _list(self, request: web.Request) -> web.Response:
        jobs = self._store.jobs()
        order, limit = request.query.get("order", "desc"), request.query.get("limit", "20")
        if order not in ("asc", "desc"):
            raise BadRequestError(f"order: expected asc or desc, got {order[:20]!r}", "order")
        digits = limit.isascii() and limit.isdigit() and len(limit) <= 4
        if not (digits and 0 < int(limit) <= MOST_LISTED):
            raise BadRequestError(f"limit: expected 1 to {MOST_LISTED}", "limit")
        jobs = jobs[::-1] if order == "asc" else jobs
        if after := request.query.get("after"):
            jobs = jobs[jobs.index(self._store.find(after)) + 1 :]
        page = [job.about(self._options.name) for job in jobs[: int(limit)]]
        ends = {"first_id": page[0]["id"], "last_id": page[-1]["id"]} if page else {}
        return web.json_response(
            {"object": "list", "data": page, "has_more": len(jobs) > len(page), **ends}
        )

    async def _retrieve(self, request: web.Request) -> web.Response:
        job = self._store.find(request.match_info["id"])
        return web.json_response(job.about(self._options.name))

    async def _content(self, request: web.Request) -> web.StreamResponse:
        job = self._store.find(request.match_info["id"])
        variant = request.query.get("variant", "video")
        if variant not in ("video", "spritesheet"):
            raise BadRequestError(
                f"variant: expected video or spritesheet, got {variant[:40]!r}", "variant"
            )
        if job.status != COMPLETED:
            raise BadRequestError(f"video: expected a completed one, it is {job.status}", "video")
        file = self._store.result(job)
        if variant == "spritesheet":
            file = file.with_suffix(".sheet.png")
        kind = "video/mp4" if variant == "video" else "image/png"
        name = f'attachment; filename="{job.id}{file.suffix}"'
        return web.FileResponse(file, headers={"Content-Type": kind, "Content-Disposition": name})

    async def _delete(self, request: web.Request) -> web.Response:
        job = self._store.find(request.match_info["id"])
        self._jobs.cancel(job)
        await asyncio.to_thread(self._store.remove, job)
        return web.json_response({"id": job.id, "object": "video.deleted", "deleted": True})

    def _check_room(self) -> None:
        self._jobs.check_room(1 + self._direct)

    async def _answer_at_once(self, make: Callable[[Callable[[], None]], T]) -> T:
        """What is made when its turn has come; if the client goes away, it is made no further."""
        self._check_room()
        gone = threading.Event()
        check = self._jobs.stopper(gone)

        def job() -> T:
            check()
            return make(check)

        self._direct += 1
        try:
            return await self._queue.run(object(), job)
        except StoppedError:
            raise RefusedError(503, "the server ends", "ending") from None
        except ValueError as error:
            raise renamed(error, ACTION | EXTRA_OF_ACTIONS) from None
        finally:
            self._direct -= 1
            gone.set()


def _picture(engine: Engine, asked: Any, file: Path, check: Callable[[], None]) -> str:
    """A picture as base64 of its PNG file."""
    engine.write(asked, file, check)
    return base64.b64encode(file.read_bytes()).decode("ascii")
