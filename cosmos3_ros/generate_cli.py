# SPDX-License-Identifier: Apache-2.0
"""The command `cosmos3 generate`: pictures and videos of a prompt, a picture or a video."""

from __future__ import annotations

import argparse
import pathlib
import typing
from collections.abc import Collection, Mapping
from typing import Any

from .model.generation.options import RUNTIME, GenerateOptions
from .model.model_params import PolicyModelParams
from .model.option_fields import add_arguments, argument_values, fields, parse


def add_generate(commands: argparse._SubParsersAction) -> None:
    """Add `generate`."""
    parser = commands.add_parser(
        "generate", help="make a picture or a video of a prompt, a picture or a video"
    )
    parser.add_argument("prompt", nargs="?", help=fields(GenerateOptions)["prompt"].metadata["doc"])
    add_request_options(parser, fields(GenerateOptions).keys() - {"prompt"})
    parser.add_argument(
        "--batch",
        type=pathlib.Path,
        help="file of requests, a JSON object with these fields a line",
    )
    parser.add_argument("--name", default="", help="of the result (default: result)")
    parser.add_argument(
        "--out",
        type=pathlib.Path,
        default=pathlib.Path("out/generate"),
        help="folder of the results (default: out/generate)",
    )
    add_arguments(parser, PolicyModelParams, RUNTIME)
    parser.set_defaults(function=_generate)


def add_request_options(
    parser: argparse.ArgumentParser, names: Collection[str], usual: Mapping[str, str] | None = None
) -> None:
    """An option for each of these fields of a request; usual: defaults that differ, to be shown."""
    for name, field in fields(GenerateOptions).items():
        if name not in names:
            continue
        about, flag = field.metadata, "--" + name.replace("_", "-")
        text = about["doc"].replace("%", "%%")
        if isinstance(field.default, bool):
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, help=text)
            continue
        shown = about["omitted"] or (field.default if field.default != "" else "none")
        shown = (usual or {}).get(name, shown)
        # read below, so that a wrong value is one line as everywhere else
        metavar = "|".join(about["choices"]) or None
        parser.add_argument(flag, metavar=metavar, help=f"{text} (default: {shown})")


def given_request(chosen: argparse.Namespace) -> dict[str, Any]:
    """The fields of the request that the command line names."""
    values: dict[str, Any] = {}
    kinds = typing.get_type_hints(GenerateOptions)
    for name in fields(GenerateOptions):
        value = getattr(chosen, name, None)
        if value is None:
            continue
        text = isinstance(value, str) and str not in (kinds[name], *typing.get_args(kinds[name]))
        values[name] = parse(GenerateOptions, name, value) if text else value
    return values


def checkpoint_and_place(chosen: argparse.Namespace) -> tuple[Any, Any]:
    """The checkpoint's kind, and where it is run, by the options of RUNTIME."""
    from .model.generation.place import find_place

    return find_place(PolicyModelParams(**argument_values(chosen, PolicyModelParams, RUNTIME)))


def _generate(chosen: argparse.Namespace) -> int:
    given = given_request(chosen)
    from .model.generation.batch import Job, check_name, make_all, make_one, rank, read_batch

    if chosen.batch:
        if chosen.name:
            raise ValueError("name: expected none beside a batch, whose lines have their own")
        jobs = read_batch(chosen.batch, given)
    else:
        check_name(chosen.name or "result")
        jobs = [Job(chosen.name or "result", GenerateOptions(**given))]
    kind, place = checkpoint_and_place(chosen)
    tally = (
        make_all(kind, place, jobs, chosen.out)
        if chosen.batch
        else make_one(kind, place, jobs[0], chosen.out)
    )
    if rank()[0] == 0 or tally.failed:
        print(f"{chosen.out}: {tally.text()}")
    return int(tally.failed > 0)
