"""Other programs are told of every event of the journal once, whatever becomes of whoever publishes."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

from support.natsservers import access as access_to

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.publicevents import PublicEvents, all_events, events_stream, stream_name
from provisioning.adapters.nats.reading import Reading
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.nats.streams import ensure
from provisioning.adapters.nats.wire import Stored
from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Step, Workflow
from provisioning.core.ports import Commit
from provisioning.core.publicevents import Origin

AT = datetime(2026, 1, 1, tzinfo=UTC)
FLOW = Workflow(name="w", steps=(Step(id="s", action=Action(type="noop")),))
PUBLISHING = """
import asyncio, sys
from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.publicevents import PublicEvents
from provisioning.core.publicevents import Origin

async def origin(run, seq):
    return Origin(workspace="prod", workflow="w")

cluster = Cluster(Access(urls=(sys.argv[1],), namespace=sys.argv[2]))
asyncio.run(PublicEvents(cluster, Blobs(cluster), origin).serve())
"""


async def origin(run: str, seq: int) -> Origin:
    return Origin(workspace="prod.eu", workflow="my flow")


class Journal:
    """Writes events of runs, and knows what has to be published."""

    def __init__(self, access: Access, folder: Path) -> None:
        self.store = NatsStore(Cluster(access), folder)
        self.written: list[str] = []
        self._seqs: Counter[str] = Counter()

    async def write(self, run: str, count: int) -> None:
        events = [Event(run=run, kind=Kind.STEP_LATE, at=AT, step="s", data={"sla_s": 1}) for _ in range(count)]
        if not self._seqs[run]:
            data = {
                "workflow": await self.store.put_workflow(FLOW),
                "name": "w",
                "params": {"secret": "canary"},
                "trigger": "t",
            }
            events[0] = Event(run=run, kind=Kind.RUN_CREATED, at=AT, data=data)
        before = self._seqs[run]
        await self.store.commit(Commit(run=run, expected_seq=before, events=events, fence=None))
        self._seqs[run] += count
        self.written += [f"{run}:{seq}" for seq in range(before + 1, before + count + 1)]


async def published(cluster: Cluster) -> list[Stored]:
    info = await ensure(cluster, events_stream(cluster))
    found: list[Stored] = []
    reading = Reading(cluster, stream_name(cluster), [all_events(cluster)])
    while len(found) < info["state"]["messages"]:
        found += await reading.next()
    await reading.close()
    return found


async def finished(cluster: Cluster, count: int) -> list[Stored]:
    for _ in range(1500):
        if (await ensure(cluster, events_stream(cluster)))["state"]["messages"] >= count:
            break
        await asyncio.sleep(0.02)
    return await published(cluster)


def ids(messages: list[Stored]) -> list[str]:
    return [json.loads(message.body)["id"] for message in messages]


async def test_every_event_is_published_once_in_order_below_its_workspace(nats_access: Access, tmp_path: Path) -> None:
    journal, cluster = Journal(nats_access, tmp_path), Cluster(nats_access)
    await journal.write("r1", 2)
    task = asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin).serve())
    await journal.write("r1", 2000)
    await journal.write("r2", 1)
    messages = await finished(cluster, 2003)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await journal.store.aclose()
    assert ids(messages) == journal.written
    ns = nats_access.namespace
    assert [message.subject for message in messages[:2]] == [
        f"{ns}.prod=2Eeu.workflow.my=20flow.run_created",
        f"{ns}.prod=2Eeu.workflow.my=20flow.step_late",
    ]
    assert messages[0].headers["Nats-Msg-Id"] == "r1:1"
    assert not any(b"canary" in message.body for message in messages)


async def test_publishers_that_stop_at_any_moment_leave_out_nothing_and_repeat_nothing(
    nats_access: Access, tmp_path: Path
) -> None:
    journal, dice, cluster = Journal(nats_access, tmp_path), random.Random(7), Cluster(nats_access)
    for turn in range(30):
        several = [
            asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin).serve()) for _ in range(dice.choice((1, 1, 2, 3)))
        ]
        for _ in range(3):
            await journal.write(f"r{turn % 4}", dice.choice((1, 3, 40)))
            await asyncio.sleep(dice.random() * 0.03)
        for task in several:
            task.cancel()
        await asyncio.gather(*several, return_exceptions=True)
    last = asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin).serve())
    messages = await finished(cluster, len(journal.written))
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    await journal.store.aclose()
    assert ids(messages) == journal.written


async def test_a_publisher_that_is_killed_again_and_again_does_so_too(nats_access: Access, tmp_path: Path) -> None:
    journal, dice, cluster = Journal(nats_access, tmp_path), random.Random(11), Cluster(nats_access)
    arguments = [nats_access.urls[0], nats_access.namespace]
    for turn in range(6):
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", PUBLISHING, *arguments)
        end = asyncio.get_running_loop().time() + 0.4 + dice.random() * 0.4
        while asyncio.get_running_loop().time() < end:
            await journal.write(f"r{turn}", dice.choice((1, 5)))
        process.kill()
        await process.wait()
    last = asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin).serve())
    messages = await finished(cluster, len(journal.written))
    last.cancel()
    await asyncio.gather(last, return_exceptions=True)
    await journal.store.aclose()
    assert ids(messages) == journal.written


async def test_an_emptied_stream_of_public_events_is_not_filled_again(nats_access: Access, tmp_path: Path) -> None:
    journal, cluster = Journal(access_to(nats_access.urls[0], nats_access.namespace), tmp_path), Cluster(nats_access)
    noted: asyncio.Queue[int] = asyncio.Queue()
    await journal.write("r1", 3)
    first = asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin, noted=noted.put_nowait).serve())
    await finished(cluster, 3)
    upto = await noted.get()
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await cluster.purge(stream_name(cluster), all_events(cluster))
    again = asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin, since=upto + 1).serve())
    await journal.write("r1", 1)
    messages = await finished(cluster, 1)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    await journal.store.aclose()
    assert ids(messages) == ["r1:4"]


async def test_a_journal_that_was_made_anew_is_told_from_its_beginning(nats_access: Access, tmp_path: Path) -> None:
    journal, cluster = Journal(nats_access, tmp_path / "before"), Cluster(nats_access)
    await journal.write("r1", 5)
    first = asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin).serve())
    await finished(cluster, 5)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    await journal.store.aclose()
    await cluster.ask(f"STREAM.DELETE.{cluster.names.work}")
    again = Journal(nats_access, tmp_path / "after")
    await again.write("r2", 2)
    second = asyncio.create_task(PublicEvents(cluster, Blobs(cluster), origin).serve())
    messages = await finished(cluster, 7)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    await again.store.aclose()
    await cluster.close()
    assert ids(messages) == [*journal.written, *again.written]
