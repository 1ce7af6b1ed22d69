# SPDX-License-Identifier: Apache-2.0
"""The console's page in a real browser, on a robot of a test: what it draws, and when.

Chromium by Playwright, WebGL drawn by the processor. On the real graph:
test/launching/test_console.py.
"""

import concurrent.futures
import contextlib
import re
import shutil
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.console.board import Board
from cosmos3_ros.serve.console.server import ConsoleServer, RobotModel

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOKEN = "a-word-that-nobody-guesses"
PATIENCE = 30_000  # ms: machines that test are busy
OPTIONS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--enable-unsafe-swiftshader",
    "--use-angle=swiftshader",
)
URDF = """<robot name="two_boxes">
  <link name="base"><visual><geometry><mesh filename="mesh/0.stl"/></geometry></visual></link>
  <link name="tip">
    <visual><origin xyz="0 0 0.4"/><geometry><mesh filename="mesh/0.stl"/></geometry></visual>
  </link>
  <joint name="turn" type="revolute">
    <parent link="base"/><child link="tip"/><axis xyz="0 1 0"/>
    <limit lower="-2" upper="2" effort="1" velocity="1"/>
  </joint>
</robot>"""
PANEL = {"view": "wrist", "left": 0, "top": 0, "width": 320, "height": 180}
SHOWN = {
    "name": "two_boxes",
    "panels": [PANEL],
    "composite": [180, 320],
    "content": [180, 320],
    "joints": [{"name": "turn", "lower": -2, "upper": 2, "unit": "rad", "gripper": False}],
    "tasks": ["lift"],
    "tool": "tip",
    "control": True,
}
NEVER_DECODED = "window.ImageDecoder.prototype.decode = () => new Promise(() => {});"
NO_DECODER = "delete window.ImageDecoder;"  # as in browsers without WebCodecs
COUNT_PICTURES = """
  window.pictures_of_the_robot = 0;
  const clear = WebGL2RenderingContext.prototype.clear;
  WebGL2RenderingContext.prototype.clear = function (mask) {
    window.pictures_of_the_robot += 1;
    return clear.call(this, mask);
  };"""


class Robot:
    """A joint that turns or rests, a camera, and what else a test puts on the board."""

    control = True

    def __init__(self, mesh: Path) -> None:
        self.board, self._mesh = Board(), mesh
        self.speed = 0.0  # rad/s
        self.angle = 0.0
        noise = np.random.default_rng(0).integers(0, 255, (180, 320, 3), np.uint8)
        self.picture = cv2.imencode(".jpg", noise)[1].tobytes()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.board.put("robot", SHOWN)
        self.board.put("model", 1)

    def __enter__(self) -> "Robot":
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def model(self) -> RobotModel:
        return RobotModel(URDF, (self._mesh,))

    def look(self) -> None:
        pass

    def act(
        self, name: str, fields: Mapping[str, Any]
    ) -> concurrent.futures.Future[tuple[bool, str]]:
        done: concurrent.futures.Future[tuple[bool, str]] = concurrent.futures.Future()
        done.set_result((True, "done"))
        return done

    def _run(self) -> None:
        while not self._ended.wait(0.05):
            self.angle += 0.05 * self.speed
            now = time.time()
            self.board.put("now", now)
            self.board.put("joints", {"stamp": now, "positions": {"turn": self.angle}})
            self.board.put("view wrist", {"stamp": now}, [self.picture])

    def plan(self, angle: float) -> None:
        """A chunk that is played now, and ends at this angle."""
        now = time.time()
        status = {"armed": True, "mode": "playing", "reason": "", "chunk": 1, "remaining": 1.0}
        counts = {"played": 1, "rejected": 0, "limited": 0, "last_rejection": "", "last_limit": ""}
        self.board.put("status", status | counts | {"stamp": now + 3600, "begin": now})
        rows = np.linspace(0.0, angle, 8).tolist()
        chunk = {"number": 1, "stamp": now, "step": 0.1, "duration": 0.8, "rows": {"turn": rows}}
        words = {"stages": [["denoise", 0.2]], "instruction": "turn", "strategy": "sync"}
        self.board.put("chunk", chunk | words)


