# SPDX-License-Identifier: Apache-2.0
"""Random requests and frames at every server: each is answered, none with a defect.

bench/fuzz_servers.py runs the same with more, COSMOS3_FUZZ, from COSMOS3_FUZZ_SEED on.
"""

import contextlib
import http.client
import json
import logging
import os
import resource
from collections.abc import Iterator
from itertools import starmap
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import hypothesis
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from cosmos3_ros.model.embodiment import EMBODIMENTS, Embodiment
from cosmos3_ros.model.generation.action_options import ActionOptions
from cosmos3_ros.model.generation.options import CompleteRequest, GenerateOptions
from cosmos3_ros.model.interface import ActionChunk, Observation, Prediction
from cosmos3_ros.model.language.chat import Turn
from cosmos3_ros.model.language.token_sampling import GREEDY
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.chat_request import KNOWN, NEUTRAL
from cosmos3_ros.serve.generation import asked
from cosmos3_ros.serve.generation.server import GeneratorOptions, GeneratorServer
from cosmos3_ros.serve.libero_server import LiberoServer
from cosmos3_ros.serve.msgpack_codec import pack, unpack
from cosmos3_ros.serve.openai_server import OpenAiServer
from cosmos3_ros.serve.openpi_messages import VLLM
from cosmos3_ros.serve.openpi_server import OpenPiServer

# of hypothesis about itself: how long its strategies are when written out, and the like
pytestmark = pytest.mark.filterwarnings("ignore::hypothesis.errors.HypothesisWarning")
EXAMPLES = int(os.environ.get("COSMOS3_FUZZ", "340"))
SEED = os.environ.get("COSMOS3_FUZZ_SEED", "")
FUZZ = settings(
    max_examples=EXAMPLES,
    deadline=20_000,  # ms: none hangs
    derandomize=not SEED,
    database=None,
    suppress_health_check=[*HealthCheck],
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
)
SEEDED = hypothesis.seed(int(SEED)) if SEED else lambda test: test
MOST_MEMORY = 256 << 20  # bytes that a server may grow by meanwhile

NUMBERS = st.one_of(
    st.integers(-5, 5),
    st.integers(-(10**30), 10**30),
    st.floats(),
    st.sampled_from([10**400, -1, 2**63, 0.5]),
)
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["", " ", "\ud800", "<|im_end|>", "data:image/png;base64,AAAA", "user", "text"]
    ),
    st.sampled_from(["data:video/mp4;base64,", "data:,", "image_url", "assistant", "x" * 3000]),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, WORDS),
    lambda inside: st.one_of(
        st.lists(inside, max_size=4), st.dictionaries(WORDS, inside, max_size=4)
    ),
    max_leaves=8,
)
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image_url", "video_url", "input_audio"])},
    optional={
        "text": st.one_of(WORDS, VALUES),
        "image_url": st.one_of(st.fixed_dictionaries({"url": WORDS}), VALUES),
        "video_url": VALUES,
    },
)
MESSAGES = st.fixed_dictionaries(
    {"role": st.one_of(st.sampled_from(["user", "system", "assistant"]), VALUES)},
    optional={"content": st.one_of(WORDS, st.lists(PARTS, max_size=3), VALUES), "name": WORDS},
)
CHATS = st.fixed_dictionaries(
    {"model": st.just("quick"), "messages": st.one_of(st.lists(MESSAGES, max_size=3), VALUES)},
    optional={
        name: VALUES if name != "stream" else st.booleans()
        for name in {*KNOWN, *NEUTRAL} - {"model", "messages"}
    }
    | {"guided_json": VALUES},
)
ITEMS = st.fixed_dictionaries(
    {},
    optional={
        "image": st.one_of(WORDS, VALUES),
        "prompt": st.one_of(WORDS, VALUES),
        "domain_name": st.one_of(st.just("libero"), VALUES),
        "image_size": st.one_of(st.just(256), VALUES),
        "items": VALUES,
    },
)
RAW = st.binary(max_size=60)
BODIES = st.one_of(
    st.builds(lambda value: json.dumps(value).encode(), st.one_of(CHATS, ITEMS, VALUES)),
    RAW,
)


class QuickModel:
    """A chat model that reads everything and says one token."""

    sampling, max_tokens, max_prompt = GREEDY, 4, 100
    tokenizer = SimpleNamespace(decode=lambda ids: "a" * len(ids))

    def chat(self, turns: list[Turn]) -> Any:
        return SimpleNamespace(ids=[1] * len(turns))

    def tokens(self, prompt: Any, max_tokens: int, sampling: Any = None) -> Iterator[int]:
        yield 1

    def scored_tokens(
        self, prompt: Any, max_tokens: int, sampling: Any = None, top: int = 0
    ) -> Iterator[Any]:
        yield SimpleNamespace(token=1, logprob=-0.5, top=((1, -0.5),) * top)


