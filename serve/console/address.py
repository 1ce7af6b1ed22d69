# SPDX-License-Identifier: Apache-2.0
"""Where the console listens: what may be, and whether it can; ValueError is one line."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable

from ..auth import LOOPBACK, read_token


def check_address(host: str, port: int, token_file: str, name: Callable[[str], str]) -> None:
    """ValueError for a port that is none, and for an address of others without a token file.

    name: what "host", "port" and "token_file" are called where they were given.
    """
    if type(port) is not int or not 0 <= port < 2**16:
        raise ValueError(f"{name('port')}: expected 0 to 65535, got {port!r}")
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
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{name('host')}: {host!r} is no address: {error}") from None
    try:
        with socket.socket(family, kind) as tried:
            # as the server does: a port whose last connections are just ending is free
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(address)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise ValueError(
                f"{name('port')}: {port} of {host} is in use; expected another one, or 0 for any "
                "that is free"
            ) from None
        which = "port" if error.errno == errno.EACCES else "host"
        raise ValueError(f"{name(which)}: {host}:{port}: {error.strerror}") from None