@pytest.fixture
def robot(tmp_path: Path) -> Iterator[Robot]:
    """Two cubes of one mesh, 0.2 m wide."""
    corners = 0.1 * np.array(
        [[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float32
    )
    faces = [(0, 1, 3), (0, 3, 2), (4, 6, 7), (4, 7, 5), (0, 4, 5), (0, 5, 1)]
    faces += [(2, 3, 7), (2, 7, 6), (0, 2, 6), (0, 6, 4), (1, 5, 7), (1, 7, 3)]
    triangles = []
    for face in faces:
        a, b, c = corners[list(face)]
        normal = np.cross(b - a, c - a) / np.linalg.norm(np.cross(b - a, c - a))
        normal *= np.sign(normal @ a)  # outwards
        triangles.append(np.stack([normal, a, b, c]).astype("<f4").tobytes() + bytes(2))
    mesh = tmp_path / "cube.stl"
    mesh.write_bytes(bytes(80) + struct.pack("<I", len(faces)) + b"".join(triangles))
    with Robot(mesh) as made:
        yield made


@contextlib.contextmanager
def page_of(robot: Robot, script: str = "", width: int = 1440) -> Iterator[Any]:
    """The robot's page in a browser, and that it had no error."""
    from playwright.sync_api import expect, sync_playwright

    expect.set_options(timeout=PATIENCE)
    server = ConsoleServer(robot, TOKEN, print)
    with (
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port,
        sync_playwright() as playwright,
    ):
        running = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*OPTIONS]
        )
        page = running.new_context(viewport={"width": width, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        errors: list[str] = []
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on("console", lambda one: "Error:" in one.text and errors.append(one.text))
        page.add_init_script(script)
        page.goto(f"http://127.0.0.1:{port}/?token={TOKEN}")
        expect(page.locator("#stage")).to_have_attribute("data-loaded", "true")
        expect(page.locator("body")).to_have_attribute("data-stamp", re.compile("[0-9]"))
        yield page
        assert errors == []
        running.close()


def pixels(page: Any, selector: str) -> np.ndarray:
    """What an element shows, HSV."""
    data = np.frombuffer(page.locator(selector).screenshot(), np.uint8)
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2HSV)


def noisy(page: Any, selector: str) -> bool:
    """Whether it shows the picture of noise: by how bright it is."""
    return bool(pixels(page, selector)[..., 2].std() > 20)


def becomes(page: Any, condition: Callable[[], object], what: str) -> None:
    for _ in range(PATIENCE // 250):
        if condition():
            return
        page.wait_for_timeout(250)
    raise AssertionError(f"waited for {what}")


def test_values_do_not_wait_for_pictures(robot: Robot) -> None:
    """Whose decoding takes forever here; and nobody asks for more of them meanwhile."""
    from playwright.sync_api import expect

    robot.speed = 0.2
    with page_of(robot, NEVER_DECODED) as page:
        asked: list[str] = []

        def ask(frame: str) -> None:  # playwright takes no method of a list
            asked.append(frame)

        page.on("websocket", lambda one: one.on("framesent", ask))
        page.reload()
        stamp = page.locator("body")
        expect(stamp).to_have_attribute("data-stamp", re.compile("[0-9]"))
        first = float(stamp.get_attribute("data-stamp"))
        becomes(page, lambda: float(stamp.get_attribute("data-stamp")) > first + 2, "newer joints")
        value = page.locator(".joint .title b")
        becomes(page, lambda: float(value.inner_text().split()[0]) > 0.1, "the joint's number")
        assert asked.count("next") <= 2
        assert asked.count("values") > 5


def test_the_ghost_is_a_ghost_also_where_its_meshes_are_loaded_already(robot: Robot) -> None:
    """Green, where the chunk ends; the robot itself is white."""
    with page_of(robot) as page:

        def shares() -> tuple[float, float]:
            hue, saturation, value = cv2.split(pixels(page, "#stage"))
            green = (hue > 75) & (hue < 95) & (saturation > 60) & (value > 60)
            white = (saturation < 40) & (value > 120)
            return float(green.mean()), float(white.mean())

        becomes(page, lambda: shares()[1] > 0.01, "the robot to be drawn")
        green, white = shares()
        assert green < 0.001
        robot.plan(1.5)
        becomes(page, lambda: shares()[0] > 0.25 * white, "the ghost")
        assert shares()[1] < 1.2 * white, "a ghost is not as white as the robot"
        ahead = float(page.locator("#stage").get_attribute("data-ahead"))
        assert ahead == pytest.approx(0.0, abs=1e-3), "the tip turns where it is"


def test_a_robot_at_rest_is_not_drawn_again_and_again(robot: Robot) -> None:
    with page_of(robot, COUNT_PICTURES) as page:

        def in_three_seconds() -> int:
            before = page.evaluate("pictures_of_the_robot")
            page.wait_for_timeout(3000)
            return int(page.evaluate("pictures_of_the_robot") - before)

        page.wait_for_timeout(1000)
        at_rest = in_three_seconds()
        assert 0 < at_rest <= 4, "its trail fades, once a second"
        robot.speed = 0.5
        becomes(page, lambda: in_three_seconds() > at_rest, "a robot that moves to be drawn more")


def test_pictures_have_the_pixels_that_are_shown(robot: Robot) -> None:
    with page_of(robot) as page:
        seen = page.locator("#seen")
        size = "(one) => [one.width, one.clientWidth, one.clientHeight]"
        width, shown, high = seen.evaluate(size)
        assert width == min(shown, round(high * 320 / 180), 768)
        becomes(page, lambda: noisy(page, "#seen"), "the camera's picture")
        page.set_viewport_size({"width": 900, "height": 900})
        becomes(page, lambda: seen.evaluate(size)[0] != width, "another size")
        width, shown, high = seen.evaluate(size)
        assert width == min(shown, round(high * 320 / 180), 768)
        becomes(page, lambda: noisy(page, "#seen"), "the camera's picture again")


@pytest.mark.parametrize("script", ["", NO_DECODER], ids=["decoder", "no decoder"])
def test_a_broken_picture_is_none_and_the_next_one_is_shown(robot: Robot, script: str) -> None:
    noise = robot.picture
    robot.board.put("future", {"stamp": time.time(), "step": 0.1}, [noise, b"no JPEG", noise])
    with page_of(robot, script) as page:
        becomes(page, lambda: noisy(page, "#seen") and noisy(page, "#predicted"), "both pictures")
        robot.picture = noise[:100]
        becomes(page, lambda: not noisy(page, "#seen"), "no picture in the place of a broken one")
        robot.picture = noise
        becomes(page, lambda: noisy(page, "#seen"), "the camera's picture again")


def test_what_stops_coming_is_said_and_a_page_opened_then_shows_the_last_of_it(
    robot: Robot,
) -> None:
    from playwright.sync_api import expect

    robot.speed = 0.5
    with page_of(robot) as page:
        expect(page.locator("#joints_age")).to_have_text("")
        robot.__exit__()  # nothing comes any more
        for id_ in ("joints_age", "seen_age"):
            expect(page.locator(f"#{id_}")).to_have_text(re.compile(r"for \d+ s"))
        expect(page.locator("#seen")).to_have_class("silent")
        page.reload()
        expect(page.locator("#stage")).to_have_attribute("data-loaded", "true")
        expect(page.locator("#stage")).to_have_attribute("data-posed", re.compile("[0-9]"))


def test_a_surprise_is_drawn_where_it_was_however_late_it_comes(robot: Robot) -> None:
    black = np.zeros((180, 320, 3), np.uint8)
    robot.picture = cv2.imencode(".jpg", black)[1].tobytes()
    with page_of(robot) as page:

        def red() -> bool:
            robot.board.put("surprise", surprise | {"stamp": time.time() - 5})
            hue, saturation, value = cv2.split(pixels(page, "#seen"))
            return bool(
                (((hue < 8) | (hue > 172)) & (saturation > 120) & (value > 80)).mean() > 0.1
            )

        surprise = {"value": 2.0, "views": [["wrist", 2.0]], "alarm": True, "reaction": "report"}
        surprise |= {"rows": 2, "columns": 2, "grid": [2.0, 0.0, 0.0, 0.0]}
        becomes(page, red, "the place in red")
        becomes(page, lambda: "alarm" in page.locator("#surprise_now").inner_text(), "the alarm")


def test_an_instruction_that_was_not_sent_is_said(robot: Robot) -> None:
    from playwright.sync_api import expect

    episode = {"task": "lift", "episode": 1, "instruction": "lift it", "real_time_factor": 1.0}
    robot.board.put("simulation", episode)
    with page_of(robot) as page:
        field, label = page.locator("#instruction"), page.locator("#instruction_label")
        expect(field).to_have_value("lift it")
        expect(label).to_have_text("Instruction, not sent")
        robot.board.put("instruction", "lift it")
        expect(label).to_have_text("Instruction")
        robot.board.put("simulation", episode | {"episode": 2, "instruction": "open it"})
        expect(field).to_have_value("open it")
        expect(label).to_have_text("Instruction, not sent")
        robot.board.put("policy", value=False)
        robot.plan(0.5)
        expect(page.locator("#reason")).to_have_text(re.compile("no policy is heard"))


def test_a_narrow_window_says_why_in_full_and_keeps_the_stop_in_sight(robot: Robot) -> None:
    from playwright.sync_api import expect

    reason = "joint states are 0.31 s old, limit 0.25 s"
    robot.plan(0.5)
    _, items = robot.board.newer(0, 0)
    robot.board.put("status", items["status"].value | {"mode": "holding", "reason": reason})
    with page_of(robot, width=400) as page:
        expect(page.locator("#reason")).to_have_text(reason)
        fits = "(one) => one.scrollWidth <= one.clientWidth && one.clientHeight > 0"
        assert page.locator("#reason").evaluate(fits)
        assert page.evaluate("document.documentElement.scrollWidth") <= 400
        page.evaluate("scrollTo(0, 1200)")
        expect(page.locator("#stop")).to_be_in_viewport(ratio=1)
