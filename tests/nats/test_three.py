"""Three servers: one may be killed, also the one that leads, and nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest
from support.natsservers import NatsServer, access, three
from support.natsstores import opened
from support.records import a_commit, a_task, created, event

from provisioning.adapters.nats.store import NatsStore
from provisioning.core.events import Kind

BEFORE, AFTER = 30, 30


async def commits(store: NatsStore, seq: int, count: int) -> int:
    for number in range(count):
        step = f"s{seq + number}"
        dispatched = event(Kind.STEP_DISPATCHED, step, attempt=1)
        assert await store.commit(a_commit(seq + number, dispatched, tasks=[a_task(step)], fence=7)) == seq + number + 1
    return seq + count


async def leader(store: NatsStore, nodes: Sequence[NatsServer]) -> NatsServer:
    """Return the node that leads the work stream."""
    found = await store.cluster.ask(f"STREAM.INFO.{store.cluster.names.work}")
    return next(node for node in nodes if node.name == found["cluster"]["leader"])


@pytest.mark.slow
@pytest.mark.parametrize("which", ["leader", "other"])
async def test_a_node_that_is_killed_loses_no_commit_and_the_others_go_on(tmp_path: Path, which: str) -> None:
    with three() as nodes:
        mine = access(nodes[0].url, replicas=3, urls_more=tuple(node.url for node in nodes[1:]), timeout_s=2)
        async with opened(mine, tmp_path / "leader") as store, opened(mine, tmp_path / "other") as other:
            seq = await created(store)
            await store.take_over(7)
            seq = await commits(store, seq, BEFORE)
            first = await leader(store, nodes)
            victim = first if which == "leader" else next(node for node in nodes if node is not first)
            going = asyncio.create_task(commits(store, seq, AFTER))
            victim.kill()
            seq = await asyncio.wait_for(going, timeout=60)
            await store.settled()
            assert [one.seq for one in await other.events("r1")] == list(range(1, seq + 1))
            await asyncio.to_thread(victim.start)
            seq = await commits(store, seq, 1)
            assert len(await other.events("r1")) == seq
