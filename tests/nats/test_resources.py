"""The states of a cluster: one of two writers wins and the other is told, whatever the size of the book."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.resources import NatsResources
from provisioning.core.resources import LogEntry, Resource, ResourceBook, ResourceState
from provisioning.errors import StaleRevision, StateFileError

DONE = Resource(state=ResourceState.COMPLETED)
LONG = replace(DONE, log=tuple(LogEntry(ts="2026-01-01T00:00:00Z", event="x" * 100, source="runner") for _ in range(20)))


def large(book: ResourceBook, servers: int = 800) -> ResourceBook:
    """Return a book of about 2 MB of JSON."""
    return book.put({(f"server-{number}", "redis"): LONG for number in range(servers)})


async def blobs(cluster: Cluster) -> int:
    info = await cluster.ask(f"STREAM.INFO.{cluster.names.blobs}")
    return int(info["state"]["messages"])


@pytest.fixture
def cluster(nats_access: Access) -> Cluster:
    return Cluster(nats_access)


async def prepared(cluster: Cluster) -> None:
    from provisioning.adapters.nats.streams import blob_stream, ensure

    await ensure(cluster, blob_stream(cluster))


async def test_of_writers_at_the_same_moment_one_wins_and_the_others_are_told(nats_access: Access) -> None:
    writers = [NatsResources(Cluster(nats_access), "prod") for _ in range(5)]
    first = await writers[0].save(await writers[0].load())
    books = [await writer.load() for writer in writers]
    results = await asyncio.gather(
        *(
            writer.save(book.put({(f"s-{number}", "redis"): DONE}))
            for number, (writer, book) in enumerate(zip(writers, books, strict=True))
        ),
        return_exceptions=True,
    )
    won = [result for result in results if isinstance(result, ResourceBook)]
    lost = [result for result in results if isinstance(result, BaseException)]
    assert (len(won), won[0].serial) == (1, first.serial + 1)
    assert all(isinstance(error, StaleRevision) and "at serial 2, the change is based on 1" in str(error) for error in lost)
    assert await writers[0].load() == won[0]


async def test_a_book_of_two_megabytes_comes_back_and_leaves_nothing_of_the_one_before(cluster: Cluster) -> None:
    await prepared(cluster)
    resources = NatsResources(cluster, "prod")
    book = await resources.save(large(await resources.load()))
    once = await blobs(cluster)
    for _ in range(3):
        book = await resources.save(book)
    assert await NatsResources(cluster, "prod").load() == book
    assert (once > 4, await blobs(cluster)) == (True, once)
    await resources.save(book.put({(f"server-{number}", "redis"): None for number in range(800)}))
    assert await blobs(cluster) == 0


async def test_a_large_book_that_lost_leaves_nothing(cluster: Cluster) -> None:
    await prepared(cluster)
    mine, other = NatsResources(cluster, "prod"), NatsResources(cluster, "prod")
    start = await mine.save(await mine.load())
    stale = await mine._stored()
    await other.save(start)
    with pytest.raises(StaleRevision):
        await mine._write(stale, replace(large(start), serial=2), 1)
    assert await blobs(cluster) == 0


async def test_workspaces_have_books_of_their_own(cluster: Cluster) -> None:
    names = ["prod", "test", "a.b c", "ü*>"]
    saved = {name: await NatsResources(cluster, name).save(ResourceBook(lineage=name)) for name in names}
    assert {name: await NatsResources(cluster, name).load() for name in names} == saved


PUT = [
    pytest.param({"serial": 4}, "serial 5 is newer than 4", id="lower serial"),
    pytest.param({"lineage": "theirs", "serial": 9}, "lineage is ours", id="other lineage"),
    pytest.param({"newest": "r9"}, "both are at serial 5", id="same serial, other states"),
]


@pytest.mark.parametrize(("change", "reason"), PUT)
async def test_what_would_lose_something_is_put_by_force_only(cluster: Cluster, change: dict[str, object], reason: str) -> None:
    resources, book = NatsResources(cluster, "prod"), ResourceBook(lineage="ours", serial=5)
    other: ResourceBook = replace(book, **change)  # type: ignore[arg-type]
    assert await resources.put(book)
    with pytest.raises(StateFileError, match=reason):
        await resources.put(other)
    assert await resources.found() == book
    assert await resources.put(other, force=True)
    assert await NatsResources(cluster, "prod").load() == other


async def test_a_newer_book_is_put_and_the_same_again_changes_nothing(cluster: Cluster) -> None:
    resources, book = NatsResources(cluster, "prod"), ResourceBook(lineage="ours", serial=5)
    assert [await resources.put(one) for one in (book, book, replace(book, serial=8))] == [True, False, True]


async def test_what_is_no_book_is_refused_with_what_is_wrong(cluster: Cluster) -> None:
    from provisioning.adapters.nats.wire import Message

    resources = NatsResources(cluster, "prod")
    await resources.load()
    for body in (b"{", b"[]", b'{"version": 99, "lineage": "l", "serial": 1, "servers": {}}'):
        await cluster.publish(Message(subject=resources._subject, body=body))
        with pytest.raises(StateFileError, match="the state of prod on NATS was refused"):
            await NatsResources(cluster, "prod").load()
