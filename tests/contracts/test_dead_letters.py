"""Every store keeps the same dead letters. Ids are those of `docs/reference/engine-cases.md`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from support.records import AT, a_commit, a_step, a_workflow, created, event

from provisioning.adapters.memory import MemoryStore
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Event, Kind

Store = MemoryStore | SqliteStore
WIDE = a_workflow(*(a_step(f"s{number}") for number in range(10)), name="wide")


def dies(step: str, *, run: str = "r1", day: int = 0, attempt: int = 1) -> list[Event]:
    at = AT + timedelta(days=day)
    started = event(Kind.STEP_DISPATCHED, step, run=run, attempt=attempt)
    failed = event(Kind.STEP_FAILED, step, run=run, attempt=attempt, error={"kind": "exit", "message": "no"})
    return [replace(started, at=at), replace(failed, at=at)]


async def buried(store: Store, *letters: Sequence[Event]) -> int:
    """Create a run in which these die, and return its last seq."""
    return await store.commit(a_commit(await created(store, WIDE), *(one for each in letters for one in each)))


async def replayed(store: Store, seq: int, step: str) -> int:
    again = event(Kind.STEP_DISPATCHED, step, attempt=2)
    return await store.commit(a_commit(seq, event(Kind.RUN_REOPENED, steps=[step]), again))


async def test_a29_ten_letters_in_pages_of_five_come_once_each_also_when_others_arrive_between(store: Store) -> None:
    seq = await buried(store, *(dies(f"s{number}") for number in range(10)))

    first = store.history.dead_letters(5)
    seq = await replayed(store, seq, "s0")  # the oldest: on the second page
    await store.commit(a_commit(seq, event(Kind.STEP_FAILED, "s0", attempt=2, error={"kind": "exit", "message": "no"})))
    second = store.history.dead_letters(5, replayed=None, before=first[-1].id)

    assert [letter.step for letter in first] == ["s9", "s8", "s7", "s6", "s5"]
    assert [letter.step for letter in second] == ["s4", "s3", "s2", "s1", "s0"]
    assert store.history.dead_letters(5, replayed=None, before=second[-1].id) == []
    assert store.history.dead_letters(1)[0].step == "s0", "its second death is a letter of its own, the newest"


async def test_letters_that_were_replayed_are_removed_and_those_that_wait_are_kept(store: Store) -> None:
    await replayed(store, await buried(store, dies("s0"), dies("s1")), "s0")

    assert await store.delete_dead_letters() == 1
    assert [letter.step for letter in store.history.dead_letters(replayed=None)] == ["s1"]
    assert await store.delete_dead_letters() == 0
    assert await store.delete_dead_letters(waiting=True) == 1
    assert store.history.count_dead_letters() == 0


async def test_only_letters_that_are_old_enough_are_removed(store: Store) -> None:
    await buried(store, dies("s0", day=0), dies("s1", day=2), dies("s2", day=4))

    assert await store.delete_dead_letters(before=AT + timedelta(days=2), waiting=True) == 1
    assert [letter.step for letter in store.history.dead_letters()] == ["s2", "s1"]


async def test_durations_are_those_of_attempts_that_succeeded_in_the_newest_runs_of_the_workflow(store: Store) -> None:
    flow = a_workflow(a_step("a"), a_step("b"), name="timed")
    for number, seconds in enumerate([9, 5, 2]):
        run, end = f"r{number}", AT + timedelta(seconds=seconds)
        seq = await created(store, flow, run=run)
        took = [
            event(Kind.STEP_DISPATCHED, "a", run=run, attempt=1),
            event(Kind.STEP_STARTED, "a", run=run, attempt=1, worker="w"),
            replace(event(Kind.STEP_SUCCEEDED, "a", run=run, attempt=1), at=end),
            *dies("b", run=run),
        ]
        await store.commit(a_commit(seq, *took, run=run))
    await created(store, a_workflow(name="another"), run="other")

    assert store.history.durations("timed", runs=2) == {"a": [2.0, 5.0]}
    assert store.history.durations("nobody") == {}


async def test_a_failure_that_passes_leaves_no_letter(store: Store) -> None:
    dispatched, failed = dies("s0")
    await buried(store, [dispatched, replace(failed, data={**failed.data, "passes": True})], dies("s1"))

    assert [letter.step for letter in store.history.dead_letters()] == ["s1"]
