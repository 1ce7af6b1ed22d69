# SPDX-License-Identifier: Apache-2.0
"""Fields of a dataclass as options: each type has a plain form and comes back from it."""

import argparse
import dataclasses
import typing
from typing import Any

import pytest

from cosmos3_ros.model.model_params import PolicyModelParams
from cosmos3_ros.model.option_fields import add_arguments, argument_values, coerce, to_plain
from cosmos3_ros.model.policy_options import PolicyOptions
from cosmos3_ros.serve.cli import SAMPLING_FLAGS


@pytest.mark.parametrize(
    ("kind", "value", "plain"),
    [
        (tuple[float, float] | None, None, []),
        (tuple[float, float] | None, (960.0, 1001.0), [960.0, 1001.0]),
        (bool | None, None, "auto"),
        (bool | None, False, False),
        (list[str], ["a"], ["a"]),
        (float, 1.0, 1.0),
    ],
)
def test_a_value_comes_back_from_its_plain_form(kind: Any, value: Any, plain: Any) -> None:
    assert to_plain(kind, value) == plain
    assert coerce("it", kind, plain) == value


@pytest.mark.parametrize(
    ("kind", "value", "said"),
    [
        (tuple[float, float] | None, [1.0], "expected a list of 2 float, got \\[1.0\\]"),
        (bool | None, "maybe", "expected auto or bool, got str 'maybe'"),
    ],
)
def test_what_is_neither_the_type_nor_none_is_refused(kind: Any, value: Any, said: str) -> None:
    with pytest.raises(ValueError, match=f"parameter 'it': {said}"):
        coerce("it", kind, value)


def test_every_field_of_the_policy_options_is_a_command_line_option() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, PolicyOptions, flags=SAMPLING_FLAGS)
    assert PolicyOptions(**argument_values(parser.parse_args([]), PolicyOptions)) == PolicyOptions()
    words = [
        "--steps",
        "2",
        "--guidance-interval",
        "960",
        "1001",
        "--batched-guidance",
        "false",
        "--fixed-seed",
    ]
    values = argument_values(parser.parse_args(words), PolicyOptions)
    assert PolicyOptions(**values) == PolicyOptions(
        num_steps=2, guidance_interval=(960.0, 1001.0), batched_guidance=False, deterministic=True
    )


def test_every_field_of_the_policy_options_loads_a_policy() -> None:
    names = {field.name for field in dataclasses.fields(PolicyModelParams)}
    assert {field.name for field in dataclasses.fields(PolicyOptions)} <= names
    assert typing.get_type_hints(PolicyModelParams).keys() == names
