"""A run that ended long ago leaves nothing on the servers once every registered reader has it, and is in the history."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from provisioning.adapters.memory import FakeClock
from provisioning.adapters.nats import peers
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.logcollector import LogCollector
from provisioning.adapters.nats.logs import NatsLogs, log_stream, stream_name
from provisioning.adapters.nats.peers import answer
from provisioning.adapters.nats.readers import Readership, readers, subjects
from provisioning.adapters.nats.retention import Retention
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.nats.streams import ensure
from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Step, Workflow
from provisioning.core.ports import Commit, Request, Task, Timer
from provisioning.core.retention import Keep
from provisioning.errors import StoreError

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
KEEP = Keep(ended_s=3600, forget_s=86400)
FLOW = Workflow(name="w", steps=(Step(id="s", action=Action(type="noop")),))
LARGE = "x" * 400_000  # longer than a message may be


class Site:
    """A machine that keeps the history: a store with its replica, and a reader."""

    def __init__(self, access: Access, folder: Path, clock: FakeClock, name: str) -> None:
        self.store = NatsStore(Cluster(access), folder, clock, patient=True)
        self.collector = LogCollector(Cluster(access), folder / "logs")
        self.seqs = {self.store.cluster.names.work: 0, stream_name(self.store.cluster): 0}
        self.reader = Readership(self.store.cluster, clock, name, lambda: self.seqs)
        self.retention = Retention(self.store.cluster, self.store.history, clock, KEEP)

    async def has_read_everything(self) -> None:
        for stream in self.seqs:
            self.seqs[stream] = int((await self.store.cluster.ask(f"STREAM.INFO.{stream}"))["state"]["last_seq"])
        await self.store.replica.caught_up()
        await self.reader.tell()

    async def run(self, run: str, *, at: datetime = LONG_AGO, ends: bool = True) -> None:
        """Have a run with a dispatch, a timer, a request, a long payload and a log."""
        data = {"workflow": await self.store.put_workflow(FLOW), "name": "w", "params": {"text": LARGE}, "trigger": "t"}
        await self._commit(run, 0, Event(run=run, kind=Kind.RUN_CREATED, at=at, data=data))
        task = Task(run=run, step="s", attempt=1, epoch=1, action=Action(type="noop"))
        timer = Timer(run=run, step="s", attempt=1, kind="timeout", due=datetime.now(UTC) + timedelta(days=1))
        began = Event(run=run, kind=Kind.RUN_STARTED, at=at)
        await self.store.commit(Commit(run=run, expected_seq=1, events=[began], tasks=[task], timers=[timer], fence=None))
        await self.store.request(Request(run=run, kind="pause"))
        if ends:
            await self._commit(run, 2, Event(run=run, kind=Kind.RUN_FINISHED, at=at, data={"state": "succeeded"}))
        await self.store.settled()
        logs = NatsLogs(self.store.cluster)
        await logs.start()
        log = logs.open(run, "s", 1)
        log.write(b"printed\n")
        log.close()
        await logs.aclose()

    async def _commit(self, run: str, seq: int, event: Event) -> None:
        await self.store.commit(Commit(run=run, expected_seq=seq, events=[event], fence=None))

    async def left(self, run: str) -> list[str]:
        """Return every subject of every stream that has something of a run."""
        cluster, found = self.store.cluster, []
        for stream in (await cluster.ask("STREAM.NAMES"))["streams"]:
            if stream.startswith((f"{cluster.names.namespace}-", f"KV_{cluster.names.namespace}-")):
                found += [subject for subject in await subjects(cluster, stream, ">") if run in subject.split(".")]
        return found


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start=LONG_AGO + timedelta(days=30))


@asynccontextmanager
async def sites(access: Access, folder: Path, clock: FakeClock, *names: str) -> AsyncIterator[list[Site]]:
    made = [Site(access, folder / name, clock, name) for name in names]
    await ensure(made[0].store.cluster, log_stream(made[0].store.cluster))
    try:
        yield made
    finally:
        for site in made:
            await site.store.aclose()


async def test_a_run_that_ended_long_ago_leaves_nothing_and_every_history_shows_it(
    nats_access: Access, tmp_path: Path, clock: FakeClock
) -> None:
    async with sites(nats_access, tmp_path, clock, "one", "two") as (one, two):
        await one.run("old")
        await one.run("goes-on", ends=False)
        await one.run("young", at=clock.now() - timedelta(minutes=1))
        assert len(await one.left("old")) >= 6
        for site in (one, two):
            await site.has_read_everything()
        assert await one.retention.remove() == ["old"]
        assert await one.left("old") == []
        assert [bool(await one.left(run)) for run in ("goes-on", "young")] == [True, True]
        for site in (one, two):
            assert site.store.history.run("old").summary.state == "succeeded"
            assert len(await site.store.events("old")) == 3
        assert await one.retention.remove() == []


async def test_what_was_removed_is_noted_beside_the_readers_and_is_none_of_them(
    nats_access: Access, tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with sites(nats_access, tmp_path, clock, "one") as (one,):
        await one.run("old")
        await one.has_read_everything()
        assert await one.retention.remove() == ["old"]
        assert [told.reader.name for told in await readers(one.store.cluster)] == ["one"]
    assert caplog.messages == []


@pytest.mark.parametrize("behind", ["history", "logs"])
async def test_as_long_as_one_registered_reader_does_not_have_it_all_of_it_stays(
    nats_access: Access, tmp_path: Path, clock: FakeClock, behind: str
) -> None:
    async with sites(nats_access, tmp_path, clock, "one", "two") as (one, two):
        await one.run("old")
        for site in (one, two):
            await site.has_read_everything()
        stream = one.store.cluster.names.work if behind == "history" else stream_name(one.store.cluster)
        two.seqs[stream] = 0
        await two.reader.tell()
        before = await one.left("old")
        assert await one.retention.remove() == []
        assert await one.left("old") == before
        await two.reader.leave()
        assert await one.retention.remove() == ["old"]


async def test_a_reader_that_is_away_for_too_long_is_not_waited_for(
    nats_access: Access, tmp_path: Path, clock: FakeClock
) -> None:
    async with sites(nats_access, tmp_path, clock, "one", "gone") as (one, gone):
        await gone.reader.tell()
        await one.run("old")
        await one.has_read_everything()
        assert await one.retention.remove() == []
        clock.advance(KEEP.forget_s + 1)
        await one.has_read_everything()
        assert await one.retention.remove() == ["old"]


async def test_nobody_reads_then_nothing_goes(nats_access: Access, tmp_path: Path, clock: FakeClock) -> None:
    async with sites(nats_access, tmp_path, clock, "one") as (one,):
        await one.run("old")
        assert await one.retention.remove() == []


async def test_a_run_that_was_removed_can_be_opened_again(nats_access: Access, tmp_path: Path, clock: FakeClock) -> None:
    async with sites(nats_access, tmp_path, clock, "one", "two") as (one, two):
        await one.run("old")
        for site in (one, two):
            await site.has_read_everything()
        await one.retention.remove()
        again = Event(run="old", kind=Kind.RUN_REOPENED, at=clock.now(), data={"steps": ["s"]})
        assert await two.store.commit(Commit(run="old", expected_seq=3, events=[again], fence=None)) == 4
        assert [event.seq for event in await one.store.events("old")] == [1, 2, 3, 4]
        assert await one.retention.remove() == []  # it goes on


async def test_a_deleted_run_leaves_nothing_but_that_it_was_deleted(
    nats_access: Access, tmp_path: Path, clock: FakeClock
) -> None:
    async with sites(nats_access, tmp_path, clock, "one", "two") as (one, two):
        await one.run("old")
        await one.store.delete("old")
        assert await one.left("old") == [one.store.cluster.names.decision("old")]
        for site in (one, two):
            await site.has_read_everything()
        assert await one.retention.remove() == ["old"]
        assert await one.left("old") == []
        assert [site.store.history.list_runs() for site in (one, two)] == [[], []]


async def test_what_is_stopped_in_the_middle_is_finished_the_next_time(
    nats_access: Access, tmp_path: Path, clock: FakeClock
) -> None:
    async with sites(nats_access, tmp_path, clock, "one") as (one,):
        await one.run("old")
        await one.has_read_everything()
        for turns in range(0, 60, 6):
            task = asyncio.create_task(one.retention.remove())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        await one.retention.remove()
        assert await one.left("old") == []


async def test_a_new_replica_asks_another_one_for_what_the_stream_has_removed(
    nats_access: Access, tmp_path: Path, clock: FakeClock
) -> None:
    async with sites(nats_access, tmp_path, clock, "one") as (one,):
        for number in range(3):
            await one.run(f"old{number}")
        await one.run("goes-on", ends=False)
        await one.has_read_everything()
        assert len(await one.retention.remove()) == 3
        over = asyncio.Event()

        async def until_over() -> None:
            await over.wait()

        answering = asyncio.create_task(answer(one.store.cluster, one.store.replica, "one", until_over))
        new = Site(nats_access, tmp_path / "new", clock, "new")
        for run in ("old0", "old1", "old2", "goes-on"):
            assert await new.store.events(run) == await one.store.events(run)
        listed = [site.store.history.list_runs() for site in (one, new)]
        assert listed[0] == listed[1]
        over.set()
        await answering
        await new.store.aclose()


async def test_a_new_replica_does_not_pretend_to_know_what_nobody_tells_it(
    nats_access: Access, tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "WITHIN_S", 0.2)
    async with sites(nats_access, tmp_path, clock, "one") as (one,):
        await one.run("old")
        await one.run("goes-on", ends=False)
        await one.has_read_everything()
        await one.retention.remove()
        new = Site(nats_access, tmp_path / "new", clock, "new")
        with pytest.raises(StoreError, match="nobody who has their history answers"):
            await new.store.events("goes-on")
        await new.store.aclose()
