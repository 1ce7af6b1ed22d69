# SPDX-License-Identifier: Apache-2.0
"""What `cosmos3 judge` found, as a page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ..evaluation.report_page import table

_WORST = 20  # wrong answers that the page shows
_HEAD = ("", "asked", "yes", "neither", "right", "calibration error", "Brier")


def write_page(file: Path, content: Mapping[str, Any]) -> None:
    """Write Markdown to `file`; content: of `judge.json`."""
    rows = {**content["dimensions"], "all": content["all"]}
    lines = [
        "# Clips, judged",
        "",
        f"Written by `{content['about']['command']}` on {content['about']['date'][:10]}; asked was "
        f"{content['asked']['by']}. Shares with 95 % Wilson intervals. Yes or no is by the "
        "probability of yes from the scores of an answer's first token. What is neither counts as "
        "no, and as wrong where the right answer is known.",
        "",
        *_left_out(content.get("left_out", {})),
        *_words_alone(content["all"]),
        *table(_HEAD, (_cells(name, row) for name, row in rows.items())),
        *_reliability(content["reliability"], content["all"], content["temperature"]),
        *_wrong(content["answers"]),
        "## By aspect",
        "",
        *table(_HEAD, (_cells(name, row) for name, row in content["aspects"].items())),
        "## By clip",
        "",
        *table(_HEAD, (_cells(name, row) for name, row in content["clips"].items())),
    ]
    file.write_text("\n".join(lines).rstrip() + "\n", encoding="utf-8")


def text_table(content: Mapping[str, Any]) -> str:
    """The rows of the dimensions for a terminal."""
    rows = {**content["dimensions"], "all": content["all"]}
    cells = [_HEAD, *(_cells(name, row) for name, row in rows.items())]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in cells
    )


def _cells(name: str, row: Mapping[str, Any]) -> Sequence[str]:
    def share(count: str, of: str, rate: str) -> str:
        if rate not in row:
            return "-"
        low, high = row[rate]["low"], row[rate]["high"]
        return f"{row[count]}/{row[of]} ({low:.0%} to {high:.0%})"

    error, square = row.get("calibration_error"), row.get("brier")
    return (
        name,
        str(row["asked"]),
        share("yes", "asked", "yes_share"),
        str(row["unanswered"]),
        share("right", "labeled", "accuracy"),
        "-" if error is None else f"{error:.3f}",
        "-" if square is None else f"{square:.3f}",
    )


def _left_out(clips: Mapping[str, str]) -> list[str]:
    if not clips:
        return []
    return [f"**Left out: {len(clips)} clips that cannot be read**: " + "; ".join(clips), ""]


def _words_alone(row: Mapping[str, Any]) -> list[str]:
    if not row["by_words"]:
        return []
    return [
        f"**{row['by_words']} of {row['asked']} answers are words alone**: there was no "
        "probability of yes (an endpoint that tells no log-probabilities, or an answer that begins "
        "with neither yes nor no). They count by their first word, and not for the calibration.",
        "",
    ]


def _reliability(
    bins: Sequence[Mapping[str, Any]], row: Mapping[str, Any], temperature: float
) -> list[str]:
    if not bins:
        return []
    head = ("probability of yes", "answers", "mean", "yes is right")
    rows = (
        (
            f"{one['low']:.1f} to {one['high']:.1f}",
            str(one["count"]),
            f"{one['stated']:.3f}",
            f"{one['true']:.3f}",
        )
        for one in bins
    )
    return [
        "## Calibration",
        "",
        "How often yes is right among the answers that give it such a probability. The expected "
        f"calibration error, {row['calibration_error']:.3f}, is the mean distance of the last two "
        f"columns, weighted by the answers. A temperature of {temperature:.2f} fits these answers "
        "best (1: as they are; more: they are too sure).",
        "",
        *table(head, rows),
    ]


def _wrong(answers: Iterable[Mapping[str, Any]]) -> list[str]:
    wrong = [
        one for one in answers if one["label"] is not None and one["answer"] is not one["label"]
    ]
    if not wrong:
        return []

    def sure(one: Mapping[str, Any]) -> float:
        return abs((0.5 if one["yes"] is None else one["yes"]) - 0.5)

    rows = (
        (
            one["clip"],
            one["question"].replace("|", "\\|"),
            "yes" if one["label"] else "no",
            "-" if one["yes"] is None else f"{one['yes']:.3f}",
            " ".join(one["said"].split()).replace("|", "\\|")[:60],
        )
        for one in sorted(wrong, key=sure, reverse=True)[:_WORST]
    )
    return [
        "## Wrong answers",
        "",
        f"{len(wrong)} in all; the surest first, up to {_WORST}.",
        "",
        *table(("clip", "question", "right", "probability of yes", "said"), rows),
    ]
