# SPDX-License-Identifier: Apache-2.0
"""A run of `cosmos3 judge`: asks, sums up, and writes one json and one page."""

from __future__ import annotations

import dataclasses
import datetime
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...model.interface import Reasoner
from .clip_folder import Footage
from .judge_page import write_page
from .judgement import Manner, judge
from .question_file import Question
from .summary import summarize


def report(
    reasoner: Reasoner,
    manner: Manner,
    asked: Sequence[tuple[str, Question]],
    clips: Sequence[Footage],
    out: Path,
) -> dict[str, Any]:
    """Ask what is not answered yet, write out/judge.json and out/judge.md, and return the json.

    Raises as `judgement.judge` does.
    """
    began = datetime.datetime.now(datetime.UTC)
    judged, unread = judge(reasoner, asked, clips, manner, out)
    content = {
        "about": {
            "command": shlex.join(["cosmos3", *sys.argv[1:]]),
            "date": began.isoformat(timespec="seconds"),
            "seconds": round((datetime.datetime.now(datetime.UTC) - began).total_seconds(), 1),
        },
        "asked": dataclasses.asdict(manner),
        "left_out": unread,
        **summarize(judged),
    }
    text = json.dumps(content, indent=1)
    (out / "judge.json").write_text(text + "\n", encoding="utf-8")
    write_page(out / "judge.md", content)
    return content
