"""Every inbox keeps requests until the runner of that run takes them, once."""

from __future__ import annotations

import asyncio

from support.records import a_commit, created, event

from provisioning.adapters.memory import MemoryStore
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Kind
from provisioning.core.ports import Request

Store = MemoryStore | SqliteStore


async def test_requests_are_taken_once_oldest_first_and_only_for_the_runs_asked_for(store: Store) -> None:
    for run, kind in (("r1", "pause"), ("r2", "cancel"), ("r1", "resume")):
        await store.request(Request(run=run, kind=kind, actor="ana@work", data={"why": kind}))
    taken = await store.take_requests(["r1", "r9"])
    assert [(request.run, request.kind, request.actor, request.data) for request in taken] == [
        ("r1", "pause", "ana@work", {"why": "pause"}),
        ("r1", "resume", "ana@work", {"why": "resume"}),
    ]
    assert taken[0].id < taken[1].id
    assert await store.take_requests(["r1"]) == []
    assert [request.kind for request in await store.take_requests(["r2"])] == ["cancel"]


def test_nothing_asked_nothing_taken(store: Store) -> None:
    assert asyncio.run(store.take_requests(["r1"])) == []
    assert asyncio.run(store.take_requests([])) == []


async def test_requests_to_a_deleted_run_are_gone(store: Store) -> None:
    await store.request(Request(run="r1", kind="pause"))
    await store.delete("r1")
    assert await store.take_requests(["r1"]) == []


async def test_a_commit_takes_what_it_answers_and_nothing_newer(store: Store) -> None:
    seq = await created(store)
    for run, data in (("r1", {}), ("", {"run": "r1"}), ("r1", {}), ("r2", {})):
        await store.request(Request(run=run, kind="pause", data=data))
    taken = await store.take_requests(["r1", "", "r2"])
    await store.commit(a_commit(seq, event(Kind.PAUSE_REQUESTED), upto=taken[1].id))
    assert [request.id for request in await store.take_requests(["r1", "", "r2"])] == []
    await store.handled(taken)
    await store.request(Request(run="r1", kind="resume"))
    assert [request.kind for request in await store.take_requests(["r1"])] == ["resume"]


async def test_what_was_handled_may_be_handled_again(store: Store) -> None:
    await store.request(Request(run="r1", kind="pause"))
    taken = await store.take_requests(["r1"])
    await store.handled(taken)
    await store.handled(taken)
    await store.handled([])
    assert await store.take_requests(["r1"]) == []
