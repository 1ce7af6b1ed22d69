# SPDX-License-Identifier: Apache-2.0
"""Scene files: what they say, and that whatever is wrong is one line with both sides."""

from pathlib import Path

import pytest

from cosmos3_ros.sim.scene_file.schema import read_scene

ROOT = Path(__file__).resolve().parents[3]


def test_a_file_says_names_units_cameras_and_motions(write) -> None:
    scene = read_scene(write())
    assert scene.names == ("turn", "bow", "grip")
    assert scene.joints == ("r/turn", "r/lift")
    assert [column.unit for column in scene.columns] == ["deg", "deg"]
    assert scene.columns[1].offset == 90.0
    assert scene.gripper.joints == {"r/jaw": (0.05, 0.0)}
    assert (scene.cameras["hand"].height, scene.cameras["hand"].width) == (32, 96)
    motion = scene.task("bow")
    assert (motion.seconds, motion.goal.tolist(), motion.gripper) == (2.5, [-30.0, 40.0], 0.0)
    assert [*motion.grips()] == [(0.0, 100.0), (2.0, 0.0)]


WRONG = {
    "unknown key": (("home:", "hoem:"), "unknown key 'hoem' .*did you mean 'home'"),
    "no model": (("model: robot.xml", "model: elsewhere.xml"), "model: expected an MJCF file"),
    "a mesh": (("model: robot.xml", "model: robot.stl"), r"model: expected an MJCF file \(.xml\)"),
    "package": (
        ("model: robot.xml", "model: package://nobody_has/a.xml"),
        "pip install nobody_has",
    ),
    "no package": (("model: robot.xml", "model: package://"), "model: expected a file of an"),
    "unit": (("turn: deg", "turn: degree"), "turn: unit: expected .*did you mean 'deg'"),
    "percent": (("turn: deg", "turn: percent"), "turn: lacks 'scale'"),
    "controller": (("turn: deg", "turn: controller"), "turn: unit: expected rad, deg"),
    "quaternion": (("turn: deg", "turn: quaternion"), "turn: unit: expected rad, deg"),
    "width of home": (("home: [10.0, 60.0]", "home: [10.0]"), "home: expected a list of 2"),
    "infinite": (("home: [10.0,", "home: [.inf,"), "home: .* got inf in it"),
    "gripper ends": (("closed: 0.0,", ""), "gripper: expected open and closed"),
    "same ends": (("closed: 0.0,", "closed: 100.0,"), "closed: expected another value than open"),
    "jaw ends": (("[0.05, 0.0]", "[0.05, 0.05]"), r"jaw: expected \[open, closed\]"),
    "no jaw": (("joints: {jaw: [0.05, 0.0]}", "joints: {}"), "gripper: lacks 'joints'"),
    "names twice": (
        ("name: grip,", "name: turn,"),
        "expected distinct names of joints, got 'turn'",
    ),
    "moved twice": (
        ("joints: {jaw", "joints: {turn"),
        "distinct joints of the model, got 'r/turn'",
    ),
    "size": (("size: [48, 64]", "size: [48]"), "side: size: expected a list of 2"),
    "too large": (("size: [48, 64]", "size: [48, 64000]"), "size: expected .* at most 4096"),
    "two places": (
        ("{camera: side,", "{camera: side, fovy: 30,"),
        "fovy: expected nothing beside 'camera'",
    ),
    "no place": (("{camera: side, ", "{"), "side: lacks 'position'"),
    "looks at itself": (
        ("looks_at: [0.3, 0.0, 0.0]", "looks_at: [0.0, 0.0, 0.2]"),
        "looks_at: expected another point",
    ),
    "fovy": (("fovy: 60", "fovy: 200"), "fovy: expected 1 to 170 degrees"),
    "servo": (("servo: 5.0", "servo: 500.0"), "servo: expected 0 to 20 Hz"),
    "scatter": (("scatter: [20.0,", "scatter: [-20.0,"), "scatter: expected 0 or more"),
    "tolerance": (("tolerance: [3.0,", "tolerance: [0.0,"), "tolerance: expected more than 0"),
    "width of a step": (
        ("joints: [-30.0, 40.0]", "joints: [-30.0, 40.0, 0.0]"),
        "motion, step 2: joints: expected a list of 2",
    ),
    "no time": (("seconds: 0.5", "seconds: 0"), "step 3: seconds: expected more than 0 s"),
    "empty step": (("{gripper: 0.0, seconds", "{seconds"), "step 3: expected joints, gripper or"),
    "a word": (("gripper: 100.0, joints", "gripper: open, joints"), "gripper: expected a finite"),
    "no instruction": (("    instruction: bow\n", ""), "bow: lacks 'instruction'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_wrong_is_said_in_one_line(write, name: str) -> None:
    (old, new), words = WRONG[name]
    with pytest.raises(ValueError, match=words) as error:
        read_scene(write(old, new))
    assert "\n" not in str(error.value)
    assert "scene.yaml" in str(error.value)


@pytest.mark.parametrize("part", ["cameras", "tasks", "joints"])
def test_a_part_that_is_missing_is_named(write, tmp_path: Path, part: str) -> None:
    file = write()
    lines = file.read_text().splitlines()
    begin = next(i for i, line in enumerate(lines) if line.startswith(part))
    end = begin + 1
    while end < len(lines) and lines[end].startswith(" "):
        end += 1
    file.write_text("\n".join(lines[:begin] + lines[end:]))
    with pytest.raises(ValueError, match=part):
        read_scene(file)


def test_a_gripper_needs_one(write) -> None:
    file = write()
    file.write_text("\n".join(x for x in file.read_text().splitlines() if "name: grip" not in x))
    with pytest.raises(ValueError, match="gripper: expected nothing, the file has no gripper"):
        read_scene(file)


def test_an_unknown_task_is_answered_with_the_list(write) -> None:
    with pytest.raises(ValueError, match="task: expected one of bow, got 'dance'"):
        read_scene(write()).task("dance")
