# SPDX-License-Identifier: Apache-2.0
"""Embodiments as files: read as written, and what is wrong said in one line with both sides."""

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import yaml

from cosmos3_ros.model.embodiment import EMBODIMENTS, find_embodiment
from cosmos3_ros.model.embodiment.agreement import contradiction
from cosmos3_ros.model.embodiment.checks import HEADS, free_heads
from cosmos3_ros.model.embodiment.embodiment_file import (
    KEYS,
    VIEWPOINTS,
    embodiment_from,
    read_embodiment,
)
from cosmos3_ros.model.embodiment.embodiment_yaml import to_fields, to_yaml, write_embodiment
from cosmos3_ros.model.embodiment.observed import Observed
from cosmos3_ros.model.embodiment.units import UNITS, Column
from cosmos3_ros.model.language.captions import VIEWPOINTS as SENTENCES

SOUND = {
    "name": "arm",
    "domain": "arm",
    "domain_id": 11,
    "kind": "joints",
    "relative": True,
    "rate": 30,
    "horizon": 16,
    "state_row": True,
    "canvas": {
        "views": {"wrist": [0, 0, 96, 128], "front": [0, 128, 96, 128]},
        "composite": [96, 256],
    },
    "state": {
        "shoulder": "deg",
        "lift": {"unit": "ticks", "scale": 0.00153398, "offset": 2048},
        "gripper": {"open": 100, "closed": 0},
    },
    "prompt": {"viewpoint": "concat_view"},
    "normalization": {"kind": "quantile", "low": [-0.1, -0.2, 0], "high": [0.1, 0.2, 1]},
    "state_normalization": {"kind": "mean_std", "mean": [0, 0, 0.5], "std": [1, 1, 0.5]},
    "observed": {"low": [-1, -1, 0], "high": [1, 1, 1]},
}
POSES = {
    **{key: SOUND[key] for key in ("name", "domain", "domain_id", "rate", "horizon", "canvas")},
    "kind": "poses",
    "state": {**dict.fromkeys("xyz", "mm"), **{f"q{axis}": "quaternion" for axis in "xyzw"}},
}


def write(folder: Path, fields: object) -> Path:
    file = folder / "arm.yaml"
    file.write_text(fields if isinstance(fields, str) else yaml.safe_dump(fields, sort_keys=False))
    return file


def changed(path: str, value: object, base: dict = SOUND) -> dict:
    """The sound fields with one of them changed; None: left out."""
    fields = copy.deepcopy(base)
    *above, name = path.split("/")
    table = fields
    for key in above:
        table = table[key]
    if value is None:
        del table[name]
    else:
        table[name] = value
    return fields


def test_a_file_says_everything(tmp_path):
    arm = read_embodiment(write(tmp_path, SOUND))
    assert (arm.name, arm.fps, arm.views) == ("arm", 30.0, ("wrist", "front"))
    assert arm.canvas.content == arm.canvas.size == (96, 256)
    assert arm.action == arm.state  # where nothing else is said
    shoulder, lift, gripper = arm.state
    assert shoulder == Column("shoulder", "deg")
    assert (lift.offset, round(1 / lift.span, 8)) == (2048.0, 0.00153398)
    assert (gripper.gripper, gripper.opened, gripper.closed) == (True, 100.0, 0.0)
    assert arm.normalization.low == (-0.1, -0.2, 0.0)
    assert read_embodiment(write(tmp_path, POSES)).width == 9


@pytest.mark.parametrize("name", EMBODIMENTS)
def test_what_is_written_is_read_again(name, tmp_path):
    file = tmp_path / "a.yaml"
    seen = Observed((0.1,), (0.2,), sketches=(("v", (1,) * 48),))
    for embodiment in (EMBODIMENTS[name], dataclasses.replace(EMBODIMENTS[name], domain_id=0)):
        if embodiment.domain_id:
            write_embodiment(file, embodiment, "a comment\nof two lines")
            assert read_embodiment(file) == embodiment == find_embodiment(str(file))
        text = to_yaml(dataclasses.replace(embodiment, observed=seen))
        fields = yaml.safe_load(text)
        assert fields["domain_id"] == embodiment.domain_id
        assert fields["observed"] == {"low": [0.1], "high": [0.2], "sketches": {"v": [1] * 48}}


