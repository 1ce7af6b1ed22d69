# SPDX-License-Identifier: Apache-2.0
"""The console's page in a real browser, on the real graph: every control does what it says.

Chromium by Playwright. CONSOLE_PICTURE=docs/console.png keeps the screenshot, which the pages show;
simulated time then runs slowly, so that the processor that draws the page has chunks in time, and
nothing else is tested.
"""

import contextlib
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

pytestmark = [pytest.mark.ros, pytest.mark.sim, pytest.mark.browser, pytest.mark.slow]

PATIENCE = 60_000  # ms: machines that test are busy
OPTIONS = ("--no-sandbox", "--disable-dev-shm-usage")
SOFTWARE_GL = ("--enable-unsafe-swiftshader", "--use-angle=swiftshader")
TEXT = "put the red cube in the bowl"
PICTURE = os.environ.get("CONSOLE_PICTURE", "")
MORE = {
    "sim": ("-p", "real_time_factor:=0.1") if PICTURE else (),
    "task_server": ("-p", "patience:=300.0"),  # a busy machine has no chunk in time
}
# a page of the same site, which SameSite=Strict lets pass, and one whose name leads here
ELSEWHERE = ("http://127.0.0.1:9/", "http://evil.example/")
HERE = "--host-resolver-rules=MAP evil.example 127.0.0.1"
ATTACK = """async (own) => {
  const post = {method: "POST", mode: "no-cors", credentials: "include", body: "{}"};
  await fetch(own + "/do/arm", post).catch(() => null);
  const socket = new WebSocket(own.replace("http", "ws") + "/socket");
  const opened = await new Promise((done) => {
    socket.onopen = () => done("opened");
    socket.onerror = () => done("refused");
  });
  const form = document.createElement("form");
  Object.assign(form, {method: "post", action: own + "/do/arm", target: "frame"});
  const frame = Object.assign(document.createElement("iframe"), {name: "frame"});
  document.body.append(frame, form);
  form.submit();
  return opened;
}"""


class Heard:
    """The newest of what the graph says."""

    def __init__(self, node: Any) -> None:
        from cosmos3_ros.ros import topics

        self.newest: dict[str, Any] = {}
        for topic in (
            topics.COMMANDER_STATUS,
            topics.SIM_STATUS,
            topics.JOINT_STATES,
            topics.INSTRUCTION,
            topics.ACTION_CHUNK,
            topics.SCENE,
        ):
            node.create_subscription(topic.type, topic.name, self._keep(topic.name), topic.qos)

    def _keep(self, name: str) -> Callable[[Any], None]:
        return lambda message: self.newest.__setitem__(name, message)

    def armed(self) -> bool:
        return bool(self.newest["cosmos3/commander_status"].armed)

    def stamp(self) -> float:
        stamp = self.newest["joint_states"].header.stamp
        return float(stamp.sec + 1e-9 * stamp.nanosec)


@contextlib.contextmanager
def browser(*options: str) -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        running = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*OPTIONS, *options]
        )
        try:
            yield running
        finally:
            running.close()


def opened(running: Any, link: str) -> tuple[Any, list[str]]:
    """A page with the console, connected, and its errors as they come."""
    from playwright.sync_api import expect

    expect.set_options(timeout=PATIENCE)
    page = running.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.set_default_timeout(PATIENCE)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda one: "Error:" in one.text and errors.append(one.text))
    page.goto(link)
    expect(page.locator("body")).to_have_attribute("data-connection", "open")
    return page, errors


def spread(page: Any, selector: str) -> float:
    """How much the pixels of an element differ: 0 of one that is blank."""
    data = page.locator(selector).screenshot()
    return float(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR).std())


def link_of(console: Any) -> str:
    console.wait_for("console: open ")
    found = re.search(r"http://\S+", console.output)
    assert found is not None
    return found[0]


def armed_by(page: Any, heard: Heard) -> bool:
    """Whether the arm is armed a moment after its button, which is refused just after a reset."""
    if not heard.armed():
        page.click("#arm")
        page.wait_for_timeout(1000)
    return heard.armed()


