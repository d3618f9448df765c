"""Past times of schedules that a server runs. They are remembered while it lives; the runs themselves are in the history."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from provisioning import wiring
from provisioning.core.backfill import Item, Reprocess, instants, plan
from provisioning.core.dagu.declared import DagFile
from provisioning.core.instants import timing_of
from provisioning.errors import UsageError
from provisioning.operations.dagu.running import check_params
from provisioning.operations.dagu.times import local_zone, zone
from provisioning.operations.hosting.schedules import HostRuns
from provisioning.operations.scheduler.backfilling import Backfill, states

if TYPE_CHECKING:
    from provisioning.operations.hosting.host import Host

REMEMBERED = 50
GOING_MOST = 10  # backfills at once


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Which times, and what of those that have a run already."""

    start: datetime
    end: datetime
    dry_run: bool = False
    reprocess_failed: bool = False
    reprocess_successful: bool = False
    parallel: int = 1
    limit: int = 1000

    @property
    def reprocess(self) -> Reprocess:
        """Which times are run anew."""
        both = {
            (False, False): Reprocess.NONE,
            (True, False): Reprocess.FAILED,
            (False, True): Reprocess.SUCCESSFUL,
            (True, True): Reprocess.COMPLETED,
        }
        return both[self.reprocess_failed, self.reprocess_successful]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Kept:
    id: str
    name: str
    dry_run: bool
    work: Backfill

    def document(self) -> dict[str, object]:
        progress = self.work.progress
        return {
            "id": self.id,
            "name": self.name,
            "dry_run": self.dry_run,
            "total": progress.total,
            "started": progress.started,
            "ended": progress.ended,
            "failed": progress.failed,
            "skipped": progress.skipped,
            "over": progress.over or self.dry_run,
            "items": [self._item(one) for one in self.work.items],
        }

    def _item(self, one: Item) -> dict[str, object]:
        state = self.work.progress.states.get(one.run_id)
        return {
            "at": one.at,
            "run_id": one.run_id,
            "action": one.action.value,
            "because": self.work.progress.errors.get(one.run_id, one.because),
            "status": state.value if state is not None else "",
        }


class Backfills:
    """Those of one host, in its event loop."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._kept: list[_Kept] = []
        self._tasks: set[asyncio.Task[object]] = set()

    async def begin(self, name: str, actor: str, asked: Range) -> Mapping[str, object]:
        """Begin, or with `dry_run` only say what would be run. Raises NotFoundError, UsageError, ConfigError."""
        if len(self._tasks) >= GOING_MOST and not asked.dry_run:
            raise UsageError(f"{GOING_MOST} backfills are going on", hint="wait until one has ended")
        dag = await self._host.library.loaded(name)
        check_params(dag, ())
        items = await asyncio.to_thread(self._items, dag, asked)
        work = Backfill(dag, items, HostRuns(self._host), parallel=asked.parallel, actor=actor)
        kept = _Kept(id=wiring.new_run_id(), name=dag.name, dry_run=asked.dry_run, work=work)
        if not asked.dry_run:
            self._kept = [kept, *self._kept][:REMEMBERED]
            task: asyncio.Task[object] = asyncio.create_task(work.run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return kept.document()

    def all(self) -> Sequence[Mapping[str, object]]:
        """Return how far all are, the newest first."""
        return [one.document() for one in self._kept]

    async def stop(self) -> None:
        """Start nothing more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _items(self, dag: DagFile, asked: Range) -> tuple[Item, ...]:
        timing = timing_of(dag, local_zone(), zone)
        if timing is None or not (timing.starts.lines or timing.starts.at):
            raise UsageError(f"{dag.name} has no schedule that starts it", hint="start it once instead")
        due = instants(timing.starts, asked.start, min(asked.end, self._host.now()), most=asked.limit)
        data = self._host.places.data
        return plan(dag.name, due, states(self._host.reading.pages(data).history, data), reprocess=asked.reprocess)
