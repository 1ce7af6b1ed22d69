# SPDX-License-Identifier: Apache-2.0
"""Who may use the console: whoever had its link, from its own page, under a name that is its own.

A browser sends requests on behalf of any page that somebody looks at. What such pages cannot do:
send a cookie that is SameSite=Strict, hide their origin, or ask under our name once DNS gives them
our address (https://owasp.org/www-community/attacks/csrf, DNS rebinding).
"""

from __future__ import annotations

import dataclasses
import hmac
import ipaddress
import socket

from aiohttp import hdrs, web

from ..auth import LOOPBACK
from ..http_server import RefusedError

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Access:
    """The rules of a console that listens on `host`."""

    token: str
    host: str
    port: int  # in the name of the cookie: one machine may have several consoles

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"cosmos3_console_{self.port}"

    def check(self, request: web.Request) -> None:
        """Raise RefusedError for a request that no handler may see."""
        self._check_host(request)
        self._check_origin(request)
        if not self._has_token(request):
            raise RefusedError(
                401, "open the link that the console printed when it started: it has the token"
            )

    def is_link(self, request: web.Request) -> bool:
        """Whether the request is that of the printed link."""
        return request.path == "/" and self._same(request.query.get("token", ""))

    def admit(self, response: web.StreamResponse) -> None:
        """Let the browser that had the link come back."""
        response.set_cookie(self.cookie, self.token, path="/", httponly=True, samesite="Strict")

    def _same(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(errors="surrogateescape"), self.token.encode())

    def _has_token(self, request: web.Request) -> bool:
        return self.is_link(request) or self._same(request.cookies.get(self.cookie, ""))

    def _check_host(self, request: web.Request) -> None:
        """A page of somebody whose name leads here has that name in Host; an address has none."""
        name = host_name(request.headers.get(hdrs.HOST, ""))
        if self.host in LOOPBACK:
            known = name in LOOPBACK
        else:
            known = name in (*LOOPBACK, self.host, socket.gethostname()) or _is_address(name)
        if not known:
            raise RefusedError(403, f"the console is not called {name!r}")

    def _check_origin(self, request: web.Request) -> None:
        own = f"http://{request.headers.get(hdrs.HOST, '')}"
        given = request.headers.get(hdrs.ORIGIN)
        upgrade = hdrs.UPGRADE in request.headers
        if given != own and (given is not None or upgrade or request.method != hdrs.METH_GET):
            raise RefusedError(403, f"expected a request of the console's own page, got {given!r}")
        site = request.headers.get("Sec-Fetch-Site", "same-origin")
        # somebody may have sent the link in a mail or a chat
        opened = request.path == "/" and request.headers.get("Sec-Fetch-Dest") == "document"
        if site not in ("same-origin", "none") and not opened:
            raise RefusedError(
                403, f"expected a request of the console's own page, got a {site} one"
            )


def host_name(header: str) -> str:
    """The name in a Host header, without port and brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
