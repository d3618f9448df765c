"""Every journal: all or nothing, in order, first come first served, and never an older runner after a newer one."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from support.records import NOOP, a_commit, a_step, a_task, a_workflow, created, event

from provisioning.adapters.memory import MemoryStore
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Event, Kind
from provisioning.core.model import Gate, GateKind, Placement, Retry, Source, Step, Workflow
from provisioning.core.values import Ref
from provisioning.errors import Fenced, NotFoundError, StaleRevision

Store = MemoryStore | SqliteStore
SIGNAL = event(Kind.GATE_OPENED, kind="signal", name="go")


async def test_a_workflow_comes_back_equal_and_under_one_address(store: Store) -> None:
    full = Step(
        id="all/fields",
        action=NOOP,
        args={"from": Ref(step="a", has_default=True, default=[1]), "$ref": "mine", "$$": {"deep": [Ref(step="a")]}},
        gates=(Gate(kind=GateKind.SIGNAL, name="go"),),
        retry=Retry(attempts=3, only=("exit",)),
        placement=Placement(target="edge", selector={"zone": "b"}),
        labels={"server": "cp-0"},
    )
    workflow = Workflow(name="w", steps=(a_step("a"), full), pools={"p": 2}, source=Source(kind="python"))

    address = await store.put_workflow(workflow)
    assert address == await store.put_workflow(workflow)
    assert await store.workflow(address) == workflow


def test_a_workflow_that_nobody_stored_is_not_found(store: Store) -> None:
    with pytest.raises(NotFoundError, match="sha256:0"):
        asyncio.run(store.workflow("sha256:0"))


async def test_events_are_numbered_from_one_without_gaps_and_come_back_in_order(store: Store) -> None:
    assert await store.commit(a_commit(0, *[SIGNAL] * 3)) == 3
    assert await store.commit(a_commit(3, SIGNAL)) == 4
    assert [event.seq for event in await store.events("r1")] == [1, 2, 3, 4]
    assert [event.seq for event in await store.events("r1", after=2)] == [3, 4]
    assert await store.events("r1", after=4) == []


async def test_an_event_comes_back_as_it_was_given(store: Store) -> None:
    given = Event(
        run="r1",
        kind=Kind.STEP_FAILED,
        at=datetime(2026, 3, 29, 1, 59, 59, 123456, tzinfo=UTC),
        step="cp/ünï.code-d",
        attempt=2,
        epoch=3,
        actor="ana@work",
        data={"exit_code": 3, "error": {"kind": "exit", "message": "líne\n\x1b"}, "output": {"n": [1, 2.5, None, True]}},
    )
    added = event(Kind.STEP_ADDED, spec=a_step("late", "a"))

    await store.commit(a_commit(0, given, added))
    (first, second) = await store.events("r1")
    assert (first.at, first.step, first.attempt, first.epoch, first.actor) == (given.at, given.step, 2, 3, "ana@work")
    assert first.data == given.data
    assert second.data["spec"] == a_step("late", "a")


def test_an_unknown_run_has_no_events(store: Store) -> None:
    assert asyncio.run(store.events("nobody")) == []


@pytest.mark.parametrize("expected_seq", [0, 1, 3])
async def test_a_commit_that_is_not_based_on_the_newest_event_is_stale_and_changes_nothing(
    store: Store, expected_seq: int
) -> None:
    await store.commit(a_commit(0, SIGNAL, SIGNAL))
    with pytest.raises(StaleRevision, match="run r1 is at event 2"):
        await store.commit(a_commit(expected_seq, SIGNAL, tasks=[a_task()]))
    assert len(await store.events("r1")) == 2


async def test_a_new_run_cannot_be_created_twice(store: Store) -> None:
    await created(store)
    with pytest.raises(StaleRevision):
        await created(store)


async def test_a_lower_fence_is_refused_in_every_run_and_an_equal_one_is_not(store: Store) -> None:
    await store.commit(a_commit(0, SIGNAL, fence=5))
    assert await store.commit(a_commit(1, SIGNAL, fence=5)) == 2
    for run, seq in (("r1", 2), ("other", 0)):
        with pytest.raises(Fenced, match="5 has taken over from 4"):
            await store.commit(a_commit(seq, event(Kind.RUN_STARTED, run=run), run=run, fence=4))


async def test_a_refused_commit_does_not_raise_the_fence(store: Store) -> None:
    with pytest.raises(StaleRevision):
        await store.commit(a_commit(7, SIGNAL, fence=9))
    assert await store.commit(a_commit(0, SIGNAL, fence=1)) == 1


async def test_what_json_cannot_hold_is_refused_whole(store: Store) -> None:
    with pytest.raises(ValueError, match="cannot be written as JSON"):
        await store.commit(a_commit(0, SIGNAL, event(Kind.STEP_SUCCEEDED, "a", attempt=1, output=object())))
    assert await store.events("r1") == []
    assert await store.open_runs() == []


async def test_a32_b40_ten_committers_at_once_lose_nothing_and_one_wins_each_number(store: Store) -> None:
    async def committer(name: str) -> int:
        stale = 0
        for _ in range(10):
            while True:
                seq = len(await store.events("r1"))
                try:
                    await store.commit(a_commit(seq, event(Kind.GATE_OPENED, kind="signal", name=name)))
                    break
                except StaleRevision:
                    stale += 1
        return stale

    await asyncio.gather(*(committer(f"c{n}") for n in range(10)))
    names = [str(event.data["name"]) for event in await store.events("r1")]
    assert {name: names.count(name) for name in names} == {f"c{n}": 10 for n in range(10)}


async def test_of_commits_queued_together_only_the_stale_one_fails(store: Store) -> None:
    runs = [f"run{n}" for n in range(5)]
    commits = [a_commit(3 if run == "run2" else 0, event(Kind.RUN_STARTED, run=run), run=run) for run in runs]
    results = await asyncio.gather(*map(store.commit, commits), return_exceptions=True)
    assert [result if isinstance(result, int) else type(result) for result in results] == [1, 1, StaleRevision, 1, 1]


async def test_open_runs_are_those_that_have_not_finished_oldest_first(store: Store) -> None:
    for run in ("r3", "r1", "r2"):
        await created(store, run=run)
    await store.commit(a_commit(2, event(Kind.RUN_FINISHED, run="r1", state="failed", reason="a failed"), run="r1"))
    assert await store.open_runs() == ["r3", "r2"]
    await store.commit(a_commit(3, event(Kind.RUN_REOPENED, run="r1", steps=["a"]), run="r1"))
    assert await store.open_runs() == ["r3", "r1", "r2"]


async def test_deleting_leaves_no_trace_and_can_be_repeated(store: Store) -> None:
    await created(store)
    await created(store, run="kept")
    for _ in range(2):
        await store.delete("r1")
    assert await store.events("r1") == []
    assert await store.open_runs() == ["kept"]
    assert await store.commit(a_commit(0, SIGNAL)) == 1


async def test_a_run_of_many_steps_is_created_in_bounded_time(store: Store) -> None:
    workflow = a_workflow(*(a_step(f"s{n}") for n in range(5_000)))
    assert await asyncio.wait_for(created(store, workflow), timeout=10) == 2
    assert len(store.history.run("r1").steps) == 5_000
