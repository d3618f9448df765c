"""Every task queue hands each task out once while its lease lasts; every timer fires when it is due, not before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import timedelta

import pytest
from support.records import AT, a_commit, a_task, created, event

from provisioning.adapters.memory import FakeClock, MemoryStore
from provisioning.adapters.memory.clock import START
from provisioning.adapters.sqlite.store import SqliteStore
from provisioning.core.events import Event, Kind
from provisioning.core.ports import Outcome, Report, Task, Timer

Store = MemoryStore | SqliteStore
NOTHING = 0.05  # real seconds after which nothing is taken to come any more


def dispatched(*steps: str) -> list[Event]:
    return [event(Kind.STEP_DISPATCHED, step, attempt=1) for step in steps]


async def offer(store: Store, seq: int, *tasks: Task) -> int:
    return await store.commit(a_commit(seq, *dispatched(*(task.step for task in tasks)), tasks=tasks))


async def nothing_to_claim(store: Store, targets: Sequence[str] = ()) -> bool:
    try:
        await asyncio.wait_for(store.claim("w", targets, 1), timeout=NOTHING)
    except TimeoutError:
        return True
    return False


def retry_timer(step: str, after_s: float, attempt: int = 1) -> Timer:
    return Timer(run="r1", step=step, attempt=attempt, kind="retry", due=START + timedelta(seconds=after_s))


async def test_a_claim_takes_at_most_what_is_free_in_the_order_of_commits(store: Store) -> None:
    await offer(store, await created(store), a_task("a"), a_task("b"), a_task("c"))
    assert [task.step for task in await store.claim("w", [], 2)] == ["a", "b"]
    assert [task.step for task in await store.claim("w", [], 2)] == ["c"]
    assert await nothing_to_claim(store)


async def test_a_task_comes_back_as_it_was_committed(store: Store) -> None:
    given = a_task("a", target="edge")
    await offer(store, await created(store), given)
    assert await store.claim("w", ["edge"], 1) == [given]


async def test_a_claim_waits_for_a_task(store: Store) -> None:
    seq = await created(store)
    waiting = asyncio.ensure_future(store.claim("w", [], 1))
    await offer(store, seq, a_task("a"))
    assert [task.step for task in await waiting] == ["a"]


async def test_a_task_for_a_target_goes_only_to_a_worker_that_serves_it(store: Store) -> None:
    await offer(store, await created(store), a_task("a", target="edge"), a_task("b"))
    assert [task.step for task in await store.claim("here", ["core"], 5)] == ["b"]
    assert await nothing_to_claim(store, ["core"])
    assert [task.step for task in await store.claim("there", ["core", "edge"], 5)] == ["a"]


async def test_a_worker_that_names_no_targets_serves_all_of_them(store: Store) -> None:
    await offer(store, await created(store), a_task("a", target="edge"), a_task("b"), a_task("c", target="core"))
    claimed: list[Task] = []
    while len(claimed) < 3:  # at least one at a time
        claimed += await store.claim("w", None, 5)
    assert sorted(task.step for task in claimed) == ["a", "b", "c"]


async def test_when_a_run_is_cancelled_what_nobody_has_claimed_comes_back(store: Store) -> None:
    seq = await offer(store, await created(store), a_task("a"), a_task("b", target="edge"), a_task("c"))
    [claimed] = await store.claim("w", [], 1)
    await store.commit(a_commit(seq, event(Kind.CANCEL_REQUESTED)))
    assert [(report.task.step, report.outcome) for report in await store.reports()] == [
        ("c", Outcome.CANCELLED),
        ("b", Outcome.CANCELLED),
    ]
    assert await nothing_to_claim(store, ["edge"])
    await store.report(Report(task=claimed, worker="w", outcome=Outcome.OK))
    assert [report.task for report in await store.reports()] == [claimed]


async def test_a_refused_commit_offers_nothing(store: Store) -> None:
    seq = await created(store)
    result = await asyncio.gather(offer(store, seq + 7, a_task("a")), return_exceptions=True)
    assert isinstance(result[0], Exception)
    assert await nothing_to_claim(store)


@pytest.mark.parametrize("kind", [Kind.STEP_CANCELLED, Kind.STEP_FAILED, Kind.STEP_LEASE_LOST])
async def test_a_task_whose_attempt_is_over_is_withdrawn(store: Store, kind: Kind) -> None:
    seq = await offer(store, await created(store), a_task("a"), a_task("b"))
    await store.commit(a_commit(seq, event(kind, "a", attempt=1)))
    assert [task.step for task in await store.claim("w", [], 5)] == ["b"]


async def test_the_end_of_a_lease_and_a_new_dispatch_in_one_commit_offer_the_new_task(store: Store) -> None:
    seq = await offer(store, await created(store), a_task("a"))
    await store.claim("dead", [], 1)
    events = [event(Kind.STEP_LEASE_LOST, "a", attempt=1), event(Kind.STEP_DISPATCHED, "a", attempt=1, epoch=2)]
    await store.commit(a_commit(seq, *events, tasks=[a_task("a", epoch=2)]))
    assert [task.epoch for task in await store.claim("alive", [], 1)] == [2]


async def test_the_end_or_removal_of_a_run_withdraws_its_tasks_and_timers(store: Store, clock: FakeClock) -> None:
    seq = await created(store)
    await store.commit(a_commit(seq, *dispatched("a"), tasks=[a_task("a")], timers=[retry_timer("b", 5)]))
    await store.commit(a_commit(seq + 1, event(Kind.RUN_FINISHED, state="cancelled", reason="")))
    seq = await created(store, run="r2")
    await store.commit(a_commit(seq, event(Kind.STEP_DISPATCHED, "a", run="r2"), run="r2", tasks=[a_task(run="r2")]))
    await store.delete("r2")
    clock.advance(10)
    assert await nothing_to_claim(store)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(store.due(), timeout=NOTHING)


async def test_reports_reach_the_runner_in_order(store: Store) -> None:
    waiting = asyncio.ensure_future(store.reports())
    await asyncio.sleep(0)
    first = Report(task=a_task("a"), worker="w")
    await store.report(first)
    assert await waiting == [first]
    rest = [Report(task=a_task(step), worker="w", outcome=Outcome.OK) for step in "bc"]
    for report in rest:
        await store.extend(report.task)
        await store.report(report)
    found: list[Report] = []
    while len(found) < len(rest):  # all that are there: they may come one by one
        found += await store.reports()
    assert found == rest


async def test_a_claim_that_is_cancelled_loses_no_task(store: Store) -> None:
    seq = await created(store)
    assert await nothing_to_claim(store)
    await offer(store, seq, a_task("a"))
    assert [task.step for task in await store.claim("w", [], 1)] == ["a"]


async def test_timers_fire_when_due_earliest_first_and_once(store: Store, clock: FakeClock) -> None:
    seq = await created(store)
    timers = [retry_timer("late", 30), retry_timer("second", 2), retry_timer("first", 1)]
    await store.commit(a_commit(seq, event(Kind.RUN_RESUMED), timers=timers))
    waiting = asyncio.ensure_future(store.due())
    for _ in range(100):
        await asyncio.sleep(0.001)
        if clock.sleepers:
            break
    assert not waiting.done()
    clock.advance(2)
    assert [timer.step for timer in await waiting] == ["first", "second"]
    clock.advance(28)
    assert [timer.step for timer in await store.due()] == ["late"]


async def test_an_earlier_timer_that_comes_later_is_not_slept_over(store: Store, clock: FakeClock) -> None:
    seq = await created(store)
    await store.commit(a_commit(seq, event(Kind.RUN_RESUMED), timers=[retry_timer("late", 3600)]))
    waiting = asyncio.ensure_future(store.due())
    await asyncio.sleep(NOTHING)
    await store.commit(a_commit(seq + 1, event(Kind.RUN_RESUMED), timers=[retry_timer("soon", 0)]))
    assert [timer.step for timer in await asyncio.wait_for(waiting, timeout=5)] == ["soon"]


async def test_a_timer_is_forgotten_once_its_attempt_is_over(store: Store, clock: FakeClock) -> None:
    seq = await created(store)
    timer = Timer(run="r1", step="a", attempt=1, kind="timeout", due=START + timedelta(seconds=5))
    await store.commit(a_commit(seq, *dispatched("a"), timers=[timer, retry_timer("b", 6)]))
    await store.commit(a_commit(seq + 1, event(Kind.STEP_SUCCEEDED, "a", attempt=1)))
    clock.advance(10)
    assert [timer.step for timer in await store.due()] == ["b"]


async def test_times_of_timers_keep_their_microseconds(store: Store, clock: FakeClock) -> None:
    timer = Timer(run="r1", step="a", attempt=1, kind="retry", due=AT - timedelta(days=9, microseconds=1))
    await store.commit(a_commit(await created(store), event(Kind.RUN_RESUMED), timers=[timer]))
    clock.advance(24 * 3600)
    assert await store.due() == [timer]
