"""The history outside NATS: the same wherever it is made, never behind for long, and enough to make the stream anew."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest
from support.natsstores import dump, opened
from support.records import a_commit, a_step, a_workflow, created, event

from provisioning.adapters.nats.blobs import Blobs
from provisioning.adapters.nats.connect import Access, Cluster
from provisioning.adapters.nats.messages import Head
from provisioning.adapters.nats.rebuilding import rebuild
from provisioning.adapters.nats.replica import Replica
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.nats.wire import Message
from provisioning.core.events import Event, Kind
from provisioning.errors import StoreError

SEED = 20261121
WIDE = a_workflow(*(a_step(f"s{number}") for number in range(20)), name="wide")


def lived(step: str, run: str, dice: random.Random) -> list[Event]:
    ends = dice.choice([Kind.STEP_SUCCEEDED, Kind.STEP_FAILED])
    begun = [
        event(Kind.STEP_DISPATCHED, step, run=run, attempt=1),
        event(Kind.STEP_STARTED, step, run=run, attempt=1, worker="w"),
    ]
    return [*begun, event(ends, step, run=run, attempt=1, error={"kind": "exit", "message": "no"})]


async def some_runs(store: NatsStore, prefix: str, dice: random.Random) -> None:
    """Create ten runs and have them go on, in turns that the dice decide."""
    seqs = {f"{prefix}{number}": await created(store, WIDE, run=f"{prefix}{number}") for number in range(10)}
    left = [(run, step.id) for run in seqs for step in WIDE.steps]
    dice.shuffle(left)
    for run, step in left:
        seqs[run] = await store.commit(a_commit(seqs[run], *lived(step, run, dice), run=run))
    for run in list(seqs)[::3]:
        await store.commit(a_commit(seqs[run], event(Kind.RUN_FINISHED, run=run, state="failed", reason="no"), run=run))
    await store.delete(f"{prefix}4")


async def test_a_replica_made_from_nothing_equals_those_that_were_there(nats_access: Access, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    async with opened(nats_access, tmp_path / "one", patient=False) as one, opened(nats_access, tmp_path / "two") as two:
        await asyncio.gather(some_runs(one, "a", dice), some_runs(two, "b", dice))
        await one.delete_dead_letters(waiting=True)
        await some_runs(two, "c", dice)
        await one.open_runs()
    async with opened(nats_access, tmp_path / "late") as late:
        assert len(await late.open_runs()) == 15
    old = dump(tmp_path / "one")
    assert old["dead_letters"]
    assert dump(tmp_path / "two") == old
    assert dump(tmp_path / "late") == old


async def test_a_replica_goes_on_where_it_was_and_nothing_is_in_it_twice(nats_access: Access, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    for prefix in "abc":
        async with opened(nats_access, tmp_path / "often") as often:
            await some_runs(often, prefix, dice)
    async with opened(nats_access, tmp_path / "once") as once:
        await once.open_runs()
    assert dump(tmp_path / "often") == dump(tmp_path / "once")


async def test_two_processes_may_follow_into_one_file(nats_access: Access, tmp_path: Path) -> None:
    dice = random.Random(SEED)
    async with opened(nats_access, tmp_path / "shared") as one, opened(nats_access, tmp_path / "shared") as two:
        await asyncio.gather(some_runs(one, "a", dice), some_runs(two, "b", dice))
        await one.open_runs()
    async with opened(nats_access, tmp_path / "alone") as alone:
        await alone.open_runs()
    assert dump(tmp_path / "shared") == dump(tmp_path / "alone")


async def test_what_cannot_be_read_is_passed_over_and_the_rest_is_there(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path / "one") as one:
        await created(one)
        names = one.cluster.names
        said = Head(run="bad", last=1).headers()
        for message in (
            Message(subject=names.decision("bad"), body=b"not JSON", headers=said),
            Message(subject=names.decision("bad"), body=b"[]"),
            Message(subject=names.decision("bad"), body=b"", headers={**said, "Wf-Blob": "bad sha256:0"}),
            Message(subject=names.decision("bad"), body=b"[]", headers={**said, "Wf-Workflow": "sha256:0"}),
        ):
            await one.cluster.publish(message)
        await created(one, run="after")
        assert await one.open_runs() == ["r1", "after"]


async def test_a_lost_stream_is_made_anew_from_a_replica_and_the_others_go_on_with_it(
    nats_access: Access, tmp_path: Path
) -> None:
    dice = random.Random(SEED)
    async with opened(nats_access, tmp_path / "one") as one, opened(nats_access, tmp_path / "two") as two:
        await some_runs(one, "a", dice)
        await two.open_runs()
        names = one.cluster.names
        for stream in (names.work, names.blobs):
            await one.cluster.ask(f"STREAM.DELETE.{stream}")
    before = dump(tmp_path / "one")
    cluster = Cluster(nats_access)
    replica = Replica(cluster, Blobs(cluster), tmp_path / "one" / "history.db")

    assert await rebuild(cluster, replica) == 9
    with pytest.raises(StoreError, match="is not empty"):
        await rebuild(cluster, replica)
    await replica.close()
    async with (
        opened(nats_access, tmp_path / "one") as one,
        opened(nats_access, tmp_path / "two") as two,
        opened(nats_access, tmp_path / "new") as new,
    ):
        expected = await one.open_runs()
        assert await two.open_runs() == expected
        assert await new.open_runs() == expected
        for run in expected:
            assert await new.events(run) == await one.events(run)
        seq = one.history.summary("a1").last_seq
        assert await new.commit(a_commit(seq, event(Kind.RUN_RESUMED, run="a1"), run="a1")) == seq + 1
        assert (await two.events("a1"))[-1].seq == seq + 1
    assert dump(tmp_path / "one")["steps"] == before["steps"]


async def test_the_history_of_another_stream_is_refused(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path) as store:
        await created(store)
        await store.cluster.ask(f"STREAM.DELETE.{store.cluster.names.work}")
    async with opened(nats_access, tmp_path) as store:
        with pytest.raises(StoreError, match="is the history of another stream") as refused:
            await created(store)
        assert "rebuild" in refused.value.hint
