# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 serve generator`: its options, and how they become a server."""

from __future__ import annotations

import argparse
import pathlib

from ...model.generation.options import RUNTIME
from ...model.model_params import PolicyModelParams
from ...model.option_fields import add_arguments, argument_values
from ..asyncio_runner import serve_until_interrupted
from ..auth import add_address, chosen_token


def add_generator(kinds: argparse._SubParsersAction) -> None:
    """Add `serve generator`."""
    parser = kinds.add_parser(
        "generator", help="HTTP server for OpenAI clients: pictures, videos and actions"
    )
    add_address(parser)
    add_arguments(parser.add_argument_group("the model"), PolicyModelParams, RUNTIME)
    parser.add_argument(
        "--upsample",
        action="store_true",
        help="load the reasoner's parts too, so that requests may have prompts written out",
    )
    parser.add_argument(
        "--name", default="", help="what clients call the model (default: the checkpoint's folder)"
    )
    parser.add_argument(
        "--jobs",
        type=pathlib.Path,
        default=pathlib.Path("out/generator"),
        help="folder of jobs and results; what is promised there is made after a restart, too "
        "(default: out/generator)",
    )
    parser.add_argument(
        "--keep", type=float, default=24.0, help="hours that results stay (default: 24)"
    )
    parser.add_argument(
        "--waiting", type=int, default=16, help="requests that may wait or run (default: 16)"
    )
    parser.set_defaults(function=_serve)


def _serve(chosen: argparse.Namespace) -> int:
    if not 0 < chosen.keep <= 24 * 366:
        raise ValueError(f"--keep: expected more than 0 hours, at most a year, got {chosen.keep}")
    if not 1 <= chosen.waiting <= 10_000:
        raise ValueError(f"--waiting: expected 1 to 10000, got {chosen.waiting}")
    from ...model.generation.engine import Engine
    from ...model.generation.place import find_place
    from .server import GeneratorOptions, GeneratorServer

    params = PolicyModelParams(**argument_values(chosen, PolicyModelParams, RUNTIME))
    kind, place = find_place(params)
    name = chosen.name or kind.folder.resolve().name
    options = GeneratorOptions(
        chosen.jobs, name, chosen_token(chosen), 3600 * chosen.keep, chosen.waiting
    )
    print(f"loading {kind.folder.name}: a checkpoint of kind {kind.name!r}", flush=True)
    server = GeneratorServer(lambda: Engine(kind, place, chosen.upsample), options)
    return serve_until_interrupted(chosen.host, chosen.port, server.run, "http")
