# SPDX-License-Identifier: Apache-2.0
"""Who may use a server: whoever knows its token, from no web page, under a name that is its own.

A browser sends requests on behalf of any page that somebody looks at. It says so in Origin or
Sec-Fetch-Site; once DNS gives such a page our address (DNS rebinding), it asks under the page's
name, which Host has.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

from ..auth import LOOPBACK, allows
from .errors import RefusedError


class Access:
    """The rules of a server that listens on `host`; token: see `auth`."""

    def __init__(self, token: str, host: str) -> None:
        self._token, self._host = token, host.lower()
        self._local = self._host in LOOPBACK

    def check(self, headers: Mapping[str, str], public: bool = False) -> None:
        """Raise RefusedError for a request that no handler may see.

        headers: of the request, by names in lower or any case; public: it needs no token.
        """
        self._check_host(headers.get("Host", ""))
        if "Origin" in headers or headers.get("Sec-Fetch-Site", "none") != "none":
            raise RefusedError(403, "web pages may not use this server", "web_page")
        if not public and not allows(self._token, headers.get("Authorization")):
            raise RefusedError(401, "the API key is missing or wrong", "invalid_api_key")

    def _check_host(self, header: str) -> None:
        """On the loopback only its own names lead here; elsewhere others may know it by any."""
        name = host_name(header)
        known = (*LOOPBACK, self._host, socket.gethostname().lower(), "")
        if self._local and name not in known and not _is_loopback(name):
            raise RefusedError(
                403, f"host: expected {self._host}, got {name[:80]!r}", "unknown_host"
            )


def host_name(header: str) -> str:
    """The name in a Host header, in lower case, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
