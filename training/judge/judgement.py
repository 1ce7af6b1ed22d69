# SPDX-License-Identifier: Apache-2.0
"""Puts questions about clips to a reasoner, one after the other; what was answered is kept."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from ...model.interface import Clip, Reasoner
from ...model.language.yes_or_no import says_yes
from .clip_folder import Footage
from .question_file import Question

FILE = "answers.jsonl"


@dataclasses.dataclass(frozen=True, slots=True)
class Manner:
    """How clips are shown and questions put; `by`: who is asked."""

    by: str
    last: bool = False  # the last picture of each view alone
    fps: float = 10.0  # of frames that are files
    append: str = ""  # after every question
    max_tokens: int = 8
    pruning: float = 0.0  # share of a video's tokens that is left out


@dataclasses.dataclass(frozen=True, slots=True)
class Judged:
    """A question about a clip with its answer.

    yes: the probability of yes by the scores of the answer's first token, NaN if nobody told;
    answer: yes or no, by it or else by the words; None if it is neither.
    """

    clip: str
    question: Question
    said: str
    yes: float

    @property
    def answer(self) -> bool | None:
        return says_yes(self.said) if math.isnan(self.yes) else self.yes > 0.5


Key = tuple[str, str, str]  # name and state of the clip, question


class AnswerFile:
    """Answers in a file that grows line by line, so that an interrupted run goes on where it was.

    The first line, written with the first answer, says how was asked. ValueError if that was
    otherwise, or for a line that is no answer; a last line that was cut off is dropped.
    """

    def __init__(self, file: Path, manner: Manner) -> None:
        self.known: dict[Key, tuple[str, float]] = {}
        self._file, self._asked = file, dataclasses.asdict(manner)
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = self._whole_lines()
        for number, line in enumerate(lines, 1):
            try:
                self._take(json.loads(line), number)
            except (LookupError, TypeError, json.JSONDecodeError) as error:
                raise ValueError(
                    f"{file}:{number}: expected an answer of an earlier run, got {line[:60]!r} "
                    f"({type(error).__name__})"
                ) from None
        self._stream: IO[str] = file.open("a", encoding="utf-8")
        self._begun = bool(lines)

    def add(self, key: Key, said: str, yes: float) -> None:
        """Keep an answer, on the disk when this returns."""
        self.known[key] = said, yes
        clip, state, question = key
        told = None if math.isnan(yes) else yes
        if not self._begun:
            self._write({"asked": self._asked})
            self._begun = True
        self._write({"clip": clip, "state": state, "question": question, "said": said, "yes": told})

    def close(self) -> None:
        self._stream.close()

    def _take(self, line: Mapping[str, Any], number: int) -> None:
        if number == 1:
            before = line["asked"]
            other = [name for name, value in self._asked.items() if before.get(name) != value]
            if other:
                was = ", ".join(f"{name} {before.get(name)!r}" for name in other)
                now = ", ".join(f"{name} {self._asked[name]!r}" for name in other)
                raise ValueError(
                    f"{self._file}: its answers were asked with {was}, expected {now}: choose "
                    "another --out, or remove it"
                )
            return
        yes = math.nan if line["yes"] is None else float(line["yes"])
        self.known[line["clip"], line["state"], line["question"]] = str(line["said"]), yes

    def _whole_lines(self) -> list[str]:
        if not self._file.exists():
            return []
        text = self._file.read_bytes()
        end = text.rfind(b"\n") + 1
        if end < len(text):
            os.truncate(self._file, end)
        return text[:end].decode().split("\n")[:-1]

    def _write(self, line: Mapping[str, Any]) -> None:
        self._stream.write(json.dumps(line) + "\n")
        self._stream.flush()


def judge(
    reasoner: Reasoner,
    asked: Sequence[tuple[str, Question]],
    clips: Sequence[Footage],
    manner: Manner,
    out: Path,
    tell: Callable[[str], None] = print,
) -> tuple[list[Judged], dict[str, str]]:
    """Ask what out/answers.jsonl does not know yet.

    Returns the answers in the order of `asked`, without those about clips that cannot be read, and
    why not, by clip. ValueError if none can be read, ValueError or OSError where the reasoner does
    not answer; what was answered before is kept.
    """
    by_name = {clip.name: clip for clip in clips}
    states = {name: by_name[name].state() for name in {clip for clip, _ in asked}}
    file, judged, unread = AnswerFile(out / FILE, manner), list[Judged](), dict[str, str]()
    of, shown = "", list[np.ndarray | Clip]()
    try:
        for number, (clip, question) in enumerate(asked, 1):
            key = clip, states[clip], question.text
            if clip in unread:
                continue
            if key not in file.known:
                if of != clip:
                    try:
                        shown = by_name[clip].read(manner.fps, manner.last)
                    except (ValueError, OSError) as error:
                        unread[clip] = " ".join(str(error).split())
                        tell(f"{number}/{len(asked)}  {clip} is left out: {unread[clip]}")
                        continue
                    of = clip
                words = f"{question.text} {manner.append}".strip()
                answer = reasoner.ask(words, shown, manner.max_tokens)
                file.add(key, answer.text, answer.yes)
                tell(f"{number}/{len(asked)}  {clip}: {question.text} {answer.text.strip()}")
            judged.append(Judged(clip, question, *file.known[key]))
    finally:
        file.close()
    if unread and not judged:
        clip, why = next(iter(unread.items()))
        raise ValueError(f"no clip can be read; {clip}: {why}")
    return judged, unread
