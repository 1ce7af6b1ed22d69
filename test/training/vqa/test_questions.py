# SPDX-License-Identifier: Apache-2.0
"""Questions about scenes: true of scenes made by hand and of the simulation's."""

import dataclasses
import importlib.util

import numpy as np
import pytest

if importlib.util.find_spec("mujoco") is None:
    pytest.skip("mujoco is not installed", allow_module_level=True)

from cosmos3_ros.model.interface import Answer, Box
from cosmos3_ros.model.language.question_templates import TASKS as READING
from cosmos3_ros.model.language.question_templates import parse_boxes
from cosmos3_ros.sim.env import Env
from cosmos3_ros.sim.expert import Expert
from cosmos3_ros.training.data.demonstrations import Demonstration
from cosmos3_ros.training.evaluation.reasoner_accuracy import answer, grade, quiz_table
from cosmos3_ros.training.vqa.questions import KINDS, STATE, Lesson, is_right, lessons, write_boxes
from cosmos3_ros.training.vqa.samples import Scene, Watch, settled, watch
from cosmos3_ros.training.vqa.scene_state import UNCLEAR, Facts, boxes, read_facts
from cosmos3_ros.training.vqa.task_steps import DONE, next_action, plan

BOWL = Facts(
    kind="bowl",
    cubes={"red": np.array([0.45, 0.15, 0.02]), "blue": np.array([0.55, -0.10, 0.02])},
    tool=np.array([0.45, 0.15, 0.15]),
    closed=0.0,
    place=(0.55, 0.05),
    done={("bowl", "red"): False, ("lift", "red"): False, ("lift", "blue"): None},
)
HELD = dataclasses.replace(
    BOWL,
    cubes={**BOWL.cubes, "red": np.array([0.5, 0.1, 0.2])},
    tool=np.array([0.5, 0.1, 0.2]),
    closed=0.5,
    held="red",
    done={("bowl", "red"): False, ("lift", "red"): True, ("bowl", "blue"): False},
)
DRAWER = Facts(
    "drawer",
    {},
    np.array([0.4, 0, 0.3]),
    0.0,
    handle=np.array([0.5, 0, 0.1]),
    opening=0.12,
    done={("drawer", ""): True},
)


def answers(facts, kind):
    """Everything that is asked about a kind, over many draws."""
    drawn = [lessons(facts, np.random.default_rng(seed), each=9) for seed in range(24)]
    return {
        lesson.question: lesson.answer for some in drawn for lesson in some if lesson.kind == kind
    }


@pytest.mark.parametrize(
    ("facts", "kind", "question", "answer"),
    [
        (BOWL, "drawer", "Is the drawer open?", "There is no drawer."),
        (DRAWER, "drawer", "Is the drawer open?", "Yes."),
        (dataclasses.replace(DRAWER, opening=0.01), "drawer", "Is the drawer open?", "No."),
        (BOWL, "holding", "Is the gripper holding something?", "No."),
        (HELD, "held", "What is the gripper holding?", "The red cube."),
        (HELD, "gripper", "Is the gripper open or closed?", "Closed."),
        (BOWL, "cubes", "Which cubes are there?", "red, blue"),
        (DRAWER, "cubes", "Which cubes are there?", "None."),
        (BOWL, "count", "How many cubes are there?", "2"),
        (BOWL, "there", "Is there a green cube?", "No."),
        (BOWL, "there", "Is there a bowl?", "Yes."),
        (BOWL, "where", "Where is the red cube?", "On the table."),
        (HELD, "where", "Where is the red cube?", "In the gripper."),
        (HELD, "where", "Where is the green cube?", "There is none."),
        (
            BOWL,
            "side",
            "Seen from the robot, is the red cube left or right of the blue cube?",
            "Left.",
        ),
        (BOWL, "half", "On which side of the robot is the blue cube?", "Right."),
        (
            BOWL,
            "nearer",
            "Which is nearer to the robot, the blue cube or the red cube?",
            "The red cube.",
        ),
        (BOWL, "nearest", "Which cube is nearest to the gripper?", "The red cube."),
        (BOWL, "done", 'The task is: "lift the red cube". Is it done?', "No."),
        (HELD, "done", 'The task is: "lift the red cube". Is it done?', "Yes."),
        (
            BOWL,
            "next",
            READING["next_action"].question("lift the red cube"),
            "Move the gripper to the red cube.",
        ),
        (BOWL, "plan", READING["plan"].question("open the drawer"), None),
        (
            DRAWER,
            "plan",
            READING["plan"].question("open the drawer"),
            "1. Move the gripper to the handle of the drawer.",
        ),
        (
            HELD,
            "describe",
            "Describe the scene.",
            "A robot arm over a table with a red cube, a blue cube and a bowl. "
            "The gripper is closed, with the red cube.",
        ),
    ],
)
def test_answers_are_true_of_the_scene(facts, kind, question, answer):
    said = answers(facts, kind)
    if answer is None:
        assert question not in said
    else:
        assert said[question].startswith(answer) if kind == "plan" else said[question] == answer


