# SPDX-License-Identifier: Apache-2.0
"""Ways to sample, compared on the same seeds: paired success, and whether a loss is excluded."""

from __future__ import annotations

import dataclasses
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from ...model.embodiment.table import nearest
from ...model.option_fields import fields, parse
from ...model.policy_options import PolicyOptions
from .closed_loop import Trial
from .statistics import mcnemar, paired_difference, wilson

MARGIN = 0.02  # a loss of success that must be excluded before "no loss" may be said
_TIMES = ("latency", "replan")  # fields of Trial that belong to a way to sample

Episodes = Sequence[Mapping[str, Any]]  # Outcomes as in the json


@dataclasses.dataclass(frozen=True, slots=True)
class Setting:
    """A way to sample that is compared with that of the trials."""

    text: str  # as it was asked for, and its name in json and page
    options: tuple[tuple[str, Any], ...]  # of PolicyOptions, instead of the trials'
    times: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # fields of Trial, s

    def of(self, trials: Sequence[Trial]) -> list[Trial]:
        """The same trials, sampled so."""
        return [
            dataclasses.replace(
                trial,
                options=tuple({**dict(trial.options), **dict(self.options)}.items()),
                **self.times,
            )
            for trial in trials
        ]


def parse_setting(text: str, base: Mapping[str, Any]) -> Setting:
    """The setting that a text like `num_steps=2,shift=1.67,latency=0.2` or `fast` asks for.

    A word alone is a preset. base: options that it is to go with. ValueError names what is wrong.
    """
    options: dict[str, Any] = {}
    times: dict[str, float] = {}
    known = {*fields(PolicyOptions), *_TIMES}
    for item in re.split(r",\s*(?=[A-Za-z_])", text.strip()):  # not within a list of numbers
        name, equals, value = (part.strip() for part in item.partition("="))
        if not equals and "preset" in known:
            name, value = "preset", name
        if name not in known or not value:
            close = "" if name in known else nearest(name, known)
            raise ValueError(
                f"compare: expected NAME=VALUE with commas, of {', '.join(sorted(known))}, got "
                f"{item!r}{close}"
            )
        if name in _TIMES:
            times[name] = _seconds(name, value)
        else:
            options[name] = parse(PolicyOptions, name, value)
    PolicyOptions(**{**base, **options})  # says what does not fit
    return Setting(text.strip(), tuple(options.items()), times)


def _seconds(name: str, text: str) -> float:
    value = float(parse(Trial, name, text))
    if value < 0:
        raise ValueError(f"{name}: expected 0 s or more, got {text}")
    return value


def compare(base: Episodes, other: Episodes) -> dict[str, dict[str, Any]]:
    """By task, and "all" if there are several: how `other` does beside `base` on the same seeds.

    ValueError unless both have the same tasks and seeds.
    """
    pairs = _pairs(base, other)
    names = list(dict.fromkeys(one["task"] for one, _ in pairs))
    rows = {name: _row([pair for pair in pairs if pair[0]["task"] == name]) for name in names}
    return rows | ({"all": _row(pairs)} if len(names) > 1 else {})


def _pairs(base: Episodes, other: Episodes) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    ours, theirs = ({(one["task"], one["seed"]): one for one in some} for some in (base, other))
    if not ours or ours.keys() != theirs.keys() or len(base) + len(other) != 2 * len(ours):
        raise ValueError(
            f"compare: expected the same tasks and seeds once each, got {len(base)} and "
            f"{len(other)} episodes, {len(ours.keys() & theirs.keys())} of them in both"
        )
    return [(one, theirs[key]) for key, one in ours.items()]


def _row(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any]:
    """Counts, rates and their intervals, and the difference `other` less `base`.

    excluded: whether a loss of more than MARGIN is; seconds: mean difference until solved of those
    that both solve, and half its 95 % interval.
    """
    solved = [(bool(one["success"]), bool(two["success"])) for one, two in pairs]
    both, base, other, neither = (
        solved.count(case) for case in ((True, True), (True, False), (False, True), (False, False))
    )
    low, high = paired_difference(both, other, base, neither)
    sooner = [two["seconds"] - one["seconds"] for one, two in pairs if _solve(one, two)]
    return {
        "trials": len(pairs),
        "both": both,
        "base_only": base,
        "other_only": other,
        "neither": neither,
        "base": _rate(both + base, len(pairs)),
        "other": _rate(both + other, len(pairs)),
        "difference": (other - base) / len(pairs),
        "low": low,
        "high": high,
        "p": mcnemar(base, other),
        "excluded": low > -MARGIN,
        "seconds": statistics.fmean(sooner) if sooner else None,
        "seconds_half": _half(sooner),
    }


def _solve(one: Mapping[str, Any], two: Mapping[str, Any]) -> bool:
    return bool(one["success"] and two["success"])


def _rate(successes: int, trials: int) -> dict[str, Any]:
    low, high = wilson(successes, trials)
    return {"successes": successes, "rate": successes / trials, "low": low, "high": high}


def _half(values: Sequence[float]) -> float | None:
    """Half the 95 % interval of a mean, as of a normal distribution."""
    if len(values) < 2:
        return None
    return 1.96 * statistics.stdev(values) / math.sqrt(len(values))


# Texts for tables, here and on the page.


def rate_text(rate: Mapping[str, Any], trials: int) -> str:
    """How many, with its interval."""
    return f"{rate['successes']}/{trials} ({rate['low']:.0%} to {rate['high']:.0%})"


def difference_text(row: Mapping[str, Any]) -> str:
    """In points, with its interval."""
    points = (100 * row[name] for name in ("difference", "low", "high"))
    return "{:+.1f} ({:+.1f} to {:+.1f})".format(*points)


def verdict(row: Mapping[str, Any]) -> str:
    """What may be said about a loss: no more than the interval does."""
    points = f"{100 * MARGIN:.0f} points"
    if row["high"] < -MARGIN:
        return f"a loss over {points}"
    loss = "a loss; " if row["high"] < 0 else ""
    return f"{loss}losses over {points} {'' if row['excluded'] else 'not '}excluded"


def compared_table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """What `compare` found as text, one line per task."""
    head = f"{'task':16}{'base':>24}{'other':>24}  {'base/other only':>15}  {'p':>6}"
    lines = [f"{head}  {'difference, points':24}  verdict"]
    for task, row in rows.items():
        one, two = (rate_text(row[side], row["trials"]) for side in ("base", "other"))
        discordant = f"{row['base_only']}/{row['other_only']}"
        lines.append(
            f"{task:16}{one:>24}{two:>24}  {discordant:>15}  {row['p']:6.3f}  "
            f"{difference_text(row):24}  {verdict(row)}"
        )
    return "\n".join(lines)
