"""Whoever is cancelled stops, also in the middle of a call of nats-py."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.heeding import heeded


async def swallows(*, fails: bool = False) -> str:
    with suppress(asyncio.CancelledError):
        await asyncio.sleep(60)
    if fails:
        raise ValueError("afterwards")
    return "went on"


@pytest.mark.parametrize("fails", [False, True])
async def test_a_swallowed_cancellation_is_given_back(*, fails: bool) -> None:
    task = asyncio.create_task(heeded(swallows(fails=fails)))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_limit_of_time_counts_as_well() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await heeded(swallows())


async def test_what_nobody_cancels_ends_as_it_ends() -> None:
    assert await heeded(asyncio.sleep(0, "value")) == "value"


async def test_a_loop_that_asks_can_be_cancelled_at_any_moment(nats_access: Access) -> None:
    cluster = Cluster(nats_access)

    async def ask() -> None:
        while True:
            await cluster.ask("INFO")

    for turns in range(60):
        task = asyncio.create_task(ask())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        async with asyncio.timeout(5):
            with suppress(asyncio.CancelledError):
                await task
    await cluster.close()
