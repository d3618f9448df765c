"""Every lease: one holder, a number that only grows, and a refusal that says who."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from provisioning.adapters.lock import WorkspaceLock
from provisioning.adapters.memory import MemoryLease
from provisioning.adapters.nats.connect import Cluster
from provisioning.adapters.nats.lease import NatsLease
from provisioning.core.ports import Lease
from provisioning.errors import LockedError

Contenders = Callable[[], Lease]


@pytest.fixture(params=["memory", "flock", "nats"])
def contender(request: pytest.FixtureRequest, tmp_path: Path) -> Contenders:
    """Return a maker of contenders for one right."""
    if request.param == "flock":
        return lambda: WorkspaceLock(tmp_path, poll_s=0.005)
    if request.param == "nats":
        cluster = Cluster(request.getfixturevalue("nats_access"))
        names = itertools.count()
        return lambda: NatsLease(cluster, f"contender-{next(names)}@here")
    first = MemoryLease()
    return first.rival


async def test_only_one_holds_it_and_the_others_are_told_who(contender: Contenders) -> None:
    holder = contender()
    await holder.acquire(wait=False)
    with pytest.raises(LockedError, match=r"workspace is locked by .+@.+") as refused:
        await contender().acquire(wait=False)
    assert "--wait" in refused.value.hint
    await holder.release()


async def test_tokens_only_grow_whoever_holds_it(contender: Contenders) -> None:
    tokens = []
    for lease in (contender(), contender(), contender()):
        tokens.append(await lease.acquire(wait=False))
        await lease.release()
    assert tokens == sorted(set(tokens))
    assert tokens[0] > 0


async def test_waiting_ends_when_the_holder_gives_it_up(contender: Contenders) -> None:
    holder, patient = contender(), contender()
    token = await holder.acquire(wait=False)
    waiting = asyncio.ensure_future(patient.acquire(wait=True))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    await holder.release()
    assert await asyncio.wait_for(waiting, timeout=5) > token
    await patient.release()


async def test_a_wait_that_is_cancelled_takes_nothing(contender: Contenders) -> None:
    holder = contender()
    await holder.acquire(wait=False)
    waiting = asyncio.ensure_future(contender().acquire(wait=True))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await holder.release()
    await contender().acquire(wait=False)


async def test_giving_up_twice_or_what_one_does_not_hold_is_no_error(contender: Contenders) -> None:
    holder, other = contender(), contender()
    await other.release()
    await holder.acquire(wait=False)
    await other.release()
    with pytest.raises(LockedError):
        await other.acquire(wait=False)
    await holder.release()
    await holder.release()


async def test_of_eight_at_once_exactly_one_gets_it(contender: Contenders) -> None:
    leases = [contender() for _ in range(8)]
    results = await asyncio.gather(*(lease.acquire(wait=False) for lease in leases), return_exceptions=True)
    assert sum(isinstance(result, int) for result in results) == 1
    for lease in leases:
        await lease.release()
