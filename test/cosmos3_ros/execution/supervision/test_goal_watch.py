# SPDX-License-Identifier: Apache-2.0
"""When a goal of the task server is over, and which chunks are not played then."""

from cosmos3_ros.execution.supervision.goal_watch import (
    ENDED,
    SILENT,
    SURPRISED,
    GoalWatch,
)
from cosmos3_ros.model.interface import NS

DO, OTHER = "lift the cube", "push the cube"


def test_without_a_task_server_everything_is_played() -> None:
    watch = GoalWatch()
    assert watch.silence(100 * NS) == watch.refusal(DO, 0, 100 * NS) == ""


def test_the_end_of_a_goal_is_a_hold_and_refuses_what_was_captured_before() -> None:
    watch = GoalWatch()
    assert watch.hear(True, DO, now=10 * NS, steady=0) == ""
    assert watch.refusal(DO, 10 * NS, steady=0) == ""
    assert watch.hear(False, DO, now=11 * NS, steady=NS) == ENDED
    assert watch.hear(False, DO, now=11 * NS, steady=NS) == "", "said once"
    assert ENDED in watch.refusal(f" {DO} ", 11 * NS, steady=NS)
    assert watch.refusal(OTHER, 11 * NS, steady=NS) == "", "somebody else's"
    assert watch.refusal(DO, 13 * NS, steady=3 * NS) == "", "asked for again"
    assert watch.silence(100 * NS) == "", "nothing is awaited any more"


def test_a_silent_server_is_a_hold_until_armed_again_or_a_new_goal() -> None:
    for back in ("armed", "goal"):
        watch = GoalWatch()
        watch.hear(True, DO, now=10 * NS, steady=0)
        assert watch.silence(NS // 2) == ""
        assert watch.silence(NS // 2 + 1) == SILENT
        assert watch.silence(NS) == "", "said once"
        assert SILENT in watch.refusal(DO, 20 * NS, steady=10 * NS), "whenever it was captured"
        assert watch.refusal(OTHER, 20 * NS, steady=10 * NS) == ""
        if back == "armed":
            watch.forget()
        else:
            watch.hear(True, DO, now=21 * NS, steady=11 * NS)
        assert watch.refusal(DO, 21 * NS, steady=11 * NS) == ""


def test_a_chunk_finds_the_silence_too() -> None:
    watch = GoalWatch()
    watch.hear(True, DO, now=10 * NS, steady=0)
    assert SILENT in watch.refusal(DO, 12 * NS, steady=2 * NS)


def test_the_instruction_of_a_goal_may_change() -> None:
    watch = GoalWatch()
    watch.hear(True, DO, now=10 * NS, steady=0)
    watch.hear(True, OTHER, now=10 * NS, steady=1)
    assert watch.silence(2 * NS) == SILENT
    assert watch.refusal(DO, 12 * NS, steady=2 * NS) == ""
    assert SILENT in watch.refusal(OTHER, 12 * NS, steady=2 * NS)


def test_after_a_surprise_only_what_was_captured_later_is_played() -> None:
    watch = GoalWatch()
    watch.surprise(10 * NS)
    for instruction in (DO, OTHER):
        assert watch.refusal(instruction, 10 * NS, steady=0) == f"captured before {SURPRISED}"
        assert watch.refusal(instruction, 10 * NS + 1, steady=0) == ""
    watch.forget()
    assert watch.refusal(DO, 9 * NS, steady=0) == "", "armed again"
