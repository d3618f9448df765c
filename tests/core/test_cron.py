from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import islice
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cost import counted

from provisioning.core.cron import Schedule, between, differences, next_after, parse
from provisioning.core.faults import Fault, Severity
from provisioning.errors import ConfigError

MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")  # forward on 2026-03-29 at 2:00, back on 2026-10-25 at 3:00
HAVANA = ZoneInfo("America/Havana")  # forward at 0:00, back at 1:00
LORD_HOWE = ZoneInfo("Australia/Lord_Howe")  # by half an hour
APIA = ZoneInfo("Pacific/Apia")  # left out 2011-12-30
NUUK = ZoneInfo("America/Nuuk")  # back over midnight: 2022-10-29 23:00 follows 23:59:59


@pytest.mark.parametrize(
    ("text", "following"),
    [
        pytest.param("* * * * *", ["2026-01-01 00:01", "2026-01-01 00:02"], id="every minute"),
        pytest.param("*/20 * * * *", ["2026-01-01 00:20", "2026-01-01 00:40", "2026-01-01 01:00"], id="steps"),
        pytest.param("5/20 3 * * ?", ["2026-01-01 03:05", "2026-01-01 03:25", "2026-01-01 03:45"], id="steps from a number"),
        pytest.param(
            "0-10/5,30 3 * * *", ["2026-01-01 03:00", "2026-01-01 03:05", "2026-01-01 03:10", "2026-01-01 03:30"], id="list"
        ),
        pytest.param("0 12 * * MON-fri", ["2026-01-01 12:00", "2026-01-02 12:00", "2026-01-05 12:00"], id="weekdays"),
        pytest.param("0 0 1 jan,JUL *", ["2026-07-01 00:00", "2027-01-01 00:00"], id="months"),
        pytest.param("0 0 * * 0", ["2026-01-04 00:00", "2026-01-11 00:00"], id="Sunday is 0"),
        pytest.param("0 0 13 * FRI", ["2026-01-02 00:00", "2026-01-09 00:00", "2026-01-13 00:00"], id="either day is enough"),
        pytest.param(
            "0 0 */10 * MON", ["2026-01-05 00:00", "2026-01-11 00:00", "2026-01-12 00:00"], id="a step restricts a day"
        ),
        pytest.param("0 0 */1 * MON", ["2026-01-05 00:00", "2026-01-12 00:00"], id="a step of one does not"),
        pytest.param("0 0 ? * TUE", ["2026-01-06 00:00"], id="a question mark is a star"),
        pytest.param("0 0 29 2 *", ["2028-02-29 00:00", "2032-02-29 00:00"], id="leap days"),
        pytest.param("  0\t0 1  1 * ", ["2027-01-01 00:00"], id="blanks"),
    ],
)
def test_d36_when_a_schedule_fires(text: str, following: list[str]) -> None:
    fires = islice(between(parse(text), at("2026-01-01 00:00"), at("2040-01-01 00:00"), UTC), len(following))
    assert [f"{one:%Y-%m-%d %H:%M}" for one in fires] == following


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        pytest.param("", 1, "found 0 fields, expected minute, hour, day of month, month, day of week", id="nothing"),
        pytest.param("* * * *", 8, "found 4 fields, expected minute, hour", id="four fields"),
        pytest.param("0 * * * * *", 11, "found 6 fields", id="seconds"),
        pytest.param("60 * * * *", 1, 'minute: found "60", expected 0 to 59', id="minute"),
        pytest.param("* 24 * * *", 3, 'hour: found "24", expected 0 to 23', id="hour"),
        pytest.param("* * 0 * *", 5, 'day of month: found "0", expected 1 to 31', id="day"),
        pytest.param("* * * 13 *", 7, 'month: found "13", expected 1 to 12 or JAN to DEC', id="month"),
        pytest.param("* * * * 7", 9, 'day of week: found "7", expected 0 to 6 or SUN to SAT', id="D36 Sunday is not 7"),
        pytest.param("* * * * 1,MO,3", 11, 'day of week: found "MO"', id="in a list"),
        pytest.param("5-61 * * * *", 3, 'minute: found "61"', id="in a range"),
        pytest.param("30-10 * * * *", 1, 'minute: found the range "30-10", expected its end after its beginning', id="range"),
        pytest.param("*/0 * * * *", 3, "minute: found the step 0, expected 1 or more", id="step 0"),
        pytest.param("*/x * * * *", 3, 'minute: found the step "x", expected a number', id="step"),
        pytest.param("1,,2 * * * *", 3, 'minute: found "", expected 0 to 59', id="an empty item"),
        pytest.param("-5 * * * *", 1, 'minute: found ""', id="below zero"),
        pytest.param("1.5 * * * *", 1, 'minute: found "1.5"', id="a fraction"),
        pytest.param("٣ * * * *", 1, "minute: found", id="digits of other scripts"),
        pytest.param("* * JAN * *", 5, 'day of month: found "JAN"', id="a name in another field"),
        pytest.param("TZ=Mars/../x 0 0 * * *", 4, 'found the time zone "Mars/../x"', id="zone"),
        pytest.param("CRON_TZ= 0 0 * * *", 9, 'found the time zone ""', id="no zone"),
        pytest.param("0 0 * * *" + " " * 1_000, 1, "found 1,009 characters", id="too long"),
        pytest.param("TZ=UTC @daily", 8, 'found "@daily", expected five fields', id="D36 alias behind a zone"),
    ],
)
def test_d36_a_fault_says_where_and_what_was_expected(text: str, column: int, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    (fault,) = caught.value.faults
    assert (fault.column, fault.message[: len(message)]) == (column, message)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("@daily", 'write "0 0 * * *"'),
        ("@every 5m", ""),
        ("* * * * 7", "Sunday is 0"),
        ("0 0 0 * * *", "there is no field for seconds"),
    ],
)
def test_d36_what_cron_has_elsewhere_is_refused_with_what_to_write_instead(text: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.faults[0].hint == hint


@pytest.mark.parametrize("prefix", ["TZ=Europe/Berlin", "CRON_TZ=Europe/Berlin"])
def test_a_zone_may_stand_before_the_fields(prefix: str) -> None:
    schedule = parse(f"{prefix} 0 5 * * *")
    assert schedule.zone == "Europe/Berlin"
    assert next_after(schedule, at("2026-01-01 00:00"), BERLIN) == at("2026-01-01 04:00")


@pytest.mark.parametrize(
    ("text", "warnings"),
    [
        ("*/7 * * * *", ["minute: steps of 7 are uneven: after 56 comes 0"]),
        ("*/15 */5 * * *", ["hour: steps of 5 are uneven: after 20 comes 0"]),
        ("0 0 */2 * *", ["day of month: steps of 2 are uneven: after 31 comes 1"]),
        ("0 0 * * */3", ["day of week: steps of 3 are uneven: after 6 comes 0"]),
        ("*/15 */6 * */4 *", []),
        ("0-30/7 * * * *", []),
        ("0 0 30 2 *", ["it never fires: there is no such day in any year"]),
        ("0 0 31 4,6,9,11 *", ["it never fires: there is no such day in any year"]),
        ("0 0 30 2 MON", []),
    ],
)
def test_what_is_odd_is_a_warning(text: str, warnings: list[str]) -> None:
    found = parse(text).warnings
    assert [one.message for one in found] == warnings
    assert all(one.severity is Severity.WARNING and one.column for one in found)


@pytest.mark.parametrize("text", ["0 0 30 2 *", "* * 31 2 *", "59 23 31 11 *"])
def test_a_day_that_never_comes_ends_the_search(text: str) -> None:
    with counted() as cost:
        assert next_after(parse(text), at("2026-01-01 00:00"), BERLIN) is None
    assert cost.lines < 20_000


def test_the_end_of_the_calendar_ends_the_search() -> None:
    assert next_after(parse("* * * * *"), datetime(9999, 12, 31, tzinfo=UTC), BERLIN) is None


def test_leap_days_are_found_over_the_year_that_has_none() -> None:
    assert next_after(parse("0 0 29 2 *"), at("2096-03-01 00:00"), UTC) == at("2104-02-29 00:00")


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        next_after(parse("* * * * *"), datetime(2026, 1, 1), UTC)  # noqa: DTZ001 - that is the point


# ---------------------------------------------------------------- clock changes

DAY_OF = {
    "jump": ("2026-03-28 12:00", "2026-03-30 12:00"),
    "back": ("2026-10-24 12:00", "2026-10-26 12:00"),
}


@pytest.mark.parametrize(
    ("text", "change", "shown"),
    [
        pytest.param("30 2 * * *", "jump", ["29 03:00+2", "30 02:30+2"], id="jumped over: when it has jumped"),
        pytest.param(
            "0,15,30 2 * * *", "jump", ["29 03:00+2", "30 02:00+2", "30 02:15+2", "30 02:30+2"], id="several: one start"
        ),
        pytest.param("0 2,3 * * *", "jump", ["29 03:00+2", "30 02:00+2", "30 03:00+2"], id="one that is due anyway"),
        pytest.param("59 1 * * *", "jump", ["29 01:59+1", "30 01:59+2"], id="just before"),
        pytest.param("30 2 * * *", "back", ["25 02:30+2", "26 02:30+1"], id="twice: the first"),
        pytest.param(
            "0 2,3 * * *", "back", ["25 02:00+2", "25 03:00+1", "26 02:00+1", "26 03:00+1"], id="and what comes after"
        ),
        pytest.param(
            "0 */3 * * *", "jump", ["28 15:00+1", "28 18:00+1", "28 21:00+1", "29 00:00+1", "29 03:00+2"], id="open hours"
        ),
        pytest.param("30 */2 29 * *", "jump", ["29 00:30+1", "29 04:30+2", "29 06:30+2"], id="open hours: a time is left out"),
        pytest.param(
            "15 * 25 * *", "back", ["25 00:15+2", "25 01:15+2", "25 02:15+2", "25 02:15+1", "25 03:15+1"], id="every hour"
        ),
        pytest.param(
            "*/30 2 * * *", "back", ["25 02:00+2", "25 02:30+2", "25 02:00+1", "25 02:30+1", "26 02:00+1"], id="open minutes"
        ),
        pytest.param("*/30 2 * * *", "jump", ["30 02:00+2", "30 02:30+2"], id="open minutes of an hour that is left out"),
    ],
)
def test_y7_across_a_clock_change(text: str, change: str, shown: list[str]) -> None:
    begin, end = (at(one) for one in DAY_OF[change])
    instants = islice(between(parse(text), begin, end, BERLIN), len(shown))
    fires = [one.astimezone(BERLIN) for one in instants]
    assert [f"{one:%d %H:%M}+{(one.utcoffset() or timedelta()) // timedelta(hours=1)}" for one in fires] == shown


def test_y7_a_day_that_a_country_left_out_has_no_start() -> None:
    fires = between(parse("0 12 * * *"), at("2011-12-29 00:00"), at("2012-01-01 00:00"), APIA)
    assert [f"{one.astimezone(APIA):%m-%d %H:%M}" for one in fires] == ["12-29 12:00", "12-31 12:00", "01-01 12:00"]


@pytest.mark.parametrize(
    ("text", "differs"),
    [
        ("30 2 * * *", ["03-29 02:30 skips", "10-25 02:30 doubles"]),
        ("0 1-3 * * SUN", ["03-29 02:00 skips", "10-25 02:00 doubles"]),
        ("30 4 * * *", []),
        ("30 2 * * MON", []),
        ("*/10 2 * * *", []),
    ],
)
def test_y7_where_dagu_skips_and_doubles(text: str, differs: list[str]) -> None:
    found = differences(parse(text), at("2026-01-01 00:00"), at("2027-01-01 00:00"), BERLIN)
    assert [f"{wall:%m-%d %H:%M} {dagu}" for wall, dagu in found] == differs


EVERY_CHANGE = [
    pytest.param(BERLIN, "2026-03-27 00:00", id="Berlin, forward"),
    pytest.param(BERLIN, "2026-10-23 00:00", id="Berlin, back"),
    pytest.param(HAVANA, "2026-03-06 00:00", id="Havana, forward over midnight"),
    pytest.param(HAVANA, "2026-10-30 00:00", id="Havana, back to midnight"),
    pytest.param(LORD_HOWE, "2026-10-02 00:00", id="Lord Howe, forward by half an hour"),
    pytest.param(LORD_HOWE, "2026-04-03 00:00", id="Lord Howe, back by half an hour"),
    pytest.param(NUUK, "2022-10-28 00:00", id="Nuuk, back before midnight"),
    pytest.param(ZoneInfo("America/Goose_Bay"), "2010-11-05 00:00", id="Goose Bay, back over midnight"),
    pytest.param(APIA, "2011-12-28 00:00", id="Apia, over a day"),
    pytest.param(ZoneInfo("Africa/Casablanca"), "2026-02-13 00:00", id="Casablanca, for Ramadan"),
]
TIMES = st.sampled_from(["0", "5", "30", "59", "0,30", "0-59/10", "1", "15,45"])
HOURS = st.sampled_from(["0", "1", "2", "3", "23", "0,1", "1-3", "0,23", "22-23", "0,12"])
OPEN = st.sampled_from(["*", "*/7", "0/20", "0-59"])
OPEN_HOURS = st.sampled_from(["*", "*/2", "1/3", "0-23"])
DAYS = st.sampled_from(["* * *", "*/2 * *", "* * SUN", "* * SAT,MON", "1-15 * FRI"])


@pytest.mark.parametrize(("zone", "begin"), EVERY_CHANGE)
@given(minutes=TIMES, hours=HOURS, days=DAYS)
def test_y7_fixed_times_fire_once_a_day_as_a_clock_that_is_watched_says(
    zone: ZoneInfo, begin: str, minutes: str, hours: str, days: str
) -> None:
    schedule = parse(f"{minutes} {hours} {days}")
    assert schedule.fixed
    assert four_days(schedule, begin, zone) == list(watched_fixed(schedule, begin, zone))


@pytest.mark.parametrize(("zone", "begin"), EVERY_CHANGE)
@given(pair=st.tuples(OPEN, HOURS) | st.tuples(TIMES, OPEN_HOURS) | st.tuples(OPEN, OPEN_HOURS), days=DAYS)
def test_y7_open_times_fire_whenever_the_clock_shows_them(zone: ZoneInfo, begin: str, pair: tuple[str, str], days: str) -> None:
    schedule = parse(f"{pair[0]} {pair[1]} {days}")
    assert not schedule.fixed
    assert four_days(schedule, begin, zone) == list(watched_open(schedule, begin, zone))


@given(
    minutes=TIMES | OPEN,
    hours=HOURS | OPEN_HOURS,
    days=DAYS,
    seconds=st.integers(0, 4 * 10**9),
)
def test_away_from_clock_changes_the_next_time_is_the_first_minute_that_fits(
    minutes: str, hours: str, days: str, seconds: int
) -> None:
    schedule, after = parse(f"{minutes} {hours} {days}"), datetime.fromtimestamp(seconds, UTC)
    found = next_after(schedule, after, UTC)
    assert found is not None
    assert found > after
    assert shows(schedule, found, UTC)
    first = after.replace(second=0, microsecond=0) + MINUTE
    passed = (first + number * MINUTE for number in range(min(3_000, (found - first) // MINUTE)))
    assert not any(shows(schedule, one, UTC) for one in passed)


@given(st.text(alphabet="0123456789*/,-? MONJAN@TZ=", max_size=30))
def test_any_text_is_a_schedule_or_a_fault_with_a_column(text: str) -> None:
    schedule = parsed_or_fault(text)
    if isinstance(schedule, Fault):
        assert 1 <= schedule.column <= len(text) + 1
    else:
        found = next_after(schedule, at("2026-01-01 00:00"), BERLIN)
        assert (found is None) is any("never" in one.message for one in schedule.warnings)


def test_the_next_time_costs_the_same_for_every_minute_as_for_every_year() -> None:
    def lines(text: str) -> int:
        schedule = parse(text)
        with counted() as cost:
            next_after(schedule, at("2026-06-15 12:00"), BERLIN)
        return cost.lines

    lines("* * * * *")  # the times of a day are counted once
    assert lines("* * * * *") < 500
    assert lines("0 0 1 1 *") < 3_000


# ---------------------------------------------------------------- a clock that is watched


def parsed_or_fault(text: str) -> Schedule | Fault:
    try:
        return parse(text)
    except ConfigError as error:
        return error.faults[0]


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def four_days(schedule: Schedule, begin: str, zone: ZoneInfo) -> list[datetime]:
    return list(between(schedule, at(begin), at(begin) + timedelta(days=4), zone))


def shows(schedule: Schedule, instant: datetime, zone: tzinfo) -> bool:
    return fits(schedule, instant.astimezone(zone))


def fits(schedule: Schedule, wall: datetime) -> bool:
    at_time = wall.minute in schedule.minutes.values and wall.hour in schedule.hours.values
    return at_time and schedule.on(wall.date())


@lru_cache
def clock(zone: ZoneInfo, begin: str) -> list[tuple[datetime, datetime, list[datetime]]]:
    """Watch a clock for four days: every minute, what it shows, and what it shows or jumps over for the first time.

    What it showed in the two days before is known. The times of a day that was left out altogether do not count.
    """
    first = at(begin) - timedelta(days=2)
    latest = first.astimezone(zone).replace(tzinfo=None)
    seen: list[tuple[datetime, datetime, list[datetime]]] = []
    for instant in (first + number * MINUTE for number in range(6 * 24 * 60 + 1)):
        wall = instant.astimezone(zone).replace(tzinfo=None, fold=0)
        new = [latest + number * MINUTE for number in range(1, (wall - latest) // MINUTE + 1)]
        seen.append((instant, wall, [one for one in new if one.date() in {wall.date(), latest.date()}]))
        latest = max(latest, wall)
    return [one for one in seen if one[0] > at(begin)]


def watched_fixed(schedule: Schedule, begin: str, zone: ZoneInfo) -> Iterator[datetime]:
    return (instant for instant, _, new in clock(zone, begin) if any(fits(schedule, one) for one in new))


def watched_open(schedule: Schedule, begin: str, zone: ZoneInfo) -> Iterator[datetime]:
    return (instant for instant, wall, _ in clock(zone, begin) if fits(schedule, wall))
