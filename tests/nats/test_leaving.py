"""A worker that is to take nothing new gives back at once what it was sent and has not begun."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from pathlib import Path
from random import Random

import pytest
from support.natswork import Setting, begun, doings, flow, leader, marking, program, submitted, until_ended

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.memory.logs import MemoryLogs
from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.store import NatsStore
from provisioning.core.events import Kind
from provisioning.core.model import RunState
from provisioning.core.ports import RETURNED
from provisioning.engine.worker import Place, Worker

LEASE_S = 60.0
"""So long that whatever waits for its end is seen to."""
SEED = 20261122


@pytest.fixture
def setting(nats_access: Access, tmp_path: Path) -> Setting:
    return Setting(
        url=nats_access.urls[0],
        namespace=nats_access.namespace,
        folder=str(tmp_path / "leader"),
        marks=str(tmp_path / "marks"),
        lease_s=LEASE_S,
    )


def other(setting: Setting, name: str) -> Setting:
    return Setting(**{**vars(setting), "name": name, "folder": f"{setting.folder}-{name}"})


async def reasons(store: NatsStore, run: str) -> list[str]:
    """Return why dispatches of a run were taken back."""
    events = await store.events(run)
    return [str(event.data["reason"]) for event in events if event.kind is Kind.STEP_LEASE_LOST]


async def until_sent(store: NatsStore, count: int) -> None:
    """Wait until a process was sent so many tasks that nobody there has taken."""
    async with asyncio.timeout(20):
        while sum(len(source.ready) for source in store.tasks.pulls._sources.values()) < count:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", ["mark", "change"])
async def test_what_has_come_and_nobody_has_taken_is_begun_elsewhere_at_once(setting: Setting, kind: str) -> None:
    steps = [marking(f"s{number}", kind=kind) for number in range(4)]
    async with leader(setting) as store:
        stopping = other(setting, "stopping").store()
        durable = await stopping.tasks.pulls.ensure("")
        await submitted(store, "r1", flow(*steps))
        await stopping.tasks.pulls._connect()
        await stopping.tasks.pulls._ask([durable], 4)
        await until_sent(stopping, 4)
        stopping.tasks.leave()
        with program("worker", other(setting, "w1")):
            run = await until_ended(store, "r1", LEASE_S / 2)
        assert run.state is RunState.SUCCEEDED
        assert await reasons(store, "r1") == [RETURNED] * 4
        await stopping.aclose()
    assert Counter(mark.step for mark in begun(Path(setting.marks))) == Counter(step.id for step in steps)


async def test_what_comes_after_a_claim_was_cancelled_goes_elsewhere(setting: Setting) -> None:
    async with leader(setting) as store:
        stopping = other(setting, "stopping").store()
        claiming = asyncio.create_task(stopping.claim("stopping", [], 4, lambda _task: False))
        async with asyncio.timeout(20):
            while not any(source.asked for source in stopping.tasks.pulls._sources.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
        await submitted(store, "r1", flow(*(marking(f"s{number}") for number in range(8))))
        with program("worker", other(setting, "w1")):
            run = await until_ended(store, "r1", LEASE_S / 2)
        assert run.state is RunState.SUCCEEDED
        await stopping.aclose()


@pytest.mark.parametrize("kind", ["mark", "change"])
async def test_workers_that_are_drained_at_any_moment_lose_no_task_and_no_time(setting: Setting, kind: str) -> None:
    """Drained at moments that fall together with everything a claim does; one worker stays."""
    dice = Random(SEED)
    steps = [marking(f"s{number}", seconds=0.01, kind=kind) for number in range(300)]
    drained = 0
    async with leader(setting) as store:
        await submitted(store, "r1", flow(*steps))
        ending = asyncio.create_task(until_ended(store, "r1", LEASE_S / 2))
        while not ending.done() and drained < 8:
            await drained_worker(other(setting, f"d{drained}"), dice.uniform(0.0, 2.0))
            drained += 1
        with program("worker", other(setting, "stays")):
            run = await ending
        given_back = await reasons(store, "r1")

    assert run.state is RunState.SUCCEEDED
    assert set(given_back) <= {RETURNED}
    assert Counter(mark.step for mark in begun(Path(setting.marks))) == Counter(step.id for step in steps)


async def drained_worker(setting: Setting, after_s: float) -> None:
    """Have a worker at work for so long after its first look, then drain it."""
    store = setting.store()
    place = Place(slots=3, targets=(), among_others=True)
    worker = Worker(setting.name, store, doings(Path(setting.marks)), MemoryLogs(), SystemClock(), place=place)
    serving = asyncio.create_task(worker.serve())
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0):
            while not any(source.asked for source in store.tasks.pulls._sources.values()):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    await asyncio.sleep(after_s)
    worker.drain()
    store.tasks.leave()
    await serving
    await store.aclose()