class QuickPolicy:
    """A policy that answers every observation with zeros."""

    def __init__(self, embodiment: Embodiment) -> None:
        self.embodiment = embodiment

    def infer(self, observation: Observation, committed: ActionChunk | None = None) -> Prediction:
        body = self.embodiment
        rows = np.zeros((body.horizon, len(body.action)), np.float32)
        chunk = ActionChunk(rows, body.action_names, observation.stamp, body.step, body.discrete)
        return Prediction(chunk)

    def decode(self, prediction: Prediction) -> Any:
        return SimpleNamespace(frames=np.zeros((2, 8, 16, 3), np.uint8))

    def reset(self) -> None: ...


def libero() -> LiberoServer:
    policy = QuickPolicy(EMBODIMENTS["libero"])
    return LiberoServer(lambda: (policy, lambda seen: [policy.infer(one) for one in seen]))


@pytest.fixture(scope="module", params=["openai", "libero"])
def line(request: Any) -> Iterator[http.client.HTTPConnection]:
    """A connection to a server that is kept, as far as the server does."""
    server: Any = OpenAiServer(QuickModel(), "quick") if request.param == "openai" else libero()
    with (
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as found,
    ):
        yield found


PATHS = ["/v1/chat/completions", "/predict", "/predict_batch", "/v1/models", "/"]


@SEEDED
@FUZZ
@given(path=st.sampled_from(PATHS), body=BODIES, json_type=st.booleans())
def test_http(line: http.client.HTTPConnection, path: str, body: bytes, json_type: bool) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    headers = {"Content-Type": "application/json" if json_type else "text/plain"}
    line.request("POST", path, body, headers)
    reply = line.getresponse()
    text = reply.read().decode()
    assert reply.status < 500
    assert " at 0x" not in text
    assert "Traceback" not in text
    assert "internal error" not in text
    if reply.getheader("Content-Type", "").startswith("application/json"):
        assert isinstance(json.loads(text), dict)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown << 10 < MOST_MEMORY


class QuickEngine:
    """An engine that makes whatever options allow at once."""

    def complete(self, options: GenerateOptions) -> CompleteRequest:
        frames, fps = options.frames or 5, options.fps or 24.0
        return CompleteRequest(options, "", frames, fps, (8, 8), 1, 1.0, 1.0, "")

    def steps(self, asked: CompleteRequest) -> int:
        return 1

    def write(self, asked: Any, file: Path, progress: Any = None) -> None:
        file.write_bytes(b"made")

    def check_actions(self, options: ActionOptions) -> None: ...

    def actions(self, options: ActionOptions, progress: Any = None) -> np.ndarray:
        return np.zeros((2, 2), np.float32)

    write_dynamics = write


@pytest.fixture(scope="module")
def generator(tmp_path_factory: Any) -> Iterator[http.client.HTTPConnection]:
    options = GeneratorOptions(tmp_path_factory.mktemp("jobs") / "jobs", "quick", keep=0.5)
    server = GeneratorServer(QuickEngine, options)
    with (
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port,
        contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as found,
    ):
        yield found


TEXTS = st.one_of(WORDS, NUMBERS.map(str), st.sampled_from(["true", "48x32", '{"a": [1]}', "{"]))
EXTRA = st.dictionaries(
    st.sampled_from([*asked.EXTRA, *asked.EXTRA_OF_ACTIONS, *asked.NEUTRAL_EXTRA, "action"]),
    st.one_of(VALUES, st.sampled_from(["policy", "inverse_dynamics", "forward_dynamics"])),
    max_size=3,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        [
            *(*asked.VIDEO, *asked.NEUTRAL, *asked.FILES, "model", "n", "size", "seconds"),
            *("extra_params", "input_reference[image_url]", "enable_sound", "x"),
        ]
    ),
    st.one_of(TEXTS, VALUES, EXTRA, EXTRA.map(json.dumps)),
    max_size=4,
)
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


def part(name: str, value: Any) -> bytes:
    """A field of a form, as a file if its name says so."""
    words = str(value).encode("utf-8", "surrogatepass")
    named = json.dumps(name) + ('; filename="a"' if name in asked.FILES else "")
    head = f"--b\r\nContent-Disposition: form-data; name={named}\r\n\r\n"
    return head.encode() + words + b"\r\n"


SENT = st.one_of(
    st.tuples(st.just(JSON), FIELDS.map(lambda fields: json.dumps(fields).encode())),
    st.tuples(
        st.just(MULTIPART),
        FIELDS.map(lambda fields: b"".join(starmap(part, fields.items())) + b"--b--\r\n"),
    ),
    st.tuples(
        st.just(FORM),
        FIELDS.map(lambda fields: urlencode(fields, errors="surrogatepass").encode()),
    ),
    st.tuples(st.sampled_from([JSON, FORM, MULTIPART, "multipart/form-data", "text/plain"]), RAW),
)
MADE = ["images/generations", "actions/generations", "videos", "videos/sync"]
ASKED = st.builds(
    lambda name, rest: f"/v1/videos{name}{rest}",
    st.sampled_from(["", "/", "/video_x", "/%2e%2e", "/%ff", "//"]),
    st.sampled_from(["", "/content", "?limit=0001" + "0" * 5000, "?order=x&after=y", "?limit=%00"]),
)