def test_what_is_not_clear_is_not_asked():
    unclear = dataclasses.replace(BOWL, held=UNCLEAR, closed=0.3)
    for kind in ("holding", "held", "gripper", "describe"):
        assert answers(BOWL, kind)
        assert not answers(unclear, kind)
    assert not any("blue" in question for question in answers(BOWL, "done"))
    close = {**BOWL.cubes, "blue": np.array([0.46, 0.14, 0.02])}
    assert answers(BOWL, "side")
    assert not answers(dataclasses.replace(BOWL, cubes=close), "side")
    assert settled([{"g": False}] * 10 + [{"g": True}] * 20, 2, "g") is False
    assert settled([{"g": False}] * 10 + [{"g": True}] * 20, 12, "g") is None
    assert settled([{"g": False}] * 10 + [{"g": True}] * 20, 20, "g") is True


def test_the_next_step_follows_the_scene():
    red, blue = ("bowl", "red"), ("bowl", "blue")
    assert next_action(HELD, red) == plan(red)[2] == "Carry the red cube to the bowl."
    assert next_action(HELD, blue) == "Open the gripper."
    assert next_action(HELD, ("lift", "red")) == DONE
    over = dataclasses.replace(HELD, cubes={**HELD.cubes, "red": np.array([0.55, 0.05, 0.1])})
    assert next_action(over, red) == "Open the gripper."
    ready = dataclasses.replace(BOWL, tool=BOWL.cubes["red"])
    assert next_action(ready, red) == "Close the gripper."


def test_answers_are_checked():
    lesson = Lesson("held", "?", "The red cube.")
    assert is_right(lesson, " the red  cube. ")
    assert not is_right(lesson, "The red cube. The red cube.")
    true = Box("red cube", 0.1, 0.1, 0.2, 0.2)
    boxed = Lesson("boxes", "?", write_boxes([true]))
    assert parse_boxes(boxed.answer) == (true,)
    assert is_right(boxed, write_boxes([dataclasses.replace(true, x_max=0.23)]))
    assert not is_right(boxed, write_boxes([dataclasses.replace(true, x_max=0.31)]))
    assert not is_right(boxed, write_boxes([dataclasses.replace(true, label="blue cube")]))
    assert not is_right(boxed, "[]")
    assert is_right(Lesson("boxes", "?", "[]"), "[]")
    assert set(STATE) < set(KINDS)


def test_grades_count_by_kind_and_by_answer():
    class Parrot:
        def ask(self, question, images, max_tokens):
            assert len(images) == 3
            return Answer("No.")

    yes, no = (Lesson("holding", "?", text) for text in ("Yes.", "No."))
    scene = Scene(
        np.zeros((3, 4, 4, 3), np.uint8), (yes, no, no, no, Lesson("plan", "?", "1. Wait."))
    )
    grades = grade(answer(Parrot(), [scene]))
    assert (
        grades["holding"]["asked"],
        grades["holding"]["right"],
        grades["holding"]["balanced"],
    ) == (4, 3, 0.5)
    assert grades["state"]["right"] == 3
    assert grades["plan"]["rate"] == 0
    assert "3/4" in quiz_table(grades)


@pytest.mark.sim
@pytest.mark.parametrize("task", ["bowl", "drawer"])
def test_facts_are_those_of_the_simulation(task):
    """Along a demonstration the steps come in the order of the plan, and each is seen."""
    env = Env(views=())
    env.reset(task, 3)
    goal, expert, steps, held = (
        (task, env.simulation.layout.target),
        Expert(env.simulation),
        [],
        set(),
    )
    while not expert.finished:
        facts = read_facts(env.simulation)
        held.add(facts.held)
        if (step := next_action(facts, goal)) and step not in steps[-1:]:
            steps.append(step)
        env.move(expert.act())
    assert steps == [*plan(goal), DONE]
    assert held - {UNCLEAR} == {"", goal[1] or "drawer"}
    env.close()


@pytest.mark.sim
def test_boxes_are_where_the_color_is():
    env = Env(height=180, width=320)
    env.reset("lift", 5)
    for view in ("exterior_1", "exterior_2"):
        picture = env.simulation.render(view).astype(int)
        found = boxes(env.simulation, view)
        assert found
        for name, box in found.items():
            channel = ("red", "green", "blue").index(name.split()[0])
            colored = picture[..., channel] > 1.5 * np.delete(picture, channel, axis=2).max(2)
            rows, columns = np.nonzero(colored)
            seen = (
                columns.min() / 320,
                rows.min() / 180,
                (columns.max() + 1) / 320,
                (rows.max() + 1) / 180,
            )
            assert np.allclose(seen, (box.x_min, box.y_min, box.x_max, box.y_max), atol=0.012)
    env.close()


@pytest.mark.sim
def test_scenes_are_repeatable_and_of_the_wanted_size():
    wanted = Watch(
        Demonstration("drawer", 1, height=90, width=160), looks=2, stills=8, size=(96, 160)
    )
    first, again = watch(wanted), watch(wanted)
    assert 9 <= len(first) <= 10
    said = {
        lesson.answer for scene in first[-8:] for lesson in scene.lessons if lesson.kind == "drawer"
    }
    assert said == {"Yes.", "No."}
    for one, other in zip(first, again, strict=True):
        assert one.pictures.shape == (3, 96, 160, 3)
        assert np.array_equal(one.pictures, other.pictures)
        assert one.lessons == other.lessons


@pytest.mark.parametrize("task", ["catch", "lift_clutter", "lift_turning"])
def test_scenes_with_things_that_no_question_knows_are_refused(task):
    with pytest.raises(
        ValueError, match=f"questions: expected a task in a scene of .*, got {task}"
    ):
        Watch(Demonstration(task, 0))
    assert Watch(Demonstration("lift_small", 0)).looks == 4
