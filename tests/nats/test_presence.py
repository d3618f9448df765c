"""Workers are known while they speak, wherever one looks, and forgotten when they are killed."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.presence import Beat, Workers, list_workers
from provisioning.core.presence import Presence

TTL_S = 2.0
BEATING = """
import asyncio, sys
from provisioning.adapters.clock import SystemClock
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.presence import Beat
from provisioning.core.presence import Presence

cluster = Cluster(Access(urls=(sys.argv[1],), namespace=sys.argv[2]))
asyncio.run(Beat(cluster, SystemClock(), ttl_s=float(sys.argv[3])).serve(lambda: Presence(name="killed", capacity=3)))
"""


@asynccontextmanager
async def beating(access: Access, said: Callable[[], Presence], ttl_s: float = TTL_S) -> AsyncIterator[None]:
    cluster = Cluster(access)
    task = asyncio.create_task(Beat(cluster, SystemClock(), ttl_s=ttl_s).serve(said))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await cluster.close()


async def until(holds: Callable[[], bool], within_s: float = 20.0) -> float:
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < within_s
        await asyncio.sleep(0.02)
    return time.monotonic() - began


async def test_what_workers_say_of_themselves_is_known_elsewhere(nats_access: Access) -> None:
    one = Presence(name="a.b ü*", targets=("site-a",), labels={"gpu": "yes"}, capacity=4, in_use=1, version="1.2")
    async with beating(nats_access, lambda: one), beating(nats_access, lambda: Presence(name="b")):
        workers = Workers(Cluster(nats_access))
        following = asyncio.create_task(workers.serve())
        await until(lambda: len(workers.seen()) == 2)
        first, second = workers.seen()
        listed = await list_workers(Cluster(nats_access))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert (first.targets, dict(first.labels), first.capacity, first.in_use, first.version) == (
        ("site-a",),
        {"gpu": "yes"},
        4,
        1,
        "1.2",
    )
    assert first.since is not None
    assert first.at is not None
    assert [worker.name for worker in listed] == [first.name, second.name] == ["a.b ü*", "b"]


async def test_what_changes_is_told_with_the_next_beat(nats_access: Access) -> None:
    busy = [0]
    async with beating(nats_access, lambda: Presence(name="a", in_use=busy[0]), ttl_s=1.0):
        changes: list[int] = []
        workers = Workers(Cluster(nats_access), changed=lambda: changes.append(1))
        following = asyncio.create_task(workers.serve())
        await until(lambda: bool(workers.seen()))
        busy[0] = 7
        await until(lambda: workers.seen()[0].in_use == 7)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert len(changes) >= 2


async def test_a_worker_that_stops_is_gone_at_once(nats_access: Access) -> None:
    async with beating(nats_access, lambda: Presence(name="a"), ttl_s=3600):
        workers = Workers(Cluster(nats_access))
        following = asyncio.create_task(workers.serve())
        await until(lambda: bool(workers.seen()))
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert await list_workers(Cluster(nats_access)) == ()


async def test_a_killed_worker_is_forgotten_when_its_time_is_over(nats_access: Access) -> None:
    arguments = [nats_access.urls[0], nats_access.namespace, str(TTL_S)]
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", BEATING, *arguments)
    workers = Workers(Cluster(nats_access))
    following = asyncio.create_task(workers.serve())
    try:
        await until(lambda: [one.capacity for one in workers.seen()] == [3])
        await asyncio.sleep(TTL_S * 1.5)
        assert len(workers.seen()) == 1  # it lives, so it stays
    finally:
        process.kill()
        await process.wait()
    took_s = await until(lambda: not workers.seen())
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert took_s <= TTL_S + 2
    assert await list_workers(Cluster(nats_access)) == ()


async def test_where_nobody_works_nobody_is_listed(nats_access: Access) -> None:
    assert await list_workers(Cluster(nats_access)) == ()


async def test_two_workers_of_one_name_are_told_so_and_the_one_that_stays_is_still_known(
    nats_access: Access, caplog: pytest.LogCaptureFixture
) -> None:
    said = [0, 0]

    def speaks(number: int) -> Callable[[], Presence]:
        def presence() -> Presence:
            said[number] += 1
            return Presence(name="twin", capacity=number)

        return presence

    async with beating(nats_access, speaks(0)):
        await until(lambda: said[0] > 2)
        assert caplog.messages == []
        async with beating(nats_access, speaks(1)):
            await until(lambda: min(said) > 3)
        told = [message for message in caplog.messages if "another worker is called twin" in message]
        assert 1 <= len(told) <= 2
        seen = said[0]
        await until(lambda: said[0] > seen)
        assert [worker.name for worker in await list_workers(Cluster(nats_access))] == ["twin"]
