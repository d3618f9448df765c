"""States whose leader died between recording how a run ended and writing it down: the next who plans, or looks, has them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.dags import formula, infra, workflow_of
from support.natslead import drive, mortal
from support.natswork import Setting, work
from support.scripted import doing

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.resources import NatsResources
from provisioning.core.bookkeeping import record
from provisioning.core.events import Kind
from provisioning.core.resources import Actor, ResourceBook, ResourceState
from provisioning.operations.cluster import catching

ANN = Actor(identity="ann@home")


async def test_states_that_a_dead_leader_did_not_write_are_written_by_the_next_who_plans(
    nats_access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catching, "WRITES_WITHIN_S", 0.0)
    setting = Setting(url=nats_access.urls[0], namespace=nats_access.namespace, folder=str(tmp_path / "s"))
    store, worker = mortal(setting, 1), mortal(setting, 2)
    doer = doing({})
    working = asyncio.create_task(work(worker, setting, dict.fromkeys(("taskserv", "noop", "probe"), doer)))
    run = await drive(store, 1, "run-1", workflow_of(infra(formula("one", "db web"))))
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)

    resources = NatsResources(store.cluster, "shop")
    events = await store.events("run-1")
    begun = next(index for index, event in enumerate(events) if event.kind is Kind.STEP_DISPATCHED) + 1
    steps = {id: step.spec for id, step in run.steps.items()}
    known = record(ResourceBook(lineage="l"), steps, events[:begun], ANN)  # so far the leader came
    await resources.save(known)

    assert not await catching.written(store, resources, "shop", SystemClock())
    book = await catching.caught_up(store, resources, "shop", ANN)
    assert {name: one.state for name, one in book.servers["one"].items()} == dict.fromkeys(
        ("db", "web"), ResourceState.COMPLETED
    )
    assert await catching.written(store, resources, "shop", SystemClock())
    again = await catching.caught_up(store, NatsResources(store.cluster, "shop"), "shop", ANN)
    assert (again.serial, again.servers) == (book.serial, book.servers)  # nothing was written for nothing
    for each in (store, worker):
        await each.aclose()
