# SPDX-License-Identifier: Apache-2.0
"""Fields of a dataclass as options: each type has a plain form and comes back from it."""

import argparse
import dataclasses
import typing
from typing import Any

import pytest

from cosmos3_ros.model.model_params import PolicyModelParams
from cosmos3_ros.model.option_fields import (
    add_arguments,
    argument_values,
    check,
    coerce,
    finite_float,
    param,
    parse,
    to_plain,
)
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
        (float, float("nan"), "expected a finite number, got nan"),
        (float, float("-inf"), "expected a finite number, got -inf"),
        (float, 10**400, "expected a finite number, got inf"),
        (float | None, float("inf"), "expected a finite number, got inf"),
        (list[float], [1.0, float("nan")], "expected a finite number, got nan"),
        (tuple[float, float] | None, [0.0, float("inf")], "expected a finite number, got inf"),
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
        "--full-steps",
        "0",
        "1",
    ]
    values = argument_values(parser.parse_args(words), PolicyOptions)
    assert PolicyOptions(**values) == PolicyOptions(
        num_steps=2,
        guidance_interval=(960.0, 1001.0),
        batched_guidance=False,
        deterministic=True,
        full_steps=(0, 1),
    )


def test_every_field_of_the_policy_options_loads_a_policy() -> None:
    names = {field.name for field in dataclasses.fields(PolicyModelParams)}
    assert {field.name for field in dataclasses.fields(PolicyOptions)} <= names
    assert typing.get_type_hints(PolicyModelParams).keys() == names


@dataclasses.dataclass(frozen=True)
class Some:
    share: float = param(0.5, "a share", minimum=0)
    sizes: list[float] = param([], "sizes")
    armed: bool | None = param(None, "whether", omitted="as elsewhere")
    device: str | None = param(None, "where", omitted="as elsewhere")


def test_a_tuple_of_any_length_is_a_list() -> None:
    kind = tuple[int, ...]
    for value in ((), (3,), (0, 1, 2)):
        assert coerce("steps", kind, to_plain(kind, value)) == value
    with pytest.raises(ValueError, match="parameter 'steps': expected a list of int, got 'x'"):
        coerce("steps", kind, "x")
    with pytest.raises(ValueError, match=r"expected int, got float 1\.5"):
        coerce("steps", kind, [0, 1.5])


def test_no_number_is_too_small_or_large_to_be_checked() -> None:
    check(Some())
    assert Some().armed is None  # which is left out
    for wrong in (Some(share=float("nan")), Some(sizes=[1.0, float("inf")])):
        with pytest.raises(ValueError, match=r"(share|sizes): expected a finite number"):
            check(wrong)
    with pytest.raises(ValueError, match="share: expected 0 or more, got -1"):
        check(Some(share=-1.0))
    with pytest.raises(ValueError, match=r"preset: .*got 'twosteps', did you mean 'two_steps'\?"):
        PolicyOptions(preset="twosteps")
    with pytest.raises(ValueError, match="guidance"):
        PolicyOptions(guidance_interval=(0.0, float("inf")))


@pytest.mark.parametrize("text", ["nan", "inf", "-Infinity", "1e999", "one"])
def test_a_command_line_takes_finite_numbers_only(
    text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Some, ("share", "sizes"))
    for words in (["--share", text], ["--sizes", "1", text]):
        with pytest.raises(SystemExit):
            parser.parse_args([f"{words[0]}={words[1]}"] if len(words) == 2 else words)
    assert "expected a finite number" in capsys.readouterr().err
    with pytest.raises(argparse.ArgumentTypeError, match="expected a finite number, got"):
        finite_float(text)


def test_an_option_that_is_left_out_is_none_and_every_word_is_a_value() -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser, Some, ("armed", "device"))
    assert argument_values(parser.parse_args([]), Some)["device"] is None
    assert "(default: as elsewhere)" in parser.format_help()
    values = argument_values(parser.parse_args(["--no-armed", "--device", "auto"]), Some)
    assert (values["armed"], values["device"]) == (False, "auto")
    assert [parse(Some, "armed", "True"), parse(Some, "device", "")] == [True, ""]
    assert parse(PolicyOptions, "guidance_interval", "400, 960") == (400.0, 960.0)
    assert parse(PolicyOptions, "guidance_interval", "") is None
    with pytest.raises(ValueError, match="guidance_interval': expected a list of 2 float"):
        parse(PolicyOptions, "guidance_interval", "400")
    with pytest.raises(ValueError, match="armed: expected true or false, got 'perhaps'"):
        parse(Some, "armed", "perhaps")
    with pytest.raises(ValueError, match="share: expected float, got 'nan'"):
        parse(Some, "share", "nan")
