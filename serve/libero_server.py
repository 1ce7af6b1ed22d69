# SPDX-License-Identifier: Apache-2.0
"""A policy over HTTP for the LIBERO evaluation of the Cosmos framework: picture in, chunk out.

The picture holds all cameras side by side; no state comes with it. A request that goes wrong is
answered with status 200 and the field "error", unless told otherwise: that is what the evaluation
reads.
"""

from __future__ import annotations

import asyncio
import base64
import dataclasses
import io
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from aiohttp import web
from PIL import Image

from ..model.embodiment import Embodiment
from ..model.embodiment.canvas import resize
from ..model.embodiment.spec import Normalization
from ..model.interface import Observation, Policy, Prediction, warm_up
from .http.base64_text import split_data_uri
from .http.errors import Failure, said
from .http.fields import check_known
from .http_server import HttpServer, RefusedError, read_json
from .job_queue import BusyError, JobQueue
from .media_decoder import Decoder, Media
from .openpi_messages import check_readable, prompt_of, split

MAX_ITEMS = 64  # of one batch
FIELDS = ("image", "prompt", "domain_name", "image_size")  # of a request, as the evaluation has it
Batch = Callable[[Sequence[Observation]], list[Prediction]]


@dataclasses.dataclass(frozen=True, slots=True)
class LiberoOptions:
    """How to serve."""

    token: str = ""  # see `auth`
    video: bool = True  # send the predicted video with single chunks
    status_400: bool = False  # errors with status 400 instead of 200
    about: dict[str, Any] = dataclasses.field(default_factory=dict)  # more fields for /info


class LiberoServer:
    """See the module. load: makes the policy, and what infers for several observations at once."""

    def __init__(
        self,
        load: Callable[[], tuple[Policy, Batch]],
        options: LiberoOptions | None = None,
        tell: Callable[[str], None] = print,
    ) -> None:
        self._load, self._options, self._tell = load, options or LiberoOptions(), tell
        self._queue = JobQueue()
        self._loaded: tuple[Policy, Batch] | None = None
        routes = [
            web.get("/", self._health),
            web.get("/info", self._info),
            web.post("/", self._predict),
            web.post("/predict", self._predict),
            web.post("/predict_batch", self._predict_batch),
        ]
        self._server = HttpServer(
            routes, self._options.token, reply_error, self._queue, self._load_policy
        )

    async def run(
        self, host: str, port: int, ready: Callable[[int], None], ended: asyncio.Event
    ) -> None:
        """Load the policy and serve, see `run_app`."""
        await self._server.run(host, port, ready, ended)

    async def _load_policy(self) -> None:
        self._loaded = await self._queue.run("load", self._make)

    def _make(self) -> tuple[Policy, Batch]:
        policy, batch = self._load()
        embodiment = policy.embodiment
        if embodiment.state:
            raise ValueError(
                f"embodiment {embodiment.name} needs a state, which LIBERO clients do not send"
            )
        warm_up(policy)
        return policy, batch

    def _internal(self, error: Exception) -> str:
        """What a client reads of a defect; the log gets the rest."""
        self._tell("".join(traceback.format_exception(error)).rstrip())
        return "internal error; the server's log says more"

    @property
    def _policy(self) -> Policy:
        assert self._loaded is not None  # no handler runs before
        return self._loaded[0]

    async def _health(self, request: web.Request) -> web.Response:
        return _reply({"status": "ok"})

    async def _info(self, request: web.Request) -> web.Response:
        embodiment = self._policy.embodiment
        known = {
            "fps": embodiment.fps,
            "action_chunk_size": embodiment.horizon,
            "raw_action_dim": embodiment.width,
        }
        return _reply({**known, "domain_name": embodiment.domain, **self._options.about})

    async def _predict(self, request: web.Request) -> web.Response:
        return await self._answer(request, {"action": []}, self._one)

    async def _predict_batch(self, request: web.Request) -> web.Response:
        return await self._answer(request, {"actions": []}, self._several)

    async def _answer(
        self,
        request: web.Request,
        empty: dict[str, Any],
        job: Callable[[dict[str, Any]], dict[str, Any]],
    ) -> web.Response:
        if request.content_type != "application/json":
            raise RefusedError(415, "Content-Type must be application/json")
        message = await read_json(request)
        status = 400 if self._options.status_400 else 200
        try:
            return _reply(await self._queue.run(object(), lambda: job(message)))
        except ValueError as error:
            return _reply({**empty, "error": said(error)}, status)
        except BusyError:
            raise
        # a defect of ours or of the policy: the client learns that, the log learns what
        except Exception as error:
            return _reply({**empty, "error": self._internal(error)}, status)

    def _one(self, message: dict[str, Any]) -> dict[str, Any]:
        """In the thread: one chunk, with its video."""
        policy = self._policy
        observation = self._read(message)
        (prediction,) = self._infer([observation])
        reply: dict[str, Any] = {"action": raw_rows(prediction, policy.embodiment).tolist()}
        if self._options.video:
            reply["video"] = [_png(frame) for frame in policy.decode(prediction).frames]
        return reply

    def _several(self, message: dict[str, Any]) -> dict[str, Any]:
        """In the thread: the chunks of all items, in one batch and in their order."""
        check_known(message, ("items",), {})
        items = message.get("items")
        if not isinstance(items, list) or not 0 < len(items) <= MAX_ITEMS:
            got = f"{len(items)} items" if isinstance(items, list) else type(items).__name__
            raise ValueError(f"items: expected a list of 1 to {MAX_ITEMS}, got {got}")
        observations = []
        for index, item in enumerate(items):
            try:
                observations.append(self._read(item))
            except ValueError as error:
                raise ValueError(f"items[{index}]: {error}") from None
        return {
            "actions": [
                raw_rows(prediction, self._policy.embodiment).tolist()
                for prediction in self._infer(observations)
            ]
        }

    def _read(self, item: Any) -> Observation:
        """One request; ValueError, for the client, names what is wrong with it."""
        observation = read_item(item, self._policy.embodiment)
        check_readable(self._policy, observation)
        return observation

    def _infer(self, observations: Sequence[Observation]) -> list[Prediction]:
        assert self._loaded is not None
        try:
            return self._loaded[1](observations)
        # the request was checked: this one is not for the client's eyes
        except ValueError as error:
            raise RuntimeError(str(error)) from error


