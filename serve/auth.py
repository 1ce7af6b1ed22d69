# SPDX-License-Identifier: Apache-2.0
"""Who may use a server: whoever knows its token, or everybody who reaches it if it has none."""

from __future__ import annotations

import hmac
from pathlib import Path

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SCHEMES = ("bearer", "api-key")


def read_token(file: str | Path) -> str:
    """The token in the first line of a file.

    ValueError if that is empty, has spaces or is not ASCII.
    """
    token = Path(file).read_text(encoding="utf-8").partition("\n")[0].strip()
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