def test_a_file_of_the_package_is_one_that_a_robot_file_may_hold(tmp_path):
    """ROS takes tables, and lists of one kind of numbers; a robot file has it as a section."""
    robot = tmp_path / "robot.yaml"
    policy = {"ros__parameters": {"joints": ["a", "b"]}}
    for embodiment in EMBODIMENTS.values():
        section = {"ros__parameters": yaml.safe_load(to_yaml(embodiment))}
        sections = {"/**/policy": policy, "embodiment": section}
        robot.write_text(yaml.safe_dump(sections, sort_keys=False))
        assert read_embodiment(robot) == embodiment
        lists = [section["ros__parameters"]]
        while lists:
            value = lists.pop()
            if isinstance(value, dict):
                lists += value.values()
            elif isinstance(value, list):
                assert len({type(entry) for entry in value}) == 1, value


def test_crop_and_turn_of_a_view_are_written_and_read(tmp_path):
    views = {
        "wrist": {"place": [0, 0, 96, 128], "turn": 180},
        "front": {"place": [0, 128, 96, 128], "crop": [0.125, 0.25, 0.5, 0.75]},
    }
    fields = copy.deepcopy(SOUND)
    fields["canvas"]["views"] = views
    read = read_embodiment(write(tmp_path, fields))
    assert [panel.turn for panel in read.canvas.panels] == [180, 0]
    assert read.canvas.panels[1].crop == (0.125, 0.25, 0.5, 0.75)
    assert to_fields(read)["canvas"]["views"] == views
    file = tmp_path / "again.yaml"
    write_embodiment(file, read)
    assert read_embodiment(file) == read
    assert "canvas.views.wrist" in contradiction(read, read_embodiment(write(tmp_path, SOUND)))


def test_viewpoints_are_those_that_the_model_knows():
    assert set(VIEWPOINTS) == set(SENTENCES)


def test_heads_of_files_are_the_released_ones_or_free():
    for embodiment in EMBODIMENTS.values():
        head = HEADS.get(embodiment.domain, embodiment.domain_id)
        assert head == embodiment.domain_id
        assert embodiment.domain in HEADS or head in free_heads()


def test_a_name_that_nothing_has_is_refused_with_the_nearest(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="unknown 'droid_sum', did you mean 'droid_sim'"):
        find_embodiment("droid_sum")
    monkeypatch.chdir(tmp_path)
    write_embodiment(tmp_path / "embodiment.yaml", EMBODIMENTS["umi"])
    with pytest.raises(ValueError, match="unknown ''"):
        find_embodiment("")
    assert find_embodiment(str(tmp_path)).name == "umi"
    with pytest.raises(ValueError, match=r"none.yaml: no such file"):
        find_embodiment("none.yaml")


