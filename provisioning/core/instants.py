"""When a DAG is due: the instants of all its schedules together, in UTC, in order, each once.

What one cron expression means is decided in `core.cron`, also across clock changes.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta, tzinfo

from provisioning.core import cron
from provisioning.core.dagu.declared import Cron, DagFile, Overlap
from provisioning.core.frozen import dataclass
from provisioning.errors import ConfigError

ZoneOf = Callable[[str], tzinfo | None]
"""A time zone by its name; None where nobody knows it."""

LINES_MOST = 1_000
"""Expressions of one DAG: each of them is asked at every look."""
TICK = timedelta(microseconds=1)
_FIRST_REACH = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One cron expression, and the clock that it counts by."""

    schedule: cron.Schedule
    zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Instants:
    """Several expressions and single instants that mean the same thing, for example a start. `at` is in UTC and sorted."""

    lines: tuple[Line, ...] = ()
    at: tuple[datetime, ...] = ()

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant after another; None if there is none within nine years."""
        found = [cron.next_after(line.schedule, after, line.zone) for line in self.lines]
        found.append(next((one for one in self.at if one > after), None))
        return min((one for one in found if one is not None), default=None)

    def within(self, after: datetime, until: datetime) -> Iterator[datetime]:
        """Yield the instants after one and up to another, in order, each once."""
        streams = [cron.between(line.schedule, after, until, line.zone) for line in self.lines]
        single = (one for one in self.at if after < one <= until)
        last: datetime | None = None
        for instant in heapq.merge(*streams, single):
            if instant != last:
                yield instant
            last = instant

    def newest(self, after: datetime, until: datetime, most: int) -> list[datetime]:
        """Return the last `most` of those that `within` yields, without going through all of them."""
        reach = _FIRST_REACH
        while True:
            begin = until - reach if reach < until - after else after
            found = deque(self.within(begin, until), maxlen=most)
            if begin == after or len(found) == most:
                return list(found)
            reach *= 4


NONE = Instants()


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """When a DAG is started, stopped and restarted, and what happens to starts that were missed or that overlap."""

    starts: Instants = NONE
    stops: Instants = NONE
    restarts: Instants = NONE
    catchup_window_s: int = 0  # 0: missed starts are not made up for
    overlap: Overlap = Overlap.SKIP
    skip_if_successful: bool = False
    suspended: bool = False

    def next(self, after: datetime) -> datetime | None:
        """Return the first instant after another at which anything is due."""
        found = [each.next(after) for each in (self.starts, self.stops, self.restarts)]
        return min((one for one in found if one is not None), default=None)


def timing_of(dag: DagFile, local: tzinfo, zone_of: ZoneOf, *, suspended: bool = False) -> Timing | None:
    """Return what a DAG declares; None if it has no schedule. `local` is for expressions that name no zone.

    An expression in a zone that nobody knows is never due: `dag validate` names it. Raises ConfigError for too many of them.
    """
    declared = dag.schedule
    count = sum(map(len, (declared.start, declared.stop, declared.restart, declared.at)))
    if not count:
        return None
    if count > LINES_MOST:
        raise ConfigError(f"{dag.name} has {count:,} schedules, expected at most {LINES_MOST:,}")
    singles = {datetime.fromisoformat(text.upper()).astimezone(UTC) for text in declared.at}
    return Timing(
        starts=Instants(lines=_lines(declared.start, local, zone_of), at=tuple(sorted(singles))),
        stops=Instants(lines=_lines(declared.stop, local, zone_of)),
        restarts=Instants(lines=_lines(declared.restart, local, zone_of)),
        catchup_window_s=dag.catchup_window_s,
        overlap=dag.overlap_policy,
        skip_if_successful=dag.skip_if_successful,
        suspended=suspended,
    )


def _lines(declared: Sequence[Cron], local: tzinfo, zone_of: ZoneOf) -> tuple[Line, ...]:
    parsed = map(cron.parse, dict.fromkeys(one.expression for one in declared))
    zoned = ((schedule, zone_of(schedule.zone) if schedule.zone else local) for schedule in parsed)
    return tuple(Line(schedule=schedule, zone=zone) for schedule, zone in zoned if zone is not None)
