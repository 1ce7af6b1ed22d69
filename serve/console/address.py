# SPDX-License-Identifier: Apache-2.0
"""Where the console listens: what may be, and whether it can; ValueError is one line."""

from __future__ import annotations

import socket
from collections.abc import Callable

from ..auth import LOOPBACK, read_token
from ..http.address import check_free, check_port


def check_address(host: str, port: int, token_file: str, name: Callable[[str], str]) -> None:
    """ValueError for a port that is none, and for an address of others without a token file.

    name: what "host", "port" and "token_file" are called where they were given.
    """
    check_port(port, name)
    if host not in LOOPBACK and not token_file:
        raise ValueError(
            f"{name('host')} is {host!r}: expected {name('token_file')}, too, or one of "
            f"{', '.join(LOOPBACK)}, which ssh -L reaches from elsewhere"
        )


def links(host: str, port: int, token: str) -> tuple[str, str]:
    """The console's link for others, and for a browser of this machine.

    Where it listens on every address, the machine's name, which `Access` knows, and a loopback one.
    """
    everywhere = host in ("", "0.0.0.0", "::")

    def link(name: str) -> str:
        return f"http://{f'[{name}]' if ':' in name else name}:{port}/?token={token}"

    return (link(socket.gethostname()), link(LOOPBACK[0])) if everywhere else (link(host),) * 2


def check_usable(host: str, port: int, token_file: str, name: Callable[[str], str]) -> None:
    """`check_address`, and ValueError too if the token cannot be read or the port is in use."""
    check_address(host, port, token_file, name)
    if token_file:
        try:
            read_token(token_file)
        except OSError as error:
            raise ValueError(f"{name('token_file')}: {token_file}: {error.strerror}") from None
        except ValueError as error:
            raise ValueError(f"{name('token_file')}: {error}") from None
    check_free(host, port, name)
