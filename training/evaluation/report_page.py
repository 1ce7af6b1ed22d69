# SPDX-License-Identifier: Apache-2.0
"""What `suite.report` measured, as a page with plots."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .comparison import difference_text, rate_text, verdict
from .plots import plot_success

# What is measured, and by what. The names stand in the json and on the page.
CLOSED, ROS, UNHEARD, RANDOM = (
    "in process",
    "through the ROS nodes",
    "wording not in training",
    "random weights",
)
FUTURES, REASONER = "futures", "reasoner"
COMPARED = "compared on the same seeds"
_KINDS = {
    "own": "its own chunk, played to the end",
    "forward": "forward dynamics of a demonstration",
    "autoencoder": "autoencoder alone, of a demonstration",
}


KEPT = "<!-- kept when this page is written again -->"


def write_page(file: Path, content: Mapping[str, Any], folder: Path) -> None:
    """Write Markdown to `file`; of a page that is there what follows a line KEPT stays.

    content: of suite.report; folder: where it has put its images, and where one more goes.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    parts, what = content["parts"], content["what"]
    runs = {
        name: parts[name]["summary"] for name in (CLOSED, ROS, UNHEARD, RANDOM) if name in parts
    }
    plot_success(folder / "success.png", runs)
    lines = [
        *_head(what),
        *_success(runs),
        *_pictures(file, [folder / "success.png"]),
        *_motion(runs, what["chunk"]),
        *_compared(content.get("compared", {})),
    ]
    if found := parts.get(FUTURES):
        lines += _futures(found["ahead"], what["chunk"])
        lines += [
            *_pictures(
                file, _there(folder / f"future_{task}.png" for task in sorted(what["tasks"]))
            )
        ]
        lines += _inverse(found["inverse"])
    if quiz := parts.get(REASONER):
        lines += _grades(quiz["grades"])
    failed = [one for one in parts.get(CLOSED, {}).get("episodes", []) if not one["success"]]
    if failures := _there(
        folder / "failures" / f"{one['task']}_{one['seed']}.png" for one in failed
    ):
        lines += [
            "## Failures",
            "",
            "What the policy saw in some episodes that failed, from the beginning to the end.",
        ]
        lines += ["", *_pictures(file, failures)]
    lines += ["## How it was measured", "", *_origins(parts)]
    text = "\n".join(lines).rstrip() + "\n"
    file.write_text(text + _kept(file), encoding="utf-8")


def _kept(file: Path) -> str:
    """What somebody has written behind the page that is there, and the line before it."""
    there = file.read_text(encoding="utf-8") if file.is_file() else ""
    _, mark, rest = there.partition(f"\n{KEPT}\n")
    return mark + rest


def _there(files: Iterable[Path]) -> list[Path]:
    """The files that exist: an evaluation does not write all of them."""
    return [file for file in files if file.exists()]


def _head(what: Mapping[str, Any]) -> list[str]:
    settings, seeds = what["settings"], what["seeds"]
    return [
        "# Results",
        "",
        f"Written by `cosmos3 eval`. Seeds {seeds[0]} to {seeds[1]}; training uses those from 1 "
        f"000 000 on. Up to {settings['distractors']} other cubes, at most "
        f"{settings['limit']:.0f} s per episode. In process, {settings['latency']:.1f} s of the "
        "simulation's time pass between pictures and chunk, whatever the policy takes. "
        f"Weights: sha256 `{what['weights']}`.",
        "",
    ]


def _origins(parts: Mapping[str, Any]) -> list[str]:
    """One line for all parts with the same command, device and versions."""
    alike: dict[str, list[str]] = {}
    for name, part in parts.items():
        about = part["about"]
        versions = ", ".join(f"{library} {number}" for library, number in about["versions"].items())
        how = f"`{about['command']}` on {about['device']}; {versions}"
        alike.setdefault(how, []).append(
            f"{name} ({about['date'][:10]}, {about['seconds'] / 60:.0f} min)"
        )
    return [f"- {', '.join(names)}: {how}" for how, names in alike.items()]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """A Markdown table and an empty line after it."""
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)] + [""]


def _number(value: float | None, digits: int = 1, scale: float = 1.0) -> str:
    return "-" if value is None else f"{scale * value:.{digits}f}"


def _success(runs: Mapping[str, Any]) -> list[str]:
    def cell(row: Mapping[str, Any] | None) -> str:
        return (
            "-"
            if row is None
            else f"{row['successes']}/{row['trials']} ({row['low']:.0%} to {row['high']:.0%})"
        )

    tasks = dict.fromkeys(task for summary in runs.values() for task in summary)
    rows = [[task, *(cell(summary.get(task)) for summary in runs.values())] for task in tasks]
    return [
        "## Closed loop",
        "",
        "Solved, with 95 % Wilson intervals.",
        "",
        *table(["task", *runs], rows),
    ]


