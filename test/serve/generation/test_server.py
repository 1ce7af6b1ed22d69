# SPDX-License-Identifier: Apache-2.0
"""The generator's server over sockets: OpenAI's client, queues, restarts, and bad requests."""

import base64
import concurrent.futures
import contextlib
import http.client
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import openai
import pytest
from PIL import Image

from cosmos3_ros.model.generation.action_options import ActionOptions
from cosmos3_ros.model.generation.options import CompleteRequest, GenerateOptions
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.generation.server import GeneratorOptions, GeneratorServer

# the client calls all of OpenAI's videos so
pytestmark = pytest.mark.filterwarnings("ignore:.*Sora API:DeprecationWarning")
PNG = io.BytesIO()
Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(PNG, "png")
PNG = PNG.getvalue()


class Gated:
    """An engine whose every step waits for a gate, and whose files say what they are of."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.began = threading.Event()
        self.made: list[str] = []
        self.fails: Exception | None = None

    def complete(self, options: GenerateOptions) -> CompleteRequest:
        if options.prompt == "unreadable":
            raise ValueError(f"{options.image} is an image that cannot be read")
        frames, fps = options.frames or 189, options.fps or 24.0
        return CompleteRequest(options, "", frames, fps, (32, 48), 4, 1.0, 1.0, "")

    def steps(self, asked: CompleteRequest) -> int:
        return 4

    def write(
        self, asked: CompleteRequest, file: Path, progress: Callable[[], None] | None = None
    ) -> None:
        self._work(progress)
        self.made.append(asked.asked.prompt)
        text = f"{asked.asked.prompt} {asked.frames} {asked.asked.seed}"
        file.with_suffix(".sheet.png").write_text("sheet")
        file.write_text(text)

    def check_actions(self, options: ActionOptions) -> None: ...

    def actions(
        self, options: ActionOptions, progress: Callable[[], None] | None = None
    ) -> np.ndarray:
        self._work(progress)
        return np.full((options.frames - 1, options.width), 0.5, np.float32)

    def write_dynamics(
        self, options: ActionOptions, file: Path, progress: Callable[[], None] | None = None
    ) -> None:
        self._work(progress)
        file.write_text(f"{len(options.actions)} rows")

    def _work(self, progress: Callable[[], None] | None) -> None:
        for _ in range(4):
            self.began.set()
            assert self.gate.wait(30)
            if self.fails:
                raise self.fails
            assert progress
            progress()


@contextlib.contextmanager
def serving(engine: Gated, folder: Path, **more: Any) -> Iterator[openai.OpenAI]:
    """OpenAI's client of a server; on the way out the gate opens, so that it can end."""
    options = GeneratorOptions(folder, "tiny", **more)
    server = GeneratorServer(lambda: engine, options)
    with (
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port,
        openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="key", max_retries=0, timeout=30
        ) as client,
    ):
        yield client
        if not engine.gate.is_set():  # the server is to find the job stopped, not made
            threading.Timer(0.3, engine.gate.set).start()


def send(
    client: openai.OpenAI, method: str, path: str, body: Any = None, **headers: str
) -> tuple[int, bytes]:
    line = http.client.HTTPConnection(client.base_url.host, client.base_url.port, timeout=30)
    with contextlib.closing(line):
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        line.request(method, path, data, {"Content-Type": "application/json"} | given)
        reply = line.getresponse()
        return reply.status, reply.read()


def ended(client: openai.OpenAI, name: str) -> Any:
    for _ in range(300):
        video = client.videos.retrieve(name)
        if video.status in ("completed", "failed"):
            return video
        time.sleep(0.05)
    return pytest.fail(f"{name} does not end")


@pytest.fixture
def engine() -> Gated:
    return Gated()


@pytest.fixture
def client(engine: Gated, tmp_path: Path) -> Iterator[openai.OpenAI]:
    with serving(engine, tmp_path / "jobs", waiting=3) as client:
        yield client


@pytest.fixture(scope="module")
def shared(tmp_path_factory: Any) -> Iterator[openai.OpenAI]:
    """One server for requests after which nothing is left."""
    with serving(Gated(), tmp_path_factory.mktemp("jobs") / "jobs") as client:
        yield client


