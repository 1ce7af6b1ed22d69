# SPDX-License-Identifier: Apache-2.0
"""Whether a server can listen at an address, asked before anything slow; ValueError is one line."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable


def check_port(port: int, name: Callable[[str], str]) -> None:
    """ValueError for a port that is none; name: see `check_free`."""
    if type(port) is not int or not 0 <= port < 2**16:
        raise ValueError(f"{name('port')}: expected 0 to 65535, got {port!r}")


def check_free(host: str, port: int, name: Callable[[str], str]) -> None:
    """ValueError for a host that is not this machine's, and for a port that is none or in use.

    name: what "host" and "port" are called where they were given.
    """
    check_port(port, name)
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
