"""Cron expressions as Dagu files have them, and when they fire, also across clock changes.

Five fields (minute, hour, day of month, month, day of week 0-6) with names, `?`, lists, ranges and steps, perhaps after
`TZ=Area/City ` or `CRON_TZ=Area/City `; no seconds, no `@daily`. Where both days are restricted, either is enough.

A schedule at fixed times fires once for each of its times on every local day: for a time that the clock jumps over, when it has
jumped; at a time that comes twice, the first time. Several times in one jump are one start. A schedule whose minutes or hours
are open (`*`, `*/5`, all of them) follows real time instead: it fires whenever the clock shows one of its times.

Instants are in UTC: Python compares and subtracts times of one other zone by what its clock shows, which goes wrong just here.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from enum import StrEnum
from functools import lru_cache

from provisioning.core.faults import Fault, Severity
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote
from provisioning.errors import ConfigError

LONGEST_CHARS = 1_000
KEPT = 4_096  # expressions and next times that are remembered
_MONTHS = 9 * 12  # 29 February can be eight years away
_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)
_DAY = timedelta(days=1)
_LAST_DAY = date.max - _DAY
_WORD = re.compile(r"\S+")
_ZONE = re.compile(r"(?:CRON_)?TZ=(\S*)")
_ZONE_NAME = re.compile(r"[A-Za-z0-9+_-]+(?:/[A-Za-z0-9+_-]+)*\Z")
_STEP = re.compile(r"(?P<range>[^/]*)(?:/(?P<step>[0-9]{1,4}))?\Z")
_EVERYTHING = frozenset({"*", "?"})
_ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kind:
    """One of the five fields."""

    name: str
    low: int
    high: int
    words: tuple[str, ...] = ()  # for `low` and what follows

    @property
    def size(self) -> int:
        return self.high - self.low + 1

    @property
    def expected(self) -> str:
        named = f" or {self.words[0]} to {self.words[-1]}" if self.words else ""
        return f"{self.low} to {self.high}{named}"


_KINDS = (
    _Kind(name="minute", low=0, high=59),
    _Kind(name="hour", low=0, high=23),
    _Kind(name="day of month", low=1, high=31),
    _Kind(
        name="month",
        low=1,
        high=12,
        words=("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"),
    ),
    _Kind(name="day of week", low=0, high=6, words=("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """The values of one field. `every` says that it restricts nothing, `open` that it was written without an end."""

    values: frozenset[int]
    every: bool = False
    open: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A parsed expression. `zone` is the name it begins with, or empty; the caller knows zones."""

    text: str
    minutes: Field
    hours: Field
    days: Field
    months: Field
    weekdays: Field  # 0 is Sunday
    zone: str = ""
    warnings: tuple[Fault, ...] = ()

    @property
    def fixed(self) -> bool:
        """Whether it fires at fixed times of the day, rather than again and again."""
        return not (self.minutes.open or self.hours.open)

    def on(self, day: date) -> bool:
        """Whether it fires on a day of the calendar."""
        if day.month not in self.months.values:
            return False
        in_month = day.day in self.days.values
        in_week = day.isoweekday() % 7 in self.weekdays.values
        return in_month and in_week if self.days.every or self.weekdays.every else in_month or in_week


# ---------------------------------------------------------------- reading


class _Wrong(Exception):
    def __init__(self, message: str, column: int, hint: str = "") -> None:
        super().__init__(message)
        self.fault = Fault(code="bad_schedule", message=message, line=1, column=column, hint=hint)


@lru_cache(maxsize=KEPT)
def parse(text: str) -> Schedule:
    """Return what an expression means. Raises ConfigError, whose one fault has the column and what was expected there."""
    try:
        return _parsed(text)
    except _Wrong as wrong:
        fault = wrong.fault
        raise ConfigError(f"schedule {quote(text)}: {fault.message}", hint=fault.hint, faults=(fault,)) from None


def _parsed(text: str) -> Schedule:
    if len(text) > LONGEST_CHARS:
        raise _Wrong(f"found {len(text):,} characters, expected at most {LONGEST_CHARS:,}", 1)
    words = list(_WORD.finditer(text))
    zone = _zone(words[0]) if words and _ZONE.match(words[0][0]) else ""
    words = words[1:] if zone else words
    if words and words[0][0].startswith("@"):
        meant = _ALIASES.get(words[0][0].lower())
        hint = f'write "{meant}"' if meant else ""
        raise _Wrong(f"found {quote(words[0][0])}, expected five fields", words[0].start() + 1, hint)
    if len(words) != len(_KINDS):
        column = words[5].start() + 1 if len(words) > 5 else len(text.rstrip()) + 1
        hint = "there is no field for seconds" if len(words) == 6 else ""
        raise _Wrong(f"found {len(words)} fields, expected minute, hour, day of month, month, day of week", column, hint)
    warnings: list[Fault] = []
    fields = [_field(kind, word, warnings) for kind, word in zip(_KINDS, words, strict=True)]
    minutes, hours, days, months, weekdays = fields
    schedule = Schedule(text=text, minutes=minutes, hours=hours, days=days, months=months, weekdays=weekdays, zone=zone)
    if not _ever(schedule):
        warnings.append(_warning("never_fires", "it never fires: there is no such day in any year", words[2].start() + 1))
    return replace(schedule, warnings=tuple(warnings))


