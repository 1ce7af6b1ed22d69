# SPDX-License-Identifier: Apache-2.0
"""What stands in the place of a file that was cloned without git-lfs, and what to do about it."""

from __future__ import annotations

from pathlib import Path

POINTER = (  # the words of a refusal, after the file's name
    "a pointer of git-lfs, not the file itself; `git lfs pull` in the folder that it was cloned "
    "into fetches it"
)
_BEGINNING = b"version https://git-lfs.github.com/spec/"


def is_pointer(data: bytes) -> bool:
    """Whether the bytes of a file are those of a pointer."""
    return data.startswith(_BEGINNING)


def check_pointer(file: Path) -> None:
    """ValueError if a file is a pointer. OSError if it cannot be opened."""
    with file.open("rb") as content:
        if is_pointer(content.read(len(_BEGINNING))):
            raise ValueError(f"{file}: {POINTER}")
