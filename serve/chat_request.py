# SPDX-License-Identifier: Apache-2.0
"""A request to /v1/chat/completions, with OpenAI's and vLLM's fields, checked before it is queued.

Every field is understood or refused by name: one that is ignored would be an answer to something
else than was asked.
"""

from __future__ import annotations

import dataclasses
import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..model.interface import Clip
from ..model.language.chat import Turn
from ..model.language.token_sampling import Sampling
from .http.errors import BadRequestError
from .http.fields import check_known, get, integer, kind, number, text
from .media_decoder import Decoder, Media, read_uri

# Fields of OpenAI, vLLM and SGLang that are not implemented -> the values that ask for nothing,
# the usual one first; (): whatever it is, the answer is the same.
NEUTRAL: dict[str, tuple[Any, ...]] = {
    "add_generation_prompt": (True,),
    "add_special_tokens": (False,),
    "bad_words": ([],),
    "best_of": (1,),
    "cache_salt": (),
    "chat_template_kwargs": ({},),
    "continue_final_message": (False,),
    "documents": ([],),
    "echo": (False,),
    "frequency_penalty": (0,),
    "function_call": ("none", "auto"),  # without functions
    "functions": ([],),
    "ignore_eos": (False,),
    "include_reasoning": (True,),
    "include_stop_str_in_output": (False,),
    "length_penalty": (1,),
    "logit_bias": ({},),
    "logits_processors": ([],),
    "metadata": (),
    "min_p": (0,),
    "min_tokens": (0,),
    "mm_processor_kwargs": ({},),
    "modalities": (["text"],),
    "n": (1,),
    "parallel_tool_calls": (),  # without tools
    "priority": (),
    "prompt_cache_key": (),
    "request_id": (),
    "response_format": ({"type": "text"},),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "rid": (),
    "safety_identifier": (),
    "service_tier": ("auto", "default"),
    "skip_special_tokens": (False,),
    "spaces_between_special_tokens": (),
    "stop_token_ids": ([],),
    "store": (False,),
    "tool_choice": ("none", "auto"),  # without tools
    "tools": ([],),
    "use_beam_search": (False,),
    "user": (),
    "verbosity": ("medium",),
}
KNOWN = (
    "logprobs",
    "max_completion_tokens",
    "max_tokens",
    "media_io_kwargs",
    "messages",
    "model",
    "presence_penalty",
    "repetition_penalty",
    "seed",
    "stop",
    "stream",
    "stream_options",
    "temperature",
    "top_k",
    "top_logprobs",
    "top_p",
)
# What OpenAI's client writes into an answer, which may be sent back.
NEUTRAL_IN_MESSAGE: dict[str, tuple[Any, ...]] = {
    "annotations": ([],),
    "reasoning": ("",),
    "reasoning_content": ("",),
    "refusal": ("",),
    "tool_calls": ([],),
}
# Field here -> field of Sampling, least, most.
NUMBERS = {
    "temperature": ("temperature", 0.0, 2.0),
    "top_p": ("top_p", 1e-6, 1.0),
    "presence_penalty": ("presence", -2.0, 2.0),
    "repetition_penalty": ("repetition", 1e-3, 10.0),
}
TOP_LOGPROBS = 20  # OpenAI's limit of likeliest tokens in a token's place
MOST_TOP_K = 1 << 31
MOST_STOP = 1000  # characters of a stop word
MOST_PARTS = 4096  # of all messages
MOST_TEXT = 1 << 21  # characters of all messages: no model reads as many, a tokenizer takes seconds
DETAILS = ("auto", "low", "high", "original")  # how closely to look; always at the whole picture
ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
Parts = tuple[str | Media, ...]


@dataclasses.dataclass(frozen=True, slots=True)
class ChatRequest:
    """A valid request: the conversation (role and parts of each turn), and how to answer it."""

    conversation: tuple[tuple[str, Parts], ...]
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
        raise BadRequestError(f"expected a JSON object, got {kind(body)}")
    check_known(body, KNOWN, NEUTRAL)
    options = get(body, "stream_options", dict, {})
    neutral = {"include_obfuscation": (), "continuous_usage_stats": (False,)}
    check_known(options, ("include_usage",), neutral, "stream_options.")
    return ChatRequest(
        conversation=_conversation(body),
        max_tokens=_max_tokens(body, max_tokens),
        sampling=_sampling(body, sampling),
        stop=_stop(body),
        stream=get(body, "stream", bool, False),
        usage=get(options, "include_usage", bool, False, "stream_options."),
        logprobs=_logprobs(body),
    )


def _max_tokens(body: Mapping[str, Any], most: int) -> int:
    names = ("max_completion_tokens", "max_tokens")
    new, old = (integer(body, name, 1, most) for name in names)
    if new is not None and old is not None and new != old:
        raise BadRequestError(f"max_tokens: expected {new} as {names[0]}, got {old}", names[1])
    return new or old or most


def _logprobs(body: Mapping[str, Any]) -> int | None:
    """How many likeliest tokens are asked for, None if log-probabilities are not."""
    asked = get(body, "logprobs", bool, False)
    top = integer(body, "top_logprobs", 0, TOP_LOGPROBS)
    if not asked and top:
        raise BadRequestError("top_logprobs: expected logprobs to be true with it", "top_logprobs")
    return (top or 0) if asked else None


