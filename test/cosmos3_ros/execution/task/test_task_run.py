# SPDX-License-Identifier: Apache-2.0
"""How a task goes on and ends, on a clock that goes on by hand."""

import pytest

from cosmos3_ros.execution.task.judgement import Judgement
from cosmos3_ros.execution.task.task_run import Outcome, Phase, TaskRules, TaskRun
from cosmos3_ros.model.interface import NS

RULES = TaskRules(limit=20 * NS, judge_every=2 * NS, confirmations=2, patience=5 * NS)


def answer(task: TaskRun, text: str, at: int, stamp: int = 0) -> None:
    task.ask(at)
    task.judged(Judgement("done?", text, stamp or at), task.instruction, at)


def end(task: TaskRun, now: int) -> Outcome | None:
    found = task.end(now, True, "")
    return found and found.outcome


def play(task: TaskRun, now: int) -> None:
    task.played(1, 0.1, now)


def test_so_many_yes_in_a_row_about_different_pictures_are_a_success() -> None:
    task = TaskRun("lift", RULES, 0)
    assert task.phase is Phase.WAITING
    play(task, NS)
    assert task.phase is Phase.ACTING
    assert not task.due(NS), "too soon"
    assert task.due(3 * NS)
    answer(task, "Yes.", 3 * NS)
    answer(task, "No.", 4 * NS)
    answer(task, "Yes.", 5 * NS)
    answer(task, "Yes.", 6 * NS, stamp=5 * NS)
    assert end(task, 6 * NS) is None, "the same pictures once more"
    answer(task, "Yes.", 7 * NS)
    assert end(task, 7 * NS) is Outcome.SUCCEEDED
    assert (task.done, task.judgement and task.judgement.answer) == (1, "Yes.")


def test_nothing_is_asked_before_a_chunk_is_played_or_while_asking() -> None:
    task = TaskRun("lift", RULES, 0)
    assert not task.due(4 * NS)
    play(task, 4 * NS)
    task.ask(4 * NS)
    assert task.phase is Phase.JUDGING
    assert not task.due(10 * NS)


@pytest.mark.parametrize(
    ("said", "outcome"),
    [("Yes.", Outcome.SUCCEEDED), ("No.", Outcome.FAILED), ("Hm.", Outcome.TIME_LIMIT)],
)
def test_when_the_time_is_over_it_is_asked_once_more(said: str, outcome: Outcome) -> None:
    task = TaskRun("lift", RULES, 0)
    play(task, 19 * NS)
    assert end(task, 20 * NS) is None, "the last question is to come"
    assert task.due(20 * NS)
    answer(task, said, 20 * NS)
    assert end(task, 20 * NS) is outcome
    assert not task.due(21 * NS)


def test_an_answer_that_does_not_come_ends_by_time_and_not_as_judged() -> None:
    task = TaskRun("lift", RULES, 0)
    play(task, 19 * NS)
    task.ask(20 * NS)
    assert end(task, 21 * NS) is None
    task.judged(Judgement("done?", "", 0), "lift", 21 * NS)
    assert end(task, 21 * NS) is Outcome.TIME_LIMIT


def test_without_judging_it_ends_by_time() -> None:
    task = TaskRun("lift", TaskRules(limit=3 * NS, judge_every=0), 0)
    play(task, NS)
    assert not task.due(3 * NS)
    assert end(task, 3 * NS - 1) is None
    assert end(task, 3 * NS) is Outcome.TIME_LIMIT


def test_each_step_is_judged_before_the_next() -> None:
    task = TaskRun("tidy up", RULES, 0, plan=True)
    assert (task.phase, task.is_planning) == (Phase.PLANNING, True)
    assert end(task, 9 * NS) is None, "a plan may take long"
    task.planned(("lift", "drop"), 9 * NS)
    assert (task.instruction, task.phase) == ("lift", Phase.WAITING)
    play(task, 9 * NS)
    answer(task, "yes", 11 * NS)
    answer(task, "yes", 12 * NS)
    assert (task.instruction, task.done, task.chunk) == ("drop", 1, 0)
    answer(task, "yes", 13 * NS)
    assert end(task, 13 * NS) is None, "the yes before was about the other step"
    answer(task, "yes", 14 * NS)
    assert end(task, 14 * NS) is Outcome.SUCCEEDED


def test_an_answer_about_another_step_does_not_count() -> None:
    task = TaskRun("lift", RULES, 0)
    play(task, NS)
    task.ask(3 * NS)
    task.replace("push", 4 * NS)
    task.judged(Judgement("done?", "yes", 3 * NS), "lift", 5 * NS)
    assert task.judgement is None
    assert task.phase is Phase.WAITING, "and another one may be asked"


def test_a_disarmed_arm_missing_chunks_and_an_empty_instruction_end_it() -> None:
    task = TaskRun("lift", RULES, 0)
    found = task.end(NS, False, "stopped by cosmos3/stop")
    assert found is not None
    assert (found.outcome, "stopped by" in found.message) == (Outcome.STOPPED, True)
    task = TaskRun("lift", RULES, 0)
    play(task, NS)
    assert end(task, 6 * NS) is None
    found = task.end(6 * NS + 1, True, "joint states are 1.0 s old")
    assert found is not None
    assert found.outcome is Outcome.STALE_INPUT
    assert found.message == "no chunk was played for 5.0 s: joint states are 1.0 s old"
    task = TaskRun("lift", RULES, 0)
    task.replace("", NS)
    assert end(task, NS) is Outcome.CANCELED


def test_the_first_end_is_the_end() -> None:
    task = TaskRun("lift", RULES, 0)
    task.finish(Outcome.CANCELED, "by the caller")
    task.finish(Outcome.PREEMPTED, "by a newer goal")
    assert end(task, 100 * NS) is Outcome.CANCELED