def test_a_video_from_its_promise_to_its_end(client: openai.OpenAI, engine: Gated) -> None:
    engine.gate.clear()
    video = client.videos.create(
        prompt="a cup", model="tiny", seconds="4", size="48x32", extra_body={"seed": 5}
    )
    assert (video.object, video.status, video.progress, video.model) == (
        "video",
        "queued",
        0,
        "tiny",
    )
    assert (video.size, video.prompt) == ("48x32", "a cup")
    assert float(video.seconds) == pytest.approx(97 / 24, abs=1e-3)  # 4 k + 1 frames
    assert engine.began.wait(30)
    with pytest.raises(openai.BadRequestError, match="expected a completed one"):
        client.videos.download_content(video.id)
    engine.gate.set()
    done = ended(client, video.id)
    assert (done.status, done.progress, done.error) == ("completed", 100, None)
    assert done.expires_at - done.completed_at == 86_400
    assert client.videos.download_content(video.id).read() == b"a cup 97 5"
    assert client.videos.download_content(video.id, variant="spritesheet").read() == b"sheet"
    with pytest.raises(openai.BadRequestError, match="variant: expected video or spritesheet"):
        client.videos.download_content(video.id, variant="thumbnail")
    assert client.videos.delete(video.id).deleted
    with pytest.raises(openai.NotFoundError, match="there is no"):
        client.videos.retrieve(video.id)


def test_a_video_begins_with_an_uploaded_picture(client: openai.OpenAI, engine: Gated) -> None:
    video = client.videos.create(prompt="go", input_reference=("a.png", PNG, "image/png"))
    assert ended(client, video.id).status == "completed"
    with pytest.raises(openai.BadRequestError) as caught:
        client.videos.create(prompt="unreadable", input_reference=("a.png", PNG, "image/png"))
    words = caught.value.body["message"]
    assert words == "input_reference: the file is an image that cannot be read"
    assert caught.value.body["param"] == "input_reference"


def test_videos_are_listed_page_by_page(client: openai.OpenAI) -> None:
    made = [client.videos.create(prompt=str(number)).id for number in range(3)]
    for name in made:
        ended(client, name)
    assert [video.id for video in client.videos.list(limit=2)] == made[::-1]  # both pages
    assert [video.id for video in client.videos.list(order="asc")] == made
    long = "limit=0001" + "0" * 5000
    for query in ("limit=0", "limit=x", "limit=" + "9" * 5000, long, "order=up", "after=nobody"):
        assert send(client, "GET", f"/v1/videos?{query}")[0] in (400, 404)


def test_pictures_come_at_once_each_with_its_seed(client: openai.OpenAI) -> None:
    told = client.images.generate(
        prompt="a cup", model="tiny", n=2, size="48x32", extra_body={"seed": 5}
    )
    pictures = [base64.b64decode(one.b64_json) for one in told.data]
    assert pictures == [b"a cup 1 5", b"a cup 1 6"]


def test_actions_come_at_once_in_the_form_of_sglang(client: openai.OpenAI) -> None:
    extra = {"action_mode": "policy", "domain_name": "droid_lerobot", "raw_action_dim": 8}
    uri = "data:image/png;base64," + base64.b64encode(PNG).decode()
    body = {"prompt": "go", "num_frames": 5, "extra_params": extra, "input_reference": uri}
    status, text = send(client, "POST", "/v1/actions/generations", body)
    action = json.loads(text)["data"][0]["action"]
    assert (status, action["shape"], action["dtype"]) == (200, [4, 8], "float32")
    assert action["values"] == [[0.5] * 8] * 4


def test_the_video_of_actions_and_the_video_at_once(client: openai.OpenAI) -> None:
    extra = {"action_mode": "forward_dynamics", "domain_name": "av", "action": [[0.0] * 9] * 4}
    video = client.videos.create(
        prompt="drive",
        input_reference=("a.png", PNG, "image/png"),
        extra_body={"num_frames": 5, "extra_params": json.dumps(extra)},
    )
    assert ended(client, video.id).status == "completed"
    assert client.videos.download_content(video.id).read() == b"4 rows"
    assert send(client, "POST", "/v1/videos/sync", {"prompt": "now", "seed": 1}) == (
        200,
        b"now 189 1",
    )
    assert [one.id for one in client.videos.list()] == [video.id]


def test_a_line_has_its_length(client: openai.OpenAI, engine: Gated) -> None:
    engine.gate.clear()
    made = [client.videos.create(prompt=str(number)).id for number in range(3)]
    for call in (client.videos.create, client.images.generate):
        with pytest.raises(openai.InternalServerError, match="3 requests wait already") as caught:
            call(prompt="more")
        assert caught.value.status_code == 503
    assert client.videos.delete(made[1]).deleted
    engine.gate.set()
    assert {ended(client, name).status for name in (made[0], made[2])} == {"completed"}
    assert engine.made == ["0", "2"]


