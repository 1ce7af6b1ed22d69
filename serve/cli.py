# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 serve KIND`: one subcommand per server. Each imports what it needs, when it runs."""

from __future__ import annotations

import argparse
import functools
import pathlib
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..model.policy import Cosmos3Policy
    from .asyncio_runner import Serve
    from .libero_server import Batch


def add_serve(commands: argparse._SubParsersAction) -> None:
    """Add `serve` with all its kinds."""
    parser = commands.add_parser(
        "serve", help="serve a checkpoint to RoboLab, openpi or LIBERO clients, without ROS"
    )
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    _add_openpi(kinds)
    _add_libero(kinds)
    _add_reasoner(kinds)


def _add_address(parser: argparse.ArgumentParser) -> None:
    """Where a server listens, and to whom."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0: all (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=int, default=8000, help="(default: 8000)")
    parser.add_argument(
        "--token-file", type=pathlib.Path, help="serve only those who know the word in this file"
    )


def _add_model(parser: argparse.ArgumentParser, embedded: bool = True) -> None:
    """Which weights, and where they compute; embedded: whether those of this package will do."""
    folder = "checkpoint folder in the Hub layout" + "; empty: the embedded one" * embedded
    parser.add_argument("--checkpoint", default="", required=not embedded, help=folder)
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--dtype", default="auto", help="float32 or bfloat16 (default: auto)")


def _add_sampling(
    parser: argparse.ArgumentParser, steps: int, guidance: float, prompt_format: str
) -> None:
    """How a policy samples; the defaults are those of the server that this one stands in for."""
    parser.add_argument(
        "--embodiment", default="", help="what the columns mean; empty: the checkpoint's own"
    )
    parser.add_argument(
        "--steps", type=int, default=steps, help=f"denoising steps (default: {steps})"
    )
    parser.add_argument(
        "--guidance",
        type=float,
        help="scale of classifier-free guidance, 1: none (default: "
        + ("1)" if guidance == 1 else f"{guidance:g}; 1 for the embedded checkpoint)"),
    )
    parser.add_argument(
        "--guidance-interval",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="guidance only at times of the network between these (Edge: 960 1001)",
    )
    parser.add_argument(
        "--shift", type=float, default=5.0, help="of the flow schedule (default: 5)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the noise (default: 0)")
    parser.add_argument("--fixed-seed", action="store_true", help="the same noise for every chunk")
    parser.add_argument(
        "--prompt-format",
        default=prompt_format,
        help=f"json or plain, as the checkpoint was trained (default: {prompt_format})",
    )
    parser.add_argument("--compile", action="store_true", help="slower to load, then faster")
    for flag, tower in (("--weights", "generator"), ("--text-weights", "text tower")):
        parser.add_argument(
            flag, default="none", help=f"of the {tower}: none, fp8, int8 or nvfp4 (default: none)"
        )
    parser.set_defaults(usual_guidance=guidance)


def _token(chosen: argparse.Namespace) -> str:
    """The token to ask for.

    A warning if nobody has to know one and more than this machine can connect.
    """
    from .auth import LOOPBACK, read_token

    if chosen.token_file:
        return read_token(chosen.token_file)
    if chosen.host not in LOOPBACK:
        print(
            f"warning: whoever reaches {chosen.host} may use this server;"
            " --token-file asks for a token",
            flush=True,
        )
    return ""


def _loader(chosen: argparse.Namespace) -> Callable[[], Cosmos3Policy]:
    """What loads the policy that the options describe; wrong options are refused at once."""
    from ..model.acceleration.memory_budget import load_fast
    from ..model.acceleration.optimize import RuntimeOptions
    from ..model.policy import Cosmos3Policy
    from ..model.policy_options import PolicyOptions
    from ..model.registry import COMPILED, DTYPES, embedded_checkpoint, resolve

    device, dtype = resolve(chosen.device, chosen.dtype)
    graphs, kept = chosen.compile and device != "cpu", COMPILED if chosen.compile else ""
    speed = RuntimeOptions(chosen.compile, graphs, chosen.weights, chosen.text_weights, kept=kept)
    usual = chosen.usual_guidance if chosen.checkpoint else 1.0
    options = {
        "num_steps": chosen.steps,
        "guidance": usual if chosen.guidance is None else chosen.guidance,
        "guidance_interval": chosen.guidance_interval and tuple(chosen.guidance_interval),
        "shift": chosen.shift,
        "seed": chosen.seed,
        "deterministic": chosen.fixed_seed,
        "prompt_format": chosen.prompt_format,
    }
    PolicyOptions(**options)
    checkpoint = chosen.checkpoint or embedded_checkpoint()

    name = chosen.checkpoint or "the embedded checkpoint"
    sampling = (
        f"{chosen.steps} steps, guidance {options['guidance']:g}, {chosen.prompt_format} prompts"
    )
    print(f"loading {name}: {sampling}", flush=True)

    def load() -> Cosmos3Policy:
        model = load_fast(checkpoint, device, DTYPES[dtype], speed, reasoner=False, generator=True)
        return Cosmos3Policy(model, chosen.embodiment or None, **options)

    return load


def _run(chosen: argparse.Namespace, run: Serve, scheme: str) -> int:
    """Serve until Ctrl-C, and say when it begins."""
    from .asyncio_runner import until_interrupted

    def ready(port: int) -> None:
        print(f"ready: {scheme}://{chosen.host}:{port}", flush=True)

    try:
        return until_interrupted(
            lambda ready, ended: run(chosen.host, chosen.port, ready, ended), ready
        )
    except socket.gaierror as error:
        raise ValueError(f"--host {chosen.host}: {error.strerror}") from None


def _add_openpi(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "openpi", help="websocket server for RoboLab, openpi, RoboArena and vLLM-Omni clients"
    )
    _add_address(parser)
    _add_model(parser)
    _add_sampling(parser, steps=4, guidance=3.0, prompt_format="json")
    parser.add_argument(
        "--horizon", type=int, default=0, help="rows of a chunk to send, 0: all (default: 0)"
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

        options = OpenPiOptions(_token(chosen), chosen.horizon, chosen.black, chosen.video)
        return _run(chosen, OpenPiServer(_loader(chosen), options).run, "ws")

    parser.set_defaults(function=function)


def _add_libero(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "libero", help="HTTP server for the LIBERO evaluation of the Cosmos framework"
    )
    _add_address(parser)
    _add_model(parser, embedded=False)  # which needs a state that these clients do not send
    _add_sampling(parser, steps=30, guidance=1.0, prompt_format="json")
    parser.set_defaults(fixed_seed=True)
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
        from ..model.policy_batch import infer_batch
        from .libero_server import LiberoOptions, LiberoServer

        load = _loader(chosen)
        about = {
            "run_name": pathlib.Path(chosen.checkpoint).name,
            "checkpoint": pathlib.Path(chosen.checkpoint).name,
            "guidance": chosen.guidance if chosen.guidance is not None else chosen.usual_guidance,
            "num_steps": chosen.steps,
            "seed": chosen.seed,
        }

        def load_both() -> tuple[Cosmos3Policy, Batch]:
            policy = load()
            return policy, functools.partial(infer_batch, policy)

        server = LiberoServer(
            load_both, LiberoOptions(_token(chosen), chosen.video, chosen.http_400_on_error, about)
        )
        return _run(chosen, server.run, "http")

    parser.set_defaults(function=function)


def _add_reasoner(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser(
        "reasoner", help="HTTP server for OpenAI clients: questions about images and video"
    )
    _add_address(parser)
    _add_model(parser)
    parser.add_argument(
        "--name", default="", help="what clients call the model (default: the checkpoint's folder)"
    )
    parser.add_argument(
        "--max-tokens", type=int, default=1024, help="longest answer (default: 1024)"
    )
    parser.add_argument(
        "--waiting", type=int, default=8, help="questions that may wait for their turn (default: 8)"
    )

    def function(chosen: argparse.Namespace) -> int:
        from ..model.registry import embedded_checkpoint, load_reasoner
        from .asyncio_runner import until_interrupted
        from .openai_server import OpenAiServer

        checkpoint, token = chosen.checkpoint or str(embedded_checkpoint()), _token(chosen)
        name = chosen.name or pathlib.Path(checkpoint).resolve().name
        print(f"loading {chosen.checkpoint or 'the embedded checkpoint'}", flush=True)
        reasoner = load_reasoner(
            checkpoint, chosen.device, chosen.dtype, max_tokens=chosen.max_tokens
        )
        server = OpenAiServer(reasoner, name, token, chosen.waiting)

        def ready(port: int) -> None:
            print(f"ready: http://{chosen.host}:{port}/v1, model {name}", flush=True)

        return until_interrupted(
            lambda ready, ended: server.run(chosen.host, chosen.port, ready, ended), ready
        )

    parser.set_defaults(function=function)
