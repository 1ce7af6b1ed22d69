# SPDX-License-Identifier: Apache-2.0
"""The OpenAI-compatible server over sockets: the official client, and malformed requests."""

import base64
import concurrent.futures
import contextlib
import http.client
import io
import itertools
import json
import re
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import openai
import pytest
import torch
from PIL import Image

from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.language.token_sampling import Sampling
from cosmos3_ros.model.reasoner import Cosmos3Reasoner, load_reasoner
from cosmos3_ros.serve import media_decoder
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.completion_stream import StopWords
from cosmos3_ros.serve.openai_server import OpenAiServer

PICTURES = [
    np.random.default_rng(seed).integers(0, 256, (40, 56, 3), dtype=np.uint8) for seed in range(3)
]


class Empty:
    content = ()


def image_part(image: np.ndarray, kind: str = "png") -> dict:
    data = io.BytesIO()
    Image.fromarray(image).save(data, kind)
    return {"type": "image_url", "image_url": {"url": uri(f"image/{kind}", data.getvalue())}}


def uri(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def film(kind: str, frames: int = 12, fps: int = 6) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=kind) as container:
        stream = container.add_stream("mpeg4" if kind != "webm" else "libvpx", rate=fps)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            pixels = np.full((48, 64, 3), number * 20 % 256, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def user(*parts: Any) -> dict:
    return {
        "role": "user",
        "content": [{"type": "text", "text": p} if isinstance(p, str) else p for p in parts],
    }


@pytest.fixture(scope="module")
def reasoner() -> Cosmos3Reasoner:
    made = load_reasoner(tiny_checkpoint(), max_tokens=100_000, max_prompt=2048)
    made.stop = frozenset()  # answers as long as they may be
    return made


@pytest.fixture(scope="module")
def served(reasoner: Cosmos3Reasoner) -> Iterator[SimpleNamespace]:
    """The server's address, and the official client of it."""
    server = OpenAiServer(reasoner, "tiny", token="secret", waiting=1)
    with (
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port,
        openai.OpenAI(
            base_url=f"http://127.0.0.1:{port}/v1", api_key="secret", max_retries=0, timeout=30
        ) as client,
    ):
        yield SimpleNamespace(
            port=port, client=client, ask=lambda *parts, **more: ask(client, *parts, **more)
        )


def ask(client: openai.OpenAI, *parts: Any, **more: Any) -> Any:
    more = {"messages": [user(*parts)], "model": "tiny", "max_tokens": 12} | more
    return client.chat.completions.create(**more)


def send(port: int, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
    with contextlib.closing(
        http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    ) as connection:
        connection.request(method, path, body, {"Authorization": "Bearer secret"} | headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_greedy_text_equals_the_reasoner_asked_directly(served, reasoner):
    reply = served.ask("What is it?")
    assert reply.choices[0].message.content == "".join(
        reasoner.stream("What is it?", max_tokens=12)
    )
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.prompt_tokens == len(reasoner.prompt("What is it?").ids)
    assert (reply.usage.completion_tokens, reply.model) == (12, "tiny")


@pytest.mark.parametrize("count", [1, 3])
def test_images_are_seen(served, reasoner, count):
    reply = served.ask(*map(image_part, PICTURES[:count]), "What is it?")
    assert reply.choices[0].message.content == "".join(
        reasoner.stream("What is it?", PICTURES[:count], 12)
    )
    assert reply.usage.prompt_tokens == len(reasoner.prompt("What is it?", PICTURES[:count]).ids)
    if count > 1:
        assert (
            served.ask("What", image_part(PICTURES[0]), "is it?").usage.prompt_tokens
            < reply.usage.prompt_tokens
        )


@pytest.mark.parametrize("kind", ["jpeg", "webp", "bmp"])
def test_image_formats(served, reasoner, kind):
    usage = served.ask(image_part(PICTURES[0], kind), "What is it?", max_tokens=1).usage
    assert usage.prompt_tokens == len(reasoner.prompt("What is it?", PICTURES[:1]).ids)


@pytest.mark.parametrize("kind", ["mp4", "matroska", "webm", "avi", "mov"])
def test_a_video_is_seen(served, reasoner, kind):
    data = film(kind)
    with av.open(io.BytesIO(data)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    name = {"matroska": "x-matroska", "avi": "x-msvideo", "mov": "quicktime"}.get(kind, kind)
    part = {"type": "video_url", "video_url": {"url": uri(f"video/{name}", data)}}
    direct = reasoner.ask_video("What moves?", frames, 6.0, max_tokens=12)
    assert len(frames) == 12
    assert served.ask(part, "What moves?").choices[0].message.content.strip() == direct.text
    if kind == "mp4":
        more = served.ask(
            part, "What moves?", extra_body={"media_io_kwargs": {"video": {"fps": 6.0}}}
        )
        assert more.usage.prompt_tokens == len(
            reasoner.video_prompt("What moves?", frames, 6.0, rate=6.0).ids
        )


def test_a_conversation_has_turns(served, reasoner):
    talk = [
        {"role": "developer", "content": "Be brief."},
        user("What is it?"),
        {"role": "assistant", "content": "A cup."},
    ]
    long = served.ask(messages=[*talk, user("Sure?")]).usage.prompt_tokens
    assert long > served.ask("Sure?").usage.prompt_tokens + 20


def test_a_stream_is_the_same_answer(served):
    whole = served.ask(image_part(PICTURES[0]), "What is it?")
    with served.ask(
        image_part(PICTURES[0]), "What is it?", stream=True, stream_options={"include_usage": True}
    ) as sent:
        *chunks, last = list(sent)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert deltas[0].role == "assistant"
    assert len(deltas) > 3
    assert "".join(delta.content or "" for delta in deltas) == whole.choices[0].message.content
    assert chunks[-1].choices[0].finish_reason == "length"
    assert last.usage == whole.usage


def test_sampling_fields_reach_the_decoder(served, reasoner):
    fields = {"temperature": 0.9, "top_p": 0.8, "presence_penalty": 0.5, "seed": 7}
    told = served.ask(
        "Hm?", **fields, extra_body={"top_k": 5, "repetition_penalty": 1.2, "user": "me", "n": 1}
    )
    sampling = Sampling(0.9, top_k=5, top_p=0.8, repetition=1.2, presence=0.5, seed=7)
    direct = "".join(reasoner.stream("Hm?", max_tokens=12, sampling=sampling))
    assert told.choices[0].message.content == direct
    assert direct != "".join(reasoner.stream("Hm?", max_tokens=12))
    # no seed: chance
    assert (
        len({served.ask("Hm?", temperature=2.0).choices[0].message.content for _ in range(3)}) > 1
    )


def first_logprobs(reasoner: Cosmos3Reasoner, question: str) -> torch.Tensor:
    """Log-probabilities of the first token of an answer, float32 [vocab]."""
    seen: list[torch.Tensor] = []
    list(reasoner.tokens(reasoner.prompt(question), 1, see=seen.append))
    return seen[0].log_softmax(-1)


@pytest.mark.parametrize("stream", [False, True])
def test_log_probabilities_are_told_of_every_token(served, reasoner, stream):
    reply = served.ask("What is it?", logprobs=True, top_logprobs=5, stream=stream)
    if stream:
        with reply:
            choices = [chunk.choices[0] for chunk in reply]
        told = [one for choice in choices for one in (choice.logprobs or Empty()).content]
        text = "".join(choice.delta.content or "" for choice in choices)
    else:
        told, text = reply.choices[0].logprobs.content, reply.choices[0].message.content
    assert len(told) == 12
    shares = first_logprobs(reasoner, "What is it?")
    best = shares.topk(5)
    decode = reasoner.tokenizer.decode
    assert [one.token for one in told[0].top_logprobs] == [decode([i]) for i in best.indices]
    values = [one.logprob for one in told[0].top_logprobs]
    assert values == pytest.approx(best.values.tolist(), abs=1e-5)
    for one in told:  # greedy: the best is the one that was chosen
        assert (one.token, one.logprob) == (one.top_logprobs[0].token, one.top_logprobs[0].logprob)
        assert one.bytes == (None if "\ufffd" in one.token else [*one.token.encode()])
        assert len(one.top_logprobs) == 5
    if "\ufffd" not in "".join(one.token for one in told):
        assert "".join(one.token for one in told) == text


def test_log_probabilities_are_of_the_network_not_of_the_sampling(served, reasoner):
    shares = first_logprobs(reasoner, "What is it?")
    ask = {"temperature": 2.0, "seed": 3, "logprobs": True, "max_tokens": 1}
    (told,) = served.ask("What is it?", **ask).choices[0].logprobs.content
    assert told.top_logprobs == []
    near = (shares - told.logprob).abs()
    assert near.min() < 1e-5
    assert told.token in {reasoner.tokenizer.decode([int(i)]) for i in (near < 1e-5).nonzero()}
    assert served.ask("What is it?", max_tokens=1).choices[0].logprobs is None


def test_stop_words_end_the_answer_before_them(served, reasoner):
    text = "".join(reasoner.stream("What is it?", max_tokens=40))
    word = text[12:15]
    for stream in (False, True):
        reply = served.ask("What is it?", max_tokens=40, stop=["not there", word], stream=stream)
        if stream:
            with reply:
                chunks = [chunk.choices[0] for chunk in reply]
            told, reason = (
                "".join(choice.delta.content or "" for choice in chunks),
                chunks[-1].finish_reason,
            )
        else:
            told, reason = reply.choices[0].message.content, reply.choices[0].finish_reason
        assert told == text[: text.index(word)]
        assert reason == "stop"


@pytest.mark.parametrize("cuts", [*itertools.product([1, 2, 5], ["END", "ND!", "x"])], ids=str)
def test_a_stop_word_may_come_in_pieces(cuts):
    size, word = cuts
    text, stopper = "we EN END!", StopWords((word, "EX"))
    told = ""
    for place in range(0, len(text), size):
        told += stopper.feed(text[place : place + size])
        if stopper.found:
            break
    else:
        told += stopper.rest()
    assert told == text.partition(word)[0]
    assert stopper.found == (word in text)


BAD_PARTS = {
    "expected data:image/png;base64,..., got 'http://a.b/c'...: this server": "http://a.b/c.png",
    "got 'file:///etc/'...: this server opens no addresses and no files": "file:///etc/passwd",
    "got 'data:image/p'...": "data:image/png,raw",
    "one of the formats png, jpeg, webp, bmp, got image/svg": "data:image/svg+xml;base64,AAAA",
    "expected base64 after the comma": "data:image/png;base64,?AAA",
    "these 3 bytes do not decode as png": "data:image/png;base64,AAAA",
    "as jpeg": uri(
        "image/jpeg",
        base64.b64decode(image_part(PICTURES[0])["image_url"]["url"].partition(",")[2]),
    ),
    "bytes do not decode as png:": image_part(PICTURES[0])["image_url"]["url"][:822],
    "expected 1 to 33554432 pixels, got 6000 x 6000": image_part(
        np.zeros((6000, 6000, 3), np.uint8)
    )["image_url"]["url"],
}


@pytest.mark.parametrize("words", BAD_PARTS)
def test_a_bad_image_is_refused_in_words(served, words):
    with pytest.raises(openai.BadRequestError) as caught:
        served.ask({"type": "image_url", "image_url": {"url": BAD_PARTS[words]}}, "What is it?")
    assert words in caught.value.body["message"]
    assert caught.value.type == "invalid_request_error"


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        (
            "mp4",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n",
        ),
        ("mp4", b"ffconcat version 1.0\nfile /etc/passwd\n"),
        ("mp4", film("mp4")[:300]),
        ("webm", film("mp4")),
        ("mp4", b""),
    ],
    ids=["playlist", "concat", "cut", "mislabelled", "empty"],
)
def test_a_bad_video_is_refused_in_words(served, kind, data):
    with pytest.raises(
        openai.BadRequestError, match=f"video_url: these {len(data)} bytes do not decode as {kind}"
    ):
        served.ask(
            {"type": "video_url", "video_url": {"url": uri(f"video/{kind}", data)}}, "What moves?"
        )


def test_media_have_limits(monkeypatch):
    monkeypatch.setattr(media_decoder, "MAX_FRAMES", 5)
    with pytest.raises(ValueError, match="video_url: expected at most 5 frames, got more"):
        media_decoder.Decoder()(media_decoder.read_uri("video", uri("video/mp4", film("mp4"))))
    monkeypatch.setattr(media_decoder, "MAX_BYTES", 3 * 40 * 56 + 10)
    decode, image = (
        media_decoder.Decoder(),
        media_decoder.read_uri("image", image_part(PICTURES[0])["image_url"]["url"]),
    )
    np.testing.assert_array_equal(decode(image), PICTURES[0])
    with pytest.raises(ValueError, match="expected pictures of at most"):
        decode(image)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"max_tokens": 100_001}, "max_tokens: expected 1 to 100000, got 100001"),
        ({"max_completion_tokens": 0}, "max_completion_tokens: expected 1 to 100000, got 0"),
        ({"messages": [user("word " * 2100)]}, "expected at most 2048 tokens with pictures, got 6"),
        (
            {"messages": [user("an <|image_pad|>")]},
            r"question: expected plain words, got ['<|image_pad|>']",
        ),
        ({"extra_body": {"guided_choice": ["a"]}}, "guided_choice: not offered here"),
        ({"messages": []}, "messages: expected at least one"),
        ({"messages": [user(" ")]}, "question: expected a sentence, got an empty string"),
        (
            {"messages": [{"role": "tool", "content": "x"}]},
            "messages[0]: expected a role of system, developer, user",
        ),
        (
            {"messages": [{"role": "assistant", "content": "x"}]},
            "messages: expected the user's last, got 'assistant'",
        ),
        (
            {"messages": [{"role": "user", "content": None}]},
            "messages[0].content: expected a text or a list of parts",
        ),
        (
            {"messages": [user({"type": "input_audio"})]},
            "messages[0].content[0]: expected a part of type text, or",
        ),
        (
            {"messages": [{**user(image_part(PICTURES[0])), "role": "system"}]},
            "pictures in the user's messages only",
        ),
        ({"temperature": 2.5}, "temperature: expected 0 to 2, got 2.5"),
        ({"temperature": "warm"}, "temperature: expected float, got str"),
        ({"top_p": 0}, "top_p: expected 1e-06 to 1, got 0"),
        ({"seed": 1 << 70}, "seed: expected 64 bits"),
        ({"stop": [""]}, "stop: expected a text, or up to 4 in a list, none of them empty"),
        ({"n": 2}, "n: not offered here, expected 1 or nothing"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs: expected 0 to 20, got 21"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs: expected 0 to 20, got -1"),
        ({"top_logprobs": 3}, "top_logprobs: expected logprobs to be true with it"),
        ({"logprobs": 5}, "logprobs: expected bool, got int"),
        ({"extra_body": {"stream": "yes"}}, "stream: expected bool, got str"),
        (
            {"extra_body": {"media_io_kwargs": {"video": {"fps": 0}}}},
            "media_io_kwargs.video.fps: expected a positive",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_a_wrong_value_is_refused_in_words(served, fields, words):
    with pytest.raises(openai.BadRequestError) as caught:
        served.ask("What is it?", **fields)
    assert words in caught.value.body["message"]


def test_what_is_wrong_with_a_stream_is_said_before_its_status(served):
    for words, part in {
        "expected at most 2048 tokens": "word " * 2100,
        "expected plain words": "<|im_end|>",
        "do not decode as png": {"type": "image_url", "image_url": "data:image/png;base64,AAAA"},
    }.items():
        with pytest.raises(openai.BadRequestError, match=words) as caught:
            served.ask(part, "?", stream=True)
        assert caught.value.param == "messages"


def test_tokens_are_counted(served):
    served.ask("What is it?", max_tokens=3)
    page = send(served.port, "GET", "/metrics")[1].decode()
    counts = dict(re.findall(r'cosmos3_tokens_total{kind="(\w+)"} (\S+)', page))
    assert float(counts["prompt"]) > 0
    assert float(counts["completion"]) >= 3
    assert send(served.port, "GET", "/metrics", Authorization="")[0] == 401


def test_models_and_health(served):
    (model,) = served.client.models.list()
    assert model.id == served.client.models.retrieve("tiny").id == "tiny"
    for wrong in ("gpt", ""):
        with pytest.raises(
            openai.NotFoundError, match=f"model: expected 'tiny', got '{wrong}'"
        ) as caught:
            served.ask("What is it?", model=wrong)
    assert caught.value.code == "model_not_found"
    with pytest.raises(openai.NotFoundError):
        served.client.models.retrieve("gpt")
    assert send(served.port, "GET", "/health", Authorization="") == (200, b"OK\n")


@pytest.mark.parametrize("key", ["secret2", "secre", "Bearer"])
def test_a_wrong_key_is_refused(served, key):
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{served.port}/v1", api_key=key, max_retries=0
    ) as client:
        with pytest.raises(
            openai.AuthenticationError, match="the API key is missing or wrong"
        ) as caught:
            ask(client, "What is it?")
        with pytest.raises(openai.AuthenticationError):
            client.models.list()
    assert caught.value.code == "invalid_api_key"
    assert key not in str(caught.value.body)


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (400, b"{", {}),
        (400, b"[1]", {}),
        (400, b"[" * 100_000, {}),
        (400, b"\xff\xfe", {}),
        (400, b'{"model": "tiny", "messages": [{"role": "user", "content": "\\ud800"}]}', {}),
        (403, b"{}", {"Origin": "http://evil.example"}),
        (413, bytes(65 << 20), {}),
    ],
    ids=["cut", "list", "deep", "binary", "surrogate", "page", "large"],
)
def test_a_malformed_request_gets_its_status(served, status, body, headers):
    got, text = send(served.port, "POST", "/v1/chat/completions", body, **headers)
    assert got == status
    assert json.loads(text)["error"]["type"] == "invalid_request_error"
    assert served.ask("What is it?", max_tokens=1).choices  # and the next is served


