"""Runs a workflow on the real runner and worker, over any store, with actions written as functions."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.adapters.memory.store import MemoryStore
from provisioning.core.events import Event
from provisioning.core.model import Workflow
from provisioning.core.ports import LogStore, Outcome, Task
from provisioning.core.run import Run
from provisioning.engine.actions import Action, Context, Result, Traits
from provisioning.engine.attempt import Watcher
from provisioning.engine.runner import Projection, Runner, Store
from provisioning.engine.worker import Place, Worker

Doing = Callable[[Task, Context], Awaitable[Result | None]]
OK = Result(outcome=Outcome.OK, exit_code=0)


@dataclass
class Doer:
    """An action made of a function; records what started and ended, and how many ran at once."""

    do: Doing
    traits: Traits = field(default_factory=Traits)
    started: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    running: int = 0
    peak: int = 0

    async def run(self, task: Task, context: Context) -> Result:
        self.started.append(task.step)
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            return await self.do(task, context) or OK
        finally:
            self.running -= 1
            self.ended.append(task.step)


@dataclass
class Seen:
    """A projection that keeps every event."""

    events: list[Event] = field(default_factory=list)

    def binds(self, _run: Run) -> bool:
        return False

    async def committed(self, run: Run, events: Sequence[Event]) -> None:
        self.events += events


@dataclass
class Engine:
    """A runner and a worker over one store."""

    store: Store
    runner: Runner
    worker: Worker
    seen: Seen

    async def run(self, flow: Workflow, run_id: str = "r1", meanwhile: Callable[[], Awaitable[None]] | None = None) -> Run:
        async with asyncio.TaskGroup() as group:
            serving = [group.create_task(self.runner.serve()), group.create_task(self.worker.serve())]
            await self.runner.submit(run_id, flow)
            if meanwhile:
                await meanwhile()
            run = await self.runner.ended(run_id)
            for task in serving:
                task.cancel()
        return run


def engine(
    actions: Mapping[str, Action],
    *,
    store: Store | None = None,
    slots: int = 100,
    projections: Sequence[Projection] = (),
    logs: LogStore | None = None,
    watcher: Watcher = lambda _step, _text: None,
) -> Engine:
    store = store or MemoryStore()
    clock = SystemClock()
    seen = Seen()
    worker = Worker("w", store, actions, logs or MemoryLogs(), clock, place=Place(slots=slots), watcher=watcher)
    runner = Runner(
        store, clock, roll=lambda: 0.5, stop_work=worker.cancel, projections=(seen, *projections), fence=1, poll_s=0.01
    )
    return Engine(store=store, runner=runner, worker=worker, seen=seen)


async def nothing(_task: Task, _context: Context) -> None:
    await asyncio.sleep(0)
