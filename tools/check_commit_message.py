# SPDX-License-Identifier: Apache-2.0
"""Check the message of a commit in a file, for the commit-msg hook of git."""

import sys
from pathlib import Path

SUBJECT = 72  # characters


def fault(message: str) -> str:
    """What is wrong with a message, "" if nothing is."""
    lines = [line for line in message.splitlines() if not line.startswith("#")]
    subject = lines[0] if lines else ""
    if not 0 < len(subject.strip()) <= SUBJECT:
        return f"subject: expected 1 to {SUBJECT} characters, got {len(subject)}"
    if len(lines) > 1 and lines[1].strip():
        return f"expected an empty line after the subject, got {lines[1]!r}"
    return ""


if __name__ == "__main__":
    sys.exit(fault(Path(sys.argv[1]).read_text(encoding="utf-8")) or 0)
