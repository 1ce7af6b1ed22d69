# SPDX-License-Identifier: Apache-2.0
"""Atomic yes-or-no questions about clips, from a file of ours or of NVIDIA's Cosmos HUE.

Ours is JSON Lines: a question in each line. HUE's (the data set nvidia/Cosmos-HumanEval-v1) is one
JSON file, where the questions of a sample carry their dimension in front: `[Physical
Laws][collision/momentum] Does the ...?`.
"""

from __future__ import annotations

import dataclasses
import fnmatch
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# The dimensions of Cosmos HUE.
DIMENSIONS = ("semantic alignment", "physical laws", "geometric reasoning", "visual integrity")
_FIELDS = ("question", "dimension", "aspect", "clip", "answer")
_LABELS = {"yes": True, "no": False, "unclear": False}  # HUE counts unclear as no
_TAGS = re.compile(r"\s*\[([^\]]+)\]\s*(?:\[([^\]]*)\]\s*)?(.*)", re.DOTALL)
_SHOWN = 5  # faults, or names, that one error lists


@dataclasses.dataclass(frozen=True, slots=True)
class Question:
    """One question, and which clips it is about."""

    text: str
    dimension: str  # one of DIMENSIONS
    aspect: str = ""  # what of the dimension, as HUE's second tag says it
    clip: str = "*"  # name of a clip, or a pattern with * and ?
    label: bool | None = None  # the right answer, if it is known
    where: str = ""  # file and line, for messages
    optional: bool = False  # whether clips may be missing: of a bank of questions

    def concerns(self, clip: str) -> bool:
        """Whether the question is about the clip of that name."""
        return fnmatch.fnmatchcase(clip, self.clip)


def read_questions(file: Path) -> list[Question]:
    """The questions of a file: .json is HUE's, everything else is ours.

    ValueError names file and line of what is wrong, of up to five lines; OSError if it cannot be
    read.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{file}: expected text in UTF-8") from None
    found = _bank(file, text) if file.suffix == ".json" else _lines(file, text)
    if not found:
        raise ValueError(f"{file}: expected questions, got none")
    return found


def pairs(questions: Sequence[Question], clips: Sequence[str]) -> list[tuple[str, Question]]:
    """Each clip with each question about it, clip by clip.

    ValueError for a question of ours that is about no clip, or if there is nothing to ask.
    """
    names = ", ".join(clips[:_SHOWN]) + (", ..." if len(clips) > _SHOWN else "")
    for question in questions:
        if not question.optional and not any(map(question.concerns, clips)):
            raise ValueError(
                f"{question.where}: clip: expected one of the folder ({names}), "
                f"got {question.clip!r}"
            )
    asked = [(clip, one) for clip in clips for one in questions if one.concerns(clip)]
    if not asked:
        wanted = ", ".join(sorted({one.clip for one in questions})[:_SHOWN])
        raise ValueError(f"no question is about a clip of the folder ({names}): expected {wanted}")
    return asked


def _lines(file: Path, text: str) -> list[Question]:
    found, faults = [], []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            found.append(_read(json.loads(line), f"{file}:{number}"))
        except (ValueError, RecursionError) as error:
            fault = f"expected JSON: {error}" if _is_json_fault(error) else str(error)
            faults.append(f"{file}:{number}: {fault}")
    if faults:
        more = f"; and {len(faults) - _SHOWN} lines more" if len(faults) > _SHOWN else ""
        raise ValueError("; ".join(faults[:_SHOWN]) + more)
    return found


def _is_json_fault(error: Exception) -> bool:
    return isinstance(error, json.JSONDecodeError | RecursionError)


def _read(fields: Any, where: str) -> Question:
    if not isinstance(fields, dict):
        raise ValueError(f"expected an object with {', '.join(_FIELDS)}, got {fields!r:.60}")
    if unknown := [name for name in fields if name not in _FIELDS]:
        raise ValueError(f"expected {', '.join(_FIELDS)}, got {', '.join(map(repr, unknown))}")
    for name in ("question", "dimension", "aspect", "clip"):
        if name in fields and not (isinstance(fields[name], str) and fields[name].strip()):
            raise ValueError(f"{name}: expected a text, got {fields[name]!r:.60}")
    if "question" not in fields:
        raise ValueError("question: expected a text, got none")
    tagged = _tagged(fields["question"])
    text = tagged.text if tagged else fields["question"].strip()
    dimension = fields.get("dimension") or (tagged.dimension if tagged else "")
    return Question(
        text,
        _dimension(dimension),
        fields.get("aspect") or (tagged.aspect if tagged else ""),
        fields.get("clip", "*"),
        _label(fields.get("answer")),
        where,
    )


def _dimension(text: str) -> str:
    name = re.sub(r"[\s_-]+", " ", text).strip().lower()
    if name not in DIMENSIONS:
        got = repr(text) if text else "none"
        raise ValueError(f"dimension: expected one of {', '.join(DIMENSIONS)}, got {got}")
    return name


def _label(answer: Any) -> bool | None:
    if answer is None or isinstance(answer, bool):
        return answer
    label = _LABELS.get(answer.strip().lower().rstrip(".")) if isinstance(answer, str) else None
    if label is None:
        raise ValueError(f"answer: expected yes, no or unclear, got {answer!r:.60}")
    return label


def _tagged(text: str) -> Question | None:
    """The question of a text that begins with `[Dimension]` or `[Dimension][aspect]`."""
    found = _TAGS.match(text)
    if found is None or not found[3].strip():
        return None
    try:
        dimension = _dimension(found[1])
    except ValueError:
        return None
    return Question(found[3].strip(), dimension, (found[2] or "").strip())


def _bank(file: Path, text: str) -> list[Question]:
    """HUE's: whatever text of a sample carries the tags is a question about that sample's clip."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{file}: expected JSON: {error}") from None
    samples = content.get("samples") if isinstance(content, dict) else content
    if not isinstance(samples, list):
        raise ValueError(f"{file}: expected a list of samples, or an object with one")
    found: list[Question] = []
    for number, sample in enumerate(samples):
        where = f"{file}: samples[{number}]"
        name = sample.get("sample_name") if isinstance(sample, dict) else None
        if not isinstance(name, str) or not name:
            raise ValueError(f"{where}: expected a sample_name, got {name!r}")
        known = list(dict.fromkeys(filter(None, map(_tagged, _texts(sample)))))
        if not known:
            tags = ", ".join(f"[{dimension}]" for dimension in DIMENSIONS)
            raise ValueError(f"{where}: expected questions that begin with one of {tags}, got none")
        clip = re.sub(r"([*?\[])", r"[\1]", name)
        found += [dataclasses.replace(one, clip=clip, where=where, optional=True) for one in known]
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _texts(inner)
