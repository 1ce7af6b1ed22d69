# SPDX-License-Identifier: Apache-2.0
"""A request to /v1/chat/completions, with OpenAI's and vLLM's fields, checked before it is queued.

Unknown fields are ignored, as vLLM does; known fields that would change the answer, but are not
implemented, are refused.
"""

from __future__ import annotations

import dataclasses
import math
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model.interface import Clip
from ..model.language.chat import Turn
from ..model.language.token_sampling import Sampling
from .media_decoder import Decoder, Media, read_uri

# Fields that are not implemented -> the values that ask for nothing.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "logit_bias": ({},),
    "tools": ([],),
    "functions": ([],),
    "response_format": ({"type": "text"},),
    "modalities": (["text"],),
}
# Field here -> field of Sampling, least, most.
NUMBERS = {
    "temperature": ("temperature", 0.0, 2.0),
    "top_p": ("top_p", 1e-6, 1.0),
    "presence_penalty": ("presence", -2.0, 2.0),
    "repetition_penalty": ("repetition", 1e-3, 10.0),
}
TOP_LOGPROBS = 20  # OpenAI's limit of likeliest tokens in a token's place
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}


class BadRequestError(ValueError):
    """What is wrong with a request, and with which field of it."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


@dataclasses.dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request: the conversation (role and parts of each turn), and how to answer it."""

    conversation: tuple[tuple[str, tuple[str | Media, ...]], ...]
    max_tokens: int
    sampling: Sampling
    stop: tuple[str, ...] = ()
    stream: bool = False
    usage: bool = False
    # How many likeliest tokens to name in each token's place; None: no log-probabilities at all.
    logprobs: int | None = None

    def turns(self) -> list[Turn]:
        """The conversation with its media decoded; ValueError if one does not."""
        decode = Decoder()

        def part(given: str | Media) -> str | np.ndarray | Clip:
            return decode(given) if isinstance(given, Media) else given

        return [Turn(role, tuple(map(part, parts))) for role, parts in self.conversation]


def read_chat_request(body: Any, sampling: Sampling, max_tokens: int) -> ChatRequest:
    """The JSON of a request as a ChatRequest; BadRequestError names the field that is wrong.

    sampling: for the fields that the request does not have; max_tokens: default and upper limit.
    """
    if not isinstance(body, dict):
        raise BadRequestError(f"expected a JSON object, got {_kind(body)}")
    for name, values in NEUTRAL.items():
        if body.get(name) is not None and body[name] not in values:
            raise BadRequestError(
                f"{name}: not offered here, expected {values[0]!r} or nothing", name
            )
    options = _get(body, "stream_options", dict, {})
    return ChatRequest(
        conversation=_conversation(body),
        max_tokens=_max_tokens(body, max_tokens),
        sampling=_sampling(body, sampling),
        stop=_stop(body),
        stream=_get(body, "stream", bool, False),
        usage=_get(options, "include_usage", bool, False),
        logprobs=_logprobs(body),
    )


def _kind(value: Any) -> str:
    return type(value).__name__


def _get(fields: Mapping[str, Any], name: str, kind: type, default: Any) -> Any:
    """A field that may be absent or null."""
    value = fields.get(name)
    if value is None:
        return default
    if type(value) is not kind and not (kind is float and type(value) is int):
        raise BadRequestError(f"{name}: expected {kind.__name__}, got {_kind(value)}", name)
    return value


def _max_tokens(body: Mapping[str, Any], most: int) -> int:
    for name in ("max_completion_tokens", "max_tokens"):
        wanted = _get(body, name, int, None)
        if wanted is not None:
            if not 1 <= wanted <= most:
                raise BadRequestError(f"{name}: expected 1 to {most}, got {wanted}", name)
            return wanted
    return most


