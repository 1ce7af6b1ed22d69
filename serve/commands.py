# SPDX-License-Identifier: Apache-2.0
"""`cosmos3 serve KIND`: one subcommand per server. Each imports what it needs, when it runs."""

from __future__ import annotations

import argparse
import pathlib


def add_serve(commands: argparse._SubParsersAction) -> None:
    """Add `serve` with all its kinds."""
    parser = commands.add_parser("serve", help="serve a checkpoint to RoboLab, openpi or LIBERO clients, without ROS")
    kinds = parser.add_subparsers(required=True, metavar="KIND")
    _add_openpi(kinds)
    _add_libero(kinds)


def _add_address(parser: argparse.ArgumentParser) -> None:
    """Where a server listens, and to whom."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on; 0.0.0.0: all (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=8000, help="(default: 8000)")
    parser.add_argument("--token-file", type=pathlib.Path, help="serve only those who know the word in this file")


def _add_model(parser: argparse.ArgumentParser) -> None:
    """Which weights, and where they compute."""
    parser.add_argument("--checkpoint", default="", help="checkpoint folder in the Hub layout; empty: the embedded one")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, ... (default: auto)")
    parser.add_argument("--dtype", default="auto", help="float32 or bfloat16 (default: auto)")


def _add_openpi(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser("openpi", help="websocket server for RoboLab, openpi, RoboArena and vLLM-Omni clients")
    _add_address(parser)
    _add_model(parser)

    def function(chosen: argparse.Namespace) -> int:
        from .openpi import serve

        return serve(chosen)

    parser.set_defaults(function=function)


def _add_libero(kinds: argparse._SubParsersAction) -> None:
    parser = kinds.add_parser("libero", help="HTTP server for the LIBERO evaluation of the Cosmos framework")
    _add_address(parser)
    _add_model(parser)

    def function(chosen: argparse.Namespace) -> int:
        from .libero import serve

        return serve(chosen)

    parser.set_defaults(function=function)
