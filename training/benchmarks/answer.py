# SPDX-License-Identifier: Apache-2.0
"""Puts the questions of a benchmark to a reasoner, and writes what its scorer reads.

OUT/answers.jsonl grows with every answer, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ...model.generation.result_files import check_writable
from ...model.interface import Reasoner
from ...model.language.media_file import read_media
from ..judge.judgement import FILE, AnswerFile, Manner
from .cases import QuestionCase

_TAGGED = re.compile(r"<answer>(.*?)</answer>", re.DOTALL | re.IGNORECASE)
_THOUGHT = re.compile(r"<think>.*?(</think>|$)", re.DOTALL | re.IGNORECASE)


def answer_all(
    reasoner: Reasoner,
    manner: Manner,
    cases: Sequence[QuestionCase],
    out: Path,
    tell: Callable[[str], None] = print,
) -> tuple[dict[str, str], dict[str, str]]:
    """Ask what OUT does not know yet.

    Returns what was said, by case, and why what is left out could not be asked. ValueError or
    OSError where the reasoner does not answer; what was answered before is kept.
    """
    check_writable(out)
    file, said, left_out = AnswerFile(out / FILE, manner), dict[str, str](), dict[str, str]()
    of, shown = None, list[Any]()  # a file with several questions is read once
    try:
        for number, case in enumerate(cases, 1):
            try:
                state = _state(case.media)
                key = case.name, state, case.words
                if key not in file.known and of != case.media:
                    shown = [read_media(case.media)]
                    of = case.media
            except (ValueError, OSError) as error:
                left_out[case.name] = " ".join(str(error).split())
                tell(f"{number}/{len(cases)}  {case.name} is left out: {left_out[case.name]}")
                continue
            if key not in file.known:
                words = f"{case.words} {manner.append}".strip()
                told = reasoner.ask(words, shown, manner.max_tokens)
                file.add(key, told.text, told.yes)
                tell(f"{number}/{len(cases)}  {case.name}: {' '.join(told.text.split())[:60]}")
            said[case.name] = file.known[key][0]
    finally:
        file.close()
    return said, left_out


def _state(media: Path) -> str:
    """Changes when the file does; ValueError if there is none."""
    if not media.is_file():
        raise ValueError(f"no file {media}")
    about = media.stat()
    return f"{about.st_size}-{about.st_mtime_ns}"


def chosen_option(said: str, options: Sequence[str]) -> str:
    """Which of the options an answer chooses, "" if none can be told; without options all of it.

    What was thought aloud does not count; what stands in <answer> tags does alone. A letter has to
    stand by itself, or behind "answer", "option" or "choice": "A car stops" chooses nothing.
    """
    text = _THOUGHT.sub("", said)
    if tagged := _TAGGED.search(text):
        text = tagged.group(1)
    if not options:
        return text.strip()
    either = "|".join(re.escape(option) for option in options)
    found = re.match(rf"\W*({either})(?=\W*$|\s*[.):,\n])", text, re.IGNORECASE)
    if not found and all(len(option) > 1 for option in options):
        found = re.search(rf"\b({either})\b", text, re.IGNORECASE)
    elif not found:
        behind = rf"\b(?:answer|option|choice)\s*(?:is)?\s*:?\s*\(?({either})\b"
        found = re.search(behind, text, re.IGNORECASE)
    return next((o for o in options if found and o.lower() == found.group(1).lower()), "")


def write_tar(cases: Sequence[QuestionCase], said: Mapping[str, str], out: Path) -> Path:
    """TAR's submission.csv: item_index and prediction of all that was answered."""
    file = out / "submission.csv"
    with file.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("item_index", "prediction"))
        for case in cases:
            if case.name in said:
                told = chosen_option(said[case.name], case.options) or said[case.name].strip()
                table.writerow((case.name, told))
    return file


def write_pai_bench(cases: Sequence[QuestionCase], said: Mapping[str, str], out: Path) -> Path:
    """PAI-Bench's results.json, as its run.py --eval_only reads it."""
    rows: list[dict[str, Any]] = []
    for case in cases:
        if case.name not in said:
            continue
        told = chosen_option(said[case.name], case.options)
        rows.append(
            {
                "category": case.group[0],
                "subcategory": case.group[1],
                "video_path": str(case.media),
                "question": case.question,
                "choices_str": case.choices,
                "answer": told or f"{said[case.name].strip()} N/A",
                "correct_answer": case.answer,
            }
        )
    file = out / "results.json"
    file.write_text(json.dumps(rows, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def accuracy(cases: Sequence[QuestionCase], said: Mapping[str, str]) -> tuple[int, int]:
    """How many of the choices whose right answer is known were right, and of how many."""
    known = [case for case in cases if case.options and case.answer and case.name in said]
    right = sum(
        chosen_option(said[case.name], case.options).lower() == case.answer.strip(" .").lower()
        for case in known
    )
    return right, len(known)
