"""The alarm for dead letters. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

from provisioning.core.letters import Alarm


def test_a30_the_alarm_goes_off_once_and_again_only_after_the_number_fell_below() -> None:
    alarm = Alarm(threshold=3)

    assert [alarm.hear(count) for count in (1, 2, 3, 4, 5, 3)] == [False, False, True, False, False, False]
    assert [alarm.hear(count) for count in (2, 4, 4)] == [False, True, False]


def test_a_threshold_of_0_is_never_reached() -> None:
    alarm = Alarm(threshold=0)

    assert not any(alarm.hear(count) for count in (0, 1, 1000))