def test_other_addresses_are_not_found(served):
    for path in ("/", "/v1/embeddings"):
        status, text = send(served.port, "GET", path)
        assert (status, "error" in json.loads(text)) == (404, True)


def test_a_client_that_goes_away_ends_its_answer(served):
    for stream in (True, False):
        if stream:
            with served.ask("What is it?", stream=True, max_tokens=100_000) as sent:
                assert next(iter(sent)).choices
        else:
            with pytest.raises(openai.APITimeoutError):
                served.ask("What is it?", max_tokens=100_000, timeout=0.5)
        assert served.ask("What is it?", max_tokens=2).usage.completion_tokens == 2


def test_one_question_at_a_time_and_a_short_line(served):
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        with served.ask("What is it?", stream=True, max_tokens=100_000) as sent:
            next(iter(sent))
            waiting = [threads.submit(served.ask, "What is it?", max_tokens=2) for _ in range(2)]
            done, _ = concurrent.futures.wait(waiting, 30, concurrent.futures.FIRST_COMPLETED)
            (refused,) = done
            assert isinstance(refused.exception(), openai.InternalServerError)
            assert refused.exception().status_code == 503
            assert "2 requests wait already; try again later" in str(refused.exception())
        (other,) = set(waiting) - done
        assert other.result(30).usage.completion_tokens == 2


