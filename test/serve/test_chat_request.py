# SPDX-License-Identifier: Apache-2.0
"""Fields of a chat request: understood, or refused by name."""

import base64
import io

import numpy as np
import openai.types.chat
import pytest
from PIL import Image

from cosmos3_ros.model.language.token_sampling import GREEDY
from cosmos3_ros.serve.chat_request import KNOWN, NEUTRAL, read_chat_request
from cosmos3_ros.serve.http.errors import BadRequestError

TEXT = {"type": "text", "text": "a"}
ASKED = [{"role": "user", "content": "?"}]


def read(**fields):
    return read_chat_request({"messages": ASKED} | fields, GREEDY, 10)


# Of OpenAI, vLLM and SGLang: each would change the answer.
CHANGING = {
    "guided_json": {"type": "object"},
    "guided_choice": ["yes", "no"],
    "guided_regex": "a+",
    "guided_grammar": "root ::= 'a'",
    "structured_outputs": {"choice": ["a"]},
    "response_format": {"type": "json_object"},
    "json_schema": "{}",
    "regex": "a+",
    "ebnf": "root ::= 'a'",
    "min_p": 0.9,
    "min_tokens": 40,
    "ignore_eos": True,
    "stop_token_ids": [1],
    "stop_regex": "a",
    "bad_words": ["a"],
    "allowed_token_ids": [3],
    "logit_bias": {"3": 100},
    "frequency_penalty": 0.5,
    "n": 2,
    "best_of": 4,
    "use_beam_search": True,
    "length_penalty": 2.0,
    "logits_processors": ["x"],
    "tools": [{"type": "function", "function": {"name": "f"}}],
    "tool_choice": "required",
    "functions": [{"name": "f"}],
    "function_call": {"name": "f"},
    "prompt_logprobs": 1,
    "echo": True,
    "continue_final_message": True,
    "add_generation_prompt": False,
    "chat_template": "{{ 1 }}",
    "chat_template_kwargs": {"enable_thinking": False},
    "reasoning_effort": "high",
    "truncate_prompt_tokens": 5,
    "mm_processor_kwargs": {"max_pixels": 100},
    "audio": {"voice": "x"},
    "modalities": ["text", "audio"],
    "web_search_options": {},
    "skip_special_tokens": True,
    "verbosity": "low",
    "lora_path": "x",
    "nobody_knows_this": 0,
}


@pytest.mark.parametrize("name", CHANGING)
def test_what_would_change_the_answer_is_refused_by_name(name):
    with pytest.raises(BadRequestError, match=f"^{name}: not offered here") as caught:
        read(**{name: CHANGING[name]})
    assert caught.value.param == name


def test_values_that_ask_for_nothing_are_taken():
    for name, values in NEUTRAL.items():
        read(**{name: values[0] if values else {"any": 1}})
    with pytest.raises(BadRequestError, match=r"^n: not offered here, expected 1 or nothing"):
        read(n=True)


def test_every_field_of_openai_is_known_neutral_or_refused_on_purpose():
    """A new one of the client's is decided about, not met by chance."""
    params = openai.types.chat.completion_create_params
    fields = {*params.CompletionCreateParamsNonStreaming.__annotations__}
    for base in params.CompletionCreateParamsBase, params.CompletionCreateParamsStreaming:
        fields |= {*base.__annotations__}
    undecided = fields - {*KNOWN} - {*NEUTRAL} - {*CHANGING}
    assert undecided <= {
        "prediction",
        "prompt_cache_retention",
        "moderation",
        "prompt_cache_options",
    }


def test_a_near_name_is_offered():
    with pytest.raises(BadRequestError, match="temprature: not offered here, did you mean 'temp"):
        read(temprature=0.5)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"stream_options": {"include_usages": True}}, "stream_options.include_usages"),
        ({"stream_options": {"continuous_usage_stats": True}}, "stream_options.continuous_usage"),
        ({"media_io_kwargs": {"video": {"num_frames": 8}}}, "media_io_kwargs.video.num_frames"),
        ({"media_io_kwargs": {"image": {"mode": "L"}}}, "media_io_kwargs.image"),
        ({"messages": [{"role": "user", "content": "?", "name": "Ann"}]}, "messages[0].name"),
        ({"messages": [{"role": [], "content": "?"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": "\ud800"}]}, "messages[0].content[0]"),
        ({"stop": ["\udfff"]}, "stop"),
        ({"stop": "x" * 1001}, "stop"),
        ({"temperature": 10**400}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_k": -2}, "top_k"),
        ({"top_k": True}, "top_k"),
        ({"seed": 10**400}, "seed"),
        ({"max_tokens": 3, "max_completion_tokens": 4}, "max_tokens"),
        ({"messages": ASKED * 5000}, "messages"),
        ({"messages": [{"role": "user", "content": "word " * 600_000}]}, "messages"),
        ({"messages": [{"role": "user", "content": [TEXT] * 5000}]}, "messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_value_is_refused_with_its_place(fields, param):
    with pytest.raises(BadRequestError) as caught:
        read(**fields)
    assert caught.value.param.startswith(param)
    assert len(str(caught.value)) < 400


def test_parts_are_read_strictly():
    def ask(**part):
        read(messages=[{"role": "user", "content": [{"type": "text", "text": "?"}, part]}])

    picture = io.BytesIO()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture, "png")
    uri = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    ask(type="image_url", image_url={"url": uri, "detail": "high"})
    ask(type="image_url", image_url=uri)
    for part, words in (
        ({"image_url": {"url": uri, "detail": "close"}}, "image_url.detail: not offered here"),
        ({"image_url": {"url": uri, "crop": 1}}, "image_url.crop: not offered here"),
        ({"image_url": {"url": uri}, "cache_control": {}}, r"content\[1\].cache_control"),
        ({"image_url": {}}, "expected an object with a url, got dict"),
    ):
        with pytest.raises(BadRequestError, match=words):
            ask(type="image_url", **part)


def test_what_the_client_of_openai_makes_of_an_answer_goes_back():
    answer = openai.types.chat.ChatCompletionMessage(role="assistant", content="")
    for given in (answer.model_dump(), {"role": "assistant", "content": None}):
        told = read(messages=[*ASKED, given, *ASKED])
        assert told.conversation == (("user", ("?",)), ("assistant", ("",)), ("user", ("?",)))
        told.turns()


@pytest.mark.parametrize("content", ["", " \n", [], [{"type": "text", "text": ""}]])
def test_an_empty_system_prompt_is_none(content):
    told = read(messages=[{"role": "system", "content": content}, *ASKED])
    assert told.conversation == (("user", ("?",)),)