# aiohttp leaves the file of a form that it refuses to the garbage collector
@pytest.mark.filterwarnings("ignore:.*SpooledTemporaryFile:pytest.PytestUnraisableExceptionWarning")
@SEEDED
@FUZZ
@given(path=st.sampled_from(MADE), sent=SENT, asks=ASKED)
def test_generator(
    generator: http.client.HTTPConnection, path: str, sent: tuple[str, bytes], asks: str
) -> None:
    for method, address, body in (("POST", f"/v1/{path}", sent[1]), ("GET", asks, None)):
        generator.request(method, address, body, {"Content-Type": sent[0]} if body else {})
        reply = generator.getresponse()
        text = reply.read().decode()
        assert reply.status < 500 or "overloaded" in text, (reply.status, text)
        assert " at 0x" not in text
        assert "/jobs" not in text, text


ARRAYS = st.builds(
    np.zeros,
    st.lists(st.integers(0, 9), max_size=5),
    st.sampled_from(["u1", "f4", "f8", "i8", "?", "S3", "U2"]),
)
# As msgpack has it: no text that UTF-8 lacks, integers of 64 bits.
SMALL = st.one_of(st.integers(-(2**63), 2**64 - 1), st.floats(), st.booleans(), st.none())
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=9)
THINGS = st.recursive(
    st.one_of(SMALL, PLAIN, st.binary(max_size=9), ARRAYS),
    lambda inside: st.one_of(
        st.lists(inside, max_size=3), st.dictionaries(PLAIN, inside, max_size=3)
    ),
    max_leaves=6,
)
SEEN = {
    "observation/exterior_image_1_left": np.zeros((16, 24, 3), np.uint8),
    "observation/exterior_image_2_left": np.zeros((16, 24, 3), np.uint8),
    "observation/wrist_image_left": np.zeros((16, 24, 3), np.uint8),
    "observation/joint_position": np.zeros(7),
    "observation/gripper_position": np.zeros(1),
    "prompt": "go",
}
KEYS = [*SEEN, "endpoint", "session_id", "session_ids", "committed/values", "committed/ahead"]
FORGED = st.fixed_dictionaries(
    {
        b"__ndarray__": st.just(True),
        b"data": st.binary(max_size=12),
        b"dtype": st.sampled_from(["|u1", "<f4", "|S0", "|O", "V8", "<U0", "x" * 99, "f4,f4"]),
        b"shape": st.lists(st.one_of(st.integers(-2, 10), st.integers(0, 2**62)), max_size=4),
    }
)
FRAMES = st.one_of(
    st.builds(
        lambda changes, without: pack(
            {key: value for key, value in (SEEN | changes).items() if key not in without}
        ),
        st.dictionaries(
            st.one_of(st.sampled_from(KEYS), PLAIN), st.one_of(THINGS, FORGED), max_size=3
        ),
        st.sets(st.sampled_from(KEYS), max_size=1),
    ),
    st.builds(pack, THINGS),
    st.builds(lambda cut: pack(SEEN)[:cut], st.integers(0, 3000)),
    st.binary(max_size=40),
    PLAIN,
)


@pytest.fixture(scope="module")
def talk() -> Iterator[SimpleNamespace]:
    """A connection in the dialect that goes on after an error, and what the server said."""
    told: list[str] = []
    server = OpenPiServer(lambda: QuickPolicy(EMBODIMENTS["droid_sim"]), tell=told.append)
    with (
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port,
        connect(f"ws://127.0.0.1:{port}{VLLM}", compression=None, max_size=None) as connection,
    ):
        connection.recv()
        yield SimpleNamespace(connection=connection, told=told)


@SEEDED
@FUZZ
@given(frame=FRAMES)
def test_websocket(talk: SimpleNamespace, frame: str | bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    talk.connection.send(frame)
    reply = unpack(talk.connection.recv(timeout=20))
    assert talk.told == []
    if isinstance(reply, dict) and reply.get("type") == "error":
        assert " at 0x" not in reply["message"]
        assert "internal error" not in reply["message"]
    else:
        assert isinstance(reply, np.ndarray) or "status" in reply or "embodiment" in reply
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown << 10 < MOST_MEMORY


def test_the_quick_servers_do_answer(
    line: http.client.HTTPConnection, talk: SimpleNamespace, caplog: Any
) -> None:
    """What is sent above is not refused as a whole."""
    with caplog.at_level(logging.ERROR):
        body = {"model": "quick", "messages": [{"role": "user", "content": "?"}]}
        line.request("POST", "/v1/chat/completions", json.dumps(body))
        reply = line.getresponse()
        text = reply.read()
        assert (reply.status, b'"content": "a"' in text) in ((200, True), (404, False))
    talk.connection.send(pack(SEEN))
    assert isinstance(unpack(talk.connection.recv(timeout=20)), np.ndarray)