def press_everything(page: Any, heard: Heard, wait_until: Callable[..., None]) -> None:
    """Every control, and what comes of it on the topics."""
    from playwright.sync_api import expect

    page.fill("#instruction", TEXT)
    page.click("#instruct button")
    wait_until(
        lambda: getattr(heard.newest.get("cosmos3/instruction"), "data", "") == TEXT, "the words"
    )
    page.select_option("#sim_task", "drawer")
    page.fill("#sim_seed", "7")
    page.click("#reset button")
    wait_until(
        lambda: (heard.newest["sim/status"].task, heard.newest["sim/status"].seed) == ("drawer", 7),
        "the new episode",
    )
    expect(page.locator("#episodes tr").first).to_contain_text("drawer")
    for end in (
        lambda: page.click("#stop"),
        lambda: page.keyboard.press("Escape"),
        lambda: page.click("#disarm"),
    ):
        wait_until(lambda: armed_by(page, heard), "the arm to be armed")
        expect(page.locator("#mode")).to_contain_text("armed")
        end()
        wait_until(lambda: not heard.armed(), "the arm to be disarmed")
        expect(page.locator("#mode")).to_contain_text("dry run")
    page.fill("#question", "Is the drawer open?")
    page.click("#ask button")
    expect(page.locator("#answer_question")).to_have_text("Is the drawer open?")
    expect(page.locator("#answer_text")).not_to_have_text(re.compile(r"^(\.\.\.)?$"))


def follow_a_task(page: Any, heard: Heard, watcher: Any, wait_until: Callable[..., None]) -> None:
    """Of somebody else: its feedback, the button that cancels it, and how it ended."""
    from playwright.sync_api import expect
    from rclpy.action import ActionClient

    from cosmos3_ros.action import ExecuteTask
    from cosmos3_ros.ros import topics

    client = ActionClient(watcher, ExecuteTask, topics.EXECUTE_TASK.name)
    try:
        assert client.wait_for_server(60)
        wait_until(lambda: armed_by(page, heard), "the arm to be armed")
        expect(page.locator("#task")).to_be_hidden()
        client.send_goal_async(ExecuteTask.Goal(instruction=TEXT))
        expect(page.locator("#task_text")).to_have_text(f"step 1 of 1: {TEXT}")
        expect(page.locator("#task_phase")).to_contain_text(re.compile("waiting|acting|judging"))
        page.click("#cancel")
        expect(page.locator("#task_phase")).to_contain_text("canceled after")
        expect(page.locator("#task_text")).to_have_text("by the caller")
        expect(page.locator("#cancel")).to_be_hidden()
    finally:
        client.destroy()


def show_surprises(page: Any, watcher: Any) -> None:
    """What a policy node with a calibration says, which the embedded checkpoint lacks."""
    from playwright.sync_api import expect

    from cosmos3_ros.model.interface import Surprise
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import surprise_message

    topic = topics.SURPRISE
    publisher = watcher.create_publisher(topic.type, topic.name, topic.qos)
    grid = np.zeros((5, 6), np.float32)
    grid[2, 3] = 2.0

    def publish() -> None:
        now = watcher.get_clock().now().nanoseconds
        found = Surprise(now, {"wrist": 0.4, "exterior_1": 2.0}, grid)
        words = {"number": 1, "instruction": TEXT, "alarm": True, "reaction": "report"}
        publisher.publish(surprise_message(found, **words))

    expect(page.locator("#surprise")).to_be_hidden()
    timer = watcher.create_timer(0.27, publish)
    expect(page.locator("#surprise_now")).to_have_text("2.00, most in exterior_1, alarm")
    page.wait_for_timeout(1000)
    assert spread(page, "#surprise_plot") > 5
    watcher.destroy_timer(timer)


def attack(page: Any, own: str, elsewhere: str, heard: Heard) -> None:
    """From a page of somebody else, with the cookie where the browser sends it."""
    other = page.context.new_page()
    other.route(elsewhere, lambda route: route.fulfill(body="<html><body></body></html>"))
    sent: list[str] = []
    other.on("request", lambda one: "/do/arm" in one.url and sent.append(one.method))
    other.goto(elsewhere)
    assert other.evaluate(ATTACK, own) == "refused"
    other.wait_for_timeout(2000)
    assert sent == ["POST", "POST"], "both were tried"
    assert not heard.armed()
    other.close()


def refuse(running: Any, link: str) -> None:
    """A browser that never had the link, and the link under a name of somebody else."""
    own, _, query = link.partition("?")
    page = running.new_context().new_page()
    assert page.goto(own).status == 401
    assert "open the link" in page.content()
    assert page.goto(f"{own.replace('127.0.0.1', 'evil.example')}?{query}").status == 403
    page.context.close()


