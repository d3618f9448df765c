"""The journal on NATS: whoever leads last decides, every run is one line of decisions, and nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.natsstores import newest, opened, stored
from support.records import a_commit, a_step, a_task, a_workflow, created, event

from provisioning.adapters.nats.connect import Access
from provisioning.adapters.nats.store import NatsStore
from provisioning.adapters.nats.wire import Message
from provisioning.core.events import Event, Kind
from provisioning.core.ports import Commit
from provisioning.errors import ClusterUnreachable, Fenced, StaleRevision

SIGNAL = event(Kind.GATE_OPENED, kind="signal", name="go")
OLD, NEW = 4, 5


def dispatched(*steps: str) -> list[Event]:
    return [event(Kind.STEP_DISPATCHED, step, attempt=1) for step in steps]


async def test_a_leader_that_was_replaced_is_refused_as_a_whole_its_dispatches_too(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path / "old") as old, opened(nats_access, tmp_path / "new") as new:
        await created(old)
        await old.take_over(OLD)
        assert await old.commit(a_commit(2, *dispatched("a"), tasks=[a_task("a")], fence=OLD)) == 3
        await old.settled()
        assert await new.take_over(NEW) == ["r1"]
        before = await newest(new)

        with pytest.raises(Fenced, match=f"{NEW} has taken over from {OLD}"):
            await old.commit(a_commit(3, *dispatched("b"), tasks=[a_task("b")], fence=OLD))
        assert await newest(new) == before
        assert [one.step for one in await new.events("r1", 2)] == ["a"]
        assert await stored(new, new.cluster.names.tasks(None)) == 1


async def test_a_leader_that_was_replaced_cannot_take_up_a_run_that_came_later(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path / "old") as old, opened(nats_access, tmp_path / "new") as new:
        await old.take_over(OLD)
        await new.take_over(NEW)
        await new.commit(Commit(run="r1", expected_seq=0, events=[SIGNAL], fence=None))

        for run, seq in (("r1", 1), ("another", 0)):
            with pytest.raises(Fenced):
                await old.commit(a_commit(seq, event(Kind.RUN_STARTED, run=run), run=run, fence=OLD))
        assert len(await new.events("r1")) == 1


async def test_a_leader_that_was_replaced_cannot_reopen_a_run_that_it_had_ended(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path / "old") as old, opened(nats_access, tmp_path / "new") as new:
        await created(old)
        await old.take_over(OLD)
        seq = await old.commit(a_commit(2, event(Kind.RUN_FINISHED, state="failed", reason="a failed"), fence=OLD))
        assert await new.take_over(NEW) == []
        with pytest.raises(Fenced):
            await old.commit(a_commit(seq, event(Kind.RUN_REOPENED, steps=["a"]), fence=OLD))
        assert await new.commit(a_commit(seq, event(Kind.RUN_REOPENED, steps=["a"]), fence=NEW)) == seq + 1


async def test_a_leader_cannot_be_replaced_by_an_older_one(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path / "old") as old, opened(nats_access, tmp_path / "new") as new:
        await created(new)
        await new.take_over(NEW)
        with pytest.raises(Fenced):
            await old.take_over(OLD)
        assert await new.commit(a_commit(2, SIGNAL, fence=NEW)) == 3


async def test_of_two_who_write_to_a_run_one_is_first_and_the_other_is_told(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path / "one") as one, opened(nats_access, tmp_path / "two") as two:
        await created(one)
        for round in range(10):
            commits = (
                store.commit(Commit(run="r1", expected_seq=2 + round, events=[SIGNAL], fence=None)) for store in (one, two)
            )
            results = await asyncio.gather(*commits, return_exceptions=True)
            assert sorted(str(type(result).__name__) for result in results) == ["StaleRevision", "int"]
        assert len(await two.events("r1")) == 12


async def test_a_commit_is_one_message_and_one_for_each_dispatch(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path, patient=False) as store:
        seq = await created(store)
        await store.take_over(NEW)
        seq = await store.commit(a_commit(seq, SIGNAL, fence=NEW))
        before = await newest(store)
        for number in range(10):
            step = f"s{number}"
            seq = await store.commit(a_commit(seq, SIGNAL, *dispatched(step), tasks=[a_task(step)], fence=NEW))
        await store.settled()
        assert await newest(store) - before == 20


@pytest.mark.parametrize("count", [20, 2_000])
async def test_all_dispatches_of_a_long_commit_are_there_once_also_when_it_is_said_again(
    nats_access: Access, tmp_path: Path, count: int
) -> None:
    steps = [f"s{number}" for number in range(count)]
    tasks = [a_task(step) for step in steps]
    async with opened(nats_access, tmp_path) as store:
        seq = await created(store, a_workflow(*(a_step(step) for step in steps)))
        seq = await store.commit(a_commit(seq, *dispatched(*steps), tasks=tasks, fence=NEW))
        await store.settled()
        await store.commit(a_commit(seq, SIGNAL, tasks=tasks, fence=NEW))
        await store.settled()
        assert await stored(store, store.cluster.names.tasks("")) == count


async def test_a_large_workflow_and_a_large_output_come_back(nats_access: Access, tmp_path: Path) -> None:
    workflow = a_workflow(a_step("a"), a_step("b", "a", labels={"text": "x" * 2_000_000}))
    output = {"text": "ü" * 1_000_000, "list": list(range(1000))}
    async with opened(nats_access, tmp_path / "one") as one, opened(nats_access, tmp_path / "two") as two:
        seq = await created(one, workflow)
        ended = event(Kind.STEP_SUCCEEDED, "a", attempt=1, output=output)
        await one.commit(a_commit(seq, ended, tasks=[a_task("b")], fence=NEW))

        [found] = await two.events("r1", seq)
        assert found.data["output"] == output
        assert await two.workflow(str((await two.events("r1"))[0].data["workflow"])) == workflow
        assert two.history.output("r1", "a") == output


class Losing:
    """Has the server take what is published, and loses its answer, once."""

    def __init__(self, store: NatsStore, *, before: bool) -> None:
        self._publish, self._before, self.lost = store.cluster.publish, before, False

    async def publish(self, message: Message, timeout_s: float | None = None) -> int:
        if self.lost or "Wf-Commit" not in message.headers:
            return await self._publish(message, timeout_s)
        self.lost = True
        if not self._before:
            await self._publish(message, timeout_s)
        raise ClusterUnreachable("the connection was lost")


@pytest.mark.parametrize("stored_before", ["stored", "not stored"])
@pytest.mark.parametrize("fence", [None, NEW])
async def test_a_commit_whose_answer_is_lost_is_stored_once(
    nats_access: Access, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fence: int | None, stored_before: str
) -> None:
    async with opened(nats_access, tmp_path) as store:
        seq = await created(store)
        if fence is not None:
            await store.take_over(fence)
        losing = Losing(store, before=stored_before == "not stored")
        monkeypatch.setattr(store.cluster, "publish", losing.publish)
        assert await store.commit(Commit(run="r1", expected_seq=seq, events=[SIGNAL], fence=fence)) == 3
        assert losing.lost
        assert [one.seq for one in await store.events("r1")] == [1, 2, 3]
        assert await store.commit(Commit(run="r1", expected_seq=3, events=[SIGNAL], fence=fence)) == 4


async def test_a_deleted_run_is_gone_from_every_replica_and_its_name_is_free(nats_access: Access, tmp_path: Path) -> None:
    async with opened(nats_access, tmp_path / "one") as one, opened(nats_access, tmp_path / "two") as two:
        await created(one)
        await one.commit(a_commit(2, *dispatched("a"), tasks=[a_task("a")]))
        await one.settled()
        assert len(await two.events("r1")) == 3
        await one.delete("r1")
        assert await two.events("r1") == []
        assert two.history.list_runs() == []
        assert await stored(one, one.cluster.names.tasks(None)) == 0
        with pytest.raises(StaleRevision, match="run r1 is at event 0"):
            await two.commit(a_commit(3, SIGNAL))
        assert await created(two) == 2
        assert len(await one.events("r1")) == 2
