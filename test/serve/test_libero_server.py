# SPDX-License-Identifier: Apache-2.0
"""The routes of the LIBERO evaluation over sockets: answers, batches, every kind of bad request."""

import base64
import contextlib
import dataclasses
import functools
import http.client
import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cosmos3_ros.model.checkpoint_io.loader import load_model
from cosmos3_ros.model.checkpoint_io.tiny import tiny_checkpoint
from cosmos3_ros.model.interface import Observation, Policy, Prediction
from cosmos3_ros.model.policy import Cosmos3Policy
from cosmos3_ros.model.policy_batch import infer_batch
from cosmos3_ros.serve.asyncio_runner import in_background
from cosmos3_ros.serve.libero_server import Batch, LiberoOptions, LiberoServer


@functools.cache
def tiny() -> Cosmos3Policy:
    """Random weights with the head for LIBERO."""
    model = load_model(tiny_checkpoint(), reasoner=False)
    trained = {
        "action_chunk_size": 16,
        "conditioning_fps": 20.0,
        "domain_name": "libero",
        "embodiment": "libero",
    }
    return Cosmos3Policy(
        dataclasses.replace(model, path=Path("nowhere"), policy_config=trained),
        num_steps=1,
        guidance=1.0,
        deterministic=True,
    )


def png(seed: int = 0, height: int = 256, width: int = 512) -> str:
    buffer = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    Image.fromarray(pixels.repeat(8, 0).repeat(8, 1)).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode()


ITEM = {
    "image": png(),
    "prompt": "put both moka pots on the stove",
    "domain_name": "libero",
    "image_size": 256,
}
SEEN: list[int] = []  # sizes of the batches


def counted(observations: Sequence[Observation]) -> list[Prediction]:
    SEEN.append(len(observations))
    return infer_batch(tiny(), observations)


@contextlib.contextmanager
def serving(batch: Batch = counted, told: list[str] | None = None, **options: Any) -> Iterator[int]:
    def load() -> tuple[Policy, Batch]:
        return tiny(), batch

    server = LiberoServer(load, LiberoOptions(**options), (told if told is not None else []).append)
    with in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)) as port:
        yield port


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving(about={"run_name": "tiny"}, video=False) as port:
        yield port


def call(port: int, path: str, body: Any = None, **headers: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a reply; a body that is not bytes is sent as JSON."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    kind = {"Content-Type": "application/json"} if body is not None else {}
    connection.request(
        "POST" if body is not None else "GET",
        path,
        data if body is not None else None,
        kind | headers,
    )
    response = connection.getresponse()
    status, reply = response.status, json.loads(response.read())
    assert response.getheader("Cache-Control") == "no-store"
    connection.close()
    return status, reply


def test_health_and_info(port: int) -> None:
    assert call(port, "/") == (200, {"status": "ok"})
    status, info = call(port, "/info")
    assert (status, info["run_name"], info["domain_name"]) == (200, "tiny", "libero")
    assert (info["action_chunk_size"], info["raw_action_dim"], info["fps"]) == (16, 10, 20.0)


@pytest.mark.parametrize("path", ["/", "/predict"])
def test_a_chunk_has_translation_rot6d_and_gripper(port: int, path: str) -> None:
    status, reply = call(port, path, ITEM)
    assert "video" not in reply
    action = np.array(reply["action"])
    assert (status, action.shape) == (200, (16, 10))
    assert np.isfinite(action).all()
    first, second = action[:, 3:6], action[:, 6:9]
    assert np.abs(np.linalg.norm(action[:, 3:9].reshape(-1, 3), axis=1) - 1).max() < 1e-5, (
        "columns of a rotation"
    )
    assert np.abs((first * second).sum(axis=1)).max() < 1e-5


def test_a_chunk_comes_with_its_video() -> None:
    with serving() as port:
        reply = call(port, "/predict", ITEM)[1]
    assert np.array(reply["action"]).shape == (16, 10)
    frames = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(frame)))) for frame in reply["video"]
    ]
    assert (len(frames), frames[0].shape) == (17, (160, 320, 3))


def test_rows_are_those_of_the_policy_without_normalization_and_1_is_open(port: int) -> None:
    from cosmos3_ros.serve.libero_server import read_item

    values = tiny().infer(read_item(ITEM, tiny().embodiment)).chunk.values
    action = np.array(call(port, "/predict", ITEM)[1]["action"])
    assert np.abs(action[:, :3] - values[:, :3]).max() < 1e-5
    assert np.abs(action[:, 9] - (1 - values[:, 6])).max() < 1e-5


def test_a_batch_is_one_inference_and_keeps_its_order(port: int) -> None:
    items = [ITEM, ITEM | {"image": png(1)}, ITEM | {"prompt": "open the drawer"}]
    SEEN.clear()
    status, reply = call(port, "/predict_batch", {"items": items})
    assert (status, SEEN) == (200, [3])
    together = np.array(reply["actions"])
    alone = np.array([call(port, "/predict", item)[1]["action"] for item in items])
    assert together.shape == (3, 16, 10)
    assert np.abs(together - alone).max() < 1e-3
    assert np.abs(alone[0] - alone[1]).max() > 1e-2
    assert np.abs(alone[0] - alone[2]).max() > 1e-2


