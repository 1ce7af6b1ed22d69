# SPDX-License-Identifier: Apache-2.0
"""The remote reasoner: our server with the tiny model, and endpoints that misbehave."""

import contextlib
import http.server
import json
import math
import re
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.interface import NS, Clip
from cosmos3_ros.model.reasoner import Cosmos3Reasoner, load_reasoner
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.clients.media_uri import media_part, mp4_uri
from cosmos3_ros.serve.clients.reasoner_client import RemoteReasoner
from cosmos3_ros.serve.media_decoder import Decoder, read_uri
from cosmos3_ros.serve.openai_server import OpenAiServer

PICTURES = [
    np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8) for seed in range(3)
]
Serve = Callable[..., contextlib.AbstractContextManager[int]]


@pytest.fixture(scope="module")
def reasoner() -> Cosmos3Reasoner:
    made = load_reasoner(tiny_checkpoint(), max_tokens=100_000)
    made.stop = frozenset()  # answers as long as they may be
    return made


@pytest.fixture(scope="module")
def serve(reasoner: Cosmos3Reasoner) -> Serve:
    """Function that serves the tiny model for the length of a context, which has the port."""

    def run(port: int = 0) -> contextlib.AbstractContextManager[int]:
        server = OpenAiServer(reasoner, "tiny", token="secret")
        return in_background(lambda ready, ended: server.run("127.0.0.1", port, ready, ended))

    return run


@pytest.fixture(scope="module")
def url(serve: Serve) -> Iterator[str]:
    with serve() as port:
        yield f"http://127.0.0.1:{port}/v1"


