"""Marks and pauses of schedules, in a dict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from provisioning.adapters.memory.history import MemoryHistory
from provisioning.core.history import RunSummary
from provisioning.core.model import RUN_ENDED, RunState
from provisioning.core.schedules import SCHEDULED_AT, Going, Kept, Mark

_ALL = 1_000_000


class MemorySchedules:
    """Fulfils `core.schedules.Schedules` beside a `MemoryHistory`."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self._kept: dict[str, Kept] = {}

    async def kept(self, names: Sequence[str] | None = None) -> Mapping[str, Kept]:
        """See `Schedules`."""
        return {name: one for name, one in self._kept.items() if names is None or name in names}

    async def put(self, marks: Mapping[str, Mark]) -> None:
        """See `Schedules`."""
        for name, mark in marks.items():
            one = self._of(name)
            if one.mark is None or one.mark.cursor <= mark.cursor:
                self._kept[name] = replace(one, mark=mark)

    async def advance(self, names: Sequence[str], cursor: datetime) -> None:
        """See `Schedules`."""
        for name in names:
            mark = self._of(name).mark
            if mark is None or (mark.cursor < cursor and mark.behind is None):
                self._kept[name] = replace(self._of(name), mark=Mark(cursor=cursor))

    async def restarting(self, name: str, at: datetime | None) -> None:
        """See `Schedules`."""
        self._kept[name] = replace(self._of(name), restarting=at)

    async def pause(self, name: str, by: str, at: datetime) -> None:
        """See `Schedules`."""
        self._kept[name] = replace(self._of(name), paused_by=by, paused_at=at)

    async def resume(self, name: str, at: datetime) -> None:
        """See `Schedules`."""
        mark = self._of(name).mark
        cursor = max(mark.cursor, at) if mark is not None else at
        self._kept[name] = Kept(name=name, mark=Mark(cursor=cursor), restarting=self._of(name).restarting)

    async def going(self, names: Sequence[str]) -> list[Going]:
        """See `Schedules`."""
        found = [run for run in self._runs() if run.state not in RUN_ENDED and run.workflow in names]
        return [
            Going(run_id=run.run_id, name=run.workflow, began_at=run.started_at or run.created_at, trigger=run.trigger)
            for run in reversed(found)
        ]

    async def succeeded_at(self, name: str) -> datetime | None:
        """See `Schedules`."""
        for run in self._runs():
            if run.workflow == name and run.state is RunState.SUCCEEDED:
                said = self._history.run(run.run_id).params.get(SCHEDULED_AT)
                return datetime.fromisoformat(str(said)) if said is not None else run.started_at or run.created_at
        return None

    def _of(self, name: str) -> Kept:
        return self._kept.get(name, Kept(name=name))

    def _runs(self) -> list[RunSummary]:
        """Return the Dagu runs, newest first, without those inside others."""
        runs = self._history.list_runs(_ALL)
        return [run for run in runs if run.source == "dagu" and not run.trigger.startswith("subdag:")]
