"""Dagu runs on several workers in one process: each has folders of its own and knows of the others' files only what travels."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from support.definitions import with_base
from support.gathering import Gathering

from provisioning import wiring
from provisioning.adapters.clock import SystemClock
from provisioning.adapters.logs import FileLogs
from provisioning.adapters.memory.definitions import MemoryPackages
from provisioning.adapters.packages import PackageFolder
from provisioning.core.dagu.compile import compile_dag
from provisioning.core.dagu.definitions import Coordinator
from provisioning.core.dagu.params import Given
from provisioning.core.dagu.report import RunReport, report
from provisioning.core.presence import Presence
from provisioning.engine.worker import Place, Worker
from provisioning.operations.dagu import abroad
from provisioning.operations.dagu.definitions import readers
from provisioning.settings import DaguSettings, Settings


@dataclass(frozen=True, kw_only=True)
class Post:
    """A worker: `dags` is its own folder of DAGs, if it has one; `coordinator` whoever it may ask."""

    name: str
    labels: dict[str, str] = field(default_factory=dict)
    dags: Path | None = None
    coordinator: Coordinator | None = None


@dataclass(kw_only=True)
class Abroad(Gathering):
    """A runner, its workers, and a person who starts DAGs of a folder `home`."""

    folder: Path
    home: Path
    settings: DaguSettings = field(default_factory=DaguSettings)
    packages: MemoryPackages = field(default_factory=MemoryPackages)

    async def join(self, post: Post) -> None:
        """Let a worker come."""
        laid = PackageFolder(self.folder / post.name / "packages")
        catalogue = with_base(post.dags) if post.dags is not None else None
        tools = wiring.dagu_tools(self.folder / post.name, Settings(), dict, readers())
        tools = replace(tools, environment=lambda: {"PATH": os.environ["PATH"], "SHELL": "/bin/sh", "AT": post.name})
        found = abroad.definitions(post.name, laid, self.packages, catalogue=catalogue, coordinator=post.coordinator)
        actions = wiring.dagu_actions(
            abroad.abroad(tools, laid, self.packages), self.runner, found, abroad.here(post.name, self.settings)
        )
        logs = FileLogs(self.folder / post.name / "logs")
        worker = Worker(post.name, self.store, actions, logs, SystemClock(), place=Place(slots=10, targets=()))
        await self.welcome(Presence(name=post.name, targets=(), labels=post.labels, capacity=10), worker)

    async def start(self, ref: str, *given: Given, run_id: str = "r1") -> RunReport:
        """Start a DAG and wait for its end."""
        kept = PackageFolder(self.folder / "person")
        dag = await abroad.pack_off(with_base(self.home), ref, run_id, kept, self.packages)
        at = abroad.placement(dag, given, {})
        flow = compile_dag(dag, at=at, if_gone=abroad.here("", self.settings).if_gone)
        params = {"params": [[one.name, one.value] for one in given]}
        await self.runner.submit(run_id, flow, params=params)
        await self.runner.ended(run_id)
        return self.of(run_id)

    def of(self, run_id: str) -> RunReport:
        return report(self.store.history.run(run_id))

    def inside(self) -> list[RunReport]:
        """Return the runs that steps have started, oldest first."""
        found = [one for one in reversed(self.store.history.list_runs(100)) if one.trigger.startswith("subdag:")]
        return [self.of(one.run_id) for one in found]


@asynccontextmanager
async def abroad_at(folder: Path, home: Path, *posts: Post, settings: DaguSettings | None = None) -> AsyncIterator[Abroad]:
    """Run such a thing."""
    it = Abroad(folder=folder, home=home, settings=settings or DaguSettings())
    async with it.serving():
        for post in posts:
            await it.join(post)
        async with asyncio.timeout(60):
            yield it


def error_of(ran: RunReport, step: str) -> str:
    """Return what a step failed with."""
    return str(next(one.record.error for one in ran.steps if one.record.step == step))
