"""Packages that every worker can get at: what was put comes back, under its digest, whoever asks."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest
from support.natsservers import remove_streams

from provisioning.adapters.memory.definitions import MemoryPackages
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.packages import NatsPackages
from provisioning.adapters.nats.streams import blob_stream, ensure
from provisioning.core.dagu.definitions import Packages
from provisioning.core.dagu.package import address
from provisioning.errors import NotFoundError

Opened = Callable[[], AbstractAsyncContextManager[tuple[Packages, Packages]]]


@pytest.fixture(params=["memory", "nats"])
def two(request: pytest.FixtureRequest) -> Opened:
    """Return what opens the same packages twice, as two workers do."""
    mine = request.getfixturevalue("nats_access") if request.param == "nats" else None

    @asynccontextmanager
    async def opened() -> AsyncIterator[tuple[Packages, Packages]]:
        if mine is None:
            same = MemoryPackages()
            yield same, same
            return
        clusters = Cluster(mine), Cluster(mine)
        await ensure(clusters[0], blob_stream(clusters[0]))
        try:
            yield NatsPackages(clusters[0]), NatsPackages(clusters[1])
        finally:
            await remove_streams(mine)
            for cluster in clusters:
                await cluster.close()

    return opened


@pytest.mark.parametrize("data", [b"", b"x", bytes(range(256)) * 4000], ids=["nothing", "a byte", "a megabyte"])
async def test_what_one_puts_another_gets(two: Opened, data: bytes) -> None:
    async with two() as (one, other):
        digest = await one.put("r1", data)

        assert digest == address(data)
        assert await other.get("r1", digest) == data


async def test_putting_it_again_changes_nothing(two: Opened) -> None:
    async with two() as (one, other):
        digests = [await each.put("r1", b"same") for each in (one, other, one)]

        assert len(set(digests)) == 1
        assert await one.get("r1", digests[0]) == b"same"


async def test_what_one_run_has_another_has_not(two: Opened) -> None:
    async with two() as (one, other):
        digest = await one.put("r1", b"same")
        with pytest.raises(NotFoundError, match="run r2 has no package"):
            await other.get("r2", digest)


async def test_what_nobody_has_put_is_not_found(two: Opened) -> None:
    async with two() as (one, _other):
        with pytest.raises(NotFoundError, match="no package"):
            await one.get("r1", address(b"never"))