TEXT = yaml.safe_dump(SOUND, sort_keys=False)
GRIPPER = {"open": 1, "closed": 0}
GRIPPER_FIRST = {"gripper": GRIPPER, "shoulder": "rad", "lift": "rad"}
# what the file has instead -> two things that the error says: what it is and what was expected
WRONG = {
    "unknown key": (changed("horzon", 16), ("unknown key 'horzon' (16)", "mean 'horizon'")),
    "key of a view": (
        changed("canvas/view", 1),
        ("canvas: unknown key 'view'", "did you mean 'views'"),
    ),
    "missing key": (changed("rate", None), ("lacks 'rate'", "expected a finite number")),
    "no action": (changed("state", None), ("lacks 'action'", "a table of columns")),
    "rate of nothing": (changed("rate", 0), ("rate: expected rows a second", "got 0")),
    "rate of ages": (changed("rate", 1e-300), ("0.01 or more", "got 1e-300")),
    "rate in ns": (changed("rate", 66666667), ("at most 1000", "got 66666667")),
    "rate as text": (changed("rate", "fast"), ("rate: expected a finite number", "'fast'")),
    "rate is NaN": (changed("rate", math.nan), ("rate: expected a finite number", "got nan")),
    "no rows": (changed("horizon", 0), ("horizon: expected a whole number of at least 1", "got 0")),
    "rows of a second": (changed("horizon", 1.5), ("whole number", "got 1.5")),
    "kind": (changed("kind", "joint"), ("expected joints, poses, twists", "mean 'joints'?, got")),
    "yes for true": (changed("relative", 1), ("relative: expected true or false", "got 1")),
    "relative poses": (
        changed("relative", True, POSES),
        ("relative: expected false for poses", "got true"),
    ),
    "unit": (changed("state/shoulder", "degrees"), ("state: shoulder: unit", "mean 'deg'?")),
    "unit of a pose": (
        changed("state/shoulder", "quaternion"),
        ("shoulder: expected a unit of a joint: rad", "got 'quaternion'"),
    ),
    "ticks without scale": (changed("state/shoulder", "ticks"), ("lacks 'scale'", "rad or m")),
    "scale of zero": (
        changed("state/lift/scale", 0),
        ("scale: expected a number other than 0", "got 0"),
    ),
    "scale is infinite": (changed("state/lift/scale", math.inf), ("a finite number", "got inf")),
    "scale of a gripper": (
        changed("state/gripper/scale", 2),
        ("only open and closed of a gripper", "got 2"),
    ),
    "gripper without an end": (
        changed("state/gripper/closed", None),
        ("lacks 'closed'", "it has open"),
    ),
    "gripper that stays": (
        changed("state/gripper/closed", 100),
        ("closed: expected another value than open", "got 100"),
    ),
    "gripper first": (
        changed("state", GRIPPER_FIRST),
        ("expected grippers last", "'gripper' before ['shoulder', 'lift']"),
    ),
    "order of columns": (
        changed("action", {"lift": "rad", "shoulder": "rad", "gripper": {"open": 1, "closed": 0}}),
        ("in their order ['lift', 'shoulder', 'gripper']", "got ['shoulder', 'lift', 'gripper']"),
    ),
    "order among other columns": (
        changed("action", {"lift": "rad", "effort": "controller", "shoulder": "rad"}),
        ("that action has too in their order ['lift', 'shoulder']", "got ['shoulder', 'lift']"),
    ),
    "narrower action, statistics of the state": (
        changed("action", {"shoulder": "rad", "gripper": {"open": 1, "closed": 0}}),
        ("normalization.low: expected 2 numbers, one for each of an action row", "got 3"),
    ),
    "action that counts from nothing": (
        changed("action", {"shoulder": "rad", "lifts": "rad", "gripper": GRIPPER}),
        ("relative: lifts of action counts from", "mean 'lift'?, got ['shoulder', 'lift', 'grip"),
    ),
    "one column, two quantities": (
        changed("action", {"shoulder": "mm", "lift": "rad", "gripper": GRIPPER}),
        ("shoulder: expected units of one quantity in state and action", "got deg and mm"),
    ),
    "gripper in one of both": (
        changed("action", {"shoulder": "rad", "lift": "rad", "gripper": "controller"}),
        ("gripper: expected a gripper in state and action or in none", "got one in state"),
    ),
    "state row of nothing": (
        changed("state", None, {**SOUND, "relative": False, "action": {"shoulder": "deg"}}),
        ("state_row: expected false without columns of state", "got true"),
    ),
    "crop in pixels": (
        changed("canvas/views/front", {"place": [0, 128, 96, 128], "crop": [80, 80, 320, 320]}),
        ("front: crop: expected [top, left, height, width] as shares", "got [80, 80, 320, 320]"),
    ),
    "crop beyond the picture": (
        changed("canvas/views/front", {"place": [0, 128, 96, 128], "crop": [0.5, 0, 0.6, 1]}),
        ("which it lies in", "got [0.5, 0, 0.6, 1]"),
    ),
    "crop of nothing": (
        changed("canvas/views/front", {"place": [0, 128, 96, 128], "crop": [0.5, 0, 0, 1]}),
        ("crop: expected [top, left, height, width]", "got [0.5, 0, 0, 1]"),
    ),
    "crop of three numbers": (
        changed("canvas/views/front", {"place": [0, 128, 96, 128], "crop": [0, 0, 1]}),
        ("crop: expected a list of 4 finite numbers", "got 3 of them"),
    ),
    "turn by a quarter": (
        changed("canvas/views/front", {"place": [0, 128, 96, 128], "turn": 90}),
        ("turn: expected 0 or 180 degrees", "got 90"),
    ),
    "view without a place": (
        changed("canvas/views/front", {"turn": 180}),
        ("front: lacks 'place'", "a list of 4 whole numbers"),
    ),
    "view with another key": (
        changed("canvas/views/front", {"place": [0, 128, 96, 128], "rotate": 180}),
        ("front: unknown key 'rotate'", "expected some of place, crop, turn"),
    ),
    "columns as a list": (
        changed("state", ["shoulder", "lift"]),
        ("state: expected a table of names", "got ['shoulder', 'lift']"),
    ),
    "six numbers of a pose": (
        changed("state/qw", None, POSES),
        ("expected of poses 7 columns", "'qz quaternion']"),
    ),
    "pose in degrees": (
        changed("state/qx", "deg", POSES),
        ("qx, qy, qz, qw of unit quaternion", "'qx deg'"),
    ),
    "no views": (changed("canvas/views", {}), ("lacks 'views'", "[top, left, height, width]")),
    "view outside": (
        changed("canvas/views/front", [0, 200, 96, 128]),
        ("front [top, left, height, width] [0, 200, 96, 128]", "composite of [96, 256]"),
    ),
    "views on each other": (
        changed("canvas/views/front", [0, 64, 96, 128]),
        ("front [0, 64, 96, 128] lies on wrist", "canvas.views"),
    ),
    "three numbers of a view": (
        changed("canvas/views/front", [0, 64, 96]),
        ("front: expected a list of 4 whole numbers", "got [0, 64, 96]"),
    ),
    "size of no cells": (
        changed("canvas/size", [100, 256]),
        ("canvas.size: expected multiples of 16", "got [100, 256]"),
    ),
    "content larger than size": (
        changed("canvas/size", [80, 256]),
        ("canvas.content: expected at most size [80, 256]", "got [96, 256]"),
    ),
    "two numbers of statistics": (
        changed("normalization/low", [-0.1, -0.2]),
        ("normalization.low: expected 3 numbers", "got 2"),
    ),
    "statistics turned round": (
        changed("normalization/low", [-0.1, 0.3, 0]),
        ("normalization: expected low <= high", "got 0.3 > 0.2 (number 2)"),
    ),
    "statistics of another kind": (
        changed("normalization/mean", [0, 0, 0]),
        ("mean: expected low and high of kind quantile", "got [0, 0, 0]"),
    ),
    "a deviation below 0": (
        changed("state_normalization/std", [1, -1, 0.5]),
        ("state_normalization.std: expected 0 or more", "got -1.0 (number 2)"),
    ),
    "statistics with NaN": (
        changed("normalization/high", [0.1, math.nan, 1]),
        ("high: expected a list of finite numbers", "got nan in it"),
    ),
    "kind of statistics": (
        changed("normalization/kind", "quantiles"),
        ("none, quantile, min_max, mean_std", "mean 'quantile'?"),
    ),
    "head of another": (
        changed("domain", "droid_lerobot"),
        ("domain_id: expected 8, that of 'droid_lerobot'", "got 11"),
    ),
    "head that is taken": (
        changed("domain_id", 8),
        ("8 is the action head of droid_lerobot", "free ones are [10, 11"),
    ),
    "viewpoint": (
        changed("prompt/viewpoint", "wrist"),
        ("viewpoint: expected ego_view", "mean 'wrist_view'?, got 'wrist'"),
    ),
    "tool that mirrors": (
        changed("tool", {"rotation": [1, 0, 0, 0, 1, 0, 0, 0, -1]}),
        ("tool.rotation: expected a rotation matrix", "-1.0]]"),
    ),
    "tool of 4 numbers": (
        changed("tool", {"rotation": [0, 0, 0, 1]}),
        ("a list of 9 finite numbers", "got 4 of them: [0, 0, 0, 1]"),
    ),
    "ranges of other columns": (
        changed("observed/low", [0, 0]),
        ("observed.low: expected 3 numbers, of state", "got 2"),
    ),
    "sketch of no view": (
        changed("observed/sketches", {"wist": [0] * 48}),
        ("unknown view 'wist', did you mean 'wrist'?", "['wrist', 'front']"),
    ),
    "duplicate column": (
        TEXT.replace("  lift:", "  shoulder:"),
        ("'shoulder' stands twice", "first in line"),
    ),
    "a name that YAML takes for true": (
        TEXT.replace("  shoulder: deg", "  on: deg"),
        ("expected a name before the colon", "got True"),
    ),
    "no YAML": ("name: [arm", ("not readable as YAML", "line")),
    "a list": ("- arm", ("expected a table with some of name", "got ['arm']")),
    "nothing": ("", ("expected a table with some of name", "got None")),
    "a robot file": (
        {"/**/policy": {"ros__parameters": {"joints": ["a"]}}},
        ("a robot file", "expected a section 'embodiment' in it"),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_one_line_with_both_sides(case, tmp_path):
    fields, words = WRONG[case]
    file = write(tmp_path, fields)
    with pytest.raises(ValueError, match=r"arm\.yaml: ") as caught:
        read_embodiment(file)
    text = str(caught.value)
    assert len(text.splitlines()) == 1
    for part in words:
        assert part in text, text


JUNK = (None, True, "x", "", -1, 0, 1.5, math.nan, 1e300, [], {}, [1], [[1]], {"a": 1}, {1: 2})


def places(value: object, above: tuple = ()) -> list[tuple]:
    """Every place in a table of tables and lists."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    found = []
    for key, part in inside:
        found.append((*above, key))
        if isinstance(part, (dict, list)):
            found += places(part, (*above, key))
    return found


@pytest.mark.parametrize("base", [SOUND, POSES], ids=["joints", "poses"])
def test_whatever_stands_anywhere_is_read_or_refused_in_one_line(base):
    refused = []
    for *above, name in places(base):
        for junk in JUNK:
            fields = copy.deepcopy(base)
            table = fields
            for key in above:
                table = table[key]
            table[name] = junk
            try:
                embodiment_from(fields, "arm.yaml")
            except ValueError as error:
                refused.append(str(error))
    assert len(refused) > 300
    assert [text for text in refused if len(text.splitlines()) != 1] == []
    assert [text for text in refused if not text.startswith("arm.yaml: ")] == []


def test_every_key_is_one_that_a_file_may_have(tmp_path):
    """The list that errors repeat is the list that is read."""
    assert set(SOUND) | {"action", "model_gripper", "tool", "weights"} == set(KEYS)


def test_the_page_explains_every_key_and_its_example_is_a_file(tmp_path):
    page = Path(__file__).parents[3] / "docs" / "embodiments.md"
    text = page.read_text()
    example = text.split("```yaml\n")[1].split("```")[0]
    assert read_embodiment(write(tmp_path, example)).state[1].unit == "ticks"
    table = text.split("| key | meaning |")[1].split("\n\n")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    assert {name.strip(" `") for cell in cells for name in cell.split(",")} == set(KEYS)
    units = text.split("| unit | of |")[1].split("\n\n")[0]
    assert all(f"`{unit}`" in units for unit in UNITS)
