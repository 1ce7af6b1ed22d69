# SPDX-License-Identifier: Apache-2.0
"""Bytes as clients write them into JSON: base64 in all its forms, and data URIs (RFC 2397)."""

from __future__ import annotations

import base64
import urllib.parse

_STANDARD = str.maketrans("-_", "+/")
_MOST_HEAD = 256  # characters before the comma


def decode_base64(what: str, text: str) -> bytes:
    """The bytes of a base64 text; ValueError, which begins with `what`, if it is none.

    Either alphabet of RFC 4648, in lines or in one, with or without padding.
    """
    plain = "".join(text.split()).rstrip("=").translate(_STANDARD)
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True)
    except ValueError as error:  # binascii.Error is one
        raise ValueError(f"{what}: {error}") from None


def split_data_uri(uri: str) -> tuple[str, str] | None:
    """The media type in lower case, and the base64 text of a data URI; None if it is none.

    Parameters of the type (`;charset=...`) say nothing here. The text may be percent-encoded.
    """
    head, comma, data = uri[:_MOST_HEAD].partition(",")
    words = head.strip().lower().split(";")
    if not comma or not words[0].startswith("data:") or words[-1].strip() != "base64":
        return None
    data = uri[len(head) + 1 :]
    return words[0].removeprefix("data:"), urllib.parse.unquote(data) if "%" in data else data
