"""The recorder against resources that are slow, that fail, and that count."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from support.simulate import step, workflow

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.clock import FakeClock
from provisioning.adapters.memory.resources import MemoryResources
from provisioning.core.events import Event, Kind
from provisioning.core.model import RunState
from provisioning.core.resources import Actor, ResourceBook
from provisioning.core.run import Run, new_run
from provisioning.engine.recorder import Recorder
from provisioning.errors import StoreError

AT = datetime(2026, 1, 1, tzinfo=UTC)


class SlowResources(MemoryResources):
    """A save goes on, whoever has stopped to wait for it: as one does in a thread."""

    def __init__(self) -> None:
        super().__init__()
        self.going_on: list[asyncio.Task[ResourceBook]] = []
        self.begun, self.go = asyncio.Event(), asyncio.Event()

    async def save(self, book: ResourceBook) -> ResourceBook:
        self.going_on.append(asyncio.create_task(self._save(book)))
        return await asyncio.shield(self.going_on[-1])

    async def _save(self, book: ResourceBook) -> ResourceBook:
        self.begun.set()
        await self.go.wait()
        return await super().save(book)


def _run(count: int = 3) -> Run:
    labels = {"server": "cp-0", "operation": "install"}
    return new_run("r1", workflow(*(step(f"s{i}", kind="node", labels={**labels, "taskserv": f"t{i}"}) for i in range(count))))


def _succeeded(seq: int) -> Event:
    return Event(run="r1", kind=Kind.STEP_SUCCEEDED, at=AT, seq=seq, step=f"s{seq - 1}", attempt=1, epoch=1)


async def _loaded(resources: MemoryResources) -> Recorder:
    recorder = Recorder(resources, SystemClock(), Actor())
    await recorder.load()
    return recorder


async def test_the_last_write_waits_for_the_one_that_goes_on_in_the_background() -> None:
    resources, run = SlowResources(), _run()
    recorder = await _loaded(resources)
    resources.go.set()
    await recorder.committed(run, [_succeeded(1)])
    resources.go.clear()
    resources.begun.clear()
    async with asyncio.TaskGroup() as group:
        group.create_task(recorder.committed(run, [_succeeded(2)]))  # written in the background, or by itself
        await resources.begun.wait()
        await asyncio.sleep(0)
        run.state = RunState.SUCCEEDED
        group.create_task(recorder.committed(run, [_succeeded(3)]))
        await asyncio.sleep(0)
        resources.go.set()

    assert set(resources.book.servers["cp-0"]) == {"t0", "t1", "t2"}
    assert recorder.book.serial == resources.book.serial == 3


async def test_a_write_that_failed_in_the_background_is_told_at_the_end() -> None:
    resources, run = SlowResources(), _run()
    recorder = await _loaded(resources)
    resources.go.set()
    await recorder.committed(run, [_succeeded(1)])
    resources.begun.clear()
    resources.fail_next()
    await recorder.committed(run, [_succeeded(2)])
    await resources.begun.wait()
    await asyncio.sleep(0.01)
    run.state = RunState.SUCCEEDED

    with pytest.raises(StoreError, match="no space left"):
        await recorder.committed(run, [Event(run="r1", kind=Kind.RUN_FINISHED, at=AT, seq=3)])
    await recorder.flush()

    assert set(resources.book.servers["cp-0"]) == {"t0", "t1"}


class TimedResources(MemoryResources):
    """A save takes its time."""

    def __init__(self, clock: FakeClock, took_s: float) -> None:
        super().__init__()
        self._clock, self._took_s = clock, took_s

    async def save(self, book: ResourceBook) -> ResourceBook:
        self._clock.advance(self._took_s)
        return await super().save(book)


async def test_a_thousand_changes_in_a_second_are_few_writes() -> None:
    clock = FakeClock()
    resources, run = TimedResources(clock, took_s=0.01), _run(1000)
    recorder = Recorder(resources, clock, Actor())
    await recorder.load()

    for seq in range(1, 1001):
        await recorder.committed(run, [_succeeded(seq)])
        clock.advance(0.001)
        await clock.idle()
    await recorder.flush()

    assert len(resources.book.servers["cp-0"]) == 1000
    assert len(resources.saved) <= 8
