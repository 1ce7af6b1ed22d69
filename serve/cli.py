# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 serve KIND`: one subcommand per server. Each imports what it needs, when it runs."""

from __future__ import annotations

import argparse
import contextlib
import functools
import pathlib
from collections.abc import Callable, Collection, Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from ..model.model_params import MediaReasonerParams, PolicyModelParams
from ..model.option_fields import add_arguments, argument_values, fields, select
from ..model.policy_options import PRESETS, PolicyOptions
from .asyncio_runner import serve_until_interrupted
from .auth import add_address, chosen_token
from .generation.cli import add_generator

if TYPE_CHECKING:
    from ..model.best_of.best_of_policy import BestOfPolicy
    from ..model.policy import Cosmos3Policy
    from ..model.registry import Models
    from .libero_server import Batch

LIBERO_STEPS = 30  # of the server that ours stands in for, unless a preset says how many
# Options that are not called as the field is. `--horizon` of `serve openpi` is what it sends.
SAMPLING_FLAGS = {
    "num_steps": "--steps",
    "deterministic": "--fixed-seed",
    "horizon": "--policy-horizon",
}


def add_serve(commands: argparse._SubParsersAction) -> None:
    """Add `serve` with all its kinds."""
    parser = commands.add_parser(
        "serve", help="serve a checkpoint to RoboLab, openpi or LIBERO clients, without ROS"
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    _add_openpi(kinds)
    _add_libero(kinds)
    _add_reasoner(kinds)
    add_generator(kinds)


def add_sampling(
    parser: argparse.ArgumentParser,
    defaults: Mapping[str, Any],
    flags: Mapping[str, str] = MappingProxyType({}),
    note: str = "",
) -> None:
    """An option for each field of `PolicyOptions`; defaults and flags: where they differ."""
    group = parser.add_argument_group("how the policy samples", note)
    add_arguments(group, PolicyOptions, flags={**SAMPLING_FLAGS, **flags}, defaults=defaults)


def _add_policy(
    parser: argparse.ArgumentParser,
    embedded: bool = True,
    without: Collection[str] = (),
    **defaults: Any,
) -> None:
    """An option for each field of `PolicyModelParams`.

    embedded: whether the checkpoint of this package will do; without: fields that have none;
    defaults: of the server that this one stands in for.
    """
    note = "" if "gpus" in without else ", but not with --gpus"
    group = parser.add_argument_group("the model", f"--compile records CUDA graphs, too{note}")
    names = fields(PolicyModelParams).keys() - fields(PolicyOptions) - {*without}
    add_arguments(group, PolicyModelParams, names, required=() if embedded else ("checkpoint",))
    usual = fields(PolicyOptions)["guidance"].default
    note = "" if "guidance" in defaults else f"guidance: {usual:g}, for the embedded checkpoint 1"
    if defaults.get("num_steps", 1) is None:
        note = f"steps: {LIBERO_STEPS}, with a preset as many as that has"
    add_sampling(parser, {"guidance": None} | defaults, note=note)


def add_reasoner_options(parser: argparse.ArgumentParser, max_tokens: int, compiled: bool) -> None:
    """An option for each field of `MediaReasonerParams` that concerns a reasoner by itself.

    max_tokens: the default; compiled: see `reasoner_params`.
    """
    usual = "--compile and --cuda-graphs" if compiled else "--cuda-graphs"
    group = parser.add_argument_group("the model", f"on a GPU with {usual}, if not told otherwise")
    apart = {"weights", "attention"}  # of the generator
    names = fields(MediaReasonerParams).keys() - apart
    defaults = {"max_tokens": max_tokens, "compile": None, "cuda_graphs": None}
    add_arguments(group, MediaReasonerParams, names, defaults=defaults)


def reasoner_params(chosen: argparse.Namespace, compiled: bool) -> MediaReasonerParams:
    """What the reasoner is loaded by.

    On a GPU it records, and if `compiled` it compiles too, unless the options say otherwise.
    """
    from ..model.runtime.device import resolve_device

    gpu = resolve_device(chosen.device).startswith("cuda")
    if chosen.cuda_graphs is None:
        chosen.cuda_graphs = gpu and chosen.gpus == 1  # which several processes do not record
    if chosen.compile is None:
        chosen.compile = gpu and compiled
    return MediaReasonerParams(**argument_values(chosen, MediaReasonerParams))


def _params(chosen: argparse.Namespace, num_steps: int = 4) -> PolicyModelParams:
    """What the policy is loaded by; the embedded checkpoint needs no guidance unless asked for.

    num_steps: without a preset that has its own.
    """
    if chosen.guidance is None:
        chosen.guidance = fields(PolicyOptions)["guidance"].default if chosen.checkpoint else 1.0
    if chosen.num_steps is None:
        chosen.num_steps = PRESETS.get(chosen.preset, {}).get("num_steps", num_steps)
    values = argument_values(chosen, PolicyModelParams)
    values["cuda_graphs"] |= values["compile"] and values.get("gpus", 1) == 1
    return PolicyModelParams(**values)


@contextlib.contextmanager
def _models(policy: bool, reasoner: bool) -> Iterator[Models]:
    """What loads; the processes that share a network end with this one, in order."""
    from ..model.registry import Models

    models = Models(policy, reasoner)
    try:
        yield models
    finally:
        models.close()


def _loader(
    models: Models, params: PolicyModelParams
) -> Callable[[], Cosmos3Policy | BestOfPolicy]:
    """What loads the policy; a device or dtype that is not there is refused at once."""
    from ..model.runtime.device import resolve

    resolve(params.device, params.dtype)
    name = params.checkpoint or "the embedded checkpoint"
    used = select(PolicyOptions, params).in_force()
    sampling = f"{used.num_steps} steps, guidance {used.guidance:g}, {used.prompt_format} prompts"
    print(f"loading {name}: {sampling}", flush=True)
    return lambda: models.policy(params)


def _add_openpi(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "openpi", help="websocket server for RoboLab, openpi, RoboArena and vLLM-Omni clients"
    )
    add_address(parser)
    _add_policy(parser)
    # of what is sent; the policy's own is --policy-horizon
    parser.add_argument(
        "--horizon",
        dest="sent_horizon",
        metavar="HORIZON",
        type=int,
        default=0,
        help="rows of a chunk to send, 0: all (default: 0)",
    )
    parser.add_argument(
        "--black",
        action="store_true",
        help="a camera that a request lacks is a black picture, not an error",
    )
    parser.add_argument(
        "--video", action="store_true", help="send the predicted video too, megabytes per reply"
    )

    def function(chosen: argparse.Namespace) -> int:
        from .openpi_server import OpenPiOptions, OpenPiServer

        params = _params(chosen)
        options = OpenPiOptions(
            chosen_token(chosen), chosen.sent_horizon, chosen.black, chosen.video, params.soft_rows
        )
        with _models(policy=True, reasoner=False) as models:
            server = OpenPiServer(_loader(models, params), options)
            return serve_until_interrupted(chosen.host, chosen.port, server.run, "ws") or int(
                models.lost
            )

    parser.set_defaults(function=function)


def _add_libero(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "libero", help="HTTP server for the LIBERO evaluation of the Cosmos framework"
    )
    add_address(parser)
    # the embedded checkpoint needs a state, which these clients do not send
    alone = ("gpus", "tensor_parallel")  # several processes compute no batches
    _add_policy(parser, False, alone, num_steps=None, guidance=1.0, deterministic=True)
    parser.add_argument(
        "--video",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="send the predicted video with a chunk",
    )
    parser.add_argument(
        "--http-400-on-error", action="store_true", help="instead of status 200 and a field error"
    )

    def function(chosen: argparse.Namespace) -> int:
        from ..model.policy import Cosmos3Policy
        from ..model.policy_batch import infer_batch
        from .libero_server import LiberoOptions, LiberoServer

        params, token = _params(chosen, LIBERO_STEPS), chosen_token(chosen)
        if params.best_of > 1:
            raise ValueError("best_of: expected 1, several environments are one batch already")
        from ..model.registry import Models

        load = _loader(Models(reasoner=False), params)
        name = pathlib.Path(params.checkpoint).name
        about = {
            "run_name": name,
            "checkpoint": name,
            "guidance": params.guidance,
            "num_steps": select(PolicyOptions, params).in_force().num_steps,
            "seed": params.seed,
        }

        def load_both() -> tuple[Cosmos3Policy, Batch]:
            policy = load()
            assert isinstance(policy, Cosmos3Policy)  # best_of is 1
            return policy, functools.partial(infer_batch, policy)

        server = LiberoServer(
            load_both,
            LiberoOptions(token, chosen.video, chosen.http_400_on_error, about),
        )
        return serve_until_interrupted(chosen.host, chosen.port, server.run, "http")

    parser.set_defaults(function=function)


def _add_reasoner(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "reasoner", help="HTTP server for OpenAI clients: questions about images and video"
    )
    add_address(parser)
    add_reasoner_options(parser, max_tokens=1024, compiled=True)
    parser.add_argument(
        "--name", default="", help="what clients call the model (default: the checkpoint's folder)"
    )
    parser.add_argument(
        "--waiting", type=int, default=8, help="questions that may wait for their turn (default: 8)"
    )

    def function(chosen: argparse.Namespace) -> int:
        from ..model.registry import embedded_checkpoint

        params, token = reasoner_params(chosen, compiled=True), chosen_token(chosen)
        checkpoint = params.checkpoint or str(embedded_checkpoint())
        name = chosen.name or pathlib.Path(checkpoint).resolve().name
        print(f"loading {params.checkpoint or 'the embedded checkpoint'}", flush=True)
        with _models(policy=False, reasoner=True) as models:
            return _serve_reasoner(chosen, models, params, name, token) or int(models.lost)

    parser.set_defaults(function=function)


def _serve_reasoner(
    chosen: argparse.Namespace, models: Models, params: MediaReasonerParams, name: str, token: str
) -> int:
    from ..model.interface import warm_up_reasoner
    from .asyncio_runner import until_interrupted
    from .openai_server import OpenAiServer

    reasoner = models.reasoner(params)
    if params.compile or params.cuda_graphs:
        print("warm-up: compiling and recording, a minute or so the first time", flush=True)
        warm_up_reasoner(reasoner, pictures=1 if reasoner.vision else 0)
    server = OpenAiServer(reasoner, name, token, chosen.waiting)

    def ready(port: int) -> None:
        print(f"ready: http://{chosen.host}:{port}/v1, model {name}", flush=True)

    return until_interrupted(
        lambda ready, ended: server.run(chosen.host, chosen.port, ready, ended), ready
    )
