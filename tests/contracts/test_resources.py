"""Every keeper of resource states: serials grow by one, and nobody overwrites what he has not read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provisioning.adapters.memory import MemoryResources
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.resources import NatsResources
from provisioning.adapters.statefile import StateFile
from provisioning.core.ports import Resources
from provisioning.core.resources import Actor, LogEntry, Resource, ResourceState
from provisioning.errors import StaleRevision, StateFileError

DONE = Resource(
    state=ResourceState.COMPLETED,
    operation="install",
    profile="default",
    digest="sha256:1",
    run_id="r1",
    step="cp/etcd",
    attempt=2,
    started_at="2026-01-01T12:00:00Z",
    ended_at="2026-01-01T12:00:09Z",
    actor=Actor(identity="ana@work", source="cli"),
    log=(LogEntry(ts="2026-01-01T12:00:09Z", event="completed", source="runner"),),
)
KEYS = [("cp-0", "etcd"), ("cp-0.example.org", "my-söl.v2"), ("ホスト", "$ref"), ("taskservs", "")]


@pytest.fixture(params=["memory", "statefile", "nats"])
def resources(request: pytest.FixtureRequest, tmp_path: Path) -> Resources:
    if request.param == "nats":
        return NatsResources(Cluster(request.getfixturevalue("nats_access")), "prod")
    return MemoryResources() if request.param == "memory" else StateFile(tmp_path / ".provisioning" / "state.json")


async def test_the_first_book_is_empty_and_has_a_lineage(resources: Resources) -> None:
    book = await resources.load()
    assert (book.serial, dict(book.servers)) == (0, {})
    assert book.lineage


async def test_what_was_saved_comes_back_with_every_field_and_any_name(resources: Resources) -> None:
    saved = await resources.save((await resources.load()).put(dict.fromkeys(KEYS, DONE)))
    assert saved.serial == 1
    loaded = await resources.load()
    assert loaded == saved
    assert all(loaded.get(*key) == DONE for key in KEYS)


async def test_every_save_raises_the_serial_by_one_and_keeps_the_lineage(resources: Resources) -> None:
    book = await resources.load()
    serials = []
    for _ in range(3):
        book = await resources.save(book)
        serials.append((book.lineage, book.serial))
    assert serials == [(book.lineage, serial) for serial in (1, 2, 3)]


async def test_a_change_of_an_older_book_is_refused_and_changes_nothing(resources: Resources) -> None:
    old = await resources.load()
    new = await resources.save(old.put({KEYS[0]: DONE}))
    with pytest.raises(StaleRevision, match="serial 1, the change is based on 0"):
        await resources.save(old)
    assert await resources.load() == new


async def test_a_book_of_another_lineage_is_refused_and_changes_nothing(resources: Resources) -> None:
    book = await resources.save(await resources.load())
    with pytest.raises(StateFileError, match="lineage"):
        await resources.save(replace(book, lineage="another"))
    assert await resources.load() == book


async def test_a_forgotten_resource_is_gone_and_an_empty_server_with_it(resources: Resources) -> None:
    book = await resources.save((await resources.load()).put({KEYS[0]: DONE, KEYS[1]: DONE}))
    await resources.save(book.put({KEYS[0]: None}))
    assert list((await resources.load()).servers) == [KEYS[1][0]]
