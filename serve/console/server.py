# SPDX-License-Identifier: Apache-2.0
"""The console's server: the page, a socket that it pulls from, and what its buttons do."""

from __future__ import annotations

import asyncio
import concurrent.futures
import dataclasses
import json
import mimetypes
import pathlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from aiohttp import WSMsgType, web

from ..http_server import RefusedError, run_app
from .access import HEADERS, Access
from .acts import ACTS, read_act
from .board import Board

PAGE = pathlib.Path(__file__).parent / "page"
VALUES = "values"  # what a page says that wants no pictures now
MOST = 4096  # bytes of a request, and of a message on the socket
PATIENCE = 1.0  # s after which a page that asks is told that there is nothing new
PERIOD = 0.02  # s between two looks for something new


@dataclasses.dataclass(frozen=True, slots=True)
class RobotModel:
    """A robot description whose meshes are named mesh/0, mesh/1, ...: those files, no others."""

    urdf: str
    meshes: tuple[pathlib.Path, ...] = ()


class Robot(Protocol):
    """What the page shows and acts on: the border to the nodes."""

    board: Board

    @property
    def control(self) -> bool:
        """Whether the page may arm, instruct and reset."""

    def model(self) -> RobotModel | None:
        """The robot description, as soon as it is known."""

    def look(self) -> None:
        """Put on the board what has come; called when a page asks, in the server's thread."""

    def act(
        self, name: str, fields: Mapping[str, Any]
    ) -> concurrent.futures.Future[tuple[bool, str]]:
        """Do one of ACTS: whether it was done, and what was answered. Called in any thread."""


class ConsoleServer:
    """Serves one robot to any number of pages.

    token: who has it may look, and press what is allowed; log: for defects.
    """

    def __init__(self, robot: Robot, token: str, log: Callable[[str], object]) -> None:
        self._robot, self._token, self._log = robot, token, log
        self._files = {
            path.name: path for path in PAGE.iterdir() if path.suffix in (".js", ".css", ".svg")
        }

    async def run(
        self, host: str, port: int, ready: Callable[[int], None], ended: asyncio.Event
    ) -> None:
        """Listen until `ended`; `ready` is called with the port. OSError: it is not free."""

        def is_ready(number: int) -> None:
            self._access = Access(self._token, host, number)
            ready(number)

        self._access = Access(self._token, host, port)
        await run_app(self._application(), (host, port), is_ready, ended)

    def _application(self) -> web.Application:
        @web.middleware
        async def guard(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            try:
                self._access.check(request)
                return await handler(request)
            except RefusedError as error:
                return _reply(False, str(error), error.status)
            except web.HTTPException as error:
                return _reply(False, error.reason, error.status)
            except Exception as error:
                self._log(f"console: {request.path}: {type(error).__name__}: {error}")
                return _reply(False, "a defect of the console: see its log", 500)

        async def protect(request: web.Request, response: web.StreamResponse) -> None:
            response.headers.update(HEADERS)

        app = web.Application(client_max_size=MOST, middlewares=[guard])
        app.on_response_prepare.append(protect)
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/socket", self._socket),
                web.get("/robot/urdf", self._urdf),
                web.get("/robot/mesh/{number}", self._mesh),
                web.get("/{name}", self._file),
                web.post("/do/{act}", self._do),
            ]
        )
        return app

    async def _page(self, request: web.Request) -> web.StreamResponse:
        response = web.FileResponse(PAGE / "index.html")
        if self._access.is_link(request):
            self._access.admit(response)
        return response

    async def _file(self, request: web.Request) -> web.StreamResponse:
        path = self._files.get(request.match_info["name"])
        if path is None:
            raise RefusedError(404, "there is no such file")
        kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        return web.FileResponse(path, headers={"Content-Type": kind})

    async def _urdf(self, request: web.Request) -> web.StreamResponse:
        model = self._robot.model()
        if model is None:
            raise RefusedError(404, "no robot description is known")
        return web.Response(text=model.urdf, content_type="application/xml")

    async def _mesh(self, request: web.Request) -> web.StreamResponse:
        model, number = self._robot.model(), request.match_info["number"].partition(".")[0]
        few = number.isascii() and number.isdecimal() and len(number) < 10
        if model is None or not few or int(number) >= len(model.meshes):
            raise RefusedError(404, "the robot description names no such mesh")
        return web.FileResponse(
            model.meshes[int(number)], headers={"Content-Type": "application/octet-stream"}
        )

    async def _socket(self, request: web.Request) -> web.StreamResponse:
        """Every message of the page asks for what is new, and is answered once: no queue.

        One that says "values" leaves out what has pictures, until another asks for it.
        """
        socket = web.WebSocketResponse(max_msg_size=MOST, heartbeat=20.0, compress=False)
        await socket.prepare(request)
        values = pictures = 0  # versions that were sent
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                break
            if message.data == VALUES:
                values = await self._send_newer(socket, values, None)
            else:
                values = pictures = await self._send_newer(socket, values, pictures)
        return socket

    async def _send_newer(
        self, socket: web.WebSocketResponse, seen: int, pictures: int | None
    ) -> int:
        """One message of JSON, kind -> value, and one for each picture, in that order."""
        for _ in range(round(PATIENCE / PERIOD)):
            self._robot.look()
            version, items = self._robot.board.newer(seen, pictures)
            if items:
                break
            await asyncio.sleep(PERIOD)
        values = {kind: item.value for kind, item in items.items()}
        counts = {kind: len(item.pictures) for kind, item in items.items() if item.pictures}
        await socket.send_str(json.dumps({"values": values, "pictures": counts}))
        for item in items.values():
            for picture in item.pictures:
                await socket.send_bytes(picture)
        return version

    async def _do(self, request: web.Request) -> web.StreamResponse:
        name = request.match_info["act"]
        if request.content_type != "application/json":  # which a form of another page cannot send
            raise RefusedError(415, f"expected application/json, got {request.content_type}")
        try:
            act, fields = read_act(name, await request.json())
        except (ValueError, RecursionError) as error:
            raise RefusedError(404 if name not in ACTS else 400, str(error)) from None
        if act.control and not self._robot.control:
            raise RefusedError(
                403,
                f"{name}: this console only looks, stops, disarms and cancels: see view_control",
            )
        try:
            answer = asyncio.wrap_future(self._robot.act(name, fields))
            done, text = await asyncio.wait_for(answer, act.seconds)
        except TimeoutError:
            done, text = False, f"{name}: no answer in {act.seconds:.0f} s"
        return _reply(done, text, 200 if done else 409)


def _reply(done: bool, message: str, status: int) -> web.Response:
    return web.json_response({"done": done, "message": message}, status=status)