def _sampling(body: Mapping[str, Any], default: Sampling) -> Sampling:
    changed: dict[str, Any] = {}
    for name, (field, least, most) in NUMBERS.items():
        value = number(body, name, least, most)
        if value is not None:
            changed[field] = value
    top_k = integer(body, "top_k", -1, MOST_TOP_K)
    if top_k is not None:
        changed["top_k"] = max(top_k, 0)  # -1 is vLLM's word for all
    seed = get(body, "seed", int, None)
    if seed is not None and not -(1 << 63) <= seed < 1 << 63:
        raise BadRequestError("seed: expected 64 bits, got more", "seed")
    return dataclasses.replace(
        default, **changed, seed=secrets.randbits(63) if seed is None else seed
    )


def _stop(body: Mapping[str, Any]) -> tuple[str, ...]:
    stop = body.get("stop")
    words = [stop] if isinstance(stop, str) else [] if stop is None else stop
    if (
        not isinstance(words, list)
        or len(words) > 4
        or not all(isinstance(word, str) and 0 < len(word) <= MOST_STOP for word in words)
    ):
        raise BadRequestError(
            f"stop: expected a text, or up to 4 in a list, none of them empty or longer than "
            f"{MOST_STOP} characters",
            "stop",
        )
    return tuple(text(word, "stop") for word in words)


def _conversation(body: Mapping[str, Any]) -> tuple[tuple[str, Parts], ...]:
    messages = get(body, "messages", list, [])
    rate = _frame_rate(get(body, "media_io_kwargs", dict, {}))
    if not messages:
        raise BadRequestError("messages: expected at least one", "messages")
    _check_length(messages)
    turns = [_turn(f"messages[{index}]", message, rate) for index, message in enumerate(messages)]
    if turns[-1][0] != "user":
        got = messages[-1]["role"]
        raise BadRequestError(f"messages: expected the user's last, got {got!r}", "messages")
    return tuple(turn for turn in turns if not _says_nothing(*turn))


def _check_length(messages: list[Any]) -> None:
    """BadRequestError for more than anybody can read, before time is spent on it."""
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    texts = [part.get("text") for part in parts if isinstance(part, dict)] + contents
    length = sum(len(one) for one in texts if isinstance(one, str))
    count = len(messages) + len(parts)
    if count > MOST_PARTS or length > MOST_TEXT:
        raise BadRequestError(
            f"messages: expected at most {MOST_PARTS} with all their parts and {MOST_TEXT} "
            f"characters, got {count} and {length}",
            "messages",
        )


def _says_nothing(role: str, parts: Parts) -> bool:
    """Chat programs send a system prompt that is empty."""
    return role == "system" and not any(not isinstance(part, str) or part.strip() for part in parts)


def _frame_rate(media: Mapping[str, Any]) -> float:
    """Frames used of a second of video."""
    check_known(media, ("video",), {"image": ({},), "audio": ()}, "media_io_kwargs.")
    video = get(media, "video", dict, {}, "media_io_kwargs.")
    where = "media_io_kwargs.video."
    check_known(video, ("fps",), {"num_frames": (-1,)}, where)
    rate = number(video, "fps", 0.0, 1000.0, where)
    if rate == 0:
        raise BadRequestError(f"{where}fps: expected a positive number, got 0", f"{where}fps")
    return 2.0 if rate is None else rate


def _turn(path: str, message: Any, rate: float) -> tuple[str, Parts]:
    role = message.get("role") if isinstance(message, dict) else None
    if not isinstance(role, str) or role not in ROLES:
        got = f"{role!r:.80}" if isinstance(message, dict) else kind(message)
        raise BadRequestError(f"{path}: expected a role of {', '.join(ROLES)}, got {got}", path)
    check_known(message, ("role", "content"), NEUTRAL_IN_MESSAGE, f"{path}.")
    content = message.get("content")
    if content is None and role == "assistant":
        content = ""
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        reason = f"{path}.content: expected a text or a list of parts, got {kind(content)}"
        raise BadRequestError(reason, f"{path}.content")
    parts = tuple(
        _part(f"{path}.content[{number}]", part, rate) for number, part in enumerate(content)
    )
    if role != "user" and not all(isinstance(part, str) for part in parts):
        raise BadRequestError(
            f"{path}: expected pictures in the user's messages only, got {role!r}", path
        )
    return ROLES[role], parts


def _part(path: str, part: Any, rate: float) -> str | Media:
    named = part.get("type") if isinstance(part, dict) else None
    if named == "text" and isinstance(part.get("text"), str):
        check_known(part, ("type", "text"), {}, f"{path}.")
        return text(part["text"], path)
    if named in ("image_url", "video_url"):
        check_known(part, ("type", named), {}, f"{path}.")
        return _media(f"{path}.{named}", named, part.get(named), rate)
    expected = "text, or image_url or video_url with a url in it"
    raise BadRequestError(
        f"{path}: expected a part of type {expected}, got {str(named)[:40]!r}", path
    )


def _media(path: str, named: str, given: Any, rate: float) -> Media:
    """A picture or a video: {"url": "data:..."}, or the address alone."""
    field = {"url": given} if isinstance(given, str) else given
    if not isinstance(field, dict) or not isinstance(field.get("url"), str):
        raise BadRequestError(f"{path}: expected an object with a url, got {kind(given)}", path)
    check_known(field, ("url",), {"detail": DETAILS}, f"{path}.")
    try:
        return read_uri(named.removesuffix("_url"), field["url"], rate)
    except ValueError as error:
        raise BadRequestError(f"{path}: {error}", path) from None
