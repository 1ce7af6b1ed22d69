# SPDX-License-Identifier: Apache-2.0
"""The lines that pages tell people to type: of fenced and indented blocks, and in back quotes."""

import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SHELL = ("", "sh", "bash", "console")
_PROGRAM = re.compile(
    r"(cosmos3|ros2|make|docker|pip|pytest|hf|sudo|export|torchrun|python3?|tools/run\.sh"
    r"|\w+_eval\.py) "
)


@dataclasses.dataclass(frozen=True)
class Line:
    """One command as it stands on a page; a mention stands within a sentence."""

    page: str
    text: str
    mention: bool = False

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def read_lines(page: Path) -> Iterator[Line]:
    """The commands of a page: of fenced and indented blocks, and in back quotes."""
    name = str(page.relative_to(ROOT) if page.is_relative_to(ROOT) else page)
    text = page.read_text()
    for language, block in re.findall(r"^ *```(\w*)\n(.*?)^ *```$", text, re.M | re.S):
        if language in _SHELL and not re.search("[─▶│]", block):
            yield from (Line(name, command) for command in _commands(block))
    prose = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.M | re.S)
    for block in re.findall(r"(?:^ {4}\S.*\n(?: {8}.*\n)*)+", prose, re.M):
        if _PROGRAM.match(block.strip()):
            yield from (Line(name, command) for command in _commands(block))
    prose = re.sub(r"^#+ ?(?=[^#])", "", prose, flags=re.M) if page.suffix == ".yaml" else prose
    for code in re.findall(r"`([^`]+)`", prose):
        if _PROGRAM.match(code):
            one = " ".join(code.split())
            yield from (Line(name, command, mention=True) for command in _commands(one))


def _commands(block: str) -> Iterator[str]:
    """The commands of some lines, without comments and the variables set before them."""
    for line in re.sub(r"\\\n\s*", "", block).splitlines():
        text = " ".join(re.sub(r"(^|\s)#.*", "", line).split())
        for command in re.split(r" && |; ", text):
            if command:
                yield re.sub(r"^(?:[A-Z0-9_]+=\S+ )+", "", command)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.M | re.S)
