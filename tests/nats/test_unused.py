"""Long payloads go when no run on the servers refers to them, and never one that a run needs, whenever that is submitted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest

from provisioning.adapters.memory import FakeClock
from provisioning.adapters.nats.blobs import WORKFLOWS
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.messages import blob_of
from provisioning.adapters.nats.peers import Peer, answer
from provisioning.adapters.nats.schedules import BUCKET as SCHEDULES
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.nats.unused import Unused
from provisioning.codec import digest, encode
from provisioning.core.events import Event, Kind
from provisioning.core.model import Action, Step, Workflow
from provisioning.core.ports import Commit
from provisioning.core.retention import GRACE_S
from provisioning.errors import NotFoundError, StoreError

SHORT_GRACE_S = 0.1
BEFORE = datetime(2026, 1, 1, tzinfo=UTC)


def flow(name: str, size: int = 10) -> Workflow:
    return Workflow(name=name, steps=(Step(id="s", action=Action(type="noop", settings={"text": "x" * size})),))


async def submit(store: NatsStore, run: str, workflow: Workflow) -> None:
    data = {"workflow": await store.put_workflow(workflow), "name": workflow.name, "params": {}, "trigger": "t"}
    event = Event(run=run, kind=Kind.RUN_CREATED, at=BEFORE, data=data)
    await store.commit(Commit(run=run, expected_seq=0, events=[event], fence=None))


def process(access: Access, folder: Path, clock: FakeClock | None = None) -> NatsStore:
    return NatsStore(Cluster(access), folder, clock, patient=True)


async def test_what_a_run_refers_to_stays_and_what_none_does_goes(nats_access: Access, tmp_path: Path) -> None:
    store = process(nats_access, tmp_path / "one")
    kept, gone, large = flow("kept"), flow("gone"), flow("large", 700_000)
    for number, workflow in enumerate((kept, gone, large)):
        await submit(store, f"r{number}", workflow)
    await store.blobs.put("r0", b"output")
    await store.blobs.put("r1", b"output")
    for run in ("r1", "r2"):
        await store.delete(run)
    late = await store.blobs.put("r1", b"an output that came after its run was deleted")
    await store.delete("r1")
    await store.blobs.put("never", b"was never submitted")
    await store.blobs.put("state abc", b"states")
    await store.blobs.put(SCHEDULES, b"marks")

    removed = await Unused(store.cluster, store.history, grace_s=0).remove()

    assert {digest(gone), digest(large), "never"} <= set(removed)
    assert await store.blobs.get(WORKFLOWS, digest(kept)) == encode(kept)
    for owner, data in (("r0", b"output"), ("state abc", b"states"), (SCHEDULES, b"marks")):
        assert await store.blobs.get(owner, await _address(store, owner)) == data
    for owner, where in ((WORKFLOWS, digest(gone)), (WORKFLOWS, digest(large)), ("r1", late)):
        with pytest.raises(NotFoundError):
            await store.blobs.get(owner, where)
    assert await Unused(store.cluster, store.history, grace_s=0).remove() == []
    await store.aclose()


async def _address(store: NatsStore, owner: str) -> str:
    found = await store.cluster.last(store.cluster.names.blobs, store.cluster.names.blobs_of(owner))
    assert found is not None
    return "sha256:" + found.subject.split(".")[-2].rpartition("=3A")[2]


async def test_what_was_stored_lately_stays_for_the_run_that_may_be_about_to_begin(nats_access: Access, tmp_path: Path) -> None:
    store = process(nats_access, tmp_path / "one")
    await store.put_workflow(flow("soon"))
    await store.blobs.put("soon", b"package")
    assert await Unused(store.cluster, store.history).remove() == []
    await submit(store, "soon", flow("soon"))
    assert await store.blobs.get(WORKFLOWS, digest(flow("soon")))
    await store.aclose()


class Between:
    """A cluster whose remover is held up after so many of its requests, while somebody else does something."""

    def __init__(self, cluster: Cluster, after: int, do: Callable[[], Awaitable[None]]) -> None:
        self._cluster, self._left, self._do = cluster, after, do
        self.done = False

    def __getattr__(self, name: str) -> object:
        return getattr(self._cluster, name)

    async def ask(self, *words: object) -> object:
        await self._pass()
        return await self._cluster.ask(*words)  # type: ignore[arg-type]

    async def purge_before(self, *words: object) -> None:
        await self._pass()
        await self._cluster.purge_before(*words)  # type: ignore[arg-type]

    async def _pass(self) -> None:
        self._left -= 1
        if self._left < 0 and not self.done:
            self.done = True
            await self._do()


async def test_a_run_submitted_at_any_moment_of_the_removing_has_its_workflow(nats_access: Access, tmp_path: Path) -> None:
    """The old one of each is due to go; somebody submits it again, from a process that has stored it long ago or never."""
    clock = FakeClock(start=BEFORE)
    one, fresh = process(nats_access, tmp_path / "one", clock), process(nats_access, tmp_path / "fresh")
    met = removed = 0
    for number, (after, store, size) in enumerate(product(range(9), (one, fresh), (10, 600_000))):
        workflow = flow(f"w{number}", size)
        await one.put_workflow(workflow)
        clock.advance(GRACE_S)
        await asyncio.sleep(SHORT_GRACE_S)

        async def submitted(workflow: Workflow = workflow, store: NatsStore = store, number: int = number) -> None:
            await submit(store, f"r{number}", workflow)

        cluster = Between(one.cluster, after, submitted)
        removed += len(await Unused(cluster, one.history, SHORT_GRACE_S).remove())  # type: ignore[arg-type]
        met += cluster.done
        if not cluster.done:
            await submitted()
        new = process(nats_access, tmp_path / f"new{number}")
        found = await new.workflow(digest(workflow))
        await new.aclose()
        assert found == workflow
        await one.delete(f"r{number}")
    for store in (one, fresh):
        await store.aclose()
    assert met >= 20
    assert removed >= 20


async def test_what_is_stored_again_takes_no_more_room(nats_access: Access, tmp_path: Path) -> None:
    found = []
    for number in range(3):
        store = process(nats_access, tmp_path / f"p{number}")
        await submit(store, f"r{number}", flow("same", 600_000))
        found.append((await store.cluster.ask(f"STREAM.INFO.{store.cluster.names.blobs}"))["state"]["messages"])
        await store.aclose()
    assert found == [found[0]] * 3


async def test_a_process_that_stood_still_before_it_submitted_is_told_to_do_it_again(
    nats_access: Access, tmp_path: Path
) -> None:
    clock = FakeClock(start=BEFORE)
    store = process(nats_access, tmp_path / "one", clock)
    data = {"workflow": await store.put_workflow(flow("w")), "name": "w", "params": {}, "trigger": "t"}
    created = Commit(run="r", expected_seq=0, events=[Event(run="r", kind=Kind.RUN_CREATED, at=BEFORE, data=data)], fence=None)
    clock.advance(GRACE_S / 2 + 1)
    with pytest.raises(StoreError, match="too long after its workflow was stored"):
        await store.commit(created)
    await submit(store, "r", flow("w"))
    assert [event.kind for event in await store.events("r")] == [Kind.RUN_CREATED]
    await store.aclose()


async def test_whoever_lacks_a_workflow_that_the_servers_do_not_have_gets_it_from_another(
    nats_access: Access, tmp_path: Path
) -> None:
    one, new = process(nats_access, tmp_path / "one"), process(nats_access, tmp_path / "new")
    workflow, over = flow("large", 900_000), asyncio.Event()
    await submit(one, "r", workflow)
    await one.blobs.delete(WORKFLOWS)

    async def until_over() -> None:
        await over.wait()

    answering = asyncio.create_task(answer(one.cluster, one.replica, "one", until_over))
    assert await Peer(one.replica, "one").answer({"workflow": "sha256:none"}) is None
    assert await new.workflow(digest(workflow)) == workflow
    over.set()
    await answering
    with pytest.raises(NotFoundError):
        await new.workflow("sha256:none")
    for store in (one, new):
        await store.aclose()


def test_the_moment_counts_in_which_something_was_stored_and_whether_a_run_refers_to_it() -> None:
    from provisioning.core.retention import Content, unused

    def content(name: str, age_s: float) -> Content:
        return Content(digest=name, seq=1, at=BEFORE - timedelta(seconds=age_s))

    contents = [content("used", 9000), content("young", 3600), content("old", 3601)]
    assert [one.digest for one in unused(contents, {"used"}, BEFORE)] == ["old"]


async def test_a_long_body_that_somebody_has_replaced_is_refused(nats_access: Access, tmp_path: Path) -> None:
    store = process(nats_access, tmp_path / "one")
    body = b"x" * 400_000
    packed, headers = await store.blobs.packed("r", body)
    assert await store.blobs.unpacked(packed, headers) == body
    await store.blobs.put("r", b"y" * 400_000, (blob_of(headers) or ("", ""))[1], anew=True)
    with pytest.raises(StoreError, match="replaced by something else"):
        await store.blobs.unpacked(packed, headers)
    await store.aclose()
