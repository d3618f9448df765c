"""Leaders in this process that die when they are told to, a worker beside them, and the same in memory."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

from support.engine import Doer, engine
from support.generated import Script
from support.natswork import (
    Setting,
    work,
)
from support.scripted import doing, ends

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.store import NatsStore
from provisioning.core.model import Workflow
from provisioning.core.ports import Commit, Request
from provisioning.core.run import Run
from provisioning.core.upstream import awaiting
from provisioning.engine.limits import NO_LIMITS, Limits
from provisioning.engine.runner import Runner


class Died(Exception):
    """The process is gone."""


class Mortal(NatsStore):
    """A store whose leader dies at a commit: just before it is stored, or just after."""

    dies_at, after, commits = 0, False, 0

    async def commit(self, commit: Commit) -> int:
        self.commits += 1
        if self.commits != self.dies_at:
            return await super().commit(commit)
        if self.after:
            await self.journal.commit(commit)
        raise Died


def runner_on(store: NatsStore, token: int, limits: Limits = NO_LIMITS) -> Runner:
    async def nothing(_run: str) -> None:
        """Workers hear of it from the store."""

    return Runner(store, SystemClock(), roll=lambda: 0.5, stop_work=nothing, fence=token, limits=limits)


async def drive(store: NatsStore, token: int, run_id: str, given: Workflow) -> Run:
    """Take over, and drive a run to its end; where it was never recorded, submit it. Approve what it waits for."""
    await store.take_over(token)
    runner = runner_on(store, token)
    try:
        async with asyncio.TaskGroup() as group:
            await runner.resume()
            serving = [group.create_task(each) for each in (runner.serve(), approving(store, runner, run_id))]
            if not await store.events(run_id):
                await runner.submit(run_id, given)
            run = await runner.ended(run_id)
            for task in serving:
                task.cancel()
    finally:
        await store.resign()
    return run


async def approving(store: NatsStore, runner: Runner, run_id: str) -> None:
    """Approve what a run waits for, one thing at a time, through the store."""
    asked: set[str] = set()
    while True:
        run = runner.open_runs().get(run_id)
        if run is not None and run.waiting and not run.active:
            names = [
                gate.name for step in awaiting(run) for gate in step.spec.gates if (gate.kind, gate.name) not in run.opened
            ]
            if names and names[0] not in asked:
                asked.add(names[0])
                await store.request(Request(run=run_id, kind="open_gate", data={"kind": "approval", "name": names[0]}))
        await asyncio.sleep(0.002)


@contextlib.asynccontextmanager
async def working(setting: Setting, doer: Doer) -> AsyncIterator[None]:
    """Have a worker work in this process, with a connection of its own."""
    store = replace(setting, folder=f"{setting.folder}-worker").store()
    task = asyncio.create_task(work(store, setting, {"noop": doer}))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await store.aclose()


def mortal(setting: Setting, number: int) -> Mortal:
    access = Access(urls=(setting.url,), namespace=setting.namespace)
    return Mortal(Cluster(access), Path(f"{setting.folder}-{number}"), lease_s=setting.lease_s)


async def in_memory(given: Workflow, script: Script) -> object:
    """Return how a workflow ends where everything is in one process."""
    it = engine({"noop": doing(script)})

    async def approve() -> None:
        while (run := it.runner.open_runs().get("r1")) is not None:
            if run.waiting and not run.active:
                name = next(
                    gate.name for step in awaiting(run) for gate in step.spec.gates if (gate.kind, gate.name) not in run.opened
                )
                await it.runner.ask(Request(run="r1", kind="open_gate", data={"kind": "approval", "name": name}))
            await asyncio.sleep(0.001)

    return ends(await it.run(given, meanwhile=approve))


class Numbers:
    """Fencing numbers and run ids of one namespace."""

    def __init__(self) -> None:
        self.token = self.run = 0

    def next(self) -> int:
        self.token += 1
        return self.token

    def run_id(self) -> str:
        self.run += 1
        return f"run {self.run}"
