# SPDX-License-Identifier: Apache-2.0
"""How one chunk follows another: one class per strategy, asked by replanner, player and commander.

A strategy is added as one class here, listed in STRATEGIES, and one constant in ActionChunk.msg.
Pure; time is passed in.
"""

from __future__ import annotations

import dataclasses

from ..model.embodiment.table import nearest
from ..model.interface import ActionChunk


class Strategy:
    """What replanner, player and commander ask of a strategy, answered as most strategies do."""

    name: str
    # the policy is given the rows of the last chunk that are executed while it computes the next
    commits_rows = False
    # the next observation is taken after the last executed row: between two chunks the arm rests
    pauses_between_chunks = False

    def blend(self, new: ActionChunk, old: ActionChunk | None, now: int, rows: int) -> ActionChunk:
        """The chunk to play when `new` arrives at `now` (ns); the limits smooth its beginning.

        old: the chunk being played, if any; rows: the length of a blend, in rows.
        """
        return new


class Replace(Strategy):
    """Into the new chunk as soon as the limits let."""

    name = "replace"


class Crossfade(Strategy):
    """Over a few rows that are mixtures of both chunks."""

    name = "crossfade"

    def blend(self, new: ActionChunk, old: ActionChunk | None, now: int, rows: int) -> ActionChunk:
        return crossfade(old, new, now, rows) if old else new


class Rtc(Strategy):
    """Real-time chunking (arXiv 2506.07339): the next chunk begins with rows of the last one."""

    name = "rtc"
    commits_rows = True


class Sync(Strategy):
    """The world waits for the policy: all rows are still to come when the chunk arrives."""

    name = "sync"
    pauses_between_chunks = True

    def blend(self, new: ActionChunk, old: ActionChunk | None, now: int, rows: int) -> ActionChunk:
        return dataclasses.replace(new, stamp=now)


STRATEGIES = {strategy.name: strategy for strategy in (Replace(), Crossfade(), Rtc(), Sync())}
DEFAULT = Replace.name  # in a message: also the meaning of an empty name
*_FIRST, _LAST = STRATEGIES
CHOICES = f"{', '.join(_FIRST)} or {_LAST}"  # for the text of a parameter


def find_strategy(name: str) -> Strategy:
    """The strategy of this name; ValueError lists those that exist."""
    if name not in STRATEGIES:
        close = nearest(name, STRATEGIES) or ","
        raise ValueError(f"strategy {name!r}{close} expected one of {', '.join(STRATEGIES)}")
    return STRATEGIES[name]


def crossfade(old: ActionChunk, new: ActionChunk, now: int, rows: int) -> ActionChunk:
    """`new` with its next `rows` rows mixed with what `old` says for the same moments.

    Rows that are past at `now` (ns) are those of `old`, so that the path begins where the old one
    was. Discrete columns are never mixed.
    """
    values = new.values.copy()
    continuous = [column for column, name in enumerate(new.names) if name not in new.discrete]
    order = [old.names.index(new.names[column]) for column in continuous]
    past = int((new.times() <= now).sum())
    for row, due in enumerate(new.times()[: past + rows]):
        before = old.at(int(due))
        if before is not None:
            share = max(0, row + 1 - past) / (rows + 1)
            mixed = (1 - share) * before[order] + share * new.values[row, continuous]
            values[row, continuous] = mixed
    return dataclasses.replace(new, values=values)
