# SPDX-License-Identifier: Apache-2.0
"""What the console costs: processor time, memory, latency of chunks, lag of a throttled page.

python bench/console_cost.py [--seconds 600] [--out FILE]

Simulation, policy and commander; beside them a process that only subscribes to what the console
hears, and the console with a page that is open in every other window, as the page asks: when it has
the last answer, at most every 66 ms. A second page is connected all the time and never asks. At the
end, with chromium and playwright, the real page on a processor that is throttled to a sixth.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import multiprocessing
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import rclpy
from result_file import report

from cosmos3_ros.apps.demo import watching
from cosmos3_ros.apps.topic_recorder import Recorder, wait_until
from cosmos3_ros.bringup.node_graph import Options, Process, processes
from cosmos3_ros.bringup.process_runner import RunningGraph
from cosmos3_ros.ros import topics
from cosmos3_ros.ros.worker_thread import LAST
from cosmos3_ros.sim.camera_table import VIEWS

TOKEN = "a-word-for-a-bench"
PERIOD = 0.066  # s between two questions of the page, as in console.js
WINDOW = 20.0  # s
SETTLE = 5.0  # s after which what a window began with has come to rest
TICK = os.sysconf("SC_CLK_TCK")
THROTTLE = 6


def subscribe_only() -> None:
    """The process that the console is compared with: the same topics, decoded and dropped."""
    rclpy.init()
    node = rclpy.create_node("floor")
    cameras = [topics.camera(view, "compressed") for view in VIEWS]
    small = [topic for topic in topics.CONSOLE.subscribes if not topic.instead]
    for topic in (*small, topics.JOINT_STATES, topics.COMMAND, topics.FUTURE, *cameras):
        node.create_subscription(topic.type, topic.name, lambda message: None, topic.qos)
    with contextlib.suppress(KeyboardInterrupt, rclpy.executors.ExternalShutdownException):
        rclpy.spin(node)


def cpu_seconds(pid: int) -> float:
    """Processor time of a process so far."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICK


def memory(pid: int) -> float:
    """Resident memory of a process, MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


@dataclasses.dataclass(frozen=True, slots=True)
class Looking:
    """What the process of the pages is told, and tells: an own one, as a browser is.

    A thread of low priority beside the recorder would hold its interpreter lock while it waits for
    a processor, and chunks would seem to come later.
    """

    open: Any  # multiprocessing's Event: the page that asks is open
    ended: Any  # Event
    answers: Any  # Value: how many it got


def look_on(port: int, looking: Looking) -> None:
    """A page that asks while it is open, and one that never does."""
    os.nice(LAST)  # a page is on the processor of whoever looks
    asyncio.run(_look_on(port, looking))


async def _look_on(port: int, looking: Looking) -> None:
    own = f"http://127.0.0.1:{port}"
    headers = {"Cookie": f"cosmos3_console_{port}={TOKEN}", "Origin": own}
    url = f"{own}/socket"
    async with aiohttp.ClientSession(headers=headers) as session, session.ws_connect(url) as silent:
        pongs = asyncio.create_task(silent.receive())  # nothing else comes
        while not looking.ended.is_set():
            if looking.open.is_set():
                async with session.ws_connect(url) as asking:
                    await _ask(asking, looking)
            await asyncio.sleep(0.05)
        if pongs.done():
            raise ValueError("the page that never asks was not kept")
        pongs.cancel()


async def _ask(asking: aiohttp.ClientWebSocketResponse, looking: Looking) -> None:
    while looking.open.is_set() and not looking.ended.is_set():
        asked = time.monotonic()
        await asking.send_str("next")
        pictures = (await asking.receive_json())["pictures"]
        for _ in range(sum(pictures.values())):
            await asking.receive_bytes()
        looking.answers.value += 1
        await asyncio.sleep(max(0.0, PERIOD - (time.monotonic() - asked)))


class Pages:
    """The process of the pages."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._looking = Looking(context.Event(), context.Event(), context.Value("i", 0))
        self._process = context.Process(target=look_on, args=(port, self._looking))

    def __enter__(self) -> Pages:
        self._process.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._looking.ended.set()
        self._process.join()
        if self._process.exitcode:
            raise ValueError(f"the process of the pages ended with {self._process.exitcode}")

    def show(self, is_open: bool) -> None:
        """Open or close the page that asks."""
        (self._looking.open.set if is_open else self._looking.open.clear)()

    @property
    def answers(self) -> int:
        """How many the page has got."""
        return self._looking.answers.value


def latencies(recorder: Recorder, seconds: float) -> list[float]:
    """How long chunks took from capture to arrival, of those that come in so many seconds; ms."""
    before = len(recorder.latencies)
    time.sleep(seconds)
    return [1e3 * one["total"] for one in recorder.latencies[before:]]


def quantiles(values: Sequence[float]) -> dict[str, Any]:
    """Median, 95th percentile and most."""
    if not values:
        raise ValueError("nothing was measured: expected longer --seconds")
    p50, p95, most = np.quantile(values, [0.5, 0.95, 1.0])
    return {"count": len(values), "p50": round(p50, 3), "p95": round(p95, 3), "max": round(most, 3)}