def reply_error(failure: Failure) -> web.Response:
    """The reply to what is no request at all."""
    return _reply({"error": failure.message}, failure.status)


def read_item(item: Any, embodiment: Embodiment) -> Observation:
    """One request as an Observation; ValueError names the field that is wrong."""
    if not isinstance(item, dict):
        raise ValueError(f"expected an object, got {type(item).__name__}")
    check_known(item, FIELDS, {})
    domain, height = item.get("domain_name"), item.get("image_size")
    if domain not in (embodiment.domain, embodiment.name):
        raise ValueError(f"domain_name: expected {embodiment.domain!r}, got {str(domain)[:60]!r}")
    if type(height) is not int or not 16 <= height <= 2048:
        raise ValueError(f"image_size: expected 16 to 2048 pixels, got {str(height)[:60]}")
    picture = _picture(item.get("image"))
    expected = embodiment.canvas.composite[1] / embodiment.canvas.composite[0]
    if not 0.95 < picture.shape[1] / picture.shape[0] / expected < 1.05:
        got = f"{picture.shape[1]} x {picture.shape[0]}"
        raise ValueError(
            f"image: expected {' | '.join(embodiment.views)} side by side,"
            f" {expected:g} times as wide as high, got {got}"
        )
    if picture.shape[0] != height:
        size = (height, round(picture.shape[1] * height / picture.shape[0]))
        picture = (
            np.rint(resize(picture, size, cubic=False, antialias=True))
            .clip(0, 255)
            .astype(np.uint8)
        )
    return Observation(
        split(picture, embodiment.canvas), np.zeros(0, np.float32), prompt_of(item), 0
    )


def raw_rows(prediction: Prediction, embodiment: Embodiment) -> np.ndarray:
    """A chunk in the model's columns without normalization: float32 [T, width].

    For LIBERO that is translation, rot6d, and the gripper with 1 for open.
    """
    plain = dataclasses.replace(embodiment, normalization=Normalization())
    return plain.encode_actions(prediction.chunk.values, np.zeros(0, np.float32))


def _picture(text: Any) -> np.ndarray:
    """base64, also in a data URI -> uint8 [H, W, 3]."""
    if not isinstance(text, str):
        raise ValueError(f"image: expected base64 of a PNG, got {type(text).__name__}")
    if text[:5].lower() == "data:" and (found := split_data_uri(text)):
        text = found[1]
    kind = "jpeg" if text.lstrip().startswith(("/9j/", "_9j_")) else "png"
    picture = Decoder()(Media("image", kind, text, field="image"))
    assert isinstance(picture, np.ndarray)
    return picture


def _png(frame: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, format="PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def _reply(fields: dict[str, Any], status: int = 200) -> web.Response:
    return web.json_response(fields, status=status, headers={"Cache-Control": "no-store"})
