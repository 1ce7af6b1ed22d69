# SPDX-License-Identifier: Apache-2.0
"""The embodiment of a checkpoint folder: its embodiment.yaml, else what its checkpoint.json names.

checkpoint.json has the released layout, which knows domain, rate and rows only. No torch.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..arrays import NS
from ..embodiment import EMBODIMENTS, Embodiment, find_embodiment
from ..embodiment.agreement import joined
from ..embodiment.embodiment_file import (
    FASTEST,
    FILE,
    MOST_ROWS,
    SLOWEST,
    read_embodiment,
)
from ..embodiment.embodiment_yaml import write_embodiment
from ..embodiment.spec import BASE, POST_TRAINED
from ..network.config import ModelConfig
from .json_file import read_json, write_json
from .trained_tasks import tasks_of

ABOUT = "checkpoint.json"
LOG = logging.getLogger("cosmos3_ros.model")


def own_embodiment(folder: Path, policy: Mapping[str, Any]) -> Embodiment | None:
    """What the policy of a checkpoint was trained for; None if it does not say.

    policy: that block of checkpoint.json. ValueError if the two files contradict each other, or it
    names one that is not known.
    """
    _check_types(folder / ABOUT, policy)
    file = folder / FILE
    if not file.is_file():
        name = policy.get("embodiment")
        return _as_trained(find_embodiment(name), policy) if name else None
    own = read_embodiment(file)
    for key, ours in policy_json(own).items():
        if (theirs := policy.get(key, ours)) != ours:
            raise ValueError(
                f"{file}: contradicts {ABOUT} beside it: {key} is {ours!r:.60} here and "
                f"{theirs!r:.60} there"
            )
    return own


def _check_types(file: Path, policy: Mapping[str, Any]) -> None:
    """ValueError for an entry of the policy block that cannot be what it is called."""
    tasks_of(file, policy)
    for name, value in policy.items():
        if name in ("embodiment", "domain_name"):
            right, expected = isinstance(value, str), "a name"
        elif name == "conditioning_fps":
            right = type(value) in (int, float) and SLOWEST <= value <= FASTEST
            expected = f"{SLOWEST} to {FASTEST:g} Hz"
        elif name == "action_chunk_size":
            right, expected = (
                type(value) is int and 0 < value <= MOST_ROWS,
                f"1 to {MOST_ROWS} rows",
            )
        else:
            continue
        if value is not None and not right:
            raise ValueError(f"{file}: policy.{name}: expected {expected}, got {value!r:.60}")


def policy_json(embodiment: Embodiment) -> dict[str, Any]:
    """The policy block of checkpoint.json."""
    return {
        "action_chunk_size": embodiment.horizon,
        "conditioning_fps": embodiment.fps,
        "domain_name": embodiment.domain,
        "embodiment": embodiment.name,
    }


def write_own(folder: Path, embodiment: Embodiment) -> None:
    """Have a checkpoint folder carry this embodiment, in the place of another."""
    about = read_json(folder / ABOUT, optional=True)
    policy = {**(about.get("policy") or {}), **policy_json(embodiment)}
    write_json(folder / ABOUT, {**about, "policy": policy})
    comment = "What the policy of this checkpoint was trained for."
    write_embodiment(folder / FILE, embodiment, comment)


def relabel(source: Path, folder: Path, embodiment: Embodiment) -> None:
    """A folder of links to a checkpoint's weights that carries an embodiment they do not know.

    To try things out: what it says then means nothing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for part in source.iterdir():
        link = folder / part.name
        if part.name not in (ABOUT, FILE) and link.resolve() != part.resolve():
            link.unlink(missing_ok=True)
            link.symlink_to(part.resolve())
    write_own(folder, embodiment)


