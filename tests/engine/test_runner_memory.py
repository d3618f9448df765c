"""What a runner keeps: nothing of runs that have ended. And how often it writes: no more often the longer a write takes."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Sequence

import pytest
from support.engine import Doer, engine, nothing
from support.simulate import step, workflow

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.adapters.memory.resources import MemoryResources
from provisioning.adapters.memory.store import MemoryStore
from provisioning.core.model import RunState
from provisioning.core.ports import Commit, Task
from provisioning.core.resources import Actor
from provisioning.core.run import Run
from provisioning.engine.actions import Context
from provisioning.engine.incoming import GATHER, LONGEST_GATHER_S
from provisioning.engine.recorder import Recorder
from provisioning.engine.runner import Runner
from provisioning.engine.worker import Place, Worker
from provisioning.errors import NotFoundError

COMMIT_S = 0.004
POLL_S = 1000.0


def alive() -> int:
    """Return how many runs are in memory."""
    gc.collect()
    return sum(isinstance(each, Run) for each in gc.get_objects())


async def test_runs_that_have_ended_are_not_kept_in_memory() -> None:
    recorder = Recorder(MemoryResources(), SystemClock(), Actor())
    await recorder.load()
    it = engine({"noop": Doer(nothing)}, projections=(recorder,))
    before = alive()
    for number in range(20):
        run = await it.run(workflow(step("a"), step("b", "a")), f"r{number}")
        assert run.state is RunState.SUCCEEDED
        del run
    assert alive() == before


async def test_how_a_run_ended_can_be_asked_again_and_of_a_run_that_never_was_it_is_an_error() -> None:
    it = engine({"noop": Doer(nothing)})
    run = await it.run(workflow(step("a")))
    assert (await it.runner.ended("r1")).steps["a"].state is run.steps["a"].state
    with pytest.raises(NotFoundError):
        await it.runner.ended("r2")


class Slow(MemoryStore):
    """A store whose commits take time on a clock of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.commits: list[Commit] = []

    async def commit(self, commit: Commit) -> int:
        self.now_s += COMMIT_S
        self.commits.append(commit)
        return await super().commit(commit)


class Paused(SystemClock):
    """The clock of a slow store. Who sleeps lets everybody else go on for a while."""

    def __init__(self, store: Slow) -> None:
        self._store = store
        self.slept: list[float] = []

    def monotonic_s(self) -> float:
        return self._store.now_s

    async def sleep(self, seconds: float) -> None:
        if seconds == POLL_S:
            await asyncio.Event().wait()
        self.slept.append(seconds)
        self._store.now_s += seconds
        for _ in range(50):
            await asyncio.sleep(0)


async def ran(steps: int) -> tuple[Sequence[Commit], Sequence[float]]:
    """Run steps that end one after another; return the commits and how long the runner paused."""
    store = Slow()
    clock = Paused(store)

    async def do(task: Task, _context: Context) -> None:
        for _ in range(5 * int(task.step)):
            await asyncio.sleep(0)

    worker = Worker("w", store, {"noop": Doer(do)}, MemoryLogs(), clock, place=Place(slots=steps))
    runner = Runner(store, clock, roll=lambda: 0.5, stop_work=worker.cancel, poll_s=POLL_S)
    async with asyncio.TaskGroup() as group:
        serving = [group.create_task(runner.serve()), group.create_task(worker.serve())]
        await runner.submit("r1", workflow(*(step(str(number)) for number in range(steps))))
        run = await runner.ended("r1")
        for task in serving:
            task.cancel()
    assert run.state is RunState.SUCCEEDED
    return store.commits, clock.slept


async def test_reports_that_trickle_in_share_commits() -> None:
    commits, _slept = await ran(steps=100)
    assert len(commits) < 100 / 4
    assert sum(len(commit.events) for commit in commits) >= 300


async def test_the_runner_pauses_no_longer_than_its_writes_took_it_and_never_for_long() -> None:
    commits, slept = await ran(steps=100)
    assert slept
    assert sum(slept) <= GATHER * COMMIT_S * len(commits) * 1.001
    assert max(slept) <= LONGEST_GATHER_S