def stops_unseen(running: Any, link: str) -> None:
    """A page that the browser does not draw, as one in a hidden tab, soon asks no more."""
    page = running.new_context().new_page()
    page.add_init_script("window.requestAnimationFrame = () => 1;")
    asked: list[float] = []
    page.on("websocket", lambda one: one.on("framesent", lambda _: asked.append(time.monotonic())))
    page.goto(link)
    for _ in range(PATIENCE // 250):
        page.wait_for_timeout(250)
        if asked and time.monotonic() - asked[-1] > 2:  # it had a question every 40 ms
            break
    else:
        raise AssertionError(f"it asks on: {len(asked)} questions")
    page.context.close()


def lags(page: Any, heard: Heard) -> tuple[list[float], float]:
    """s between what is drawn and what is so, of a page on a processor a sixth as fast.

    And the most that is between two drawings that follow each other, by the stamps of what they
    show: a page that queued would draw all that comes, little by little, and later and later.
    """
    session = page.context.new_cdp_session(page)
    session.send("Emulation.setCPUThrottlingRate", {"rate": 6})
    found: list[float] = []
    stamps: list[float] = []
    for _ in range(PATIENCE // 250):
        page.wait_for_timeout(250)
        drawn = float(page.locator("body").get_attribute("data-stamp"))
        found.append(heard.stamp() - drawn)
        stamps += [drawn] if drawn not in stamps else []
        if len(found) >= 20 and len(stamps) > 4:
            break
    session.send("Emulation.setCPUThrottlingRate", {"rate": 1})
    return found, float(np.diff(stamps).max(initial=0.25))


def test_the_page_in_a_browser(
    start: Any, watcher: Any, wait_until: Any, tmp_path: Path, record_property: Any
) -> None:
    from playwright.sync_api import expect

    from cosmos3_ros.bringup.node_graph import Options, processes

    token = tmp_path / "token"
    token.write_text("a-word-that-nobody-guesses\n")
    options = Options(
        view=True,
        view_port=0,
        view_token_file=str(token),
        task_server=True,
        use_sim_time=bool(PICTURE),
        task="bowl",
        instruction="put the blue cube in the bowl",
    )
    *others, last = processes(options)
    for process in others:
        start(process.executable, *process.arguments(), *MORE.get(process.executable, ()))
    console = start(last.executable, *last.arguments())
    heard = Heard(watcher)
    link = link_of(console)
    own = link.partition("/?")[0]
    with browser(*SOFTWARE_GL, HERE) as running:
        page, errors = opened(running, link)
        assert page.url == f"{own}/", "the token is not left in the address"
        expect(page.locator("#stage")).to_have_attribute("data-loaded", "true")
        expect(page.locator("#mode")).to_contain_text("dry run")
        wait_until(lambda: "cosmos3/action_chunk" in heard.newest, "a chunk", 120)
        expect(page.locator("#stages span").first).to_be_attached()
        expect(page.locator("#due")).to_contain_text("for", timeout=3 * PATIENCE)
        page.click("#arm")
        expect(page.locator("#scene_text")).not_to_have_text("nothing said yet")
        if PICTURE:
            page.wait_for_timeout(10_000)  # 1 s of the robot
            far = re.compile(r"^0\.(0[89]|[1-9])")  # m that the chunk goes on, so that it is seen
            with contextlib.suppress(AssertionError):  # as below
                expect(page.locator("#stage")).to_have_attribute("data-ahead", far)
        with contextlib.suppress(AssertionError):  # a busy machine has no chunk in time
            expect(page.locator("#mode")).to_have_text("armed · moving", timeout=5_000)
            expect(page.locator("#due")).to_contain_text("for this moment", timeout=5_000)
        page.wait_for_timeout(700)
        picture = tmp_path / "console.png"
        page.screenshot(path=picture)
        if PICTURE:
            shutil.copy(picture, PICTURE)
            return
        for selector in ("#stage", "#seen", "#predicted", "#strip", "#latency", "#joints"):
            assert spread(page, selector) > 5, f"{selector} is blank"
        page.click("#disarm")
        press_everything(page, heard, wait_until)
        follow_a_task(page, heard, watcher, wait_until)
        page.click("#disarm")
        wait_until(lambda: not heard.armed(), "the arm to be disarmed")
        show_surprises(page, watcher)
        refuse(running, link)
        stops_unseen(running, link)
        for elsewhere in ELSEWHERE:
            attack(page, own, elsewhere, heard)
        found, gap = lags(page, heard)
        text = f"{np.round(found, 2).tolist()}; at most {gap:.2f} s between two drawings"
        record_property("table: lag of a page that is drawn six times as slowly", text)
        assert min(found) < 0.5 + gap, "a queue would make all of them late"

        port = own.rpartition(":")[2]
        console.process.kill()
        expect(page.locator("body")).to_have_attribute("data-connection", "closed")
        expect(page.locator("#mode")).to_have_text("disconnected")
        start(last.executable, *last.arguments(), "-p", f"console:port:={port}")
        expect(page.locator("body")).to_have_attribute("data-connection", "open")
        expect(page.locator("#mode")).to_contain_text("dry run")
        assert errors == []
    with browser("--disable-3d-apis") as running:
        page, errors = opened(running, link)
        expect(page.locator("#stage")).to_contain_text("no 3-D view here")
        wait_until(lambda: armed_by(page, heard), "the arm to be armed")
        page.click("#stop")
        wait_until(lambda: not heard.armed(), "the arm to be disarmed")
        assert spread(page, "#seen") > 5
        assert errors == []
