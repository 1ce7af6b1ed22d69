# SPDX-License-Identifier: Apache-2.0
"""Which worlds there are, by name."""

import sys

import pytest

from cosmos3_ros.training.worlds import catalog
from cosmos3_ros.training.worlds.catalog import open_world
from cosmos3_ros.training.worlds.own_environment import enter, environment_python

from .conftest import Point


def test_worlds_of_other_packages_are_found_by_entry_point(ideal):
    world = open_world("ideal", "plain", 7, exam=False)
    assert world.opened == ("plain", 7, False)
    assert open_world("ideal", "plain", 7, exam=False) is world


def test_what_is_no_world_is_refused(ideal, monkeypatch):
    with pytest.raises(ValueError, match=r"env: expected sim, metaworld, ideal or gym:ID, got 'x'"):
        open_world("x")
    monkeypatch.setattr(catalog, "entry_points", lambda group: [Point(lambda **given: 3)])
    with pytest.raises(
        ValueError, match=r"^other_package:Ideal: expected a World, got int without"
    ):
        open_world("ideal")


def test_a_world_that_cannot_be_made_is_named(ideal, monkeypatch):
    with pytest.raises(ValueError, match="protocol of ideal: expected plain, got 'fancy'"):
        open_world("ideal", "fancy")

    def cold(**given):
        raise RuntimeError("the oven is cold")

    for maker, words in ((cold, "RuntimeError: the oven is cold"), (lambda: 3, "TypeError: .*")):
        monkeypatch.setattr(catalog, "entry_points", lambda group, maker=maker: [Point(maker)])
        with pytest.raises(ValueError, match=rf"^env ideal: other_package:Ideal: {words}"):
            open_world("ideal")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ImportError, match=r"^gymnasium is not installed"):
        open_world("gym:CartPole-v1")
    pytest.importorskip("mujoco", reason="mujoco is not installed")
    monkeypatch.setitem(sys.modules, "metaworld", None)
    from cosmos3_ros.training.worlds import metaworld_world

    metaworld_world.metaworld_package.cache_clear()
    with pytest.raises(ImportError, match=r"^Meta-World is not installed: make"):
        open_world("metaworld")


def test_only_what_needs_it_goes_on_in_the_other_environment(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr("os.execv", lambda program, words: started.append((program, words)))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    python = environment_python(str(tmp_path))
    monkeypatch.setattr(
        "cosmos3_ros.training.worlds.own_environment.environment_python", lambda: python
    )
    enter("metaworld", ["eval"])
    assert not started  # there is no such environment
    python.parent.mkdir(parents=True)
    python.touch()
    for env in ("sim", "gym:CartPole-v1", "metaworlds"):
        enter(env, ["eval"])
    assert not started
    enter("gym:metaworld:Meta-World/MT1", ["eval"])
    enter("metaworld", ["eval", "expert"])
    assert started[1] == (python, [str(python), "-m", "cosmos3_ros.cli", "eval", "expert"])
    assert len(started) == 2