def test_a_deleted_video_is_made_no_further(client: openai.OpenAI, engine: Gated) -> None:
    engine.gate.clear()
    video = client.videos.create(prompt="a")
    assert engine.began.wait(30)
    assert client.videos.delete(video.id).deleted
    engine.gate.set()
    assert ended(client, client.videos.create(prompt="b").id).status == "completed"
    assert engine.made == ["b"]


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(28, "No space left on device"), "no_space", "no room for the result"),
        (RuntimeError("CUDA at /secret"), "internal_error", "the server's log says"),
        (ValueError("the GPU's memory is used up"), "invalid_request_error", "memory is used up"),
    ],
)
def test_a_video_that_fails_says_why(
    client: openai.OpenAI, engine: Gated, error: Exception, code: str, words: str
) -> None:
    engine.fails = error
    video = ended(client, client.videos.create(prompt="a").id)
    assert (video.status, video.error.code) == ("failed", code)
    assert words in video.error.message
    with pytest.raises(openai.BadRequestError, match="it is failed"):
        client.videos.download_content(video.id)
    engine.fails = None
    assert ended(client, client.videos.create(prompt="b").id).status == "completed"


def test_a_restart_loses_nothing_that_was_promised(engine: Gated, tmp_path: Path) -> None:
    folder = tmp_path / "jobs"
    with serving(engine, folder) as client:
        done = client.videos.create(prompt="done", extra_body={"seed": 1}).id
        assert ended(client, done).status == "completed"
        engine.gate.clear()
        engine.began.clear()
        file = ("a.png", PNG, "image/png")
        running = client.videos.create(prompt="running", input_reference=file).id
        assert engine.began.wait(30)
        waiting = client.videos.create(prompt="waiting").id
    assert engine.made == ["done"]
    engine.gate.set()
    with serving(engine, folder) as client:
        assert {ended(client, name).status for name in (running, waiting)} == {"completed"}
        assert client.videos.download_content(done).read() == b"done 189 1"
    assert engine.made == ["done", "running", "waiting"]


def test_fifty_clients_are_all_answered(engine: Gated, tmp_path: Path) -> None:
    with serving(engine, tmp_path / "jobs", waiting=60) as client:

        def ask(number: int) -> bool:
            if number % 2:
                told = client.images.generate(prompt=str(number), extra_body={"seed": number})
                text = base64.b64decode(told.data[0].b64_json)
                return text == f"{number} 1 {number}".encode()
            video = client.videos.create(prompt=str(number), extra_body={"seed": number})
            done = ended(client, video.id).status == "completed"
            text = client.videos.download_content(video.id).read()
            return done and text == f"{number} 189 {number}".encode()

        with concurrent.futures.ThreadPoolExecutor(50) as threads:
            assert all(threads.map(ask, range(50)))
    assert len(engine.made) == 50


@pytest.mark.parametrize(
    "name",
    ["..%2f..%2fetc%2fpasswd", "%2e%2e", "..", ".lock", "%00", "video_" + "0" * 32, "a" * 5000],
)
@pytest.mark.parametrize("end", ["", "/content"])
def test_names_from_outside_are_no_paths(shared: openai.OpenAI, name: str, end: str) -> None:
    for method in ("GET", "DELETE"):
        status, text = send(shared, method, f"/v1/videos/{name}{end}")
        assert 400 <= status < 500
        assert "error" in json.loads(text)


@pytest.mark.parametrize("path", ["images", "videos", "actions"])
@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"{", {}, 400),
        (b"[]", {}, 400),
        (b"", {"Content_Type": "text/plain"}, 415),
        (b"x", {"Content_Type": "multipart/form-data"}, 400),
        (b"--a\r\nx", {"Content_Type": "multipart/form-data; boundary=a"}, 400),
        (b"prompt=a&prompt=b", {"Content_Type": "application/x-www-form-urlencoded"}, 400),
        ({"prompt": "a", "n": 11, "nobody": 1}, {}, 400),
        ({"prompt": "\ud800"}, {}, 400),
        ({"prompt": "a", "model": "gpt"}, {}, None),
        ({"prompt": "a", "size": "9x9"}, {}, 400),
        (bytes(65 << 20), {}, 413),
        ({}, {"Origin": "http://evil.example"}, 403),
    ],
    ids=[
        "cut",
        "list",
        "text",
        "form",
        "part",
        "twice",
        "fields",
        "surrogate",
        "model",
        "size",
        "large",
        "page",
    ],
)
def test_a_malformed_request_is_told_so(
    shared: openai.OpenAI, path: str, body: Any, headers: dict[str, str], status: int | None
) -> None:
    route = f"/v1/{path}/generations" if path != "videos" else "/v1/videos"
    got, text = send(shared, "POST", route, body, **headers)
    assert got in ((status,) if status else (400, 404))
    assert json.loads(text)["error"]["message"]


def test_a_token_is_asked_for_and_models_are_named(engine: Gated, tmp_path: Path) -> None:
    with serving(engine, tmp_path / "jobs", token="key") as client:
        assert [model.id for model in client.models.list()] == ["tiny"]
        assert send(client, "GET", "/v1/videos")[0] == 401
        assert send(client, "GET", "/readyz") == (200, b"OK\n")
        with pytest.raises(openai.NotFoundError, match="model: expected 'tiny', got 'sora-2'"):
            client.videos.create(prompt="a", model="sora-2")