@pytest.mark.parametrize(
    "image",
    [
        "data:image/png;base64," + ITEM["image"],
        ITEM["image"].rstrip("="),
        ITEM["image"].replace("+", "-").replace("/", "_"),
        "\n".join(ITEM["image"][place : place + 76] for place in range(0, len(ITEM["image"]), 76)),
    ],
    ids=["data", "unpadded", "urlsafe", "lines"],
)
def test_base64_may_be_written_in_every_way_that_the_evaluation_knows(
    port: int, image: str
) -> None:
    assert call(port, "/predict", ITEM | {"image": image}) == call(port, "/predict", ITEM)


def test_another_height_is_scaled(port: int) -> None:
    assert np.array(
        call(port, "/predict", ITEM | {"image": png(0, 128, 256)})[1]["action"]
    ).shape == (16, 10)


BAD = [
    ({"image": "%%%"}, "image: expected base64: "),
    ({"image": png(0)[:90]}, "image: these 67 bytes do not decode as png: image is damaged"),
    ({"guidance": 3.0}, "guidance: not offered here"),
    ({"promt": "go"}, "promt: not offered here, did you mean 'prompt'?"),
    ({"image": base64.b64encode(b"not a picture").decode()}, "do not decode as png"),
    ({"image": 7}, "image: expected base64 of a PNG, got int"),
    (
        {"image": png(0, 256, 256)},
        "image: expected agentview | wrist side by side, 2 times as wide as high",
    ),
    ({"prompt": ""}, "prompt: expected a sentence"),
    ({"prompt": None}, "prompt: expected a sentence"),
    ({"domain_name": "mars"}, "domain_name: expected 'libero', got 'mars'"),
    ({"image_size": 0}, "image_size: expected 16 to 2048"),
    ({"image_size": "256"}, "image_size: expected 16 to 2048"),
    ({"image_size": True}, "image_size: expected 16 to 2048"),
]


@pytest.mark.parametrize(("change", "words"), BAD)
def test_a_bad_item_is_status_200_with_an_error_as_the_evaluation_reads_it(
    port: int, change: dict[str, Any], words: str
) -> None:
    status, reply = call(port, "/predict", ITEM | change)
    assert (status, reply["action"]) == (200, [])
    assert words in reply["error"]
    status, reply = call(port, "/predict_batch", {"items": [ITEM, ITEM | change]})
    assert (status, reply["actions"]) == (200, [])
    assert reply["error"].startswith("items[1]: ")


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (None, "got NoneType"),
        ([], "got 0 items"),
        ([ITEM] * 65, "got 65 items"),
        ([3], "items[0]: expected an object"),
    ],
)
def test_a_bad_batch_is_named(port: int, items: Any, words: str) -> None:
    more = call(port, "/predict_batch", {"items": [ITEM], "seed": 3})[1]["error"]
    assert more == "seed: not offered here"
    assert words in call(port, "/predict_batch", {"items": items})[1]["error"]


@pytest.mark.parametrize(
    ("path", "body", "headers", "status"),
    [
        ("/predict", b"{", {}, 400),
        ("/predict", b"\xff\xfe", {}, 400),
        ("/predict", b"[" * 100_000, {}, 400),
        ("/predict", [1], {}, 400),
        ("/predict", ITEM, {"Content-Type": "text/plain"}, 415),
        ("/predict", b" " * (65 << 20), {}, 413),
        ("/next_episode", {"prompt": "go"}, {}, 404),
        ("/info", {}, {}, 405),
        ("/nowhere", None, {}, 404),
    ],
)
def test_what_is_no_request_at_all_has_the_status_of_http_and_the_next_is_served(
    port: int, path: str, body: Any, headers: dict[str, str], status: int
) -> None:
    got, reply = call(port, path, body, **headers)
    assert (got, bool(reply["error"])) == (status, True)
    assert call(port, "/")[0] == 200


def test_errors_can_have_their_own_status() -> None:
    with serving(status_400=True) as port:
        assert call(port, "/predict", ITEM | {"prompt": ""})[0] == 400


def test_a_token_is_asked_for() -> None:
    with serving(token="correct-horse") as port:
        assert call(port, "/")[0] == 401
        assert call(port, "/predict", ITEM, Authorization="Bearer wrong")[0] == 401
        assert call(port, "/", Authorization="Bearer correct-horse")[0] == 200


def test_what_goes_wrong_inside_is_for_the_log_alone() -> None:
    def broken(observations: Sequence[Observation]) -> list[Prediction]:
        raise ValueError("cannot read /home/somebody/weights")

    told: list[str] = []
    with serving(broken, told) as port:
        status, reply = call(port, "/predict", ITEM)
    assert (status, reply) == (
        200,
        {"action": [], "error": "internal error; the server's log says more"},
    )
    assert "/home/somebody/weights" in told[0]


def test_a_policy_that_needs_a_state_cannot_be_served() -> None:
    policy = Cosmos3Policy(load_model(tiny_checkpoint(), reasoner=False), num_steps=1)
    server = LiberoServer(lambda: (policy, functools.partial(infer_batch, policy)))
    with (
        pytest.raises(ValueError, match="embodiment droid_sim needs a state"),
        in_background(lambda ready, ended: server.run("127.0.0.1", 0, ready, ended)),
    ):
        pass