def _motion(runs: Mapping[str, Any], chunk: float) -> list[str]:
    head = [
        "",
        "task",
        "s to success",
        "ms per chunk",
        "of its duration",
        "real time",
        "chunks",
        "rejected",
    ]
    head += ["limited", "nearest to the cube, mm", "SPARC", "LDLJ"]
    rows = []
    for name in (name for name in (CLOSED, ROS) if name in runs):
        for task, row in runs[name].items():
            took = row["chunk_seconds"]
            cells = [
                name,
                task,
                _number(row["seconds"]),
                _number(took, 0, 1000),
                _number(took, 2, 1 / chunk),
            ]
            cells.append(_number(row["real_time"], 2))
            cells += [str(row[count]) for count in ("chunks", "rejected", "limited")]
            rows.append(
                [
                    *cells,
                    _number(row["miss"], 0, 1000),
                    _number(row["arc"], 2),
                    _number(row["jerk"]),
                ]
            )
    return [
        f"Medians over the episodes; a chunk is {chunk:.2f} s. In process, what a chunk takes "
        "is the policy alone, with other episodes on the other cores; through the nodes it is "
        "from capture to receipt, and *real time* says whether the simulation kept up (1.00) "
        "beside everything else on the machine. SPARC and LDLJ (log dimensionless jerk; nearer "
        "to 0 is smoother) are of the joint velocities at 120 Hz over the whole episode.",
        "",
        *table(head, rows),
    ]


def _compared(found: Mapping[str, Any]) -> list[str]:
    if not found:
        return []
    head = ["", "task", "base", "this", "only base", "only this", "p"]
    head += ["difference, points", "s to success", ""]
    rows = [
        [
            f"`{setting}`",
            task,
            *(rate_text(row[side], row["trials"]) for side in ("base", "other")),
            str(row["base_only"]),
            str(row["other_only"]),
            f"{row['p']:.3f}",
            difference_text(row),
            _change(row["seconds"], row["seconds_half"]),
            verdict(row),
        ]
        for setting, tasks in found.items()
        for task, row in tasks.items()
    ]
    return [
        f"## {COMPARED.capitalize()}",
        "",
        "Each setting beside the one above (*base*), pair by pair: solved with 95 % Wilson "
        "intervals, how many only one of them solves, the exact McNemar test of those, the "
        "difference with Newcombe's 95 % interval for paired proportions, and the mean "
        "difference in the time that those take which both solve. A loss counts as excluded "
        "only where the interval excludes it.",
        "",
        *table(head, rows),
    ]


def _change(mean: float | None, half: float | None) -> str:
    return "-" if mean is None or half is None else f"{mean:+.2f} ± {half:.2f}"


def _futures(ahead: Mapping[str, Any], chunk: float) -> list[str]:
    head = [
        "",
        "s ahead",
        "PSNR",
        "copy",
        "PSNR moved",
        "copy moved",
        "SSIM",
        "copy",
        "SSIM moved",
        "copy moved",
    ]
    rows = []
    for part, name in _KINDS.items():
        for row in ahead[part]:
            kinds = [(measure, moved) for measure in ("psnr", "ssim") for moved in ("", "_moved")]
            cells = [
                _number(row[copy + measure + moved], 1 if measure == "psnr" else 3)
                for measure, moved in kinds
                for copy in ("", "copy_")
            ]
            rows.append([name, f"{row['seconds']:.2f}", *cells, f"{row['windows']}"])
    return [
        "## Futures",
        "",
        "Imagined frames against what the simulation shows, means over windows, PSNR in dB. "
        "*copy*: the observed frame in their place. *moved*: only where the real frame differs "
        "from the observed one by more than 10 of 255 (there the copy is wrong by definition), "
        "if that is at least 1 % of the picture. The autoencoder alone is what a perfect "
        f"prediction would come to. A chunk ends after {chunk:.2f} s: nothing is predicted "
        "beyond.",
        "",
        *table([*head, "windows"], rows),
    ]


def _inverse(found: Mapping[str, Any]) -> list[str]:
    return [
        f"Inverse dynamics, the actions read out of {found['windows']} windows of "
        f"demonstrations: mean absolute error {_number(found['arm'])} mrad per joint and row "
        f"({_number(found['still'])} mrad if the arm were said to stay where it is), gripper "
        f"right in {_number(found['grip'], 1, 100)} % of the rows.",
        "",
    ]


def _grades(grades: Mapping[str, Any]) -> list[str]:
    rows = [
        [
            kind,
            f"{row['right']}/{row['asked']} ({row['low']:.0%} to {row['high']:.0%})",
            _number(row["balanced"], 0, 100),
            _number(row["seconds"], 0, 1000),
        ]
        for kind, row in grades.items()
    ]
    return [
        "## Reasoner",
        "",
        "Questions about scenes on the way through a task; *state* is all those about the "
        "state together, *balanced* the mean over the true answers of how often each was given.",
        "",
        *table(["question", "right", "balanced, %", "ms per answer"], rows),
    ]


def _pictures(file: Path, pictures: Sequence[Path]) -> list[str]:
    links = [
        f"![{picture.stem}]({Path(os.path.relpath(picture, file.parent)).as_posix()})"
        for picture in pictures
    ]
    return [line for link in links for line in (link, "")]
