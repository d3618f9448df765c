"""Schedulers over a folder of DAG files and one store, with a clock that is set by hand and runs that are only recorded."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from support.records import a_commit, a_workflow

from provisioning.adapters.memory import FakeClock
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.dagu.declared import DagFile
from provisioning.core.dagu.params import Given
from provisioning.core.events import Event, Kind
from provisioning.core.model import RUN_ENDED, RunState, Source
from provisioning.core.schedules import Mark, Schedules
from provisioning.core.scheduling import Act, What
from provisioning.errors import ExistsError, StaleRevision
from provisioning.operations.dagu.places import Places
from provisioning.operations.dagu.running import Start
from provisioning.operations.scheduler import Observer, Scheduler, Watched

BERLIN = ZoneInfo("Europe/Berlin")
STEPS = "steps:\n  - name: one\n    command: echo one\n"


class Killed(BaseException):
    """The scheduler's process is gone."""


@dataclass
class RecordedRuns:
    """Fulfils `operations.scheduler.Runs`: a run is its events in a store. `dies` is asked before and after each effect."""

    store: SqliteStore
    clock: FakeClock
    dies: random.Random | None = None
    started: list[Start] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    async def start(self, dag: DagFile, asked: Start) -> None:
        self.perhaps_die()
        flow = replace(a_workflow(name=dag.name), source=Source(kind="dagu"))
        digest = await self.store.put_workflow(flow)
        said: dict[str, object] = {"workflow": digest, "name": dag.name, "trigger": asked.trigger, "params": asked.params()}
        try:
            await self.commit(asked.run_id, 0, Kind.RUN_CREATED, said)
        except StaleRevision:
            raise ExistsError(f"run {asked.run_id} exists already") from None
        self.started.append(asked)
        await self.commit(asked.run_id, 1, Kind.RUN_STARTED, {})
        self.perhaps_die()

    async def stop(self, run_ids: Sequence[str], actor: str) -> None:
        for run in run_ids:
            with suppress(StaleRevision):  # another was faster
                if self.store.history.summary(run).state not in RUN_ENDED:
                    await self.finish(run, "cancelled")
                    self.stopped.append(run)

    async def ended(self, run_id: str) -> RunState:
        return self.store.history.summary(run_id).state

    async def last_given(self, dag: str) -> tuple[Given, ...]:
        newest = self.store.history.list_runs(1, workflow=dag)
        params = self.store.history.run(newest[0].run_id).params["params"] if newest else []
        assert isinstance(params, list)
        return tuple(Given(name=name, value=value) for name, value in params)

    async def finish(self, run: str, state: str = "succeeded") -> None:
        await self.commit(run, len(await self.store.events(run)), Kind.RUN_FINISHED, {"state": state})

    async def commit(self, run: str, seq: int, kind: Kind, data: dict[str, object]) -> None:
        await self.store.commit(a_commit(seq, Event(run=run, kind=kind, at=self.clock.now(), data=data), run=run))

    def perhaps_die(self) -> None:
        if self.dies is not None and self.dies.random() < 0.5:
            raise Killed


class Told(Observer):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.acts: list[tuple[str, Act, str]] = []
        self.failures: list[tuple[str, str]] = []

    def on_act(self, name: str, act: Act, run_id: str) -> None:
        self.acts.append((name, act, run_id))

    def on_failure(self, name: str, message: str) -> None:
        self.failures.append((name, message))

    def reasons(self) -> list[str]:
        return [act.reason for _name, act, _run in self.acts if act.what is What.DROP]


@dataclass
class MortalSchedules:
    """The schedules of a store, of a scheduler that may die before and after it keeps a mark."""

    inner: Schedules
    runs: RecordedRuns

    async def put(self, marks: Mapping[str, Mark]) -> None:
        self.runs.perhaps_die()
        await self.inner.put(marks)
        self.runs.perhaps_die()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


@dataclass
class One:
    """A scheduler, as a process would have it: with a connection of its own."""

    scheduler: Scheduler
    store: SqliteStore
    runs: RecordedRuns
    told: Told

    async def look(self) -> None:
        try:
            await self.scheduler.look()
            await self.scheduler.settled()
        except Killed:  # all of it, whatever else it was about to do
            tasks = list(self.scheduler._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise


class Town:
    """A folder of DAG files, one store, and a clock; schedulers come and go."""

    def __init__(self, folder: Path, begin: datetime) -> None:
        home = folder / "home"
        self.places = Places(dags=home / "dags", named=True, base=None, suspended=home / "suspend", data=home / "data")
        self.places.dags.mkdir(parents=True)
        self.clock = FakeClock(start=begin)
        self.opened: list[SqliteStore] = []
        self.store = self.open()

    def dag(self, name: str, head: str) -> Path:
        """Write a DAG file; `head` are the lines before its steps."""
        path = self.places.dags / f"{name}.yaml"
        path.write_text(f"{head}\n{STEPS}", "utf-8")
        return path

    def open(self) -> SqliteStore:
        store = SqliteStore(self.places.data / ".provisioning" / "history.db", self.clock)
        self.opened.append(store)
        return store

    def scheduler(self, *, dies: random.Random | None = None) -> One:
        store, told = self.open(), Told()
        runs = RecordedRuns(store=store, clock=self.clock, dies=dies)
        scheduler = Scheduler(
            watched=Watched(self.places, BERLIN),
            schedules=cast("Schedules", MortalSchedules(inner=store.schedules, runs=runs)),
            runs=runs,
            alive=lambda _run: True,
            clock=self.clock,
            observer=told,
        )
        return One(scheduler=scheduler, store=store, runs=runs, told=told)

    def set(self, at: datetime) -> None:
        """Set the clock forward."""
        self.clock.advance((at - self.clock.now()).total_seconds())

    async def finish_all(self) -> None:
        """End all runs that go on."""
        runs = RecordedRuns(store=self.store, clock=self.clock)
        for run in await self.store.open_runs():
            with suppress(StaleRevision):  # the last that was heard of somebody who is dead
                await runs.finish(run)
        for run in await self.store.open_runs():
            await runs.finish(run)

    def instants(self, name: str) -> list[datetime]:
        """Return the instants that runs of a DAG were started for, in the order of the starts."""
        found = self.store.history.list_runs(10_000, workflow=name)
        details = [self.store.history.run(run.run_id) for run in reversed(found)]
        return [datetime.fromisoformat(str(one.params["scheduled_at"])) for one in details]

    def triggers(self, name: str) -> list[str]:
        return [run.trigger for run in reversed(self.store.history.list_runs(10_000, workflow=name))]

    def close(self) -> None:
        for store in self.opened:
            store.close()


def later(at: datetime, seconds: float) -> datetime:
    return at + timedelta(seconds=seconds)


async def both_look(*ones: One) -> list[bool]:
    """Have schedulers look at the same time; return which of them died."""
    ended = await asyncio.gather(*(one.look() for one in ones), return_exceptions=True)
    for one in ended:
        if one is not None and not isinstance(one, Killed):
            raise one
    return [isinstance(one, Killed) for one in ended]