def _logprobs(body: Mapping[str, Any]) -> int | None:
    """How many likeliest tokens are asked for, None if log-probabilities are not."""
    asked, top = _get(body, "logprobs", bool, False), _get(body, "top_logprobs", int, None)
    if top is None:
        return 0 if asked else None
    if not asked:
        raise BadRequestError("top_logprobs: expected logprobs to be true with it", "top_logprobs")
    if not 0 <= top <= TOP_LOGPROBS:
        raise BadRequestError(
            f"top_logprobs: expected 0 to {TOP_LOGPROBS}, got {top}", "top_logprobs"
        )
    return top


def _sampling(body: Mapping[str, Any], default: Sampling) -> Sampling:
    changed: dict[str, Any] = {}
    for name, (field, least, most) in NUMBERS.items():
        value = _get(body, name, float, None)
        if value is not None:
            if not (math.isfinite(value) and least <= value <= most):
                raise BadRequestError(f"{name}: expected {least:g} to {most:g}, got {value}", name)
            changed[field] = float(value)
    top_k = _get(body, "top_k", int, None)
    if top_k is not None:
        changed["top_k"] = max(top_k, 0)  # -1 is vLLM's word for all
    seed = _get(body, "seed", int, None)
    if seed is not None and not -(1 << 63) <= seed < 1 << 63:
        raise BadRequestError(f"seed: expected 64 bits, got {seed}", "seed")
    return dataclasses.replace(
        default, **changed, seed=secrets.randbits(63) if seed is None else seed
    )


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    words = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if (
        not isinstance(words, list)
        or len(words) > 4
        or not all(isinstance(word, str) and word for word in words)
    ):
        raise BadRequestError(
            "stop: expected a text, or up to 4 in a list, none of them empty", "stop"
        )
    return tuple(words)


def _conversation(body: Mapping[str, Any]) -> tuple[tuple[str, tuple[str | Media, ...]], ...]:
    messages = _get(body, "messages", list, [])
    media = _get(_get(body, "media_io_kwargs", dict, {}), "video", dict, {})
    rate = _get(media, "fps", float, 2.0)
    if not (math.isfinite(rate) and 0 < rate <= 1000):
        raise BadRequestError(
            f"media_io_kwargs.video.fps: expected a positive number, got {rate}", "media_io_kwargs"
        )
    if not messages:
        raise BadRequestError("messages: expected at least one", "messages")
    turns = tuple(
        _turn(f"messages[{number}]", message, rate) for number, message in enumerate(messages)
    )
    if turns[-1][0] != "user":
        raise BadRequestError(
            f"messages: expected the user's last, got {messages[-1]['role']!r}", "messages"
        )
    return turns


def _turn(path: str, message: Any, rate: float) -> tuple[str, tuple[str | Media, ...]]:
    if not isinstance(message, dict) or message.get("role") not in ROLES:
        got = repr(message.get("role")) if isinstance(message, dict) else _kind(message)
        raise BadRequestError(f"{path}: expected a role of {', '.join(ROLES)}, got {got}", path)
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise BadRequestError(
            f"{path}.content: expected a text or a list of parts, got {_kind(content)}", path
        )
    parts = tuple(
        _part(f"{path}.content[{number}]", part, rate) for number, part in enumerate(content)
    )
    if message["role"] != "user" and not all(isinstance(part, str) for part in parts):
        raise BadRequestError(
            f"{path}: expected pictures in the user's messages only, got {message['role']!r}",
            path,
        )
    return ROLES[message["role"]], parts


def _part(path: str, part: Any, rate: float) -> str | Media:
    kind = part.get("type") if isinstance(part, dict) else None
    if kind == "text" and isinstance(part.get("text"), str):
        return part["text"]
    if kind in ("image_url", "video_url"):
        field = part.get(kind)
        if isinstance(field, dict) and isinstance(field.get("url"), str):
            try:
                return read_uri(kind.removesuffix("_url"), field["url"], rate)
            except ValueError as error:
                raise BadRequestError(f"{path}: {error}", path) from None
    expected = "text, or image_url or video_url with a url in it"
    raise BadRequestError(
        f"{path}: expected a part of type {expected}, got {str(kind)[:40]!r}", path
    )
