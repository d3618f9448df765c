"""Which instants of a range a backfill runs."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from provisioning.core import cron
from provisioning.core.backfill import Action, Item, Reprocess, instants, plan
from provisioning.core.instants import Instants, Line
from provisioning.core.model import RunState
from provisioning.core.scheduling import run_id
from provisioning.errors import UsageError

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
HOURLY = Instants(lines=(Line(schedule=cron.parse("0 * * * *"), zone=UTC),))
DUE = [NOON + number * HOUR for number in range(4)]
FATES = [RunState.SUCCEEDED, RunState.FAILED, RunState.RUNNING]  # the fourth has no run


def the_plan(reprocess: Reprocess, *, newest_first: bool = False) -> tuple[Item, ...]:
    known = {run_id("etl", at): state for at, state in zip(DUE, FATES, strict=False)}
    return plan("etl", DUE, known.get, reprocess=reprocess, newest_first=newest_first)


@pytest.mark.parametrize(
    ("reprocess", "actions"),
    [
        pytest.param(Reprocess.NONE, ["skip", "skip", "skip", "run"], id="none"),
        pytest.param(Reprocess.FAILED, ["skip", "again", "skip", "run"], id="failed"),
        pytest.param(Reprocess.SUCCESSFUL, ["again", "skip", "skip", "run"], id="successful"),
        pytest.param(Reprocess.COMPLETED, ["again", "again", "skip", "run"], id="completed; what goes on is left alone"),
    ],
)
def test_what_becomes_of_instants_that_have_a_run(reprocess: Reprocess, actions: list[str]) -> None:
    items = the_plan(reprocess)
    assert [item.action.value for item in items] == actions
    assert [item.because for item in items if item.action is Action.SKIP and item.at == DUE[2]] == ["it goes on"]


def test_an_instant_that_is_run_anew_gets_a_new_id_and_its_newest_run_counts() -> None:
    first, second = run_id("etl", NOON), run_id("etl", NOON, 1)
    states = {first: RunState.FAILED, second: RunState.SUCCEEDED}
    (left,) = plan("etl", [NOON], states.get, reprocess=Reprocess.FAILED)
    (anew,) = plan("etl", [NOON], states.get, reprocess=Reprocess.SUCCESSFUL)
    assert (left.action, left.run_id, left.because) == (Action.SKIP, second, "it succeeded")
    assert (anew.action, anew.run_id) == (Action.AGAIN, run_id("etl", NOON, 2))


def test_an_instant_that_the_scheduler_has_run_is_not_run_by_a_backfill() -> None:
    assert the_plan(Reprocess.NONE)[0].run_id == run_id("etl", NOON)
    assert the_plan(Reprocess.NONE)[3].run_id == run_id("etl", DUE[3])


def test_the_newest_come_first_if_that_is_asked_for() -> None:
    assert [item.at for item in the_plan(Reprocess.NONE, newest_first=True)] == DUE[::-1]


def test_a_range_has_its_beginning_and_not_its_end() -> None:
    assert instants(HOURLY, NOON, NOON + 4 * HOUR) == DUE


def test_a_range_across_clock_changes_has_each_local_day_once() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    nightly = Instants(lines=(Line(schedule=cron.parse("30 2 * * *"), zone=berlin),))
    found = instants(nightly, datetime(2026, 3, 1, tzinfo=berlin), datetime(2026, 11, 1, tzinfo=berlin))
    assert len(found) == len({at.astimezone(berlin).date() for at in found}) == 245


@pytest.mark.parametrize(
    ("end", "most", "message"),
    [
        pytest.param(NOON, 10, "ends before it begins", id="empty"),
        pytest.param(NOON + 11 * HOUR, 10, "more than 10 starts", id="too long"),
    ],
)
def test_a_range_that_cannot_be_meant_is_refused(end: datetime, most: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        instants(HOURLY, NOON, end, most=most)
