# SPDX-License-Identifier: Apache-2.0
"""The console's server over real sockets: who is let in, what a page gets, what it may press."""

import asyncio
import concurrent.futures
import contextlib
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.console.board import Board
from cosmos3_ros.serve.console.server import PAGE, ConsoleServer, RobotModel

TOKEN = "a-word-that-nobody-guesses"


class FakeRobot:
    """Keeps what was pressed."""

    def __init__(self, control: bool = True, model: RobotModel | None = None) -> None:
        self.board, self.control, self._model = Board(), control, model
        self.looks = 0
        self.pressed: list[tuple[str, Mapping[str, Any]]] = []
        self.answer: tuple[bool, str] | None = (True, "done as told")

    def model(self) -> RobotModel | None:
        return self._model

    def look(self) -> None:
        self.looks += 1

    def act(
        self, name: str, fields: Mapping[str, Any]
    ) -> concurrent.futures.Future[tuple[bool, str]]:
        self.pressed.append((name, fields))
        done: concurrent.futures.Future[tuple[bool, str]] = concurrent.futures.Future()
        if self.answer:
            done.set_result(self.answer)
        return done


class Client:
    """A browser of somebody: what it sends is up to the test."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self.session, self.port = session, port
        self.own = f"http://127.0.0.1:{port}"
        self.cookie = {"Cookie": f"cosmos3_console_{port}={TOKEN}"}

    async def status(
        self, method: str, path: str, headers: Mapping[str, str], **kwargs: Any
    ) -> int:
        request = self.session.request(method, self.own + path, headers=headers, **kwargs)
        async with request as response:
            return response.status

    async def act(self, name: str, body: Any, **headers: str) -> tuple[int, dict[str, Any]]:
        mine = self.cookie | {"Origin": self.own} | headers
        async with self.session.post(f"{self.own}/do/{name}", json=body, headers=mine) as response:
            return response.status, await response.json()

    @contextlib.asynccontextmanager
    async def socket(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        headers = self.cookie | {"Origin": self.own}
        async with self.session.ws_connect(f"{self.own}/socket", headers=headers) as socket:
            yield socket


def serve(
    robot: FakeRobot, use: Callable[[Client], Coroutine[Any, Any, None]], host: str = "127.0.0.1"
) -> list[str]:
    """Run `use` with a client of a console of this robot; what was logged."""
    logged: list[str] = []
    server = ConsoleServer(robot, TOKEN, logged.append)

    async def main(port: int) -> None:
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            await use(Client(session, port))

    with in_background(lambda ready, ended: server.run(host, 0, ready, ended)) as port:
        asyncio.run(main(port))
    return logged


def test_only_the_link_lets_in_and_its_cookie_stays_with_this_page() -> None:
    async def use(client: Client) -> None:
        async with client.session.get(f"{client.own}/?token={TOKEN}") as response:
            assert response.status == 200
            cookie = response.headers["Set-Cookie"]
            assert "HttpOnly" in cookie
            assert "SameSite=Strict" in cookie
            policy = response.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "frame-ancestors 'none'" in policy
            assert "unsafe" not in policy
        async with client.session.get(f"{client.own}/") as response:
            assert response.status == 401
            assert "Content-Security-Policy" in response.headers
            assert "open the link" in (await response.json())["message"]
        assert await client.status("GET", "/", client.cookie) == 200
        assert await client.status("GET", "/?token=guessed", {}) == 401
        wrong = {"Cookie": f"cosmos3_console_{client.port}=guessed"}
        for path in ("/", "/console.js", "/socket", "/robot/urdf", "/nothing"):
            assert await client.status("GET", path, wrong) == 401
            assert await client.status("GET", f"{path}?token={TOKEN}", wrong) in (
                (200,) if path == "/" else (401,)
            )

    assert serve(FakeRobot(), use) == []


UPGRADE = {
    "Connection": "Upgrade",
    "Upgrade": "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
}


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},  # DNS rebinding: a name of somebody that leads here
        {"Host": "127.0.0.1.evil.example"},
        {"Host": ""},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},  # a sandboxed frame, a data: page
        {"Origin": "http://127.0.0.1:1"},  # the same site, which SameSite lets pass
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_requests_of_other_pages_are_refused_though_the_cookie_comes_with_them(
    headers: dict[str, str],
) -> None:
    robot = FakeRobot()

    async def use(client: Client) -> None:
        for method, path in (("GET", "/console.js"), ("GET", "/socket"), ("POST", "/do/arm")):
            own = client.cookie | {"Origin": client.own}
            extra = UPGRADE if path == "/socket" else {}
            assert await client.status(method, path, own | extra | headers, json={}) == 403
        if "Host" in headers:
            assert await client.status("GET", f"/?token={TOKEN}", headers) == 403

    assert serve(robot, use) == []
    assert robot.pressed == []


def test_what_acts_is_a_post_with_json_and_an_origin() -> None:
    """A form of another page can send neither, nor can a picture."""
    robot = FakeRobot()

    async def use(client: Client) -> None:
        own = client.cookie | {"Origin": client.own}
        assert await client.status("GET", "/do/arm", own) == 405
        assert await client.status("POST", "/do/arm", client.cookie, json={}) == 403
        assert await client.status("POST", "/do/arm", own, data={"a": "b"}) == 415
        plain = own | {"Content-Type": "text/plain"}
        assert await client.status("POST", "/do/arm", plain, data="{}") == 415
        assert await client.status("GET", "/socket", client.cookie | UPGRADE) == 403
        assert robot.pressed == []
        assert await client.act("arm", {}) == (200, {"done": True, "message": "done as told"})

    assert serve(robot, use) == []
    assert robot.pressed == [("arm", {})]


def test_a_console_on_an_address_answers_to_addresses_and_to_no_name() -> None:
    async def use(client: Client) -> None:
        for host, status in (("192.168.1.7:80", 200), ("[fe80::1]", 200), ("robot.evil", 403)):
            assert await client.status("GET", f"/?token={TOKEN}", {"Host": host}) == status

    assert serve(FakeRobot(), use, "0.0.0.0") == []


def test_a_real_robot_is_only_stopped_disarmed_canceled_and_asked() -> None:
    robot = FakeRobot(control=False)

    async def use(client: Client) -> None:
        for name, body in (
            ("arm", {}),
            ("instruct", {"instruction": "go"}),
            ("reset", {"task": "lift"}),
        ):
            status, reply = await client.act(name, body)
            assert (status, reply["done"]) == (403, False)
            assert "view_control" in reply["message"]
        question = {"question": "what is there?"}
        for name, body in (("stop", {}), ("disarm", {}), ("cancel", {}), ("ask", question)):
            assert (await client.act(name, body))[0] == 200

    assert serve(robot, use) == []
    assert [name for name, _ in robot.pressed] == ["stop", "disarm", "cancel", "ask"]


@pytest.mark.parametrize(
    ("name", "body", "status", "words"),
    [
        ("dance", {}, 404, "expected one of stop, disarm, cancel, ask, arm, instruct, reset, got"),
        ("instruct", {"instruction": ""}, 400, "expected a text of 1 to 1000 characters"),
        ("instruct", {"instruction": 5}, 400, "expected a text of 1 to 1000 characters"),
        ("instruct", {"instruction": "a\nb"}, 400, "expected one line that can be printed"),
        ("instruct", {"instruction": "a" * 1001}, 400, "expected a text of 1 to 1000"),
        ("ask", {}, 400, "question: expected a text"),
        ("ask", [], 400, "ask: expected an object, got []"),
        ("reset", {"task": "lift", "seed": 1.5}, 400, "seed: expected an integer of 64 bits"),
        ("reset", {"task": "lift", "seed": True}, 400, "seed: expected an integer of 64 bits"),
        ("reset", {"task": "lift", "seed": 2**63}, 400, "seed: expected an integer of 64 bits"),
        ("ask", {"question": "a" * 5000}, 413, ""),
    ],
)
def test_a_wrong_act_is_one_line(name: str, body: Any, status: int, words: str) -> None:
    robot = FakeRobot()

    async def use(client: Client) -> None:
        got, reply = await client.act(name, body)
        assert got == status
        assert words in reply["message"]
        assert reply["done"] is False

    assert serve(robot, use) == []
    assert robot.pressed == []


def test_an_act_that_was_refused_or_not_answered_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    from cosmos3_ros.serve.console import acts

    quick = dataclasses.replace(acts.ACTS["stop"], seconds=0.1)
    monkeypatch.setitem(acts.ACTS, "stop", quick)
    robot = FakeRobot()

    async def use(client: Client) -> None:
        robot.answer = (False, "the arm is not at rest")
        expected = {"done": False, "message": "the arm is not at rest"}
        assert await client.act("arm", {}) == (409, expected)
        robot.answer = None
        status, reply = await client.act("stop", {})
        assert (status, reply["message"]) == (409, "stop: no answer in 0 s")

    assert serve(robot, use) == []


def test_a_page_that_asks_gets_the_newest_of_each_kind_and_no_more() -> None:
    robot = FakeRobot()

    async def use(client: Client) -> None:
        async with client.socket() as socket:
            for number in range(1000):  # nobody has asked
                robot.board.put("view wrist", {"stamp": number}, [b"jpeg %d" % number])
                robot.board.put("joints", number)
            await socket.send_str("next")
            assert await socket.receive_json() == {
                "values": {"view wrist": {"stamp": 999}, "joints": 999},
                "pictures": {"view wrist": 1},
            }
            assert await socket.receive_bytes() == b"jpeg 999"
            robot.board.put("joints", 1000)
            await socket.send_str("next")
            assert await socket.receive_json() == {"values": {"joints": 1000}, "pictures": {}}
            await socket.send_str("next")  # answered when there is something, or after a second
            robot.board.put("future", {}, [b"a", b"b"])
            assert (await socket.receive_json())["pictures"] == {"future": 2}
            assert [await socket.receive_bytes() for _ in "ab"] == [b"a", b"b"]
            await socket.send_str("x" * 5000)
            assert (await socket.receive()).type in (
                aiohttp.WSMsgType.CLOSE,
                aiohttp.WSMsgType.CLOSED,
            )

    assert serve(robot, use) == []


def test_a_page_whose_pictures_wait_asks_for_values_alone() -> None:
    robot = FakeRobot()

    async def use(client: Client) -> None:
        async with client.socket() as socket:
            robot.board.put("view wrist", {"stamp": 1}, [b"old"])
            robot.board.put("joints", 1)
            await socket.send_str("values")
            assert await socket.receive_json() == {"values": {"joints": 1}, "pictures": {}}
            robot.board.put("view wrist", {"stamp": 2}, [b"new"])
            robot.board.put("joints", 2)
            await socket.send_str("values")
            assert await socket.receive_json() == {"values": {"joints": 2}, "pictures": {}}
            await socket.send_str("next")
            assert await socket.receive_json() == {
                "values": {"view wrist": {"stamp": 2}},
                "pictures": {"view wrist": 1},
            }
            assert await socket.receive_bytes() == b"new"
            looks = robot.looks
            robot.board.put("joints", 3)
            await socket.send_str("next")
            assert await socket.receive_json() == {"values": {"joints": 3}, "pictures": {}}
            assert robot.looks > looks, "what the robot says is looked at when a page asks"

    assert serve(robot, use) == []


def test_a_board_knows_whether_somebody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    from cosmos3_ros.serve.console import board as module

    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    board = Board()
    assert not board.is_watched
    board.newer(0, 0)
    assert board.is_watched
    now[0] += module.WATCHED
    assert not board.is_watched


def test_only_files_of_the_page_and_of_the_robot_description_are_served(tmp_path: Path) -> None:
    mesh, secret = tmp_path / "link.stl", tmp_path / "secret"
    mesh.write_bytes(b"solid")
    secret.write_bytes(b"secret")
    robot = FakeRobot(model=RobotModel("<robot name='r'/>", (mesh,)))

    async def use(client: Client) -> None:
        async def body(path: str) -> bytes | int:
            request = client.session.get(client.own + path, headers=client.cookie)
            async with request as response:
                return await response.read() if response.status == 200 else response.status

        assert await body("/robot/urdf") == b"<robot name='r'/>"
        assert await body("/robot/mesh/0.stl") == b"solid"
        for path in (
            "/robot/mesh/1.stl",
            "/robot/mesh/" + "9" * 5000,
            "/robot/mesh/-1",
            "/robot/mesh/%2e%2e%2fsecret",
        ):
            assert await body(path) == 404
        for path in ("/..%2fserver.py", "/%2e%2e/server.py", "/server.py", "/NOTICE", "/page/"):
            assert await body(path) == 404
        for path in PAGE.glob("*.js"):
            assert await body(f"/{path.name}") == path.read_bytes()

    assert serve(robot, use) == []


def test_what_no_page_sends_is_refused_and_no_defect() -> None:
    """A cookie that is no text, and JSON that is nested deeper than it can be read."""

    async def use(client: Client) -> None:
        url, cookie = client.own, {"Cookie": f"cosmos3_console_{client.port}=\udcff\udcfe"}
        async with client.session.get(url, headers=cookie) as response:
            assert response.status == 401
        headers = {**client.cookie, "Origin": client.own, "Content-Type": "application/json"}
        async with client.session.post(
            url + "/do/stop", data="[" * 3000, headers=headers
        ) as response:
            assert response.status == 400

    assert serve(FakeRobot(), use) == []


def test_a_defect_is_logged_and_not_told() -> None:
    robot = FakeRobot()

    def fail(name: str, fields: Mapping[str, Any]) -> Any:
        raise RuntimeError("a detail")

    robot.act = fail  # type: ignore[method-assign]

    async def use(client: Client) -> None:
        status, reply = await client.act("stop", {})
        assert status == 500
        assert "a detail" not in reply["message"]

    assert serve(robot, use) == ["console: /do/stop: RuntimeError: a detail"]


def test_the_notice_names_the_versions_that_the_page_is_made_of() -> None:
    root = Path(__file__).resolve().parents[3]
    wanted = re.findall(r"([a-z-]+)@([0-9.]+)", (root / "tools" / "vendor_page.sh").read_text())
    assert {name for name, _ in wanted} == {"three", "urdf-loader", "uplot", "esbuild"}
    notice = (PAGE / "NOTICE").read_text()
    for name, version in wanted:
        assert f"{name} {version} " in notice
    three = dict(wanted)["three"].split(".")[1]
    assert f'"{three}"' in (PAGE / "vendor.js").read_text(), "three's REVISION"
