"""What a scheduler does about a DAG: tables of one look each, and properties of many looks in a row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted

from provisioning.core import cron
from provisioning.core.dagu.declared import Cron, DagFile, Overlap, Schedule
from provisioning.core.instants import Instants, Line, Timing, timing_of
from provisioning.core.schedules import CATCHUP, SCHEDULE, Going, Mark
from provisioning.core.scheduling import Act, Decision, Known, What, decide, run_id

NOON = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
SECOND = timedelta(seconds=1)


def instants(*expressions: str, at: Sequence[datetime] = (), zone: str = "UTC") -> Instants:
    return Instants(lines=tuple(Line(schedule=cron.parse(one), zone=ZoneInfo(zone)) for one in expressions), at=tuple(at))


HOURLY = Timing(starts=instants("0 * * * *"))


def going(began_at: datetime = NOON - MINUTE, trigger: str = SCHEDULE, run: str = "r1") -> Going:
    return Going(run_id=run, name="etl", began_at=began_at, trigger=trigger)


def look(timing: Timing, cursor: datetime, now: datetime, *others: Going, behind: datetime | None = None) -> Decision:
    return decide(timing, Known(mark=Mark(cursor=cursor, behind=behind), going=others), now)


def started(decision: Decision) -> list[tuple[int, str]]:
    """Return the hours of the starts, each with its trigger."""
    return [(act.at.hour, act.trigger) for act in decision.acts if act.what is What.START]


def caught_up(overlap: Overlap, hours: int = 4) -> Timing:
    return replace(HOURLY, catchup_window_s=hours * 3600, overlap=overlap)


# ---------------------------------------------------------------- on time


@pytest.mark.parametrize(
    ("late", "expected"),
    [
        pytest.param(-SECOND, [], id="not before"),
        pytest.param(0 * SECOND, [(12, SCHEDULE)], id="at the instant"),
        pytest.param(60 * SECOND, [(12, SCHEDULE)], id="a minute later it is on time"),
        pytest.param(61 * SECOND, [], id="then it was missed"),
    ],
)
def test_a_start_is_on_time_for_a_minute(late: timedelta, expected: list[tuple[int, str]]) -> None:
    assert started(look(HOURLY, NOON - MINUTE, NOON + late)) == expected


def test_the_mark_moves_to_the_look_and_the_next_look_is_at_the_next_instant() -> None:
    decision = look(HOURLY, NOON - MINUTE, NOON + SECOND)
    assert (decision.mark, decision.look_at) == (Mark(cursor=NOON + SECOND), NOON + HOUR)
    assert look(HOURLY, decision.mark.cursor, NOON + 2 * SECOND).acts == ()


def test_a_clock_that_was_put_back_starts_nothing_again() -> None:
    decision = look(HOURLY, NOON + SECOND, NOON - HOUR)
    assert (decision.acts, decision.mark) == ((), Mark(cursor=NOON + SECOND))


def test_a_single_start_and_an_expression_that_mean_one_instant_are_one_start() -> None:
    timing = Timing(starts=instants("0 * * * *", "0 12 * * *", at=[NOON]))
    assert started(look(timing, NOON - MINUTE, NOON)) == [(12, SCHEDULE)]


def test_a_single_start_that_was_over_before_the_dag_was_seen_is_none() -> None:
    decision = look(Timing(starts=instants(at=[NOON - HOUR])), NOON, NOON + HOUR)
    assert (decision.acts, decision.look_at) == ((), None)


def test_a_suspended_dag_starts_stops_and_restarts_nothing_and_owes_nothing() -> None:
    every = Timing(starts=HOURLY.starts, stops=HOURLY.starts, restarts=HOURLY.starts, suspended=True, catchup_window_s=9000)
    decision = look(every, NOON - MINUTE, NOON, going(), behind=NOON - HOUR)
    assert [(act.what, act.reason) for act in decision.acts] == [(What.DROP, "it is suspended")]
    assert decision.mark == Mark(cursor=NOON)


def test_a_schedule_in_a_zone_that_nobody_knows_is_never_due() -> None:
    declared = Schedule(start=(Cron(expression="TZ=No/Where * * * * *", line=1, column=1),))
    timing = timing_of(DagFile(name="etl", schedule=declared), UTC, lambda _name: None)
    assert timing is not None
    assert timing.next(NOON) is None


# ---------------------------------------------------------------- overlap of starts on time


@pytest.mark.parametrize(
    ("overlap", "expected", "behind"),
    [
        pytest.param(Overlap.SKIP, [], None, id="skip: dropped"),
        pytest.param(Overlap.ALL, [(12, SCHEDULE)], None, id="all: made"),
        pytest.param(Overlap.LATEST, [], NOON - timedelta(microseconds=1), id="latest: waits"),
    ],
)
def test_what_becomes_of_a_start_while_a_run_goes_on(
    overlap: Overlap, expected: list[tuple[int, str]], behind: datetime | None
) -> None:
    decision = look(replace(HOURLY, overlap=overlap), NOON - MINUTE, NOON, going())
    assert (started(decision), decision.mark.behind) == (expected, behind)
    assert [act.reason for act in decision.acts if act.what is What.DROP] == (
        ["run r1 goes on"] if overlap is Overlap.SKIP else []
    )


def test_with_latest_the_newest_start_that_waited_is_made_once_the_run_has_ended() -> None:
    timing = replace(HOURLY, overlap=Overlap.LATEST)
    first = look(timing, NOON - MINUTE, NOON, going())
    second = look(timing, first.mark.cursor, NOON + HOUR, going(), behind=first.mark.behind)
    assert [(act.what, act.reason) for act in second.acts] == [(What.DROP, "a later one is due")]
    third = look(timing, second.mark.cursor, NOON + HOUR + 5 * MINUTE, behind=second.mark.behind)
    assert (started(third), third.mark.behind) == ([(13, CATCHUP)], None)


# ---------------------------------------------------------------- starts that were missed


@pytest.mark.parametrize(
    ("timing", "starts", "left"),
    [
        pytest.param(HOURLY, [], False, id="no catch-up"),
        pytest.param(caught_up(Overlap.LATEST), [(11, CATCHUP)], False, id="latest"),
        pytest.param(caught_up(Overlap.ALL), [(8, CATCHUP)], True, id="all: the oldest in the window first"),
        pytest.param(caught_up(Overlap.SKIP), [(8, CATCHUP)], True, id="skip: so does it, while nothing goes on"),
    ],
)
def test_what_becomes_of_starts_that_were_missed(timing: Timing, starts: list[tuple[int, str]], *, left: bool) -> None:
    decision = look(timing, NOON - 8 * HOUR, NOON - MINUTE)
    assert started(decision) == starts
    assert (decision.mark.behind is not None) is left


def replayed(
    timing: Timing, cursor: datetime, now: datetime, *, takes: timedelta, most: int = 1000
) -> list[tuple[datetime, str]]:
    """Look again and again at a DAG whose runs take so long; return what it starts."""
    story = Story(timing=timing, takes=takes, mark=Mark(cursor=cursor), most=most)
    for _ in range(2000):
        decision = story.look(now)
        if decision.mark.behind is None:
            break
        now += 10 * SECOND
    return [(act.at, act.trigger) for act in story.acts if act.what is What.START]


@dataclass
class Story:
    """A DAG, its runs and its mark over many looks."""

    timing: Timing
    takes: timedelta
    mark: Mark
    most: int = 1000
    acts: list[Act] = field(default_factory=list)
    runs: list[Going] = field(default_factory=list)
    begun: list[datetime] = field(default_factory=list)

    def look(self, now: datetime) -> Decision:
        self.runs = [run for run in self.runs if run.began_at + self.takes > now]
        decision = decide(self.timing, Known(mark=self.mark, going=tuple(self.runs)), now, most=self.most)
        self.mark = decision.mark
        self.acts += decision.acts
        for act in decision.acts:
            if act.what is What.START:
                self.runs.append(Going(run_id=run_id("etl", act.at), name="etl", began_at=now, trigger=act.trigger))
                self.begun.append(act.at)
        return decision


THREE = [NOON - 3 * HOUR, NOON - 2 * HOUR, NOON - HOUR]
LATE = NOON - 58 * MINUTE  # nothing is on time


@pytest.mark.parametrize(
    ("timing", "takes", "expected"),
    [
        pytest.param(caught_up(Overlap.ALL), 5 * MINUTE, THREE, id="all, however long they take"),
        pytest.param(caught_up(Overlap.SKIP), 30 * SECOND, THREE, id="skip: short runs one after another"),
        pytest.param(caught_up(Overlap.SKIP), 5 * MINUTE, THREE[:1], id="skip: a long one makes the others superfluous"),
        pytest.param(caught_up(Overlap.LATEST), SECOND, THREE[-1:], id="latest"),
        pytest.param(HOURLY, SECOND, [], id="none"),
        pytest.param(caught_up(Overlap.ALL, 2), SECOND, THREE[1:], id="no further than the window"),
    ],
)
def test_three_starts_that_were_missed(timing: Timing, takes: timedelta, expected: list[datetime]) -> None:
    assert replayed(timing, THREE[0] - SECOND, LATE, takes=takes) == [(at, CATCHUP) for at in expected]


def test_no_more_than_the_cap_are_made_up_for_the_newest_of_them() -> None:
    timing = replace(caught_up(Overlap.ALL, 24 * 365), starts=instants("* * * * *"))
    decision = decide(timing, Known(mark=Mark(cursor=NOON - 300 * 24 * HOUR)), NOON + 30 * SECOND, most=100)
    assert [(act.what, act.at) for act in decision.acts] == [
        (What.DROP, NOON - 300 * 24 * HOUR + MINUTE),
        (What.START, NOON - 99 * MINUTE),
    ]
    assert "more than 100" in decision.acts[0].reason


def test_what_waited_before_a_downtime_without_catch_up_is_missed_with_the_rest() -> None:
    timing = replace(HOURLY, overlap=Overlap.LATEST)
    first = look(timing, NOON - MINUTE, NOON, going())
    decision = look(timing, first.mark.cursor, NOON + 8 * HOUR + 5 * MINUTE, behind=first.mark.behind)
    assert (started(decision), decision.mark.behind) == ([], None)


def test_a_long_window_costs_as_much_as_what_is_made_up_for() -> None:
    timing = replace(caught_up(Overlap.ALL, 24 * 365), starts=instants("* * * * *"))
    costs = []
    for days in (3, 300):
        with counted() as cost:
            decide(timing, Known(mark=Mark(cursor=NOON - days * 24 * HOUR)), NOON)
        costs.append(cost.lines)
    assert costs[1] < 1.5 * costs[0]


# ---------------------------------------------------------------- skip_if_successful


@pytest.mark.parametrize(
    ("succeeded_at", "made"),
    [
        pytest.param(None, True, id="never"),
        pytest.param(NOON - HOUR, True, id="the start before was one of its own"),
        pytest.param(NOON - HOUR + SECOND, False, id="since then somebody ran it"),
        pytest.param(NOON - 2 * HOUR + SECOND, True, id="before that does not count"),
    ],
)
def test_a_start_is_dropped_if_a_run_has_succeeded_since_the_one_before(succeeded_at: datetime | None, *, made: bool) -> None:
    timing = replace(HOURLY, skip_if_successful=True)
    decision = decide(timing, Known(mark=Mark(cursor=NOON - MINUTE), succeeded_at=succeeded_at), NOON)
    assert [act.what for act in decision.acts] == [What.START if made else What.DROP]


# ---------------------------------------------------------------- stop and restart


def test_a_stop_ends_what_went_on_then_and_nothing_that_began_later() -> None:
    timing = Timing(stops=instants("0 * * * *"))
    later = going(NOON + SECOND, run="r2")
    decision = look(timing, NOON - MINUTE, NOON + 5 * SECOND, going(), later)
    assert [(act.what, act.runs) for act in decision.acts] == [(What.STOP, ("r1",))]


def test_a_stop_and_a_restart_that_were_missed_are_not_made_up_for() -> None:
    timing = Timing(stops=instants("0 * * * *"), restarts=instants("30 * * * *"), catchup_window_s=36_000)
    assert look(timing, NOON - 3 * HOUR, NOON + 5 * MINUTE, going()).acts == ()


def test_stop_and_start_at_one_instant_are_done_in_this_order() -> None:
    timing = Timing(starts=instants("0 * * * *"), stops=instants("0 * * * *"))
    decision = look(timing, NOON - MINUTE, NOON, going())
    assert [act.what for act in decision.acts] == [What.STOP, What.START]


def test_a_restart_is_a_start_as_well() -> None:
    timing = Timing(starts=instants("0 * * * *"), restarts=instants("0 * * * *"))
    decision = look(timing, NOON - MINUTE, NOON, going())
    assert [(act.what, act.runs) for act in decision.acts] == [(What.RESTART, ("r1",))]


# ---------------------------------------------------------------- many looks in a row

LOOKS = st.lists(st.integers(1, 4 * 3600), min_size=1, max_size=30)
EXPRESSIONS = st.sampled_from(["* * * * *", "*/7 * * * *", "0 * * * *", "30 2 * * *", "0 0 1 * *", "15,45 1-3 * * *"])
TIMINGS = st.builds(
    lambda expression, zone, window_s, overlap: Timing(
        starts=instants(expression, zone=zone), catchup_window_s=window_s, overlap=overlap
    ),
    EXPRESSIONS,
    st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
    st.sampled_from([0, 600, 6 * 3600, 10 * 86_400]),
    st.sampled_from(list(Overlap)),
)
BEGINS = st.sampled_from([NOON, datetime(2026, 3, 28, 20, tzinfo=UTC), datetime(2026, 10, 24, 20, tzinfo=UTC)])


@given(TIMINGS, LOOKS, BEGINS, st.integers(1, 7200))
def test_every_instant_is_started_or_dropped_once_in_order_or_it_waits(
    timing: Timing, waits_s: list[int], begin: datetime, takes_s: int
) -> None:
    story = Story(timing=timing, takes=timedelta(seconds=takes_s), mark=Mark(cursor=begin))
    now = begin
    for wait_s in waits_s:
        now += timedelta(seconds=wait_s)
        story.look(now)
    due = list(timing.starts.within(begin, now))
    drops = [act for act in story.acts if act.what is What.DROP]
    fates = {at: (at in story.begun) + sum(act.at <= at <= (act.until or act.at) for act in drops) for at in due}
    waiting = {at for at in due if story.mark.behind is not None and at > story.mark.behind}

    assert story.begun == sorted(set(story.begun))
    assert set(story.begun) <= set(due)
    assert {at: fate for at, fate in fates.items() if fate != (0 if at in waiting else 1)} == {}


@given(TIMINGS, LOOKS, BEGINS)
def test_with_all_nothing_is_lost_that_the_window_holds(timing: Timing, waits_s: list[int], begin: datetime) -> None:
    timing = replace(timing, overlap=Overlap.ALL, catchup_window_s=10 * 86_400)
    story = Story(timing=timing, takes=SECOND, mark=Mark(cursor=begin), most=10_000)
    now = begin
    for wait_s in waits_s:
        now += timedelta(seconds=wait_s)
        story.look(now)
    while story.mark.behind is not None:
        now += 2 * SECOND
        story.look(now)

    assert story.begun == list(timing.starts.within(begin, now))


@given(TIMINGS, st.integers(0, 86_400), BEGINS)
def test_a_look_that_is_repeated_decides_nothing_new(timing: Timing, later_s: int, begin: datetime) -> None:
    now = begin + timedelta(seconds=later_s)
    first = decide(timing, Known(mark=Mark(cursor=begin)), now)
    if first.mark.behind is None:
        assert decide(timing, Known(mark=first.mark), now).acts == ()


def test_an_id_follows_from_the_dag_and_the_instant_alone() -> None:
    berlin = NOON.astimezone(ZoneInfo("Europe/Berlin"))
    assert run_id("etl", NOON) == run_id("etl", berlin)
    others = {run_id("etl", NOON), run_id("etl", NOON, 1), run_id("mail", NOON), run_id("etl", NOON + MINUTE)}
    assert len(others) == 4
