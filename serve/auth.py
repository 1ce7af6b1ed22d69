# SPDX-License-Identifier: Apache-2.0
"""Who may use a server: whoever knows its token, or everybody who reaches it if it has none."""

from __future__ import annotations

import argparse
import hmac
from pathlib import Path

from .http.address import check_free

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SCHEMES = ("bearer", "api-key")
MOST_PORT = 65535


def read_token(file: str | Path) -> str:
    """The token in the first line of a file.

    ValueError if that is empty, has spaces or is not ASCII.
    """
    text = Path(file).read_bytes().decode(errors="replace")
    token = text.partition("\n")[0].strip()
    if not token or not token.isascii() or len(token.split()) != 1:
        raise ValueError(f"token file {file}: expected one ASCII word in the first line")
    return token


def allows(token: str, authorization: str | None) -> bool:
    """Whether a header `Authorization: Bearer TOKEN` or `Api-Key TOKEN` has the right token.

    "" allows everybody.
    """
    scheme, _, given = (authorization or "").partition(" ")
    # takes as long wherever they differ
    right = hmac.compare_digest(given.strip().encode(), token.encode())
    return not token or (right and scheme.lower() in SCHEMES)


def add_address(parser: argparse.ArgumentParser) -> None:
    """Where a server listens, and to whom."""
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; 0.0.0.0: all (default: 127.0.0.1)",
    )
    parser.add_argument("--port", type=port, default=8000, help="(default: 8000; 0: a free one)")
    parser.add_argument(
        "--token-file", type=Path, help="serve only those who know the word in this file"
    )


def port(text: str) -> int:
    """The number of a port; ArgumentTypeError if it is none."""
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and int(text) <= MOST_PORT):
        raise argparse.ArgumentTypeError(f"expected 0 to {MOST_PORT}, got {text[:40]!r}")
    return int(text)


def chosen_token(chosen: argparse.Namespace) -> str:
    """The token to ask for; ValueError if the server could not listen at its address.

    A warning if nobody has to know one and more than this machine can connect.
    """
    check_free(chosen.host, chosen.port, "--{}".format)
    if chosen.token_file:
        return read_token(chosen.token_file)
    if chosen.host not in LOOPBACK:
        print(
            f"warning: whoever reaches {chosen.host} may use this server; --token-file asks for a "
            "token",
            flush=True,
        )
    return ""
