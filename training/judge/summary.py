# SPDX-License-Identifier: Apache-2.0
"""What the answers to questions about clips come to: shares of yes, accuracy, calibration."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from ..evaluation.calibration import (
    brier,
    expected_calibration_error,
    fit_temperature,
    reliability,
)
from ..evaluation.statistics import wilson
from .judgement import Judged
from .question_file import DIMENSIONS

Row = dict[str, Any]


def summarize(judged: Sequence[Judged]) -> dict[str, Any]:
    """Rows of all, of each dimension, aspect and clip, the reliability table, and every answer.

    temperature: the one by which the probabilities would fit these labels best.
    """
    known = [one for one in judged if one.question.label is not None and not math.isnan(one.yes)]
    yes, truths = [one.yes for one in known], [bool(one.question.label) for one in known]
    bins = reliability(yes, truths)
    return {
        "all": row(judged),
        "temperature": fit_temperature(yes, truths) if known else None,
        "dimensions": _by(judged, lambda one: one.question.dimension, DIMENSIONS),
        "aspects": _by(judged, lambda one: f"{one.question.dimension}: {one.question.aspect}"),
        "clips": _by(judged, lambda one: one.clip),
        "reliability": [dataclasses.asdict(one) for one in bins],
        "answers": [_answer(one) for one in judged],
    }


def row(judged: Sequence[Judged]) -> Row:
    """Of some answers.

    yes: how many are yes, as a share with its 95 % interval (what HUE scores: all its questions are
    put so that yes is good); unanswered: neither yes nor no, which count as no, and as wrong; by
    words: without a probability. Of those whose right answer is known: accuracy with its interval;
    of those with a probability too: expected calibration error and Brier score.
    """
    labeled = [one for one in judged if one.question.label is not None]
    yes = sum(bool(one.answer) for one in judged)
    counts: Row = {
        "asked": len(judged),
        "yes": yes,
        "yes_share": _share(yes, len(judged)),
        "unanswered": sum(one.answer is None for one in judged),
        "by_words": sum(math.isnan(one.yes) for one in judged),
        "labeled": len(labeled),
    }
    if labeled:
        right = sum(one.answer is one.question.label for one in labeled)
        counts |= {"right": right, "accuracy": _share(right, len(labeled))}
    known = [one for one in labeled if not math.isnan(one.yes)]
    if known:
        stated = [one.yes for one in known]
        truths = [bool(one.question.label) for one in known]
        bins = reliability(stated, truths)
        counts |= {
            "calibration_error": expected_calibration_error(bins),
            "brier": brier(stated, truths),
        }
    return counts


def _share(count: int, trials: int) -> Row:
    low, high = wilson(count, trials)
    return {"rate": count / trials, "low": low, "high": high}


def _by(
    judged: Sequence[Judged], name: Callable[[Judged], str], order: Sequence[str] = ()
) -> dict[str, Row]:
    names = dict.fromkeys([*order, *map(name, judged)])
    groups = {each: [one for one in judged if name(one) == each] for each in names}
    return {each: row(some) for each, some in groups.items() if some}


def _answer(one: Judged) -> Row:
    return {
        "clip": one.clip,
        "question": one.question.text,
        "dimension": one.question.dimension,
        "aspect": one.question.aspect,
        "where": one.question.where,
        "label": one.question.label,
        "yes": None if math.isnan(one.yes) else one.yes,
        "answer": one.answer,
        "said": one.said,
    }
