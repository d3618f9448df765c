"""When DAGs start: the next time, and where clock changes make that another one than in Dagu."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from provisioning.core.cron import Dagu, differences, next_after, parse
from provisioning.core.dagu.declared import Cron, DagFile, Schedule
from provisioning.core.faults import Fault
from provisioning.core.frozen import dataclass
from provisioning.core.shown import quote

LOOKED_AHEAD = timedelta(days=366)
SCHEDULES_MOST = 1_000  # of one DAG that are asked for their next time: it is a question for people
CHANGES_MOST = 50  # schedules of one DAG whose clock changes are looked up
_LOCALTIME = Path("/etc/localtime")


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockChange:
    """A time at which a schedule fires once, where Dagu skips it or starts twice."""

    cron: Cron
    zone: str
    at: datetime  # what the clock shows or would show, without a zone
    dagu: Dagu


@lru_cache(maxsize=128)
def zone(name: str) -> tzinfo | None:
    """Return a time zone by its name; None if this machine knows none of that name."""
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # a name of a folder, a bad name, an unknown one
        return None


def local_zone() -> tzinfo:
    """Return the machine's time zone, its clock changes included where it says which one it is."""
    said = zone(os.environ.get("TZ", "").removeprefix(":") or "/")
    if said is not None:
        return said
    if "TZ" not in os.environ:
        try:
            return _localtime(_LOCALTIME.stat().st_mtime_ns)
        except (OSError, ValueError):
            pass
    return datetime.now().astimezone().tzinfo or UTC


@lru_cache(maxsize=1)
def _localtime(_changed_ns: int) -> tzinfo:
    with _LOCALTIME.open("rb") as file:
        return ZoneInfo.from_file(file, key=_LOCALTIME.resolve().as_posix().rpartition("zoneinfo/")[2])


def zone_faults(dags: Iterable[DagFile], file: str) -> tuple[Fault, ...]:
    """Return the faults of schedules in time zones that this machine does not know: nobody can say when they are due."""
    return tuple(fault for dag in dags for cron in crons(dag.schedule) if (fault := _zone_fault(cron, file)) is not None)


def next_start(dag: DagFile, now: datetime, local: tzinfo) -> datetime | None:
    """Return when a DAG is started next, in UTC; None if never. Of several schedules the earliest counts.

    `local` is for schedules that name no zone.
    """
    expressions = list(dict.fromkeys(cron.expression for cron in dag.schedule.start))[:SCHEDULES_MOST]
    found = [_next(expression, now, local) for expression in expressions]
    once = [at for text in dag.schedule.at[:SCHEDULES_MOST] if (at := datetime.fromisoformat(text.upper())) > now]
    return min((at.astimezone(UTC) for at in (*found, *once) if at is not None), default=None)


def clock_changes(dag: DagFile, now: datetime, local: tzinfo) -> Iterator[ClockChange]:
    """Yield for each schedule of a DAG where, within a year, it first fires otherwise than in Dagu."""
    for cron in crons(dag.schedule)[:CHANGES_MOST]:
        schedule = parse(cron.expression)
        where = zone(schedule.zone) if schedule.zone else local
        first = next(differences(schedule, now, now + LOOKED_AHEAD, where), None) if where is not None else None
        if first is not None:
            yield ClockChange(cron=cron, zone=schedule.zone or str(where), at=first[0], dagu=first[1])


def crons(schedule: Schedule) -> tuple[Cron, ...]:
    """Return everything that a schedule does again and again."""
    return (*schedule.start, *schedule.stop, *schedule.restart)


def _zone_fault(cron: Cron, file: str) -> Fault | None:
    if "TZ=" not in cron.expression:
        return None
    name = parse(cron.expression).zone
    if not name or zone(name) is not None:
        return None
    message = f"found the time zone {quote(name)}, which this machine does not know"
    hint = "give a name such as Europe/Berlin"
    return Fault(code="unknown_zone", message=message, file=file, line=cron.line, column=cron.column, hint=hint)


def _next(expression: str, now: datetime, local: tzinfo) -> datetime | None:
    schedule = parse(expression)
    return next_after(schedule, now, (zone(schedule.zone) or local) if schedule.zone else local)