def _zone(word: re.Match[str]) -> str:
    name = word[0].partition("=")[2]
    if not _ZONE_NAME.match(name):
        column = word.start() + word[0].index("=") + 2
        raise _Wrong(f"found the time zone {quote(name)}, expected a name such as Europe/Berlin", column)
    return name


def _field(kind: _Kind, word: re.Match[str], warnings: list[Fault]) -> Field:
    values: set[int] = set()
    every = unbounded = False
    column = word.start() + 1
    for item in word[0].split(","):
        found, item_every, item_open = _item(kind, item, column, warnings)
        values.update(found)
        every, unbounded = every or item_every, unbounded or item_open
        column += len(item) + 1
    return Field(values=frozenset(values), every=every, open=unbounded or len(values) == kind.size)


def _item(kind: _Kind, item: str, column: int, warnings: list[Fault]) -> tuple[range, bool, bool]:
    """Return the values of one item of a list, whether it is everything, and whether it has no end of its own."""
    parts = _STEP.match(item)
    if parts is None:
        slash = item.index("/")
        raise _Wrong(f"{kind.name}: found the step {quote(item[slash + 1 :])}, expected a number", column + slash + 1)
    written, step_text = parts["range"], parts["step"]
    step = int(step_text or 1)
    if step == 0:
        raise _Wrong(f"{kind.name}: found the step 0, expected 1 or more", column + parts.start("step"))
    everything = written in _EVERYTHING
    low, high = (kind.low, kind.high) if everything else _range(kind, written, column)
    no_end = everything or (step_text is not None and "-" not in written)
    high = kind.high if no_end else high
    if no_end and everything and step > 1 and (kind.size % step or kind.name == "day of month"):
        warnings.append(_uneven(kind, step, column))
    return range(low, high + 1, step), everything and step == 1, no_end


def _range(kind: _Kind, written: str, column: int) -> tuple[int, int]:
    first, dash, last = written.partition("-")
    low = _number(kind, first, column)
    if not dash:
        return low, low
    high = _number(kind, last, column + len(first) + 1)
    if high < low:
        raise _Wrong(f"{kind.name}: found the range {quote(written)}, expected its end after its beginning", column)
    return low, high


def _number(kind: _Kind, text: str, column: int) -> int:
    if text.upper() in kind.words:
        return kind.low + kind.words.index(text.upper())
    if re.fullmatch(r"[0-9]{1,4}", text) and kind.low <= int(text) <= kind.high:
        return int(text)
    hint = "Sunday is 0" if kind.low == 0 and kind.high == 6 and text == "7" else ""
    raise _Wrong(f"{kind.name}: found {quote(text)}, expected {kind.expected}", column, hint)


def _uneven(kind: _Kind, step: int, column: int) -> Fault:
    last = kind.low + (kind.size - 1) // step * step
    message = f"{kind.name}: steps of {step} are uneven: after {last} comes {kind.low}"
    return _warning("uneven_step", message, column)


def _warning(code: str, message: str, column: int) -> Fault:
    return Fault(code=code, message=message, severity=Severity.WARNING, line=1, column=column)


def _ever(schedule: Schedule) -> bool:
    return next(_days(schedule, date(2000, 1, 1)), None) is not None


# ---------------------------------------------------------------- when it fires


def next_after(schedule: Schedule, at: datetime, tz: tzinfo) -> datetime | None:
    """Return the first instant after `at` at which a schedule fires by the clock of `tz`; None: not within nine years.

    Raises ValueError for an `at` without a time zone.
    """
    found = _next_in_minute(schedule, at.replace(second=0, microsecond=0), tz)
    return found if found is None or found > at else next(_after(schedule, at, tz), None)


@lru_cache(maxsize=KEPT)
def _next_in_minute(schedule: Schedule, at: datetime, tz: tzinfo) -> datetime | None:
    """Within a minute that is the same, and a list of 1,000 DAGs asks again and again."""
    return next(_after(schedule, at, tz), None)


def between(schedule: Schedule, after: datetime, until: datetime, tz: tzinfo) -> Iterator[datetime]:
    """Yield the instants after `after` and up to `until`, both with a time zone, in order and one at a time."""
    end = until.astimezone(UTC)
    for instant in _after(schedule, after, tz):
        if instant > end:
            return
        yield instant


class Dagu(StrEnum):
    """What Dagu does where we fire once."""

    SKIPS = "skips"
    DOUBLES = "doubles"