def test_a_defect_is_an_error_without_its_details(served, reasoner, monkeypatch, caplog):
    def broken(*_: Any) -> Iterator[int]:
        yield 1
        raise RuntimeError("CUDA error at /secret/path")

    monkeypatch.setattr(reasoner, "tokens", broken)
    with pytest.raises(openai.InternalServerError, match="the server's log says more") as caught:
        served.ask("What is it?")
    with (
        served.ask("What is it?", stream=True) as sent,
        pytest.raises(openai.APIError, match="log says more"),
    ):
        list(sent)
    assert "/secret" not in str(caught.value.body)
    assert "CUDA error at /secret/path" in caplog.text
    monkeypatch.undo()
    assert served.ask("What is it?").choices


@pytest.mark.ros
def test_the_command_serves_until_ctrl_c(start):
    command = start(
        sys.executable,
        "-m",
        "cosmos3_ros.cli",
        "serve",
        "reasoner",
        "--port",
        "0",
        "--name",
        "eyes",
    )
    command.wait_for("ready: http://127.0.0.1:", 90)  # torch on a busy machine
    port = int(re.search(r":(\d+)/v1, model eyes", command.output)[1])
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1", api_key="any", max_retries=0
    ) as client:
        with pytest.raises(
            openai.BadRequestError, match="max_tokens: expected 1 to 1024, got 1025"
        ):
            ask(client, "What is it?", model="eyes", max_tokens=1025)
        assert ask(client, "What is it?", model="eyes").choices[0].message.content
    assert command.interrupt() == 0
    assert "Traceback" not in command.output
