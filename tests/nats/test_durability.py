"""Servers that are killed, restarted, frozen or gone: what was acknowledged is there, and what uses them goes on."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.natsservers import NatsServer, access, running
from support.natsstores import opened
from support.records import a_commit, a_task, created, event

from provisioning.adapters.nats.lease import NatsLease
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.nats.wire import Message
from provisioning.core.events import Kind
from provisioning.errors import ClusterUnreachable, LockedError

KILLS = 3
RUNS = 4
COMMITS_BETWEEN = 40


class Acknowledged:
    """The newest seq of each run that was promised to be there."""

    def __init__(self) -> None:
        self.seqs: dict[str, int] = {}
        self._more = asyncio.Condition()

    async def note(self, run: str, seq: int) -> None:
        async with self._more:
            self.seqs[run] = seq
            self._more.notify_all()

    async def more(self, count: int) -> None:
        """Wait until so many more commits were acknowledged."""
        until = sum(self.seqs.values()) + count
        async with self._more:
            await self._more.wait_for(lambda: sum(self.seqs.values()) >= until)


async def stream_of_commits(store: NatsStore, run: str, acknowledged: Acknowledged, ended: asyncio.Event) -> None:
    seq = 2
    while not ended.is_set():
        step = f"s{seq}"
        events = [event(Kind.STEP_DISPATCHED, step, run=run, attempt=1)]
        seq = await store.commit(a_commit(seq, *events, run=run, tasks=[a_task(step, run=run)], fence=7))
        await acknowledged.note(run, seq)


async def test_every_commit_that_was_acknowledged_outlives_a_killed_server_and_every_dispatch_follows(tmp_path: Path) -> None:
    with running() as server:
        async with opened(access(server.url), tmp_path / "leader", patient=False) as store:
            runs = [f"r{number}" for number in range(RUNS)]
            for run in runs:
                await created(store, run=run)
            await store.take_over(7)
            acknowledged, ended = Acknowledged(), asyncio.Event()
            going = [asyncio.create_task(stream_of_commits(store, run, acknowledged, ended)) for run in runs]
            for _ in range(KILLS):
                await acknowledged.more(COMMITS_BETWEEN)
                server.kill()
                promised = dict(acknowledged.seqs)
                await asyncio.to_thread(server.start)
                async with opened(store.cluster.access, tmp_path / "other") as other:
                    for run, seq in promised.items():
                        assert len(await other.events(run)) >= seq
            await acknowledged.more(COMMITS_BETWEEN)
            ended.set()
            await asyncio.gather(*going)
            await store.settled()
            names = store.cluster.names
            for run, seq in acknowledged.seqs.items():
                assert [one.seq for one in await store.events(run)] == list(range(1, seq + 1))
                found = await store.cluster.ask(f"STREAM.INFO.{names.work}", {"subjects_filter": names.tasks_of(run)})
                assert sum(found["state"]["subjects"].values()) == seq - 2, "each dispatch once"


async def test_a_reading_has_every_message_once_and_in_order_over_restarts_of_the_server(tmp_path: Path) -> None:
    with running() as server:
        async with opened(access(server.url), tmp_path) as store:
            names = store.cluster.names
            reading = Reading(store.cluster, names.work, [names.requests, names.fires])
            read: list[int] = []

            async def follow() -> None:
                while len(read) < 300:
                    read.extend(int(stored.body) for stored in await reading.next())

            following = asyncio.create_task(follow())
            for number in range(300):
                if number in {100, 200}:
                    await asyncio.to_thread(restart, server)
                    assert await store.cluster.connected(10)
                subject = names.request("r1") if number % 2 else names.fire("r1")
                await store.cluster.publish(Message(subject=subject, body=str(number).encode()))
            await asyncio.wait_for(following, timeout=60)
            await reading.close()
            assert read == list(range(300))


def restart(server: NatsServer) -> None:
    server.kill()
    server.start()


async def test_without_a_server_in_mid_use_calls_fail_in_time_and_work_again_when_it_is_back(tmp_path: Path) -> None:
    with running() as server:
        mine = access(server.url, timeout_s=0.5, patience_s=0.6)
        async with opened(mine, tmp_path) as store:
            assert await created(store) == 2
            server.kill()
            with pytest.raises(ClusterUnreachable) as refused:
                await store.commit(a_commit(2, event(Kind.RUN_RESUMED)))
            assert refused.value.hint
            with pytest.raises(ClusterUnreachable):
                await store.events("r1")
            await asyncio.to_thread(server.start)
            assert await store.cluster.connected(10)
            assert await store.commit(a_commit(2, event(Kind.RUN_RESUMED))) == 3


async def test_a_lease_outlives_a_short_absence_of_the_server_and_is_lost_after_a_long_one(tmp_path: Path) -> None:
    with running() as server:
        async with opened(access(server.url), tmp_path) as store, opened(store.cluster.access, tmp_path) as other:
            lease, rival = NatsLease(store.cluster, "ana@a", ttl_s=3), NatsLease(other.cluster, "bob@b", ttl_s=3)
            token = await lease.acquire()
            lost = asyncio.create_task(lease.lost())
            await asyncio.to_thread(restart, server)
            assert await other.cluster.connected(10)
            with pytest.raises(LockedError, match="ana@a"):
                await rival.acquire()

            server.freeze()
            await asyncio.wait_for(lost, timeout=15)
            server.thaw()
            assert await asyncio.wait_for(rival.acquire(wait=True), timeout=15) > token
            await rival.release()


async def test_a_lease_that_nobody_renews_is_free_after_its_time(tmp_path: Path) -> None:
    with running() as server:
        async with opened(access(server.url), tmp_path) as store, opened(store.cluster.access, tmp_path) as other:
            dead, heir = NatsLease(store.cluster, "ana@a", ttl_s=1), NatsLease(other.cluster, "bob@b", ttl_s=1)
            token = await dead.acquire()
            assert dead._renewing is not None
            dead._renewing.cancel()
            assert await asyncio.wait_for(heir.acquire(wait=True), timeout=10) > token
            assert (await heir.holder() or {})["actor"] == "bob@b"
            await dead.release()
            assert (await heir.holder() or {})["actor"] == "bob@b", "it does not take what it has lost"
            await heir.release()
            assert await heir.holder() is None
