"""Every schedule of a folder: what it says, how far schedulers have looked, and what is due next."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo

from provisioning.core.dagu.declared import DagFile
from provisioning.core.instants import Instants, Timing, timing_of
from provisioning.core.schedules import Kept
from provisioning.core.scheduling import What
from provisioning.operations.dagu.catalogue import Entry
from provisioning.operations.dagu.times import zone


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduled:
    """One DAG that has a schedule."""

    entry: Entry
    dag: DagFile
    timing: Timing
    kept: Kept


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Upcoming:
    """One thing that will be due, if nothing changes. `at` is in UTC."""

    at: datetime
    name: str
    what: What


def list_schedules(entries: Iterable[Entry], kept: Mapping[str, Kept], local: tzinfo) -> list[Scheduled]:
    """Return the DAGs that have a schedule, in the order of `entries`; `local` is for schedules that name no zone."""
    found = []
    for entry in entries:
        dag = entry.reading.dag
        timing = timing_of(dag, local, zone, suspended=entry.suspended) if dag is not None else None
        if dag is not None and timing is not None:
            row = kept.get(entry.name, Kept(name=entry.name))
            found.append(Scheduled(entry=entry, dag=dag, timing=timing, kept=row))
    return found


def upcoming(schedules: Sequence[Scheduled], now: datetime) -> Iterator[Upcoming]:
    """Yield what is due after `now`, the earliest first; nothing of DAGs that are suspended."""
    heap = next_of_each(schedules, now)
    timings = {each.entry.name: each.timing for each in schedules}
    heapq.heapify(heap)
    while heap:
        one = heap[0]
        yield one
        following = _instants(timings[one.name])[one.what].next(one.at)
        if following is None:
            heapq.heappop(heap)
        else:
            heapq.heapreplace(heap, Upcoming(at=following, name=one.name, what=one.what))


def next_of_each(schedules: Iterable[Scheduled], now: datetime) -> list[Upcoming]:
    """Return the next start, stop and restart of each DAG, in no order; nothing of DAGs that are suspended."""
    return [one for each in schedules if not each.timing.suspended for one in _each_next(each.entry.name, each.timing, now)]


def _each_next(name: str, timing: Timing, now: datetime) -> Iterator[Upcoming]:
    for what, instants in _instants(timing).items():
        at = instants.next(now)
        if at is not None:
            yield Upcoming(at=at, name=name, what=what)


def _instants(timing: Timing) -> Mapping[What, Instants]:
    return {What.START: timing.starts, What.STOP: timing.stops, What.RESTART: timing.restarts}