def differences(schedule: Schedule, after: datetime, until: datetime, tz: tzinfo) -> Iterator[tuple[datetime, Dagu]]:
    """Yield where a schedule fires otherwise than in Dagu: what the clock would show, and what Dagu does.

    Only days of `tz` after that of `after`, up to that of `until`; there are none for schedules that follow real time.
    """
    last = until.astimezone(tz).date()
    for day in _days(schedule, after.astimezone(tz).date() + _DAY):
        if day > last or not schedule.fixed:
            return
        if not _plain(day, _first(_midnight(day), tz), _first(_midnight(day + _DAY), tz), tz):
            for wall in _walls(schedule, day):
                shown = len(_both(wall, tz))
                if shown != 1:
                    yield wall, Dagu.DOUBLES if shown else Dagu.SKIPS


def _after(schedule: Schedule, at: datetime, tz: tzinfo) -> Iterator[datetime]:
    """Yield the instants after `at`. Where a clock is put back over midnight, a day is not over when the next one begins."""
    if at.tzinfo is None:
        raise ValueError("a time without a time zone says nothing")
    last = at.astimezone(UTC)
    held: list[datetime] = []
    for day in _days(schedule, last.astimezone(tz).date() - _DAY):
        begins, ends = _first(_midnight(day), tz), _first(_midnight(day + _DAY), tz)
        if ends <= last:
            continue
        if not held and _plain(day, begins, ends, tz):
            yield from _on_plain_day(schedule, begins, last)
            continue
        held = sorted({*held, *_on_odd_day(schedule, day, tz)})
        over = bisect_left(held, ends)
        yield from (instant for instant in held[:over] if instant > last)
        held = held[over:]
    yield from (instant for instant in held if instant > last)


def _days(schedule: Schedule, first: date) -> Iterator[date]:
    """Yield the days of the calendar from `first` on, until there is none within nine years."""
    month, without = first.replace(day=1), 0
    while without < _MONTHS and month < _LAST_DAY.replace(day=1):
        following = (month + 31 * _DAY).replace(day=1)
        without += 1
        if month.month in schedule.months.values:
            for number in range((following - month).days):
                day = month + number * _DAY
                if day >= first and schedule.on(day):
                    yield day
                    without = 0
        month = following


@lru_cache(maxsize=256)
def _times(minutes: frozenset[int], hours: frozenset[int]) -> tuple[int, ...]:
    """Return the times of a day, in minutes after midnight."""
    return tuple(hour * 60 + minute for hour in sorted(hours) for minute in sorted(minutes))


def _walls(schedule: Schedule, day: date) -> list[datetime]:
    """Return what a clock shows when the schedule is due on a day."""
    times = _times(schedule.minutes.values, schedule.hours.values)
    return [_midnight(day) + timedelta(minutes=minutes) for minutes in times]


def _on_plain_day(schedule: Schedule, begins: datetime, last: datetime) -> Iterator[datetime]:
    times = _times(schedule.minutes.values, schedule.hours.values)
    passed = bisect_right(times, (last - begins) // _MINUTE)
    return (begins + timedelta(minutes=minutes) for minutes in times[passed:])


def _on_odd_day(schedule: Schedule, day: date, tz: tzinfo) -> list[datetime]:
    """Return the instants of a day on which the clock is changed."""
    walls = _walls(schedule, day)
    if not schedule.fixed:
        return [instant for wall in walls for instant in _both(wall, tz)]
    if not _both(_midnight(day), tz) and not _both(datetime.combine(day, time(23, 59)), tz):
        return []  # a day that was left out altogether, such as 30 December 2011 in Samoa
    return [_first(wall, tz) for wall in walls]


# ---------------------------------------------------------------- clocks


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def _plain(day: date, begins: datetime, ends: datetime, tz: tzinfo) -> bool:
    """Whether nothing happens to the clock on a day: what it shows when it begins and ends is enough to know."""
    midnights = ((_midnight(day), begins), (_midnight(day + _DAY), ends))
    return ends - begins == _DAY and all(_both(wall, tz) == [instant] for wall, instant in midnights)


def _both(wall: datetime, tz: tzinfo) -> list[datetime]:
    """Return the instants, in UTC, at which a clock shows `wall`: one, or none, or two."""
    instants = sorted({wall.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (0, 1)})
    return [instant for instant in instants if instant.astimezone(tz).replace(tzinfo=None) == wall]


def _first(wall: datetime, tz: tzinfo) -> datetime:
    """Return when a clock first shows `wall`, or jumps over it, in UTC."""
    if shown := _both(wall, tz):
        return shown[0]
    before, after = (wall.replace(tzinfo=tz, fold=fold).astimezone(UTC) for fold in (1, 0))
    offset = after.astimezone(tz).utcoffset()
    while after - before > _SECOND:
        middle = before + (after - before) // 2 // _SECOND * _SECOND
        before, after = (before, middle) if middle.astimezone(tz).utcoffset() == offset else (middle, after)
    return after
