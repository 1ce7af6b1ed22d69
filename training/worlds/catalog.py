# SPDX-License-Identifier: Apache-2.0
"""Worlds by name: this package's simulation, Meta-World, `gym:ID`, and those of other packages.

Another package offers its own by an entry point of the group `cosmos3_ros.worlds`: a function of
protocol (""), seed (None) and exam (True), by these names, that returns a `World`.
"""

from __future__ import annotations

import functools
from importlib.metadata import EntryPoint, entry_points

from ...model.embodiment.table import nearest
from .world import World, check_world, close_at_exit

GROUP = "cosmos3_ros.worlds"
OWN = ("sim", "metaworld")
GYM = "gym:"


@functools.lru_cache(maxsize=1)
def open_world(name: str, protocol: str = "", seed: int | None = None, exam: bool = True) -> World:
    """This process's world of that name; one at a time, because renderers are large.

    protocol: one of the world's, "" for its first. seed: of the protocol's first episode, None for
    the protocol's own. exam: the protocol's scenes; else whatever scenes a seed draws, for
    demonstrations. Raises ValueError for an unknown name, ImportError for a missing package.
    """
    world = make_world(name, protocol, seed, exam)
    close_at_exit(world)
    return world


def make_world(name: str, protocol: str, seed: int | None, exam: bool) -> World:
    """Another world of that name, as `open_world` makes it; who asks closes it."""
    if name == "sim":
        from .sim_world import SimWorld

        return SimWorld(protocol, seed, exam)
    if name == "metaworld":
        from .metaworld_world import MetaWorld

        return MetaWorld(protocol or "evo1", seed, exam)
    if name.startswith(GYM):
        from .gym_world import GymWorld

        return GymWorld(name.removeprefix(GYM), protocol, seed, exam)
    return _others(name, protocol, seed, exam)


def _others(name: str, protocol: str, seed: int | None, exam: bool) -> World:
    found: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=GROUP)}
    if name not in found:
        known = (*OWN, *sorted(found))
        raise ValueError(
            f"env: expected {', '.join(known)} or {GYM}ID, got {name!r}{nearest(name, known)}"
        )
    maker = found[name].value
    try:
        made = found[name].load()(protocol=protocol, seed=seed, exam=exam)
    except Exception as error:  # of whatever package
        raise ValueError(f"env {name}: {maker}: {type(error).__name__}: {error}") from error
    world = check_world(maker, made)
    if protocol not in ("", world.protocol.name):
        raise ValueError(f"protocol of {name}: expected {world.protocol.name}, got {protocol!r}")
    return world