def alternate(
    recorder: Recorder, pages: Pages, pids: dict[str, int], seconds: float
) -> dict[str, Any]:
    """Windows with the page closed and open in turn; memory all the time."""
    taken: dict[bool, list[float]] = {False: [], True: []}
    shares: dict[str, list[float]] = {name: [] for name in pids}
    sizes = [round(memory(pids["console"]), 1)]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for is_open in (False, True):
            pages.show(is_open)
            time.sleep(SETTLE)
            began, spent = time.monotonic(), {name: cpu_seconds(pid) for name, pid in pids.items()}
            taken[is_open] += latencies(recorder, WINDOW)
            for name, pid in pids.items() if is_open else ():
                used = cpu_seconds(pid) - spent[name]
                shares[name].append(100 * used / (time.monotonic() - began))
            sizes.append(round(memory(pids["console"]), 1))
    pages.show(False)
    middle = {name: float(np.median(found)) for name, found in shares.items()}
    return {
        "percent of one core, page open": {n: round(v, 1) for n, v in middle.items()},
        "console / only subscribing": round(middle["console"] / middle["floor"], 3),
        "chunk latency ms, page closed": quantiles(taken[False]),
        "chunk latency ms, page open": quantiles(taken[True]),
        "console's memory MB, every window": sizes,
    }


def lag(link: str, recorder: Recorder) -> dict[str, Any]:
    """s between what the real page shows of the joints and what is so, throttled; its drawings."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        # as a browser is without a graphics card: 3-D by the processor, the page as usual
        options = ["--no-sandbox", "--enable-unsafe-swiftshader"]
        running = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        page = running.new_context(viewport={"width": 1440, "height": 900}).new_page()
        page.goto(link)
        page.wait_for_selector("body[data-stamp]", timeout=120_000)
        page.context.new_cdp_session(page).send(
            "Emulation.setCPUThrottlingRate", {"rate": THROTTLE}
        )
        page.wait_for_timeout(1000 * SETTLE)
        found, stamps = [], set()
        began = time.monotonic()
        for _ in range(60):
            page.wait_for_timeout(250)
            drawn = float(page.locator("body").get_attribute("data-stamp"))
            stamps.add(drawn)
            found.append(recorder.started * 1e-9 + recorder.measured[-1][0] - drawn)
        seconds = time.monotonic() - began
        running.close()
    # looked at four times a second, more are not seen
    return quantiles(found) | {"drawings a second, 4 at most": round(len(stamps) / seconds, 2)}


def listens(port: int) -> bool:
    """Whether somebody does on this port of this machine."""
    with socket.socket() as tried:
        return tried.connect_ex(("127.0.0.1", port)) == 0


@contextlib.contextmanager
def floor() -> Iterator[int]:
    """The process that only subscribes; its id."""
    with subprocess.Popen([sys.executable, __file__, "--floor"]) as popen:
        try:
            yield popen.pid
        finally:
            popen.terminate()


def graph(folder: Path) -> tuple[list[Process], Process, int]:
    """The nodes, the console, and its port."""
    (folder / "token").write_text(TOKEN + "\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    *others, console = processes(
        Options(
            reasoner=False,
            task="lift",
            instruction="pick up the red cube",
            view=True,
            view_port=port,
            view_token_file=str(folder / "token"),
        )
    )
    return others, console, port


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=600.0, help="of the windows together")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--floor", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.floor:
        return subscribe_only()
    load = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory() as folder, Path(os.devnull).open("w") as log:
        others, console, port = graph(Path(folder))
        with (
            RunningGraph(others, log) as nodes,
            watching(Options(), (), futures=False) as recorder,
        ):
            wait_until(lambda: len(recorder.latencies) > 5, 300.0, "chunks")
            alone = latencies(recorder, 3 * WINDOW)
            with floor() as other, RunningGraph([console], log) as watched:
                pids = {"floor": other, **watched.pids(), "commander": nodes.pids()["commander"]}
                wait_until(lambda: listens(port), 120.0, "the console's start")
                with Pages(port) as pages:
                    found = alternate(recorder, pages, pids, args.seconds)
                    answers = pages.answers
                load.append(os.getloadavg()[0])
                link = f"http://127.0.0.1:{port}/?token={TOKEN}"
                recorder.begin()
                throttled = lag(link, recorder) if shutil.which("chromium") else None
    load.append(os.getloadavg()[0])
    report(
        f"python bench/console_cost.py --seconds {args.seconds:g}",
        ("aiohttp", "torch", "numpy"),
        args.out,
        cores=os.cpu_count(),
        load_average=[round(one, 1) for one in load],
        **{"chunk latency ms, nobody listens": quantiles(alone)},
        **found,
        answers_of_the_page=answers,
        **{f"lag s, real page, processor throttled {THROTTLE} x": throttled},
    )
    return None


if __name__ == "__main__":
    main()