@contextlib.contextmanager
def endpoint(status: int, body: bytes, **headers: str) -> Iterator[str]:
    """A server that says the same to everybody."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, *_: Any) -> None: ...

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/v1"
        server.shutdown()
        thread.join()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.parametrize("images", [[], PICTURES[:1], PICTURES], ids=len)
def test_the_answer_is_that_of_an_onboard_reasoner(
    url: str, reasoner: Cosmos3Reasoner, images: list
) -> None:
    told = RemoteReasoner(url, "tiny", "secret").ask("What is it?", images, 12)
    onboard = reasoner.ask("What is it?", images, 12)
    assert (told.text, told.thought, told.tokens) == (onboard.text, onboard.thought, 12)
    assert set(told.seconds) == {"remote"}
    assert told.yes == pytest.approx(onboard.yes, nan_ok=True)


@pytest.mark.parametrize(("yes", "no"), [(9.0, 7.0), (7.0, 9.0)], ids=["yes", "no"])
def test_the_probability_of_yes_is_that_of_an_onboard_reasoner(
    url: str, reasoner: Cosmos3Reasoner, monkeypatch: pytest.MonkeyPatch, yes: float, no: float
) -> None:
    """Of a network that says yes or no, which one with random weights does not."""
    numbers = [reasoner.tokenizer(word).input_ids[0] for word in ("Yes", "No")]
    step = reasoner._decoders.read

    def read(*given: Any) -> Any:
        scores = step(*given).clone()
        scores[:] = -5.0
        scores[numbers] = scores.new_tensor([yes, no])
        return scores

    monkeypatch.setattr(reasoner._decoders, "read", read)
    onboard = reasoner.ask("Is it open?", PICTURES[:1], 1)
    told = RemoteReasoner(url, "tiny", "secret").ask("Is it open?", PICTURES[:1], 1)
    assert told.yes == pytest.approx(1 / (1 + math.exp(no - yes)), abs=1e-4)
    assert told.yes == pytest.approx(onboard.yes, abs=1e-4)


@pytest.mark.parametrize("shape", [(48, 64, 3), (41, 55, 3)], ids=["even", "odd"])
def test_a_clip_is_shown_as_a_video(url: str, reasoner: Cosmos3Reasoner, shape: tuple) -> None:
    frames = [np.full(shape, 20 * number, np.uint8) for number in range(6)]
    clip = Clip(frames, np.arange(6) * 15, 30.0)
    sent = RemoteReasoner(url, "tiny", "secret").ask("What moves?", [clip, PICTURES[0]], 4)
    assert sent.tokens == 4
    size = tuple(side + side % 2 for side in shape[:2])
    decoded = Decoder()(read_uri("video", mp4_uri(clip), rate=2.0))
    assert isinstance(decoded, Clip)
    assert decoded.frames[0].shape[:2] == size
    assert (decoded.indices / decoded.fps).tolist() == pytest.approx([0.0, 0.5, 1.0, 1.5, 2.0, 2.5])
    for shown, frame in zip(decoded.frames, frames, strict=True):
        even = shown[: shape[0], : shape[1]]
        assert np.abs(even.astype(int) - frame).mean() < 3
    alone = media_part(Clip(frames[:1], np.array([7]), 30.0))
    assert alone == media_part(frames[0])


class Grudging(http.server.BaseHTTPRequestHandler):
    """Tells no log-probabilities: refuses to be asked for them, with `status`."""

    asked: list[dict]
    status = 400

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.asked.append(body)
        refused = "logprobs" in body
        text = b'{"choices": [{"message": {"content": "Yes."}}]}'
        self.send_response(self.status if refused else 200)
        self.send_header("Content-Length", str(0 if refused else len(text)))
        self.end_headers()
        self.wfile.write(b"" if refused else text)

    def log_message(self, *_: Any) -> None: ...


@pytest.mark.parametrize("status", [400, 422])
def test_an_endpoint_that_tells_no_log_probabilities_is_asked_without(status: int) -> None:
    handler = type("Handler", (Grudging,), {"status": status, "asked": []})
    with http.server.HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        remote = RemoteReasoner(f"http://127.0.0.1:{server.server_port}/v1", "m")
        answers = [remote.ask("Is it open?") for _ in range(2)]
        server.shutdown()
        thread.join()
    assert [(one.text, math.isnan(one.yes)) for one in answers] == [("Yes.", True)] * 2
    assert ["logprobs" in body for body in handler.asked] == [True, False, False]


@pytest.mark.parametrize(
    ("told", "wanted"),
    [
        ([("Yes", -0.2), ("No", -2.0), (" yes", -5.0), (" ", -5.0)], 0.8591),
        ([("The", -0.1), ("Yes", -2.5)], math.nan),
        ([("N", -0.01)], 0.0),
        ([], math.nan),
    ],
    ids=["yes", "neither", "no", "none"],
)
def test_yes_is_read_from_what_an_endpoint_tells(told: list, wanted: float) -> None:
    top = [{"token": word, "logprob": value} for word, value in told]
    first = {**top[0], "top_logprobs": top} if top else None
    choice = {
        "message": {"content": "Perhaps."},
        "logprobs": {"content": [first] if first else []},
    }
    with endpoint(200, json.dumps({"choices": [choice]}).encode()) as url:
        answer = RemoteReasoner(url, "m").ask("Is it open?")
    assert answer.yes == pytest.approx(wanted, abs=1e-3, nan_ok=True)


def test_without_a_name_the_first_model_is_asked(url: str) -> None:
    assert RemoteReasoner(url + "/", token="secret").ask("What is it?", max_tokens=3).tokens == 3


@pytest.mark.parametrize(
    ("model", "token", "words"),
    [
        ("gpt", "secret", "status 404: model: expected 'tiny', got 'gpt'"),
        ("tiny", "guess", "status 401: the API key is missing or wrong"),
        ("", "", "status 401: the API key is missing or wrong"),
    ],
)
def test_a_refusal_is_passed_on(url: str, model: str, token: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        RemoteReasoner(url, model, token).ask("What is it?")
    assert str(caught.value).startswith(url)
    assert not token or token not in str(caught.value)


def test_bad_input_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match=r"images\[0\]: expected a uint8 array"):
        RemoteReasoner("http://127.0.0.1:9/v1").ask("What?", [np.zeros((4, 4, 3), np.float32)])
    for wrong in ("", "127.0.0.1:8000", "ftp://host/v1", "http:///v1", "http://user:word@host/v1"):
        with pytest.raises(ValueError, match=r"remote_url: expected http\(s\)://HOST\[:PORT\]/v1"):
            RemoteReasoner(wrong)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (200, b"<html>hello</html>", "expected a JSON object, got b'<html>hello</html>'"),
        (200, b"[" * 100_000, "expected a JSON object, got"),
        (200, b'{"choices": []}', "expected a chat completion, got something else"),
        (
            200,
            b'{"choices": [{"message": "no"}]}',
            "expected a chat completion, got something else",
        ),
        (200, bytes(17 << 20), "expected an answer of at most 16777216 bytes, got more"),
        (302, b"", "status 302: no reason given"),
        (500, b'{"object": "error", "message": "out of\\nmemory"}', "status 500: out of memory"),
        (422, b'{"detail": [{"msg": "bad"}]}', r"status 422: \[{'msg': 'bad'}\]"),
    ],
    ids=["html", "deep", "empty", "shape", "large", "redirect", "vllm", "fastapi"],
)
def test_nonsense_is_named(status: int, body: bytes, words: str) -> None:
    with (
        endpoint(status, body, Location="http://127.0.0.1:9/") as url,
        pytest.raises(ValueError, match=words),
    ):
        RemoteReasoner(url, "m").ask("What is it?")


def test_a_thought_that_is_told_apart_and_boxes_are_read() -> None:
    said = {
        "content": '[{"bbox_2d": [0, 100, 500, 1000], "label": "cup"}]',
        "reasoning_content": "There.",
    }
    with endpoint(200, json.dumps({"choices": [{"message": said}]}).encode()) as url:
        answer = RemoteReasoner(url, "m").ask("Where?")
    assert (answer.thought, answer.boxes[0].label, answer.boxes[0].y_min) == ("There.", "cup", 0.1)


def test_no_answer_in_time_and_no_endpoint_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        with pytest.raises(TimeoutError, match=f"^{url}: no answer within 0.1 s"):
            RemoteReasoner(url, "m", timeout=0.1).ask("What?")
    with pytest.raises(ConnectionError, match=f"^{url}: .*refused"):
        RemoteReasoner(url, "m").ask("What?")


def test_a_running_question_can_be_given_up(url: str) -> None:
    remote = RemoteReasoner(url, "tiny", "secret")
    failed: list[Exception] = []

    def ask() -> None:
        try:
            remote.ask("What is it?", max_tokens=100_000)
        except ConnectionError as error:
            failed.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    while thread.is_alive():
        remote.cancel()
        thread.join(0.05)
    assert str(failed[0]) == "the question was given up"
    # at once: the server has stopped too
    assert remote.ask("What is it?", max_tokens=2).tokens == 2


def test_what_is_given_up_for_good_is_not_asked_any_more() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        remote = RemoteReasoner(f"http://127.0.0.1:{silent.getsockname()[1]}/v1", "m", timeout=0.1)
        remote.cancel()
        with pytest.raises(TimeoutError):
            remote.ask("What?")
        remote.cancel(for_good=True)
        for _ in range(2):
            with pytest.raises(ConnectionError, match="the question was given up"):
                remote.ask("What?")


# -- the node --------------------------------------------------------------------------------------


def parameters(**values: Any) -> list[str]:
    return [
        "--ros-args",
        *(word for name, value in values.items() for word in ("-p", f"{name}:={value}")),
    ]


@pytest.fixture
def ask(watcher: Any, wait_until: Any) -> Callable[..., Any]:
    """Function that asks the reasoner node; meanwhile a camera of the robot runs."""
    from sensor_msgs.msg import Image

    from cosmos3_ros.robot.images import fill
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import header

    camera, service = topics.camera("wrist", "raw"), topics.REASONER.offers[0]
    publisher = watcher.create_publisher(camera.type, camera.name, topics.RELIABLE)
    client = watcher.create_client(service.type, "reasoner/ask")

    def publish() -> None:
        message = fill(Image(), PICTURES[0], "rgb8")
        message.header = header(watcher.get_clock().now().nanoseconds)
        publisher.publish(message)

    watcher.create_timer(0.05, publish)

    def call(**request: Any) -> Any:
        assert client.wait_for_service(20)
        while True:
            done = client.call_async(service.type.Request(question="What is it?", **request))
            wait_until(done.done, "an answer", 30)
            if "no image from view" not in done.result().message:
                return done.result()

    return call


@pytest.mark.ros
def test_the_node_asks_the_endpoint_and_bears_its_absence(
    start: Any, ask: Any, serve: Serve, reasoner: Cosmos3Reasoner, wait_until: Any, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("secret\n")
    port = free_port()
    url, token = f"http://127.0.0.1:{port}/v1", tmp_path / "token"
    # which is not looked at
    values = {"remote_url": url, "remote_token_file": token, "checkpoint": "/nowhere"}
    node = start("reasoner", *parameters(**values, views="[wrist]", rate=5.0))
    node.wait_for("no scene: http://127.0.0.1:")  # it is active: before, it refuses to be asked
    refused = ask()
    assert not refused.success
    assert refused.message.startswith(f"{url}: ")
    assert "refused" in refused.message
    with serve(port):
        node.wait_for("scenes again")
        told = ask(max_tokens=7)
        assert (told.success, told.scene.tokens) == (True, 7)
        assert told.scene.text == reasoner.ask("What is it?", PICTURES[:1], 7).text
    # hangs up, sometimes after it has listened
    with socket.create_server(("127.0.0.1", port)) as rude:
        rude.settimeout(40)
        for number in range(5):
            with rude.accept()[0] as asked:
                if number % 2:
                    asked.shutdown(socket.SHUT_WR)
                    while asked.recv(1 << 16):
                        pass
    wait_until(
        lambda: "refused" in node.output.rpartition("scenes again")[2],
        "the node to miss the endpoint",
    )
    assert not ask().success
    with serve(port):
        assert ask(max_tokens=2).success
        # nor any weights
        assert "libtorch" not in Path(f"/proc/{node.process.pid}/maps").read_text()
    for absence in node.output.split("scenes again"):
        told = re.findall("no scene: (http.*)", absence)
        assert len(told) == len(set(told)), "a reason is told once per absence"
    assert node.interrupt() == 0
    assert "secret" not in node.output


@pytest.mark.ros
def test_the_node_ends_in_the_middle_of_a_question(start: Any, watcher: Any, ask: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(20)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/v1"
        node = start(
            "reasoner", *parameters(remote_url=url, remote_model="m", views="[wrist]", rate=5.0)
        )
        asked, _ = silent.accept()
        with asked:
            assert asked.recv(4) == b"POST"
            assert node.interrupt() == 0
    assert "Traceback" not in node.output


@pytest.mark.ros
def test_scenes_go_on_when_simulated_time_begins_anew(
    start: Any, watcher: Any, wait_until: Any
) -> None:
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import Image

    from cosmos3_ros.robot.images import fill
    from cosmos3_ros.ros import topics
    from cosmos3_ros.ros.messages import header, to_time

    camera, time = topics.camera("wrist", "raw"), [100 * NS]
    images = watcher.create_publisher(camera.type, camera.name, topics.RELIABLE)
    clock = watcher.create_publisher(topics.CLOCK.type, topics.CLOCK.name, topics.RELIABLE)
    stamps: list[int] = []
    watcher.create_subscription(
        topics.SCENE.type, topics.SCENE.name, lambda s: stamps.append(s.header.stamp.sec), 5
    )

    def tick() -> None:
        time[0] += NS // 20
        clock.publish(Clock(clock=to_time(time[0])))
        message = fill(Image(), PICTURES[0], "rgb8")
        message.header = header(time[0])
        images.publish(message)

    watcher.create_timer(0.05, tick)
    with endpoint(200, b'{"choices": [{"message": {"content": "A table."}}]}') as url:
        values = {
            "remote_url": url,
            "remote_model": "m",
            "views": "[wrist]",
            "use_sim_time": True,
            "rate": 1.0,
        }
        node = start("reasoner", *parameters(**values))
        wait_until(lambda: stamps, "a scene")
        time[0] = 0
        node.wait_for("camera wrist: the clock jumped back; everything older is forgotten")
        wait_until(lambda: stamps[-1] < 50, "a scene on the new clock", 20)


@pytest.mark.ros
@pytest.mark.parametrize(
    ("values", "code", "words"),
    [
        (
            {"remote_url": "ftp://x"},
            1,
            "remote_url: expected http(s)://HOST[:PORT]/v1, got 'ftp://x'",
        ),
        (
            {"remote_url": "http://x/v1", "remote_token_file": "/nowhere"},
            1,
            "No such file or directory: '/nowhere'",
        ),
        (
            {"remote_timeout": 0.0},
            2,
            "parameter 'remote_timeout': expected a positive number, got 0.0",
        ),
    ],
)
def test_wrong_parameters_end_the_node(
    start: Any, values: dict[str, Any], code: int, words: str
) -> None:
    node = start("reasoner", *parameters(**values))
    assert node.process.wait(60) == code
    assert words in node.output
    assert "Traceback" not in node.output
