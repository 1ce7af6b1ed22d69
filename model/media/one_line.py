# SPDX-License-Identifier: Apache-2.0
"""Words of libraries and values of files in one line, for a refusal."""

from __future__ import annotations

import unicodedata

MOST = 300  # characters of what others say
# Categories of Unicode: control signs, halves of pairs, separators of lines and of paragraphs.
_NOT_PLAIN = ("Cc", "Cs", "Zl", "Zp")


def one_line(said: object, most: int = MOST) -> str:
    """What an error of a library says, in one line that can be printed, and not all of a long one.

    Libraries write over several lines, and repeat what stands in a damaged file.
    """
    words = " ".join(str(said).split())
    signs = (
        words
        if is_plain(words)
        else (sign if is_plain(sign) else ascii(sign)[1:-1] for sign in words)
    )
    plain = "".join(signs)
    return plain if len(plain) <= most else f"{plain[: most - 3]}..."


def is_plain(text: str) -> bool:
    """Whether a text is a line that every terminal and file can hold: no breaks, no control signs.

    Signs of all languages are plain, among them spaces that Python does not print.
    """
    signs = () if text.isprintable() else text
    return not any(unicodedata.category(sign) in _NOT_PLAIN for sign in signs)
