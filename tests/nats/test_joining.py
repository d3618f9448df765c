"""A worker that joins does not begin what a live worker has, although the server has forgotten that it delivered it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from support.natswork import Setting, flow, leader, marking, submitted, until_ended

from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.holding import key_of
from provisioning.adapters.nats.store import NatsStore
from provisioning.core.events import Kind
from provisioning.core.model import RunState
from provisioning.core.ports import Outcome, Report, Task

LEASE_S = 1.0


def other(setting: Setting, name: str) -> NatsStore:
    return Setting(**{**vars(setting), "folder": f"{setting.folder}-{name}"}).store()


async def handed_out(store: NatsStore, run: str) -> Task:
    """Return the task that a leader has handed out, once the server has it."""
    async with asyncio.timeout(20):
        while not store.withdrawing.offers.of.get(run):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(0.02)
    await store.settled()
    return next(iter(store.withdrawing.offers.of[run].values()))


async def test_what_a_live_worker_has_is_not_begun_by_one_that_joins(nats_access: Access, tmp_path: Path) -> None:
    setting = Setting(url=nats_access.urls[0], namespace=nats_access.namespace, folder=str(tmp_path / "l"), lease_s=LEASE_S)
    async with leader(setting) as store:
        has, joins = other(setting, "has"), other(setting, "joins")
        await submitted(store, "r1", flow(marking("a")))
        task = await handed_out(store, "r1")
        await has.tasks.holds.start()
        has.tasks.holds.hold(key_of(task), "nowhere")  # it was delivered to this one, and the server has forgotten it
        claiming = asyncio.create_task(joins.claim("w2", (), 1))
        await asyncio.sleep(LEASE_S * 4)
        assert not claiming.done()
        await has.report(Report(task=task, worker="w1", outcome=Outcome.OK))
        run = await until_ended(store, "r1")
        claiming.cancel()
        await asyncio.gather(claiming, return_exceptions=True)
        events = await store.events("r1")
        for one in (has, joins):
            await one.aclose()

    assert run.state is RunState.SUCCEEDED
    assert [event.data["worker"] for event in events if event.kind is Kind.STEP_STARTED] == ["w1"]
    assert not [event for event in events if event.kind is Kind.STEP_LEASE_LOST]


async def test_what_waited_for_a_worker_is_begun_by_the_first_that_joins(nats_access: Access, tmp_path: Path) -> None:
    setting = Setting(url=nats_access.urls[0], namespace=nats_access.namespace, folder=str(tmp_path / "l"), lease_s=30.0)
    async with leader(setting) as store:
        joins = other(setting, "joins")
        await submitted(store, "r1", flow(marking("a"), marking("b")))
        await handed_out(store, "r1")
        begun: list[Task] = []
        async with asyncio.timeout(20):
            while len(begun) < 2:
                begun += await joins.claim("w1", (), 2)
        for task in begun:
            await joins.report(Report(task=task, worker="w1", outcome=Outcome.OK))
        run = await until_ended(store, "r1", 15)
        await joins.aclose()

    assert run.state is RunState.SUCCEEDED
    assert sorted((task.step, task.epoch) for task in begun) == [("a", 1), ("b", 1)]