def choose_embodiment(
    folder: Path, policy: Mapping[str, Any], wanted: Embodiment | str | None, horizon: int = 0
) -> Embodiment:
    """The embodiment to run a checkpoint with: its own, or the one asked for if they agree.

    policy: that block of checkpoint.json; wanted: a name, a file or an embodiment; horizon: rows
    instead of the trained ones, 0: as trained. ValueError shows both sides of a contradiction.
    """
    own, asked = own_embodiment(folder, policy), wanted
    if asked is None:
        asked = own or _of_domain(folder, policy)
    elif isinstance(asked, str):
        asked = own if own is not None and own.name == asked else find_embodiment(asked)
    if policy.get("domain_name", asked.domain) != asked.domain:
        raise ValueError(
            f"embodiment: {asked.name} is of domain {asked.domain!r}, the checkpoint of "
            f"{policy['domain_name']!r}"
        )
    _check_weights(folder, policy, own, asked)
    if own is None:
        found = _as_trained(asked, policy)
    else:
        try:
            found = joined(own, asked)
        except ValueError as error:
            raise ValueError(
                f"embodiment: the checkpoint was trained for {own.name}, got {asked.name}: {error}"
            ) from None
    if horizon > found.horizon:
        raise ValueError(
            f"horizon: expected at most {found.horizon} rows as trained, got {horizon}"
        )
    return dataclasses.replace(found, horizon=horizon or found.horizon)


def check_channels(embodiment: Embodiment, config: ModelConfig) -> None:
    """ValueError if a network's action heads have no room for an embodiment."""
    if embodiment.channels > config.action_width or embodiment.domain_id >= config.domains:
        raise ValueError(
            f"embodiment: {embodiment.name} needs {embodiment.channels} action channels in domain "
            f"{embodiment.domain_id}, the checkpoint has {config.action_width} channels in "
            f"{config.domains} domains"
        )


def _check_weights(
    folder: Path, policy: Mapping[str, Any], own: Embodiment | None, asked: Embodiment
) -> None:
    """ValueError for the numbers of base weights with a policy, a warning for the reverse."""
    if policy and own is None and asked.weights == BASE:
        raise ValueError(
            f"embodiment: {asked.name} has the numbers of base weights "
            f"({asked.normalization.text()}), {folder} is a post-trained policy"
        )
    if not policy and own is None and asked.weights == POST_TRAINED:
        LOG.warning(
            "%s names no embodiment: as base weights it would know %s",
            folder,
            _base_numbers(asked.domain) or "other numbers",
        )


def _base_numbers(domain: str) -> str:
    """The embodiments of a domain whose numbers base weights know, with their scaling."""
    return ", ".join(
        f"{each.name} ({each.normalization.text()})"
        for each in EMBODIMENTS.values()
        if each.domain == domain and each.weights == BASE
    )


def row_scaling(folder: Path, policy: Mapping[str, Any]) -> list[str]:
    """How action rows are scaled, a line for each embodiment that may be the checkpoint's."""
    own = own_embodiment(folder, policy) if policy else None
    if own:
        return [f"{own.name}: {own.normalization.text()}"]
    domain = policy.get("domain_name")
    fits = [
        each
        for each in EMBODIMENTS.values()
        if (each.domain == domain and each.weights != BASE if policy else each.weights)
    ]
    of = {BASE: ", as base weights", POST_TRAINED: ", of post-trained weights"}
    return [f"{each.name}: {each.normalization.text()}{of.get(each.weights, '')}" for each in fits]


def _of_domain(folder: Path, policy: Mapping[str, Any]) -> Embodiment:
    """The embodiment of a released checkpoint, which names its domain only."""
    domain = policy.get("domain_name")
    for embodiment in EMBODIMENTS.values():
        if embodiment.domain == domain:
            return embodiment
    raise ValueError(f"embodiment: {folder} names none, expected one of {sorted(EMBODIMENTS)}")


def _as_trained(embodiment: Embodiment, policy: Mapping[str, Any]) -> Embodiment:
    """At the checkpoint's rate and number of rows."""
    rate = policy.get("conditioning_fps")
    return dataclasses.replace(
        embodiment,
        horizon=policy.get("action_chunk_size") or embodiment.horizon,
        step=round(NS / rate) if rate else embodiment.step,
    )
