# SPDX-License-Identifier: Apache-2.0
"""When a surprise is an alarm."""

from cosmos3_ros.execution.surprise.alarm import Alarm, AlarmRules


def test_an_alarm_begins_once_and_lasts_until_a_comparison_does_not_count() -> None:
    alarm = Alarm(AlarmRules(threshold=1.0))
    assert [alarm.look(value) for value in (0.9, 1.0, 3.0, 0.2, 1.5)] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert alarm.rings
    assert alarm.value == 1.5
    alarm.forget()
    assert (alarm.rings, alarm.value) == (False, 0.0)


def test_with_persistence_so_many_in_a_row_are_asked_for() -> None:
    alarm = Alarm(AlarmRules(threshold=1.0, persistence=2))
    begins = [alarm.look(value) for value in (2.0, 0.5, 2.0, 2.0, 2.0)]
    assert begins == [False, False, False, True, False]


def test_rules_may_change_while_it_runs() -> None:
    alarm = Alarm(AlarmRules(threshold=5.0))
    assert not alarm.look(2.0)
    alarm.rules = AlarmRules(threshold=1.0)
    assert alarm.look(2.0)
